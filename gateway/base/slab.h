/*
 * slab.h - objects of one size, from regions of 64 KiB and more, kept by one thread.
 *
 * Taking and giving back are a few instructions and most recently used first, so
 * hot objects stay in the cache. A region in which nothing is left goes back to the system, but
 * not at once: slab_trim() is called from time to time and releases half of those that have been
 * empty ever since it was called before. So what a steady load needs now and then stays, and what
 * a burst has left goes.
 *
 * Threads: one; slab_bytes() and slab_look() are for any, while the slab lives. No locks.
 * Invariant: slab_used() + free objects = objects carved.
 */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slab_region;
struct slab_set;

/* Lies where it was made: lists begin in it. */
struct slab {
    struct slab_region *current;      /* owned, in no list: where objects are taken from */
    struct list partial, full, empty; /* owned: regions with, without and of nothing but room */
    struct list link;                 /* of set->slabs */
    struct slab_set *set;             /* borrowed, outlives us; NULL: nobody trims */
    size_t object_bytes;              /* rounded up to 8 */
    size_t region_bytes;              /* a power of two: regions begin at multiples of it */
    size_t used, carved, max;         /* objects */
    size_t bytes;                     /* of all regions */
    size_t n_empty, least_empty;      /* now; since slab_trim() */
};

/* Prepare for objects of object_bytes, at most max of them (0: no bound). */
void slab_init(struct slab *slab, size_t object_bytes, size_t max);

/* Release all regions. Objects still in use become invalid. */
void slab_fini(struct slab *slab);

/* Return an object, contents undefined, or NULL when max or memory is reached. */
void *slab_take(struct slab *slab);

/* Give an object back; NULL is fine. Poisoned for AddressSanitizer until taken again. */
void slab_give(struct slab *slab, void *object);

/*
 * Release half of the regions that nothing was in since the last call, at least one of them and
 * about most bytes. Returns the bytes released.
 */
size_t slab_trim(struct slab *slab, size_t most);

/* Bytes held from the system. */
size_t slab_bytes(const struct slab *slab);

/* What is in a slab; read by another thread, its parts may be of different moments. */
struct slab_look {
    size_t object_bytes, used, free; /* objects of so many bytes; free: carved and not in use */
    size_t bytes;                    /* slab_bytes() */
    size_t empty_bytes;              /* of regions that nothing is in */
};
struct slab_look slab_look(const struct slab *slab);

/* -- the slabs of one thread --------------------------------------------- */

/* Fields are for who owns it and for slab.c. */
struct slab_set {
    struct list slabs;
    /*
     * Nothing is left in some region, and no call is due: slab_set_trim() is to be called in a
     * while. NULL: nobody will.
     */
    void (*wake)(struct slab_set *set);
    bool awake;
    uint64_t released; /* bytes, ever; for any thread */
};

void slab_set_init(struct slab_set *set, void (*wake)(struct slab_set *set));

/* Trim this slab with the others of the set from now on, until slab_fini(). */
void slab_join(struct slab *slab, struct slab_set *set);

/*
 * Trim all of them, by about most bytes together. False when nothing is left to be trimmed: wake
 * is called when there is again.
 */
bool slab_set_trim(struct slab_set *set, size_t most);

#endif /* BASE_SLAB_H */
