/*
 * rng.c - xoshiro256**: four words of state, a few instructions a number, and no pattern that
 * balancing or jitter could run into.
 */
#include "base/rng.h"

#include "base/check.h"

#include <sys/random.h>
#include <sys/types.h>

void rng_init(struct rng *rng)
{
    ssize_t got = getrandom(rng->state, sizeof(rng->state), 0);

    CHECK(got == (ssize_t)sizeof(rng->state)); /* the kernel never gives fewer than 256 in part */
    rng->state[0] |= 1;                        /* all zero would stay so for ever */
}

static uint64_t rotate(uint64_t x, unsigned by)
{
    return (x << by) | (x >> (64 - by));
}

uint64_t rng_next(struct rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *rng, uint64_t bound)
{
    uint64_t uneven, number;

    if (bound == 0)
        return 0;
    uneven =
        -bound % bound; /* 2^64 mod bound: so many numbers would make the small ones likelier */
    do {
        number = rng_next(rng);
    } while (number < uneven);
    return number % bound;
}
