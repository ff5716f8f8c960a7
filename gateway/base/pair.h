/*
 * pair.h - two words that change together or not at all.
 *
 * The processor's compare-and-swap of 16 bytes (cmpxchg16b, casp), which compilers reach in
 * different ways. Reading is two loads: whoever needs both words of one moment finds out by the
 * swap that follows.
 *
 * Threads: any.
 */
#ifndef BASE_PAIR_H
#define BASE_PAIR_H

#include <stdbool.h>
#include <stdint.h>

/* Only pair_swap() changes a pair that others see. */
struct pair {
    _Alignas(16) uint64_t low;
    uint64_t high;
};

/* Put wanted where seen is; false: something else is there. Orders what is before and after. */
bool pair_swap(struct pair *pair, struct pair seen, struct pair wanted);

#endif /* BASE_PAIR_H */
