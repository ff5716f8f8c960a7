/*
 * loop.h - one thread's event loop: turns, the time, what runs at the end of a turn.
 *
 * A turn waits once for events, calls back for each, rings the alarms that are
 * due, then runs what was put off with loop_soon(), and last some of what stands in
 * line (loop_line_up()). The time is read once a turn, when somebody first asks.
 *
 * Owns:    the libevent base, the alarm wheel, the blocks and the lent read buffer.
 * Threads: everything but loop_stop() belongs to the thread that runs the loop.
 */
#ifndef CORE_LOOP_H
#define CORE_LOOP_H

#include "base/count.h"
#include "base/list.h"
#include "base/slab.h"
#include "core/alarm.h"
#include "core/pipe.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct cork;
struct event_base;
struct tls_bench;
struct wheel;

/* Something to do at the end of this turn; embedded in its owner, in no list while not put off. */
struct soon {
    struct list link;
    void (*run)(struct soon *soon);
};

/* The fields are for the files of core/ and for net/, which read often; nobody else looks. */
struct loop {
    struct event_base *base; /* owned */
    struct wheel *wheel;     /* owned */
    struct list soon;        /* of struct soon */
    struct list line;        /* of the same: so many in each turn */
    struct slab blocks;      /* of struct block: bytes in flight (core/bytes.h) */
    struct slab large_blocks;
    struct slab_set slabs; /* of this thread: what bursts leave goes back to the system */
    struct alarm trim;     /* of slabs; armed while something may be left to be trimmed */
    char *lent;            /* owned: lent to whoever reads, for the length of one callback */
    struct conn *lent_to;  /* borrowed: who holds unread bytes in it now, or NULL */
    uint32_t lent_at, lent_end;
    struct cork *cork;     /* owned: pieces that one connection is about to send (net/conn.c) */
    struct tls_bench *tls; /* owned: what TLS connections share (net/tls_state.h); NULL: none yet */
    void (*tls_free)(struct tls_bench **tls); /* set with it */
    unsigned n_answers; /* events in this turn that end work: see loop_line_up() */
    uint64_t now_us;
    bool fresh; /* now_us was read in this turn */
    bool stopping;
    struct pipes pipes; /* bytes in flight that nobody looks at */
    struct counter turns;
    struct counter slow_turns;   /* longer than LOOP_SLOW_US */
    struct histogram turn_times; /* of turns in which the time was asked for */
};

enum {
    LOOP_LENT_BYTES = 128 * 1024, /* one read takes a 64 KiB body with its head */
    LOOP_LINE = 4,                /* of those in line, in each turn */
    LOOP_SLOW_US = 10000,         /* whoever else waits for the loop begins to notice */
    LOOP_TRIM_MS = 1000,          /* what was not needed for so long goes back, half at a time */
    LOOP_TRIM_BYTES = 16 * 1024 * 1024, /* at a time: 2 ms of giving back */
};

/* -- life ------------------------------------------------------------- */

struct loop *loop_new(void);

/* Everything registered must be gone. */
void loop_free(struct loop **loop);

/* Turn until loop_stop(). */
void loop_run(struct loop *loop);

/* End loop_run() after this turn. Same thread. */
void loop_stop(struct loop *loop);

/* -- actions ---------------------------------------------------------- */

/*
 * Run soon->run(soon) at the end of this turn; when called from there, at the end of the next
 * turn, which then does not wait. Nothing happens when it is already put off. This is where
 * objects that may be on the call stack are freed.
 */
void loop_soon(struct loop *loop, struct soon *soon);

/*
 * The same for what begins work, where loop_soon() is for what ends some: it stands in line, of
 * which LOOP_LINE run at the end of each turn, and half as many as there were events that the loop
 * was told of by loop_note_answer(). So no more is begun than others leave time for, and what is
 * under way is little enough to stay in the processor's caches. Nothing happens when it is put off
 * already.
 */
void loop_line_up(struct loop *loop, struct soon *soon);

static inline void loop_note_answer(struct loop *loop)
{
    loop->n_answers++;
}

void soon_init(struct soon *soon, void (*run)(struct soon *soon));
void soon_cancel(struct soon *soon);
bool soon_is_set(const struct soon *soon);

/* -- questions -------------------------------------------------------- */

/* Ask the clock, once a turn. */
uint64_t loop_look_at_clock(struct loop *loop);

/* Microseconds of now_us(), as of this turn. */
static inline uint64_t loop_now_us(struct loop *loop)
{
    return loop->fresh ? loop->now_us : loop_look_at_clock(loop);
}

/* The number of this turn: how many were before it. */
static inline uint64_t loop_turn(const struct loop *loop)
{
    return loop->turns.value;
}

#endif /* CORE_LOOP_H */
