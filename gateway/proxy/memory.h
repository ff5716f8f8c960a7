/*
 * memory.h - where the bytes of the data path are, by kind.
 *
 * Nothing is counted for this: the slabs know what they hold. What a worker is doing meanwhile may
 * be missing from one kind and not be in the next one yet.
 *
 * Threads: the control thread's.
 */
#ifndef PROXY_MEMORY_H
#define PROXY_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

struct crew;

struct memory_kind {
    const char *name;    /* a word, static */
    uint64_t bytes;      /* held, used or not */
    uint64_t used, free; /* objects */
    uint64_t empty;      /* bytes that no object is in: they go back to the system in a while */
    uint64_t each;       /* bytes of one; 0: they are no objects */
    uint64_t kernel;     /* bytes the kernel keeps for them, in none of these */
    bool mapped;         /* had from the system, not from the allocator */
};

typedef void memory_each_fn(void *arg, const struct memory_kind *kind);

/* Call each for every kind, of all workers together. */
void memory_each(const struct crew *crew, memory_each_fn *each, void *arg);

#endif /* PROXY_MEMORY_H */
