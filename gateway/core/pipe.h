/*
 * pipe.h - pipes of the kernel, through which bytes pass from socket to socket unseen.
 *
 * A pipe is a block of a queue (core/bytes.h) whose bytes lie in the kernel: whoever asks whether a
 * queue is empty, or gives it back, need not know of it. It is taken empty and filled once. Given
 * back empty it waits for the next one, or is closed when none came for a while; one that
 * something is left in is closed at once, and what was in it is gone.
 *
 * Owns:    the descriptors of all pipes, two each.
 * Threads: the loop's; the counters are for any.
 */
#ifndef CORE_PIPE_H
#define CORE_PIPE_H

#include "base/count.h"
#include "core/alarm.h"
#include "core/bytes.h"

enum {
    PIPE_BYTES = 256 * 1024,      /* asked of the kernel, which counts pages, however full */
    PIPE_LEAST_BYTES = 64 * 1024, /* less, and copying is cheaper */
    PIPE_RETRY_MS = 1000,         /* after one could not be had or used */
};

/* What lies in the block of one. */
struct pipe {
    int read_fd, write_fd;
};

/* Those of a loop. Fields are private to pipe.c, but for the counters. */
struct pipes {
    struct block *idle;     /* owned: empty ones, the last given back first */
    unsigned n, max;        /* all there are; may be */
    unsigned n_idle, least; /* of them idle: now; at least, since the last trim */
    int fd_max;             /* descriptors beyond it are for connections */
    uint64_t retry_us;      /* none is made before; 0: nothing is wrong */
    struct alarm trim;      /* armed while some are idle */
    struct counter used;    /* gauge: something is in them */
    struct counter spare;   /* gauge: idle */
    struct counter bytes;   /* gauge: what is in them */
    struct counter missed;  /* times that none was to be had */
};

/* None may be made yet. */
void pipes_init(struct pipes *pipes);

/* All must have been given back. */
void pipes_fini(struct pipes *pipes);

/* At most so many from now on; what is in use stays. */
void pipes_limit(struct pipes *pipes, unsigned max);

/* An empty one that is in no queue, or NULL: there are too many, or it cannot be made. */
struct block *pipe_take(struct loop *loop);

/* For queues, and for who took one and has not filled it. */
void pipe_give(struct loop *loop, struct block *block);

/* Filled with n bytes: append it to a queue. */
void pipe_add(struct loop *loop, struct block *block, size_t n, struct bytes *bytes);

/* The kernel does not do it, or not now: none is to be had for a while. */
void pipes_rest(struct loop *loop);

static inline struct pipe *pipe_of(struct block *block)
{
    return (struct pipe *)(void *)block->data;
}

/* So many bytes at the front of a queue lie in a pipe, and are to be read there. 0: they do not. */
static inline size_t pipe_front(const struct bytes *bytes, int *read_fd)
{
    struct block *first = bytes->first;

    if (!first || first->kind != BLOCK_PIPE)
        return 0;
    *read_fd = pipe_of(first)->read_fd;
    return first->end - first->begin;
}

#endif /* CORE_PIPE_H */
