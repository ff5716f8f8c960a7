/*
 * count.h - numbers that one thread writes and any thread reads.
 *
 * No locked instruction: the writer is alone, the reader may be late. Whoever
 * needs a sum adds up the threads' own counters when asked.
 */
#ifndef BASE_COUNT_H
#define BASE_COUNT_H

#include <stdint.h>

struct counter {
    uint64_t value;
};

static inline void counter_add(struct counter *counter, uint64_t n)
{
    __atomic_store_n(&counter->value, counter->value + n, __ATOMIC_RELAXED);
}

/* For gauges: what goes up and comes down. */
static inline void counter_sub(struct counter *counter, uint64_t n)
{
    __atomic_store_n(&counter->value, counter->value - n, __ATOMIC_RELAXED);
}

/* For gauges that are measured. */
static inline void counter_set(struct counter *counter, uint64_t value)
{
    __atomic_store_n(&counter->value, value, __ATOMIC_RELAXED);
}

static inline uint64_t counter_get(const struct counter *counter)
{
    return __atomic_load_n(&counter->value, __ATOMIC_RELAXED);
}

/*
 * Durations in powers of two: bucket i counts what was below HISTOGRAM_FIRST_US << i
 * microseconds and not below the bucket before; the last one counts all the rest.
 * 24 buckets: 64 us, 128 us, ... about 4.5 minutes, more.
 */
enum { HISTOGRAM_BUCKETS = 24, HISTOGRAM_FIRST_US = 64 };

struct histogram {
    struct counter bucket[HISTOGRAM_BUCKETS];
    struct counter sum_us;
};

void histogram_add(struct histogram *histogram, uint64_t us);

#endif /* BASE_COUNT_H */
