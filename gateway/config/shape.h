/*
 * shape.h - what a configuration value looks like and where it is stored.
 *
 * A shape describes one value; a table of fields describes a struct. The same
 * tables check the YAML and bind it to memory (shape_bind), print the JSON
 * Schema (schema_print) and print the reference page (reference_print). Each layer owns
 * the tables of its own part, so nobody central knows all options.
 *
 * Bound memory lives in the arena given to shape_bind(); strings are
 * NUL-terminated beyond their length.
 */
#ifndef CONFIG_SHAPE_H
#define CONFIG_SHAPE_H

#include "config/tree.h"

enum shape_kind {
    SHAPE_BOOL,     /* bool: true false on off yes no */
    SHAPE_UINT,     /* uint64_t: digits, within min..max */
    SHAPE_DURATION, /* uint64_t ms: 250ms 10s 5m 2h 1d, and 0; any other number needs a unit */
    SHAPE_SIZE,     /* uint64_t bytes: 512 64KiB 1MiB 4GiB; KB MB GB are powers of 1000 */
    SHAPE_RATIO,    /* double 0..1: 50% or 0.5 */
    SHAPE_TEXT,     /* struct sluice_span: any scalar */
    SHAPE_SECRET,   /* struct sluice_span: text or file:PATH (see below); never printed */
    SHAPE_CHOICE,   /* int: one of choices */
    SHAPE_STRUCT,   /* the struct described by fields, stored in place */
    SHAPE_LIST,     /* struct items: elements; one scalar or map alone is a list of one */
    SHAPE_MAP,      /* struct items of struct named: any names, each with a value of element */
    SHAPE_CUSTOM,   /* whatever parse stores */
    SHAPE_LATER,    /* const struct tree *: kept as written, bound by who knows more (title) */
};

/*
 * A secret of the form file:PATH is what the file holds (at most 64 KiB, one last newline cut).
 * PATH is relative to the configuration file that names it.
 */

/* SHAPE_LIST and SHAPE_MAP. For a map, each element begins with struct named. */
struct items {
    void *first; /* n elements of element->size bytes each */
    size_t n;
};

/* First member of every element of a SHAPE_MAP, unless its shape says bare_name. */
struct named {
    struct sluice_span name;
    struct mark at;
};

struct choice {
    const char *name; /* NULL ends the list */
    int value;
    const char *help;
};

struct field;
struct bind;

/*
 * Turn a node into a value of the shape at out. Report with notes_error and return ERR_CONFIG
 * when it is wrong.
 */
typedef enum err shape_parse_fn(struct bind *bind, const struct tree *node, void *out);

/*
 * Look at a bound struct as a whole (cross-field rules). node is the struct's own, a map or the
 * scalar that stands for it. Called for a struct that was written or has a preset, unless one of
 * its own keys is unknown, missing or wrong; what is wrong deeper inside holds its preset.
 */
typedef void shape_check_fn(struct bind *bind, const struct tree *node, void *out);

struct shape {
    enum shape_kind kind;
    size_t size;                 /* bytes of one stored value; LIST, MAP: sizeof(struct items) */
    const struct field *fields;  /* STRUCT: ends with a field whose name is NULL */
    const struct shape *element; /* LIST, MAP; of a MAP: a STRUCT that begins with struct named */
    const struct choice *choices;
    /*
     * UINT, DURATION, SIZE: bounds (max 0: none); LIST: elements; CUSTOM: of numbers, for the JSON
     * Schema alone.
     */
    uint64_t min, max;
    const char *scalar;    /* STRUCT: a scalar instead of a map sets this field */
    shape_parse_fn *parse; /* CUSTOM: how; others: NULL */
    shape_check_fn *check; /* STRUCT: after all fields, or NULL */
    const char *what; /* "a number from 1 to 9", for errors and the reference: tells min and max */
    const char *pattern; /* CUSTOM: regular expression for the JSON Schema, or NULL */
    const char *title;   /* STRUCT: "listener", "route", as errors call it; LATER: what it is */
    /*
     * STRUCT: the fields that exclude an earlier one, ended by NULL: the reference shows each of
     * their examples apart from the rest. NULL: none.
     */
    const char *const *others;
    /* STRUCT: as an element of a map it begins with its name alone, a span. */
    bool bare_name;
    /*
     * STRUCT, for printing alone: beside its fields stands one of these keys, or one that is not
     * listed, with any value; or such a key is all, as a scalar. NULL: no such keys.
     */
    const struct field *variants;
};

/*
 * A preset is written as in the file: flow YAML for structs, lists and maps; for scalars the bare
 * text, or quoted. NULL: zero bytes, or the presets of the struct's own fields. A struct's
 * preset lies under what is written: keys not written come from it. A required key of a
 * struct that is not written at all is not missed.
 */
struct field {
    const char *name;
    const struct shape *shape;
    size_t offset;
    const char *preset;
    bool required;
    const char *help;    /* one sentence */
    const char *example; /* as it would be written, or NULL */
};

extern const struct shape shape_bool, shape_uint, shape_duration, shape_size, shape_ratio,
    shape_text, shape_secret;
extern const struct shape shape_texts;   /* a list of text */
extern const struct shape shape_plugins; /* LATER: what chain/ binds */

/* What a bind works with. Parse and check functions read it; nobody changes it. */
struct bind {
    struct arena *arena; /* for what is stored */
    struct notes *notes;
    struct origins *origins; /* may be NULL */
    void *user;              /* the caller's */
};

/*
 * Bind node to out according to shape: presets first, then what is written. All errors of the
 * subtree go to notes: unknown key (with the nearest and the allowed names), missing key, wrong
 * kind, bad unit, out of bounds. Returns ERR_CONFIG when there was any; out is then not to be used.
 * A NULL node binds the presets alone.
 */
CHECKED enum err shape_bind(struct bind *bind, const struct shape *shape, const struct tree *node,
                            void *out);

/* -- where values came from -------------------------------------------- */

/* Remembers for each stored value the place it was written at, or that it is a preset. */
struct origins;

struct origins *origins_new(struct arena *arena); /* lives in the arena */
/* True and the place when the value at address was written in a file; false: preset, or unknown. */
bool origins_find(const struct origins *origins, const void *address, struct mark *at);

/* -- what the tables say ------------------------------------------------ */

/*
 * The JSON Schema (2020-12) of a shape as the top level, indented; ends with a newline. later is
 * what values of SHAPE_LATER turn out to be, from who knows; NULL: anything.
 */
void schema_print(const struct shape *shape, const char *title, const struct shape *later,
                  struct text *out);

/*
 * The reference page in Markdown: a section a struct; key, type, default, meaning, example. later
 * as above.
 */
void reference_print(const struct shape *shape, const char *title, const struct shape *later,
                     struct text *out);

/* -- for writers of parse functions -------------------------------------- */

/* Read a scalar as the built-in kinds do. ERR_CONFIG when malformed; nothing is noted. */
CHECKED enum err shape_read_duration(struct sluice_span text, uint64_t *ms);
CHECKED enum err shape_read_size(struct sluice_span text, uint64_t *bytes);

#endif /* CONFIG_SHAPE_H */
