/*
 * options.c - read argv by the tables, and call the command.
 *
 * Options may stand before and after operands: "-c FILE", "-cFILE", "--config FILE" and
 * "--config=FILE" are the same; "--" ends them.
 */
#include "server/options.h"

#include "base/log.h"
#include "server/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { NAMES_MAX = 64, MESSAGE_BYTES = 4096 };

/* Where reading stands in argv. */
struct reader {
    int argc;
    char **argv;
    int at; /* the next word */
    struct args args;
};

/* -- speaking ------------------------------------------------------------------- */

static void print_error(const char *format, va_list list) __attribute__((format(printf, 1, 0)));

static void print_error(const char *format, va_list list)
{
    struct text text;

    text_init(&text, MESSAGE_BYTES);
    text_vformat(&text, format, list);
    fprintf(stderr, "sluice: error: %s\n", text.ptr ? text.ptr : "");
    text_fini(&text);
}

int command_usage(const struct command *command, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    print_error(format, list);
    va_end(list);
    fprintf(stderr, "Try: sluice help%s%s\n", command ? " " : "", command ? command->name : "");
    return EXIT_USAGE;
}

int command_fail(int code, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    print_error(format, list);
    va_end(list);
    return code;
}

int command_out(struct text *out)
{
    bool whole = !out->cut && (out->len == 0 || fwrite(out->ptr, out->len, 1, stdout) == 1);

    text_fini(out);
    if (fflush(stdout) == 0 && whole)
        return EXIT_FINE;
    return command_fail(EXIT_FAILED, "cannot write all of the answer to stdout");
}

void command_print_notes(const struct notes *notes)
{
    struct text out;

    text_init(&out, COMMAND_BYTES);
    notes_print(notes, &out);
    if (out.len)
        fwrite(out.ptr, out.len, 1, stderr);
    text_fini(&out);
}

void command_add_json(struct text *out, struct sluice_span text)
{
    if (!text.ptr) {
        text_add(out, SPAN("null"));
        return;
    }
    text_add_char(out, '"');
    text_add_json(out, text);
    text_add_char(out, '"');
}

/* -- questions ------------------------------------------------------------------- */

const struct command *command_find(const char *name)
{
    for (const struct command *command = command_table; command->name; command++) {
        if (strcmp(command->name, name) == 0)
            return command;
    }
    return NULL;
}

bool command_takes(const struct command *command, enum option_id id)
{
    return (command->options | 1U << OPTION_HELP) & 1U << id;
}

struct gateway_source command_source(const struct args *args)
{
    struct gateway_source source = {.path = args->value[OPTION_CONFIG]};

    if (!source.path)
        source.path = gateway_find_file();
    return source;
}

/* -- unknown words ------------------------------------------------------------------ */

static int unknown_command(const char *name)
{
    const char *names[NAMES_MAX];
    const char *near;
    size_t n = 0;

    for (const struct command *command = command_table; command->name && n < NAMES_MAX; command++)
        names[n++] = command->name;
    near = notes_nearest(span_of(name), names, n);
    if (near)
        return command_usage(NULL, "unknown command '%s'; did you mean '%s'?", name, near);
    return command_usage(NULL, "unknown command '%s'", name);
}

static int unknown_option(const struct command *command, const char *word)
{
    const char *names[OPTION_COUNT];
    const char *name = word + strspn(word, "-");
    const char *near;
    size_t n = 0;

    for (enum option_id id = 0; id < OPTION_COUNT; id++) {
        if (command_takes(command, id))
            names[n++] = option_table[id].name;
    }
    near = notes_nearest(span_make(name, strcspn(name, "=")), names, n);
    if (near) {
        return command_usage(command, "'%s' has no option '%s'; did you mean '--%s'?",
                             command->name, word, near);
    }
    return command_usage(command, "'%s' has no option '%s'", command->name, word);
}

/* -- reading ------------------------------------------------------------------------- */

/* The option that a word "--name", "--name=value", "-x" or "-xvalue" names, or OPTION_COUNT. */
static enum option_id find_option(const struct command *command, const char *word)
{
    struct sluice_span name = span_make(word + 2, strcspn(word + 2, "="));

    for (enum option_id id = 0; id < OPTION_COUNT; id++) {
        const struct option_row *row = &option_table[id];

        if (!command_takes(command, id))
            continue;
        if (word[1] == '-' ? span_equal(name, span_of(row->name)) : word[1] == row->letter)
            return id;
    }
    return OPTION_COUNT;
}

/* What is glued to the option in its own word, or NULL. */
static const char *glued_value(const char *word)
{
    const char *equals;

    if (word[1] != '-')
        return word[2] ? word + 2 : NULL;
    equals = strchr(word, '=');
    return equals ? equals + 1 : NULL;
}

static int read_option(struct reader *reader, const char *word)
{
    const struct command *command = reader->args.command;
    enum option_id id = find_option(command, word);
    const struct option_row *row = &option_table[id == OPTION_COUNT ? OPTION_HELP : id];
    const char *value = glued_value(word);

    if (id == OPTION_COUNT)
        return unknown_option(command, word);
    if (!row->metavar && value)
        return command_usage(command, "option '--%s' takes no value", row->name);
    if (row->metavar && !value) {
        if (reader->at >= reader->argc) {
            return command_usage(command, "option '--%s' needs a value: %s", row->name,
                                 row->metavar);
        }
        value = reader->argv[reader->at++];
    }
    if (id == OPTION_FIELD) {
        if (reader->args.n_fields == COMMAND_FIELDS)
            return command_usage(command, "more than %d times '--%s'", COMMAND_FIELDS, row->name);
        reader->args.field[reader->args.n_fields++] = value;
        return EXIT_FINE;
    }
    if (reader->args.value[id] && row->metavar)
        return command_usage(command, "option '--%s' is given twice", row->name);
    reader->args.value[id] = value ? value : "";
    return EXIT_FINE;
}

static int read_operand(struct reader *reader, const char *word)
{
    const struct command *command = reader->args.command;

    if (reader->args.n_operands >= command->max_operands) {
        return command_usage(command, "'%s' does not know what to do with '%s'", command->name,
                             word);
    }
    reader->args.operand[reader->args.n_operands++] = word;
    return EXIT_FINE;
}

static int read_words(struct reader *reader)
{
    bool only_operands = false;
    int code = EXIT_FINE;

    while (reader->at < reader->argc && code == EXIT_FINE) {
        const char *word = reader->argv[reader->at++];

        if (!only_operands && strcmp(word, "--") == 0) {
            only_operands = true;
        } else if (!only_operands && word[0] == '-' && word[1]) {
            code = read_option(reader, word);
        } else {
            code = read_operand(reader, word);
        }
        if (reader->args.value[OPTION_HELP])
            return EXIT_FINE;
    }
    return code;
}

static bool is_beginning(const char *choice)
{
    return choice[0] && choice[strlen(choice) - 1] == '=';
}

bool command_choices_begin(const struct command *command)
{
    return command->choices && is_beginning(command->choices[0]);
}

/* Is it one of them, or does it begin with one that is a beginning? */
static bool is_choice(const char *const *choices, const char *word)
{
    for (; *choices; choices++) {
        if (is_beginning(*choices) ? strncmp(*choices, word, strlen(*choices)) == 0
                                   : strcmp(*choices, word) == 0)
            return true;
    }
    return false;
}

static int check_operands(const struct args *args)
{
    const struct command *command = args->command;
    unsigned n_checked = args->n_operands;

    if (args->n_operands < command->min_operands)
        return command_usage(command, "'%s' needs %s", command->name, command->operands);
    if (!command->choices)
        return EXIT_FINE;
    if (n_checked > 1 && !command_choices_begin(command))
        n_checked = 1;
    for (unsigned i = 0; i < n_checked; i++) {
        if (!is_choice(command->choices, args->operand[i])) {
            return command_usage(command, "'%s' needs %s, not '%s'", command->name,
                                 command->operands, args->operand[i]);
        }
    }
    return EXIT_FINE;
}

static int print_help(const struct command *command)
{
    struct text out;

    text_init(&out, COMMAND_BYTES);
    command_print_help(command, &out);
    return command_out(&out);
}

int options_main(int argc, char **argv)
{
    struct reader reader = {.argc = argc, .argv = argv, .at = 2};
    const char *name = argc > 1 ? argv[1] : "--help";
    int code;

    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return print_help(NULL);
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        name = "version";
    reader.args.command = command_find(name);
    if (!reader.args.command && name[0] == '-')
        return command_usage(NULL, "a command comes first, not '%s'", name);
    if (!reader.args.command)
        return unknown_command(name);
    code = read_words(&reader);
    if (code == EXIT_FINE && reader.args.value[OPTION_HELP])
        return print_help(reader.args.command);
    if (code == EXIT_FINE)
        code = check_operands(&reader.args);
    if (code == EXIT_FINE)
        code = reader.args.command->run(&reader.args);
    return code;
}
