/*
 * limit.h - the arithmetic of limits. Pure: numbers in, numbers out.
 *
 * GCRA (the token bucket told by one number): a key has a "theoretical arrival time", the moment
 * at which its bucket would be full again. A request of cost c moves it by c intervals; it is
 * refused when the bucket would have to hold less than nothing.
 *
 * Sliding window: what was counted in this window and, in the share that still overlaps, in the
 * one before.
 *
 * Times are nanoseconds of a steady clock.
 */
#ifndef LIMIT_H
#define LIMIT_H

#include <stdbool.h>
#include <stdint.h>

/* What a limit says of one request. */
struct limit_answer {
    bool passed;
    uint64_t remaining; /* so much more would pass now */
    uint64_t reset_ns;  /* until all of it is there again */
    uint64_t retry_ns;  /* refused: until this request would pass; 0: not known */
};

/* amount a period, bursts up to burst. The interval is at least 1 ns. */
struct limit_bucket {
    uint64_t interval_ns, burst;
};

struct limit_bucket limit_bucket(uint64_t amount, uint64_t period_ms, uint64_t burst);

/*
 * Take cost from a bucket whose arrival time is *arrival_ns (0: never used). When passed,
 * *arrival_ns is the new one.
 */
struct limit_answer limit_take(const struct limit_bucket *bucket, uint64_t *arrival_ns,
                               uint64_t now_ns, uint64_t cost);

/* before and current: counted in the last and in this window, this request not included. */
struct limit_answer limit_slide(uint64_t amount, uint64_t window_ns, uint64_t now_ns,
                                uint64_t before, uint64_t current, uint64_t cost);

#endif /* LIMIT_H */
