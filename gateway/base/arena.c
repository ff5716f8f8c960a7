/*
 * arena.c - the newest chunk that came for small things is the one that is being filled;
 * large things get a chunk of their own behind it, so that it goes on being filled.
 */
#include "base/arena.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/poison.h"
#include "base/slab.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct arena_chunk {
    struct arena_chunk *next; /* owned */
    size_t heap_bytes;        /* 0: the chunk is the slab's */
};

struct arena_cleanup {
    struct arena_cleanup *next; /* in the arena */
    arena_cleanup_fn *fn;
    void *arg; /* borrowed from whoever registered it, until fn has run */
};

_Static_assert(sizeof(struct arena_chunk) % ARENA_ALIGN == 0, "memory begins aligned");
_Static_assert(_Alignof(max_align_t) <= ARENA_ALIGN, "aligned for any type");

void arena_init(struct arena *arena, struct slab *slab, size_t max_bytes)
{
    CHECK(!slab || slab->object_bytes >= 256);
    *arena = (struct arena){.slab = slab, .max = max_bytes};
}

static void release_chunk(struct arena *arena, struct arena_chunk *chunk)
{
    if (chunk->heap_bytes == 0) {
        slab_give(arena->slab, chunk);
        return;
    }
    UNPOISON(chunk, chunk->heap_bytes);
    alloc_free(chunk);
}

void arena_fini(struct arena *arena)
{
    while (arena->cleanups) {
        struct arena_cleanup *cleanup = arena->cleanups;

        arena->cleanups = cleanup->next;
        cleanup->fn(cleanup->arg);
    }
    while (arena->chunks) {
        struct arena_chunk *chunk = arena->chunks;

        arena->chunks = chunk->next;
        release_chunk(arena, chunk);
    }
    arena_init(arena, arena->slab, arena->max);
}

static bool has_room(const struct arena *arena, size_t bytes, bool bounded)
{
    return !bounded || arena->max == 0 ||
           (arena->bytes <= arena->max && bytes <= arena->max - arena->bytes);
}

/* Return a chunk of heap bytes (header included), in no list yet, or NULL. */
static struct arena_chunk *heap_chunk(struct arena *arena, size_t bytes, bool bounded)
{
    struct arena_chunk *chunk = has_room(arena, bytes, bounded) ? alloc_try(bytes) : NULL;

    if (!chunk)
        return NULL;
    chunk->heap_bytes = bytes;
    arena->bytes += bytes;
    return chunk;
}

static size_t chunk_bytes(const struct arena *arena)
{
    return arena->slab ? arena->slab->object_bytes : ARENA_CHUNK;
}

/* Begin a new chunk for small things. */
static bool grow(struct arena *arena, bool bounded)
{
    size_t bytes = chunk_bytes(arena);
    struct arena_chunk *chunk = NULL;

    if (arena->slab && has_room(arena, bytes, bounded)) {
        chunk = slab_take(arena->slab);
        if (chunk) {
            chunk->heap_bytes = 0;
            arena->bytes += bytes;
        }
    }
    if (!chunk && (!arena->slab || !bounded)) /* what must succeed goes past a full slab */
        chunk = heap_chunk(arena, bytes, bounded);
    if (!chunk)
        return false;
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    arena->next = (char *)(chunk + 1);
    arena->end = (char *)chunk + bytes;
    POISON(arena->next, (size_t)(arena->end - arena->next));
    return true;
}

static void *take_large(struct arena *arena, size_t size, bool bounded)
{
    struct arena_chunk *chunk = heap_chunk(arena, sizeof(*chunk) + size, bounded);
    struct arena_chunk **place;

    if (!chunk)
        return NULL;
    place = arena->next ? &arena->chunks->next : &arena->chunks;
    chunk->next = *place;
    *place = chunk;
    return chunk + 1;
}

static void *take(struct arena *arena, size_t size, bool bounded)
{
    size_t rounded;
    void *memory;

    if (size > SIZE_MAX / 2)
        return NULL;
    rounded = size > 0 ? (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN : ARENA_ALIGN;
    if (rounded > (size_t)(arena->end - arena->next)) {
        if (rounded > chunk_bytes(arena) - sizeof(struct arena_chunk))
            return take_large(arena, size, bounded);
        if (!grow(arena, bounded))
            return NULL;
    }
    memory = arena->next;
    arena->next += rounded;
    UNPOISON(memory, size);
    return memory;
}

static void *take_surely(struct arena *arena, size_t size)
{
    void *memory;

    alloc_faults_stop();
    memory = take(arena, size, false);
    alloc_faults_start();
    CHECK(memory != NULL);
    return memory;
}

/* See arena.h: half a configuration is worse than none. */
static bool is_vital(const struct arena *arena)
{
    return !arena->slab && arena->max == 0;
}

void *arena_try_elsewhere(struct arena *arena, size_t size)
{
    void *memory;

    if (is_vital(arena))
        return take_surely(arena, size);
    if (alloc_is_faulty())
        return NULL;
    alloc_faults_stop(); /* what the arena takes in turn is not counted again */
    memory = take(arena, size, true);
    alloc_faults_start();
    return memory;
}

void *arena_try(struct arena *arena, size_t size)
{
    void *memory = arena_try_raw(arena, size);

    if (memory)
        memset(memory, 0, size);
    return memory;
}

void *arena_new(struct arena *arena, size_t size)
{
    void *memory = take_surely(arena, size);

    memset(memory, 0, size);
    return memory;
}

struct sluice_span arena_copy(struct arena *arena, struct sluice_span bytes)
{
    char *copy = bytes.len < SIZE_MAX ? arena_try_raw(arena, bytes.len + 1) : NULL;

    if (!copy)
        return span_make(NULL, 0);
    if (bytes.len > 0)
        memcpy(copy, bytes.ptr, bytes.len);
    copy[bytes.len] = '\0';
    return span_make(copy, bytes.len);
}

struct sluice_span arena_format(struct arena *arena, const char *format, ...)
{
    va_list args;
    char *text;
    int len;

    va_start(args, format);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    text = len >= 0 ? arena_try_raw(arena, (size_t)len + 1) : NULL;
    if (!text)
        return span_make(NULL, 0);
    va_start(args, format);
    vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
    return span_make(text, (size_t)len);
}

void arena_on_fini(struct arena *arena, arena_cleanup_fn *fn, void *arg)
{
    struct arena_cleanup *cleanup = arena_new(arena, sizeof(*cleanup));

    cleanup->next = arena->cleanups;
    cleanup->fn = fn;
    cleanup->arg = arg;
    arena->cleanups = cleanup;
}
