#include "base/count.h"

void histogram_add(struct histogram *histogram, uint64_t us)
{
    uint64_t firsts = us / HISTOGRAM_FIRST_US;
    unsigned i = firsts == 0 ? 0 : 64 - (unsigned)__builtin_clzll(firsts);

    if (i > HISTOGRAM_BUCKETS - 1)
        i = HISTOGRAM_BUCKETS - 1;
    counter_add(&histogram->bucket[i], 1);
    counter_add(&histogram->sum_us, us);
}
