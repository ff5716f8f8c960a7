#include "upstream/quantile.h"

/* Eight classes for each doubling; below 16 us a class for each. */
static unsigned class_of(uint64_t us)
{
    unsigned octave, class;

    if (us < 16)
        return (unsigned)us;
    octave = 63 - (unsigned)__builtin_clzll(us);
    class = 16 + (octave - 4) * 8 + (unsigned)((us >> (octave - 3)) & 7);
    return class < QUANTILE_CLASSES ? class : QUANTILE_CLASSES - 1;
}

/* The first time that is beyond the class. */
static uint64_t end_of(unsigned class)
{
    unsigned octave = 4 + (class - 16) / 8;

    if (class < 16)
        return class + 1;
    return (UINT64_C(8) + (class - 16) % 8 + 1) << (octave - 3);
}

static void fade(struct quantile *quantile)
{
    quantile->n = 0;
    for (unsigned i = 0; i < QUANTILE_CLASSES; i++) {
        quantile->count[i] /= 2;
        quantile->n += quantile->count[i];
    }
}

void quantile_add(struct quantile *quantile, uint64_t us)
{
    quantile->count[class_of(us)]++;
    if (++quantile->n >= QUANTILE_FADE)
        fade(quantile);
}

uint64_t quantile_at(const struct quantile *quantile, double share)
{
    double wanted = share * quantile->n, seen = 0;

    if (quantile->n < QUANTILE_LEAST)
        return 0;
    for (unsigned i = 0; i < QUANTILE_CLASSES; i++) {
        seen += quantile->count[i];
        if (seen >= wanted && quantile->count[i] > 0)
            return end_of(i);
    }
    return end_of(QUANTILE_CLASSES - 1);
}
