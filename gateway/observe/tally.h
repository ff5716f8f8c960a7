/*
 * tally.h - counters that outlive reloads: one block per kind and key, one slot per worker in it.
 *
 * The control thread asks for a block by name when it builds a snapshot; the
 * same name gets the same block for as long as the process lives, so a reload
 * resets nothing. A worker writes its own slot only. Slots are cache lines apart.
 *
 * Threads: all calls by the control thread; slots are written by their worker and
 *          read by the control thread.
 * Bounded: at most 100,000 blocks; beyond that every new key of a kind shares the
 *          block of key "other".
 */
#ifndef OBSERVE_TALLY_H
#define OBSERVE_TALLY_H

#include "base/span.h"

struct tally;

struct tally_block {
    struct sluice_span key; /* owned */
    char *slots;            /* owned: n_workers slots, zeroed at birth */
    size_t stride;          /* bytes from slot to slot */
    unsigned n;             /* of slots: one a worker */
};

struct tally *tally_new(unsigned n_workers);
void tally_free(struct tally **tally);

/*
 * The block of kind (a literal) and key; bytes is the size of one slot, the same for all of a kind.
 * Lives as long as the tally.
 */
const struct tally_block *tally_get(struct tally *tally, const char *kind, struct sluice_span key,
                                    size_t bytes);

/* Call each for all blocks of a kind, in order of birth. */
typedef void tally_each_fn(void *arg, const struct tally_block *block);
void tally_each(const struct tally *tally, const char *kind, tally_each_fn *each, void *arg);

/* What all blocks take. */
size_t tally_bytes(const struct tally *tally);

/* The slot of a worker. */
static inline void *tally_slot(const struct tally_block *block, unsigned worker)
{
    return block->slots + (size_t)worker * block->stride;
}

#endif /* OBSERVE_TALLY_H */
