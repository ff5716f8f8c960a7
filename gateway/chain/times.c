#include "chain/times.h"

#include "observe/metrics.h"

uint64_t times_scale(uint64_t ticks_per_us)
{
    return ((uint64_t)4 << 32) / ticks_per_us;
}

void times_sum(struct times *sum, const struct times *times)
{
    for (unsigned i = 0; i < TIMES_BUCKETS; i++)
        counter_add(&sum->bucket[i], counter_get(&times->bucket[i]));
    counter_add(&sum->ticks, counter_get(&times->ticks));
}

uint64_t times_count(const struct times *times)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < TIMES_BUCKETS; i++)
        n += counter_get(&times->bucket[i]);
    return n;
}

double times_seconds(const struct times *times, uint64_t ticks_per_us)
{
    return (double)counter_get(&times->ticks) / 1e6 / (double)ticks_per_us;
}

void times_say(const struct times *times, uint64_t ticks_per_us, struct page *page,
               const struct label *labels, unsigned n_labels)
{
    double bounds[TIMES_BUCKETS - 1];
    uint64_t n[TIMES_BUCKETS];
    const struct page_buckets buckets = {.bounds = bounds,
                                         .n = n,
                                         .n_bounds = TIMES_BUCKETS - 1,
                                         .sum = times_seconds(times, ticks_per_us)};

    for (unsigned i = 0; i < TIMES_BUCKETS; i++)
        n[i] = counter_get(&times->bucket[i]);
    for (unsigned i = 0; i + 1 < TIMES_BUCKETS; i++)
        bounds[i] = 0.25e-6 * (double)(1u << i);
    page_buckets(page, labels, n_labels, &buckets);
}
