/*
 * rng.h - fast random numbers for balancing, jitter and ids, one state a thread.
 *
 * Not for secrets. Seeded from getrandom().
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t state[4];
};

void rng_init(struct rng *rng);
uint64_t rng_next(struct rng *rng);

/* Evenly in 0 .. bound-1; 0 for bound 0. */
uint64_t rng_below(struct rng *rng, uint64_t bound);

#endif /* BASE_RNG_H */
