/*
 * tree.h - a configuration file as values with positions.
 *
 * Scalars keep their text: what they mean is decided by the shape they are bound
 * to. Everything lives in the arena given to tree_read().
 *
 * tree_read() follows a top-level "include:" (a pattern or a list of patterns,
 * relative to the including file, sorted by name, depth at most 8, no circles): the maps of the
 * included files are merged into the top level; lists (listeners, routes) are
 * appended, maps (upstreams) joined; a scalar or an upstream set twice is an error that names both
 * places. The key "include" is not left in the tree. A file is read once, even if two
 * patterns match it.
 * It replaces ${NAME} and ${NAME:-default} in scalars ("$${" stands for "${"); an unset NAME
 * without default is an error.
 * A scalar "file:PATH" is kept as it is here; shapes that accept secrets read it.
 */
#ifndef CONFIG_TREE_H
#define CONFIG_TREE_H

#include "base/arena.h"
#include "config/note.h"

enum tree_kind { TREE_SCALAR, TREE_LIST, TREE_MAP };

struct tree {
    enum tree_kind kind;
    struct mark at;
    struct sluice_span text; /* TREE_SCALAR; NUL-terminated beyond len */
    bool quoted;             /* TREE_SCALAR: was in quotes, so never null */
    bool wrong;              /* TREE_SCALAR: an error was noted, nothing more is to be said */
    struct sluice_span key;  /* in a map: the name of this entry */
    struct mark key_at;
    struct tree *first; /* TREE_LIST, TREE_MAP: children in order */
    struct tree *next;  /* the next sibling, or NULL */
    unsigned n_children;
};

/*
 * Read a file and what it includes. On any error, notes has it and *tree may still hold the
 * part that could be read (so that more errors can be found), or be NULL. ERR_PROTOCOL says
 * that some file could not be read to its end: names may then be missing from the tree for
 * no fault of those who use them. Duplicate keys, anchors with circles, tags, more than one
 * document, files over 4 MiB, nesting over 32 and more than 1,000,000 nodes are errors.
 * Aliases are copies of what they name; "<<: *name" merges a map into the one around it.
 */
CHECKED enum err tree_read(const char *path, struct arena *arena, struct notes *notes,
                           struct tree **tree);

/*
 * The same from memory; name stands for the path in notes. Relative includes start at the working
 * directory.
 */
CHECKED enum err tree_parse(struct sluice_span yaml, const char *name, struct arena *arena,
                            struct notes *notes, struct tree **tree);

/* A text of somewhere else than this machine, to be joined as if it were included. */
struct tree_piece {
    const char *name; /* stands for the path in notes */
    struct sluice_span yaml;
};

/*
 * Join a piece into the map tree. Its top level may not have the keys of refused (ended by NULL)
 * nor "include", and nowhere ${NAME}: why is said where they stand. Errors as of tree_read().
 */
CHECKED enum err tree_add(const struct tree_piece *piece, const char *const *refused,
                          struct arena *arena, struct notes *notes, struct tree *tree);

/* The entry of a map, or NULL. map may be NULL. */
struct tree *tree_find(const struct tree *map, struct sluice_span key);

/* Does a key of that name sound as if a secret stood there: "token", "api_key", "Authorization"? */
bool tree_key_is_secret(struct sluice_span key);

/* True for an unquoted null, ~ or nothing at all: the key is there, but nothing was written. */
bool tree_is_null(const struct tree *node);

#endif /* CONFIG_TREE_H */
