/*
 * slab.h - objects of one size, from regions of 64 KiB and more, kept by one thread.
 *
 * Taking and giving back are a few instructions and most recently used first, so
 * hot objects stay in the cache. Regions are not returned to the system before
 * slab_fini(): what was needed once will be needed again.
 *
 * Threads: one; slab_bytes() and slab_look() are for any, while the slab lives. No locks.
 * Invariant: slab_used() + free objects = objects carved.
 */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include <stddef.h>

struct slab_region;

struct slab {
    void *head;                  /* owned: free objects, a list through their first word */
    struct slab_region *regions; /* owned */
    char *fresh, *fresh_end;     /* not yet carved part of the newest region */
    size_t object_bytes;         /* rounded up to 8 */
    size_t region_bytes;
    size_t used, carved, max; /* objects */
};

/* Prepare for objects of object_bytes, at most max of them (0: no bound). */
void slab_init(struct slab *slab, size_t object_bytes, size_t max);

/* Release all regions. Objects still in use become invalid. */
void slab_fini(struct slab *slab);

/* Return an object, contents undefined, or NULL when max or memory is reached. */
void *slab_take(struct slab *slab);

/* Give an object back; NULL is fine. Poisoned for AddressSanitizer until taken again. */
void slab_give(struct slab *slab, void *object);

/* Bytes held from the system. */
size_t slab_bytes(const struct slab *slab);

/* What is in a slab; read by another thread, its parts may be of different moments. */
struct slab_look {
    size_t object_bytes, used, free; /* objects of so many bytes; free: carved and not in use */
    size_t bytes;                    /* slab_bytes() */
};
struct slab_look slab_look(const struct slab *slab);

#endif /* BASE_SLAB_H */
