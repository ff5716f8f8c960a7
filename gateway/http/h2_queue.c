/*
 * h2_queue.c - bytes of streams that wait, in chunks of one size.
 */
#include "http/h2_state.h"

#include <string.h>

enum { CHUNK_BYTES = 4096 };

struct h2_chunk {
    struct h2_chunk *next; /* owned */
    uint32_t begin, end;   /* of data */
    char data[];
};

enum { CHUNK_ROOM = CHUNK_BYTES - sizeof(struct h2_chunk) };

void h2_queue_prepare(struct slab *chunks)
{
    slab_init(chunks, CHUNK_BYTES, 0);
}

enum err h2_queue_add(struct h2 *h2, struct h2_queue *queue, struct sluice_span bytes)
{
    while (bytes.len > 0) {
        struct h2_chunk *last = queue->last;
        size_t n;

        if (!last || last->end == CHUNK_ROOM) {
            last = slab_take(&h2->bench->chunks);
            if (!last)
                return ERR_MEMORY;
            *last = (struct h2_chunk){0};
            if (queue->last) {
                queue->last->next = last;
            } else {
                queue->first = last;
            }
            queue->last = last;
        }
        n = CHUNK_ROOM - last->end;
        if (n > bytes.len)
            n = bytes.len;
        memcpy(last->data + last->end, bytes.ptr, n);
        last->end += (uint32_t)n;
        queue->bytes += (uint32_t)n;
        h2->queued_bytes += n;
        bytes = span_make(bytes.ptr + n, bytes.len - n);
    }
    return OK;
}

struct sluice_span h2_queue_front(const struct h2_queue *queue)
{
    const struct h2_chunk *first = queue->first;

    return first ? span_make(first->data + first->begin, first->end - first->begin) : SPAN("");
}

static struct h2_chunk *pop(struct h2_queue *queue)
{
    struct h2_chunk *first = queue->first;

    queue->first = first->next;
    if (!queue->first)
        queue->last = NULL;
    first->next = NULL;
    return first;
}

void h2_queue_skip(struct h2 *h2, struct h2_queue *queue, size_t n)
{
    queue->bytes -= (uint32_t)n;
    h2->queued_bytes -= n;
    while (n > 0) {
        struct h2_chunk *first = queue->first;
        size_t here = first->end - first->begin;

        if (n < here) {
            first->begin += (uint32_t)n;
            return;
        }
        n -= here;
        slab_give(&h2->bench->chunks, pop(queue));
    }
}

void h2_queue_pass(struct h2_queue *from, struct h2_queue *to)
{
    struct h2_chunk *chunk;

    from->bytes -= from->first->end - from->first->begin;
    chunk = pop(from);
    to->bytes += chunk->end - chunk->begin;
    if (to->last) {
        to->last->next = chunk;
    } else {
        to->first = chunk;
    }
    to->last = chunk;
}

void h2_queue_reset(struct h2 *h2, struct h2_queue *queue)
{
    while (queue->first) {
        slab_give(&h2->bench->chunks, pop(queue));
    }
    h2->queued_bytes -= queue->bytes;
    queue->bytes = 0;
}
