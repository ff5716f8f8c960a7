/*
 * tree_keys.c - a key stands once in a map.
 *
 * Keys are sorted, not compared each with each: a map may have a million.
 */
#include "config/tree_build.h"

#include "base/alloc.h"

#include <stdlib.h>

struct place {
    struct tree *node;
    unsigned position;
};

static int compare_keys(const void *left, const void *right)
{
    const struct place *a = left, *b = right;
    int order = span_order(a->node->key, b->node->key);

    if (order)
        return order;
    return a->position < b->position ? -1 : a->position > b->position;
}

static void note_duplicate(struct tree_build *build, const struct tree *first,
                           const struct tree *again)
{
    struct sluice_span path = notes_file(build->notes, first->key_at.file);
    struct text hint;

    text_init(&hint, 1024);
    text_format(&hint, "first written at %.*s:%u:%u; keep one of them", (int)path.len, path.ptr,
                first->key_at.line, first->key_at.column);
    notes_error(build->notes, again->key_at, hint.ptr,
                "key '%.*s' is written twice in the same map",
                (int)(again->key.len > 80 ? 80 : again->key.len), again->key.ptr);
    text_fini(&hint);
}

/* Unlink the children that have no key any more. */
static void drop_keyless(struct tree *map)
{
    struct tree **link = &map->first;

    while (*link) {
        if ((*link)->key.ptr) {
            link = &(*link)->next;
            continue;
        }
        *link = (*link)->next;
        map->n_children--;
    }
}

static enum err check_sorted(struct tree_build *build, const struct place *places, size_t n,
                             unsigned n_own)
{
    const struct place *first = places;
    enum err err = OK;

    for (size_t i = 1; i < n; i++) {
        if (!span_equal(places[i].node->key, first->node->key)) {
            first = &places[i];
        } else if (places[i].position >= n_own) {
            places[i].node->key.ptr = NULL; /* see drop_keyless */
            places[i].node->key.len = 0;
            /* The group goes on: compare the next with the first again. */
        } else {
            note_duplicate(build, first->node, places[i].node);
            err = ERR_CONFIG;
        }
    }
    return err;
}

enum err tree_check_keys(struct tree_build *build, struct tree *map, unsigned n_own)
{
    struct place *places;
    unsigned n = 0;
    enum err err;

    if (map->n_children < 2)
        return OK;
    places = alloc_try(map->n_children * sizeof(*places));
    if (!places)
        return ERR_MEMORY;
    for (struct tree *child = map->first; child; child = child->next, n++)
        places[n] = (struct place){child, n};
    qsort(places, n, sizeof(*places), compare_keys);
    err = check_sorted(build, places, n, n_own);
    if (n_own < n)
        drop_keyless(map);
    alloc_free(places);
    return err;
}
