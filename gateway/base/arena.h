/*
 * arena.h - memory of one life: bump allocation, gone in one step.
 *
 * An arena takes chunks from a slab (per worker, hot) or, without one, from the
 * heap. What is larger than a chunk comes from the heap and counts against the
 * arena's maximum. Things that are not memory register a clean-up; clean-ups run
 * in reverse order in arena_fini().
 *
 * An arena without a slab and without a maximum is one of the control thread's:
 * what it holds is whole or not there, so all of it aborts when memory is out,
 * as alloc_new() does.
 *
 * Threads: one.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/span.h"

#include <stddef.h>

struct arena_chunk;
struct arena_cleanup;
struct slab;

struct arena {
    struct arena_chunk *chunks;     /* owned, newest first */
    char *next, *end;               /* free part of the newest chunk */
    struct arena_cleanup *cleanups; /* in the arena, newest first */
    struct slab *slab;              /* borrowed, outlives us; NULL: heap chunks of ARENA_CHUNK */
    size_t bytes, max;              /* taken from slab and heap; max 0: no bound */
};

enum { ARENA_CHUNK = 4096, ARENA_ALIGN = 16 };

typedef void arena_cleanup_fn(void *arg);

/* slab's objects must be at least 256 bytes. Takes no memory yet. */
void arena_init(struct arena *arena, struct slab *slab, size_t max_bytes);

/* Run the clean-ups, release everything; the arena is as after arena_init(). */
void arena_fini(struct arena *arena);

/* What does not fit into the newest chunk; for arena_try_raw(). */
void *arena_try_elsewhere(struct arena *arena, size_t size);

/* Return size bytes aligned for any type, not zeroed, or NULL beyond max or out of memory. */
static inline void *arena_try_raw(struct arena *arena, size_t size)
{
#ifndef SLUICE_FAULTS /* which counts every piece, and poisons what is free */
    char *memory = arena->next;

    if (size - 1 < (size_t)(arena->end - arena->next)) { /* not 0 either; the rest is aligned */
        arena->next += (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
        return memory;
    }
#endif
    return arena_try_elsewhere(arena, size);
}

/* The same, zeroed. */
void *arena_try(struct arena *arena, size_t size);

/* As arena_try, for sizes that we choose: max does not bind; abort when out of memory. */
void *arena_new(struct arena *arena, size_t size);

/* Copy bytes into the arena, NUL-terminated beyond its length; ptr NULL when out of memory. */
struct sluice_span arena_copy(struct arena *arena, struct sluice_span bytes);

/* printf into the arena; the text is NUL-terminated beyond its length. */
struct sluice_span arena_format(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Call fn(arg) in arena_fini(), before memory goes. Abort when memory is out. */
void arena_on_fini(struct arena *arena, arena_cleanup_fn *fn, void *arg);

#endif /* BASE_ARENA_H */
