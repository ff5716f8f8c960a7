#include "core/pipe.h"

#include "base/alloc.h"
#include "base/check.h"
#include "core/loop.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/resource.h>
#include <unistd.h>

static void on_trim(struct alarm *alarm);

static struct loop *loop_of(struct pipes *pipes)
{
    return list_entry(pipes, struct loop, pipes);
}

/* -- life ------------------------------------------------------------- */

void pipes_init(struct pipes *pipes)
{
    *pipes = (struct pipes){.idle = NULL};
    alarm_init(&pipes->trim, on_trim);
}

static void destroy(struct pipes *pipes, struct block *block)
{
    if (!block)
        return;
    close(pipe_of(block)->read_fd);
    close(pipe_of(block)->write_fd);
    alloc_free(block);
    pipes->n--;
}

static struct block *take_idle(struct pipes *pipes)
{
    struct block *block = pipes->idle;

    if (!block)
        return NULL;
    pipes->idle = block->next;
    block->next = NULL;
    pipes->n_idle--;
    if (pipes->least > pipes->n_idle)
        pipes->least = pipes->n_idle;
    counter_set(&pipes->spare, pipes->n_idle);
    return block;
}

void pipes_fini(struct pipes *pipes)
{
    struct block *block;

    alarm_disarm(&pipes->trim);
    while ((block = take_idle(pipes)) != NULL)
        destroy(pipes, block);
    CHECK(pipes->n == 0);
}

/* Connections must not want for descriptors because of us. */
static int highest_descriptor(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT_MAX)
        return INT_MAX;
    return (int)(limit.rlim_cur - limit.rlim_cur / 8);
}

void pipes_limit(struct pipes *pipes, unsigned max)
{
    pipes->max = max;
    pipes->fd_max = highest_descriptor();
}

/* Close those that nobody has needed since the last time. */
static void on_trim(struct alarm *alarm)
{
    struct pipes *pipes = list_entry(alarm, struct pipes, trim);

    for (unsigned n = pipes->least; n > 0; n--)
        destroy(pipes, take_idle(pipes));
    pipes->least = pipes->n_idle;
    if (pipes->n_idle > 0)
        alarm_arm(loop_of(pipes), alarm, LOOP_TRIM_MS);
}

/* -- taking and giving back --------------------------------------------- */

/* The same by what it holds: someone without privileges may be refused a large one. */
static bool is_large(int fd)
{
    return fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES) >= PIPE_LEAST_BYTES ||
           fcntl(fd, F_GETPIPE_SZ) >= PIPE_LEAST_BYTES;
}

static bool open_pipe(const struct pipes *pipes, struct pipe *pipe)
{
    int fds[2];

    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0)
        return false;
    if (fds[0] > pipes->fd_max || fds[1] > pipes->fd_max || !is_large(fds[1])) {
        close(fds[0]);
        close(fds[1]);
        return false;
    }
    *pipe = (struct pipe){.read_fd = fds[0], .write_fd = fds[1]};
    return true;
}

static struct block *make(struct pipes *pipes)
{
    struct block *block = alloc_try(sizeof(*block) + sizeof(struct pipe));

    if (!block)
        return NULL;
    *block = (struct block){.kind = BLOCK_PIPE};
    if (!open_pipe(pipes, pipe_of(block))) {
        alloc_free(block);
        return NULL;
    }
    pipes->n++;
    return block;
}

/* Has something gone wrong not long ago? */
static bool is_resting(struct loop *loop)
{
    struct pipes *pipes = &loop->pipes;

    if (pipes->retry_us == 0)
        return false;
    if (loop_now_us(loop) >= pipes->retry_us)
        pipes->retry_us = 0;
    return pipes->retry_us > 0;
}

void pipes_rest(struct loop *loop)
{
    loop->pipes.retry_us = loop_now_us(loop) + (uint64_t)PIPE_RETRY_MS * 1000;
}

struct block *pipe_take(struct loop *loop)
{
    struct pipes *pipes = &loop->pipes;
    struct block *block = NULL;

    if (!is_resting(loop))
        block = take_idle(pipes);
    if (!block && !is_resting(loop) && pipes->n < pipes->max) {
        block = make(pipes);
        if (!block)
            pipes_rest(loop);
    }
    counter_add(block ? &pipes->used : &pipes->missed, 1);
    return block;
}

void pipe_give(struct loop *loop, struct block *block)
{
    struct pipes *pipes = &loop->pipes;

    counter_sub(&pipes->used, 1);
    counter_sub(&pipes->bytes, block->end - block->begin);
    if (block->begin < block->end || pipes->n > pipes->max) {
        destroy(pipes, block);
        return;
    }
    block->begin = block->end = 0;
    block->next = pipes->idle;
    pipes->idle = block;
    counter_set(&pipes->spare, ++pipes->n_idle);
    if (!alarm_is_armed(&pipes->trim)) {
        pipes->least = 0;
        alarm_arm(loop, &pipes->trim, LOOP_TRIM_MS);
    }
}

void pipe_add(struct loop *loop, struct block *block, size_t n, struct bytes *bytes)
{
    block->end = (uint32_t)n;
    counter_add(&loop->pipes.bytes, n);
    bytes_append(bytes, block);
}
