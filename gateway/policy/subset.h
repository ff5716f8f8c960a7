/*
 * subset.h - some of an upstream's endpoints, by what their source says of them.
 *
 * No I/O, no threads.
 */
#ifndef POLICY_SUBSET_H
#define POLICY_SUBSET_H

#include "config/shape.h"

enum subset_fallback { SUBSET_NONE, SUBSET_ANY };

struct subset_meta {
    struct named named;
    struct sluice_span value;
};

struct subset {
    struct items tags; /* of struct sluice_span: all of them */
    struct items meta; /* of struct subset_meta: all of them */
    int fallback;      /* enum subset_fallback: when nobody of them is well */
};

/* SHAPE_STRUCTs of struct subset: with fallback, and without. */
extern const struct shape subset_shape, subset_filter_shape;

/* Does it choose at all? False when nothing is written. */
bool subset_is_set(const struct subset *subset);

bool subset_is_same(const struct subset *a, const struct subset *b);

/* A copy that lives in the arena. */
struct subset subset_copy(const struct subset *subset, struct arena *arena);

#endif /* POLICY_SUBSET_H */
