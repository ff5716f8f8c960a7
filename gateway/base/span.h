/*
 * span.h - borrowed bytes: compare, trim, split, read numbers.
 *
 * A span owns nothing and is never NUL-terminated. It is the ABI's own type, so
 * nothing is converted at the border to plugins.
 */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include "abi/sluice_plugin.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* A span of a string literal. */
#define SPAN(literal) ((struct sluice_span){"" literal, sizeof(literal) - 1})

/* A span over a NUL-terminated string; NULL gives the empty span. */
struct sluice_span span_of(const char *text);

/* A span over len bytes at ptr. */
static inline struct sluice_span span_make(const char *ptr, size_t len)
{
    return (struct sluice_span){ptr, len};
}

/* -- questions -------------------------------------------------------- */

bool span_equal(struct sluice_span a, struct sluice_span b);
bool span_equal_nocase(struct sluice_span a, struct sluice_span b); /* ASCII letters only */
bool span_starts(struct sluice_span text, struct sluice_span prefix);
bool span_ends(struct sluice_span text, struct sluice_span suffix);

/* As memcmp over the common length, then the shorter first: a total order. */
int span_order(struct sluice_span a, struct sluice_span b);

/* Position of the first byte c, or text.len. */
size_t span_find(struct sluice_span text, char c);

/* True when text contains needle; the empty needle is in every text. */
bool span_has(struct sluice_span text, struct sluice_span needle);

/* -- cutting ---------------------------------------------------------- */

/* Without spaces and tabs at both ends. */
struct sluice_span span_trim(struct sluice_span text);

/*
 * Cut the next piece up to separator off *rest into *piece, trimmed; false when *rest is used up.
 * Pieces may be empty, but none is reported after a separator that ends the text.
 */
bool span_split(struct sluice_span *rest, char separator, struct sluice_span *piece);

/* -- numbers ---------------------------------------------------------- */

/*
 * Read all of text as decimal digits (no sign, no blanks); ERR_PROTOCOL when it is anything else
 * or above max.
 */
CHECKED enum err span_number(struct sluice_span text, uint64_t max, uint64_t *number);

/* Seeded hash for tables keyed by bytes that a peer may choose. */
uint64_t span_hash(struct sluice_span text, uint64_t seed);

#endif /* BASE_SPAN_H */
