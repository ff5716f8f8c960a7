/*
 * octets.h - look at eight octets at a time, where most texts are what they should be.
 *
 * Each answers yes only when it is so; who hears no looks at one octet after the other. Private to
 * http.
 */
#ifndef HTTP_OCTETS_H
#define HTTP_OCTETS_H

#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define OCTETS_ONES UINT64_C(0x0101010101010101)
#define OCTETS_TOPS UINT64_C(0x8080808080808080)

typedef bool octets_fn(const char *octets);

/* No control among them; a tab is one here. */
static inline bool octets_have_no_control(const char *octets)
{
    uint64_t word, rubout;

    memcpy(&word, octets, sizeof(word));
    rubout = word ^ 0x7f * OCTETS_ONES;
    return ((((word - 0x20 * OCTETS_ONES) & ~word) | ((rubout - OCTETS_ONES) & ~rubout)) &
            OCTETS_TOPS) == 0;
}

/* Small letters or '-', as names of fields mostly are. */
static inline bool octets_are_small(const char *octets)
{
    uint64_t word, letters, dash;

    memcpy(&word, octets, sizeof(word));
    if (word & OCTETS_TOPS)
        return false;
    letters = (word + (0x80 - 'a') * OCTETS_ONES) & ~(word + (0x80 - 'z' - 1) * OCTETS_ONES);
    dash = ~((word ^ '-' * OCTETS_ONES) + 0x7f * OCTETS_ONES); /* nothing carries: see above */
    return ((letters | dash) & OCTETS_TOPS) == OCTETS_TOPS;
}

/* Is it so for all octets? The last eight overlap; of fewer than eight it is not said. */
static inline bool octets_all(struct sluice_span text, octets_fn *are)
{
    if (text.len < 8)
        return false;
    for (size_t i = 0; i + 8 < text.len; i += 8) {
        if (!are(text.ptr + i))
            return false;
    }
    return are(text.ptr + text.len - 8);
}

#endif /* HTTP_OCTETS_H */
