/*
 * selection.h - which of an upstream's endpoints a request may go to: all, or a subset by tags and
 * meta. What can be decided before a pick is decided when the candidates are made anew.
 *
 * Threads: the worker's.
 */
#ifndef UPSTREAM_SELECTION_H
#define UPSTREAM_SELECTION_H

#include "base/arena.h"
#include "base/list.h"
#include "discovery/found.h"
#include "policy/subset.h"
#include "upstream/candidates.h"

struct selection {
    struct list link; /* upstream->selections, unless it is everything */
    unsigned refs;
    struct arena arena;   /* what subset is made of */
    struct subset subset; /* not set: everything */
    struct candidates candidates;
    size_t n_waiting; /* leases in the upstream's queue */
    bool is_blocked;  /* while the queue is served: the first of ours must wait on */
};

/* Does the endpoint have all that the subset wants? */
bool selection_fits(const struct subset *subset, const struct found_endpoint *facts);

static inline bool selection_has(const struct selection *selection,
                                 const struct found_endpoint *facts)
{
    return !subset_is_set(&selection->subset) || selection_fits(&selection->subset, facts);
}

#endif /* UPSTREAM_SELECTION_H */
