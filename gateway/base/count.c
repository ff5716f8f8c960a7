#include "base/count.h"

void histogram_add(struct histogram *histogram, uint64_t us)
{
    unsigned i = 0;

    while (i < HISTOGRAM_BUCKETS - 1 && us >= (uint64_t)HISTOGRAM_FIRST_US << i)
        i++;
    counter_add(&histogram->bucket[i], 1);
    counter_add(&histogram->sum_us, us);
}
