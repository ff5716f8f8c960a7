/*
 * tree_build.h - one YAML text becomes one tree (private to config).
 *
 * Knows YAML: events, anchors, merge keys, duplicates. Does not know files,
 * includes or shapes.
 */
#ifndef CONFIG_TREE_BUILD_H
#define CONFIG_TREE_BUILD_H

#include "config/tree.h"

enum {
    TREE_DEPTH_MAX = 32,
    TREE_NODES_MAX = 1000000,
    TREE_FILE_MAX = 4 << 20,      /* bytes of one file */
    TREE_EXPANDED_MAX = 16 << 20, /* bytes that ${NAME} may add up to */
};

/* What all files of one configuration share. Zero-initialise all but arena and notes. */
struct tree_build {
    struct arena *arena; /* borrowed: for the tree */
    struct notes *notes; /* borrowed */
    size_t n_nodes, expanded_bytes;
    bool cut;    /* some text could not be read to its end */
    bool preset; /* a default of ours: no places, no ${NAME} */
    bool remote; /* not of this machine: ${NAME} is refused */
};

/*
 * Read yaml, whose places are in file. Errors go to notes; *tree is what could be read,
 * with an empty map for an empty text. ERR_PROTOCOL when the text could not be read to
 * its end (cut is set), ERR_CONFIG for other errors, ERR_MEMORY.
 */
CHECKED enum err tree_build(struct tree_build *build, struct sluice_span yaml, unsigned file,
                            struct tree **tree);

/*
 * Refuse keys that map holds twice; of the children from position n_own on, which a merge
 * key brought, those that are there already are dropped. ERR_CONFIG when any was refused.
 * In tree_keys.c.
 */
CHECKED enum err tree_check_keys(struct tree_build *build, struct tree *map, unsigned n_own);

/* Replace ${NAME} in the scalar node. ERR_CONFIG when it cannot be done. In tree_env.c. */
CHECKED enum err tree_expand(struct tree_build *build, struct tree *node);

#endif /* CONFIG_TREE_BUILD_H */
