/*
 * command.h - what a command is made of (private to server).
 */
#ifndef SERVER_COMMAND_H
#define SERVER_COMMAND_H

#include "base/text.h"
#include "config/note.h"
#include "server/gateway_conf.h"
#include "server/options.h"

#ifndef SLUICE_VERSION
#define SLUICE_VERSION "unknown"
#endif

enum { COMMAND_FIELDS = 64, COMMAND_OPERANDS = 34, COMMAND_BYTES = 16 << 20 };

/* All options; each command says which of them it takes. */
enum option_id {
    OPTION_CONFIG,
    OPTION_TO,
    OPTION_LISTEN,
    OPTION_PRINT_CONFIG,
    OPTION_JSON,
    OPTION_MARKDOWN,
    OPTION_ADMIN,
    OPTION_WATCH,
    OPTION_INTERVAL,
    OPTION_FIELD,
    OPTION_LISTENER,
    OPTION_VERBOSE,
    OPTION_HELP,
    OPTION_COUNT
};

struct option_row {
    const char *name;    /* without dashes */
    char letter;         /* 0: none */
    const char *metavar; /* NULL: takes no value */
    bool is_file;        /* the value is one, for completion */
    const char *help;
};

struct command;

/* What was written on the command line. Everything borrows from argv. */
struct args {
    const struct command *command;
    const char *value[OPTION_COUNT];   /* NULL: not given; "" for an option without value */
    const char *field[COMMAND_FIELDS]; /* every -H */
    size_t n_fields;
    const char *operand[COMMAND_OPERANDS];
    unsigned n_operands;
};

struct command {
    const char *name;
    const char *operands; /* "METHOD URL", or "" */
    unsigned min_operands, max_operands;
    unsigned options; /* bit 1 << enum option_id */
    /*
     * Of the first operand, ends with NULL; NULL: anything. Those that end with '=' are beginnings,
     * of every operand.
     */
    const char *const *choices;
    bool takes_file;  /* the first operand is a file, for completion */
    const char *help; /* one line */
    const char *more; /* further lines, or NULL */
    int (*run)(const struct args *args);
};

/* In the order of help; ends with one whose name is NULL. */
extern const struct command command_table[];
extern const struct option_row option_table[OPTION_COUNT];

const struct command *command_find(const char *name);
bool command_takes(const struct command *command, enum option_id id);

/* Are its choices beginnings, of every operand? */
bool command_choices_begin(const struct command *command);

/* -- for commands -------------------------------------------------------------- */

/* Write to stdout and end the text; returns EXIT_FINE, or EXIT_FAILED when it cannot be written. */
int command_out(struct text *out);

/* "sluice: error: ..." and where help is, on stderr; returns EXIT_USAGE. command may be NULL. */
int command_usage(const struct command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* "sluice: error: ..." on stderr; returns code. */
int command_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Notes as a person reads them, on stderr. */
void command_print_notes(const struct notes *notes);

/* The source that -c, or its absence, names. */
struct gateway_source command_source(const struct args *args);

/* Append a JSON string with its quotes; null when there is no text. */
void command_add_json(struct text *out, struct sluice_span text);

/* -- commands ------------------------------------------------------------------- */

int command_run(const struct args *args);
int command_check(const struct args *args);
int command_reload(const struct args *args);
int command_upstreams(const struct args *args);
int command_connections(const struct args *args);
int command_mem(const struct args *args);
int command_explain(const struct args *args);
int command_plugin(const struct args *args);
int command_schema(const struct args *args);
int command_reference(const struct args *args);
int command_version(const struct args *args);
int command_completion(const struct args *args);
int command_help(const struct args *args);

/* All commands, or one. */
void command_print_help(const struct command *command, struct text *out);

#endif /* SERVER_COMMAND_H */
