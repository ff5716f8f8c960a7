#include "base/ticks.h"

#include "base/now.h"

enum { MEASURE_US = 1000 };

#if !defined(__x86_64__) && !defined(__aarch64__)
uint64_t ticks_now(void)
{
    return now_us();
}
#endif

uint64_t ticks_per_us(void)
{
    uint64_t begun = now_us(), ticks = ticks_now(), now;

    do {
        now = now_us();
    } while (now - begun < MEASURE_US);
    ticks = (ticks_now() - ticks) / (now - begun);
    return ticks > 0 ? ticks : 1;
}
