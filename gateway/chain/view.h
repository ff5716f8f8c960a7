/*
 * view.h - a set as one worker serves it: its places, started and stopped.
 *
 * Threads: the worker's; the end of a view may come after its thread, before the worker's end.
 */
#ifndef CHAIN_VIEW_H
#define CHAIN_VIEW_H

#include "chain/chain.h"

struct chain_ops;
struct chain_view;
struct chain_worker;
struct loop;
struct rng;

/* For as long as the worker lives. */
struct chain_worker *chain_worker_new(void *owner, struct loop *loop, struct rng *rng,
                                      const struct chain_ops *ops, unsigned index,
                                      unsigned n_workers);
void chain_worker_free(struct chain_worker **worker);

/* Who holds a view, and is told when somebody else does. */
struct chain_holder {
    void *owner;
    void (*hold)(void *owner);    /* one more user */
    void (*release)(void *owner); /* one less; may free the view */
};

/* Call worker_start for each entry. */
struct chain_view *chain_view_new(struct chain_worker *worker, struct chain_set *set,
                                  const struct chain_holder *holder);

/* The worker ends, its exchanges have ended. False: some place still has to send; ask again. */
bool chain_view_drain(struct chain_view *view);

/* Drop what is under way and call worker_stop for each. NULL is fine. */
void chain_view_free(struct chain_view **view);

#endif /* CHAIN_VIEW_H */
