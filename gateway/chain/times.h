/*
 * times.h - how long the callbacks of one plugin in one phase took, as counted by one worker.
 *
 * Powers of two from a quarter of a microsecond: most callbacks take less than one, and one of a
 * millisecond is already bad. Private to chain/.
 *
 * Threads: one worker adds, any thread reads.
 */
#ifndef CHAIN_TIMES_H
#define CHAIN_TIMES_H

#include "base/count.h"

struct label;
struct page;

/* Bucket i: less than 0.25 us << i, and not less than the one before; the last: all the rest. */
enum { TIMES_BUCKETS = 17 };

struct times {
    struct counter bucket[TIMES_BUCKETS];
    struct counter ticks; /* all together (base/ticks.h) */
};

/* What times_add() multiplies ticks with. */
uint64_t times_scale(uint64_t ticks_per_us);

static inline void times_add(struct times *times, uint64_t ticks, uint64_t scale)
{
    uint64_t quarters = ticks * scale >> 32; /* of a microsecond */
    unsigned i = quarters ? 64 - (unsigned)__builtin_clzll(quarters) : 0;

    counter_add(&times->bucket[i < TIMES_BUCKETS ? i : TIMES_BUCKETS - 1], 1);
    counter_add(&times->ticks, ticks);
}

/* Add to sum, which nobody else writes. */
void times_sum(struct times *sum, const struct times *times);

/* How many there were. */
uint64_t times_count(const struct times *times);
double times_seconds(const struct times *times, uint64_t ticks_per_us);

/* As samples of the histogram that the page is at. */
void times_say(const struct times *times, uint64_t ticks_per_us, struct page *page,
               const struct label *labels, unsigned n_labels);

#endif /* CHAIN_TIMES_H */
