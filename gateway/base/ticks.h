/*
 * ticks.h - the cheapest clock there is: for measuring what is too short for now_us().
 *
 * A tick is some nanoseconds, the same on all processors; reading it is one instruction where the
 * processor has a steady counter, and now_us() elsewhere.
 */
#ifndef BASE_TICKS_H
#define BASE_TICKS_H

#include <stdint.h>

#if defined(__x86_64__)
static inline uint64_t ticks_now(void)
{
    return __builtin_ia32_rdtsc();
}
#elif defined(__aarch64__)
static inline uint64_t ticks_now(void)
{
    uint64_t ticks;

    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
}
#else
uint64_t ticks_now(void);
#endif

/*
 * Ticks in a microsecond, at least 1. Measured against now_us() in about a millisecond: ask once
 * and keep it. Any thread.
 */
uint64_t ticks_per_us(void);

#endif /* BASE_TICKS_H */
