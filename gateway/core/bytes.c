#include "core/bytes.h"

#include "base/check.h"
#include "core/loop.h"

#include <string.h>

static struct block *block_take(struct loop *loop, bool large)
{
    struct block *block = slab_take(large ? &loop->large_blocks : &loop->blocks);

    if (!block)
        return NULL;
    block->next = NULL;
    block->last = block;
    block->begin = block->end = 0;
    block->room = (uint32_t)((large ? BLOCK_LARGE_BYTES : BLOCK_BYTES) - sizeof(struct block));
    block->kind = large ? BLOCK_LARGE : BLOCK_SMALL;
    return block;
}

static void block_give(struct loop *loop, struct block *block)
{
    switch ((enum block_kind)block->kind) {
    case BLOCK_SMALL:
        slab_give(&loop->blocks, block);
        break;
    case BLOCK_LARGE:
        slab_give(&loop->large_blocks, block);
        break;
    case BLOCK_PIPE:
        pipe_give(loop, block);
        break;
    }
}

/* Behind the tail, NULL of an empty queue. */
static void append(struct bytes *bytes, struct block *tail, struct block *block)
{
    if (!tail) {
        bytes->first = block;
    } else {
        tail->next = block;
        bytes->first->last = block;
    }
}

void bytes_append(struct bytes *bytes, struct block *block)
{
    block->next = NULL;
    block->last = block;
    append(bytes, bytes->first ? bytes->first->last : NULL, block);
}

static struct block *tail_with_room(struct loop *loop, struct bytes *bytes)
{
    struct block *tail = bytes->first ? bytes->first->last : NULL;
    struct block *block;

    if (tail && tail->end < tail->room)
        return tail;
    block = block_take(loop, false);
    if (block)
        append(bytes, tail, block);
    return block;
}

enum err bytes_add(struct loop *loop, struct bytes *bytes, struct sluice_span span)
{
    while (span.len > 0) {
        struct block *block = tail_with_room(loop, bytes);
        size_t n;

        if (!block)
            return ERR_MEMORY;
        n = block->room - block->end;
        if (n > span.len)
            n = span.len;
        memcpy(block->data + block->end, span.ptr, n);
        block->end += (uint32_t)n;
        span.ptr += n;
        span.len -= n;
    }
    return OK;
}

static void drop_first(struct loop *loop, struct bytes *bytes)
{
    struct block *first = bytes->first;

    bytes->first = first->next;
    if (bytes->first)
        bytes->first->last = first->last;
    block_give(loop, first);
}

void bytes_skip(struct loop *loop, struct bytes *bytes, size_t n)
{
    while (bytes->first) {
        struct block *first = bytes->first;
        size_t here = first->end - first->begin;
        size_t gone = n < here ? n : here;

        first->begin += (uint32_t)gone;
        if (first->kind == BLOCK_PIPE)
            counter_sub(&loop->pipes.bytes, gone);
        if (n < here)
            return;
        n -= here;
        drop_first(loop, bytes);
    }
    CHECK(n == 0);
}

void bytes_reset(struct loop *loop, struct bytes *bytes)
{
    while (bytes->first) {
        drop_first(loop, bytes);
    }
}

/* Replace the first block by a large one; false when that is not possible. */
static bool enlarge(struct loop *loop, struct bytes *bytes)
{
    struct block *old = bytes->first;
    struct block *block;

    if (old->kind != BLOCK_SMALL)
        return false;
    block = block_take(loop, true);
    if (!block)
        return false;
    block->end = old->end - old->begin;
    memcpy(block->data, old->data + old->begin, block->end);
    block->next = old->next;
    if (old->next)
        block->last = old->last;
    block_give(loop, old);
    bytes->first = block;
    return true;
}

char *bytes_room(struct loop *loop, struct bytes *bytes, size_t *room)
{
    struct block *first = bytes->first;

    *room = 0;
    if (!first) {
        first = bytes->first = block_take(loop, false);
        if (!first)
            return NULL;
    }
    if (first->begin > 0) {
        memmove(first->data, first->data + first->begin, first->end - first->begin);
        first->end -= first->begin;
        first->begin = 0;
    }
    if (first->end == first->room && !enlarge(loop, bytes))
        return NULL;
    first = bytes->first;
    *room = first->room - first->end;
    return first->data + first->end;
}

void bytes_grown(struct bytes *bytes, size_t n)
{
    bytes->first->end += (uint32_t)n;
}

bool bytes_gather_split(struct loop *loop, struct bytes *bytes)
{
    struct block *second;
    size_t room, n;
    char *into;

    into = bytes_room(loop, bytes, &room);
    if (room == 0)
        return false;
    second = bytes->first->next;
    if (!second)
        return false;
    n = second->end - second->begin;
    if (n > room)
        n = room;
    memcpy(into, second->data + second->begin, n);
    bytes_grown(bytes, n);
    second->begin += (uint32_t)n;
    if (second->begin < second->end)
        return true;
    bytes->first->next = second->next;
    if (bytes->first->last == second)
        bytes->first->last = bytes->first;
    block_give(loop, second);
    return true;
}
