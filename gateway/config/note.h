/*
 * note.h - what is wrong with a configuration, told where and with the remedy.
 *
 * Notes are collected, never printed at once: a check goes on after an error so
 * that all of them are told together, in order of file and line.
 *
 *   sluice.yaml:41:9: error: unknown key 'timout' in route 'orders'
 *      41 |         timout: 5s
 *         |         ^^^^^^ did you mean 'timeout'? allowed: ...
 */
#ifndef CONFIG_NOTE_H
#define CONFIG_NOTE_H

#include "base/span.h"
#include "base/text.h"

struct notes;

/*
 * A place in a configuration file. line and column count from 1; 0: no place (command line,
 * preset).
 */
struct mark {
    unsigned file;         /* index for notes_file() */
    unsigned line, column; /* columns count characters */
    unsigned width;        /* characters to underline; 0 counts as 1 */
};

struct notes *notes_new(void);
void notes_free(struct notes **notes);

/* Register a source text so that its lines can be shown; both are copied. Returns its index. */
unsigned notes_add_file(struct notes *notes, struct sluice_span path, struct sluice_span bytes);

/* Path of a registered file; "" when there is none. */
struct sluice_span notes_file(const struct notes *notes, unsigned file);

/*
 * Add an error (it makes the configuration unusable) or a warning. hint says what would be
 * right ("did you mean 'timeout'?") and may be NULL. At most 200 are kept, the rest is counted.
 */
void notes_error(struct notes *notes, struct mark at, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void notes_warn(struct notes *notes, struct mark at, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

size_t notes_errors(const struct notes *notes);
size_t notes_warnings(const struct notes *notes);

/* All notes as a person reads them (form above), or as a JSON list of
 * {"level","file","line","column","message","hint"}. Sorted by place. */
void notes_print(const struct notes *notes, struct text *out);
void notes_print_json(const struct notes *notes, struct text *out);

/* One note; everything is borrowed. */
struct notes_entry {
    bool warning;
    struct sluice_span file; /* "": no place */
    unsigned line, column;   /* 0: no place */
    const char *message;
    const char *hint; /* "" when there is none */
};
typedef void notes_entry_fn(void *arg, const struct notes_entry *entry);

/* Tell all that are kept, sorted by place. */
void notes_each(const struct notes *notes, notes_entry_fn *tell, void *arg);

/* The known name nearest to word, or NULL when none is near enough to be meant. */
const char *notes_nearest(struct sluice_span word, const char *const *names, size_t n_names);

#endif /* CONFIG_NOTE_H */
