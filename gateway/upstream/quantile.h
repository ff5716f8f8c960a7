/*
 * quantile.h - within which time a part of the latest answers has come, about: arithmetic without
 * a clock.
 *
 * Times are counted in classes that are an eighth of their value wide, and all counts are halved
 * from time to time, so that what was long ago fades.
 */
#ifndef UPSTREAM_QUANTILE_H
#define UPSTREAM_QUANTILE_H

#include <stdint.h>

enum {
    QUANTILE_CLASSES = 8 * 28, /* up to 2^30 us, 18 minutes; what is longer counts as that */
    QUANTILE_LEAST = 100,      /* times to know before anything is said */
    QUANTILE_FADE = 2000,      /* when so many are counted, all are halved */
};

/* Zero bytes: nothing known. */
struct quantile {
    uint32_t count[QUANTILE_CLASSES];
    uint32_t n;
};

void quantile_add(struct quantile *quantile, uint64_t us);

/* The end of the class up to which so much (0 to 1) was counted; 0: too few were. */
uint64_t quantile_at(const struct quantile *quantile, double share);

#endif /* UPSTREAM_QUANTILE_H */
