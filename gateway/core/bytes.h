/*
 * bytes.h - a queue of bytes in blocks that the loop lends.
 *
 * An empty queue owns nothing and is one NULL pointer, so an idle connection
 * pays eight bytes for it. Growth is bounded by who fills it: readers stop while the other side's
 * queue is not empty.
 *
 * Threads: the loop's.
 */
#ifndef CORE_BYTES_H
#define CORE_BYTES_H

#include "base/err.h"
#include "base/span.h"

struct loop;

enum {
    BLOCK_BYTES = 16 * 1024,       /* with its header */
    BLOCK_LARGE_BYTES = 66 * 1024, /* for a head of up to 64 KiB, which must lie in one piece */
};

enum block_kind {
    BLOCK_SMALL,
    BLOCK_LARGE,
    BLOCK_PIPE, /* the bytes are in the kernel: core/pipe.h */
};

/* Fields are for core/ and net/. */
struct block {
    struct block *next;        /* owned */
    struct block *last;        /* of the first block of a queue only: the tail */
    uint32_t begin, end, room; /* of data: unread bytes are begin..end */
    uint8_t kind;              /* enum block_kind */
    _Alignas(void *) char data[];
};

struct bytes {
    struct block *first; /* owned; NULL: empty */
};

/* Append a copy. ERR_MEMORY leaves what fitted. */
CHECKED enum err bytes_add(struct loop *loop, struct bytes *bytes, struct sluice_span span);

/* Append a block that is not empty and in no queue. */
void bytes_append(struct bytes *bytes, struct block *block);

/* Forget n bytes from the front; n must be there. Empty blocks go back. */
void bytes_skip(struct loop *loop, struct bytes *bytes, size_t n);

/* Give everything back. */
void bytes_reset(struct loop *loop, struct bytes *bytes);

/* The bytes that lie together at the front, in no pipe; empty when the queue is. */
static inline struct sluice_span bytes_front(const struct bytes *bytes)
{
    const struct block *first = bytes->first;

    if (!first)
        return (struct sluice_span){NULL, 0};
    return span_make(first->data + first->begin, first->end - first->begin);
}

/*
 * Make room for more bytes behind the front piece, all in one piece: grows the first block to the
 * large size when needed. Returns where to write and how much fits (0 when it cannot grow);
 * bytes_grown() then says how much was written. Not while bytes_is_split().
 */
char *bytes_room(struct loop *loop, struct bytes *bytes, size_t *room);
void bytes_grown(struct bytes *bytes, size_t n);

/* Does the front not hold all? */
static inline bool bytes_is_split(const struct bytes *bytes)
{
    return bytes->first && bytes->first->next;
}

/*
 * Move bytes of the second block behind those of the first, so that more lie together at the front;
 * false when there is no second block or the first, grown to the large size, is full.
 */
bool bytes_gather_split(struct loop *loop, struct bytes *bytes);
static inline bool bytes_gather(struct loop *loop, struct bytes *bytes)
{
    return bytes_is_split(bytes) && bytes_gather_split(loop, bytes);
}

static inline bool bytes_is_empty(const struct bytes *bytes)
{
    return bytes->first == NULL;
}

#endif /* CORE_BYTES_H */
