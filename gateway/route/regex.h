/*
 * regex.h - PCRE2 patterns with bounds on time and memory.
 *
 * Patterns work on bytes (no UTF), are anchored only as they are written, and "$" stands for the
 * very end. A compiled pattern is immutable and shared by all workers; matching writes
 * only to the worker's scratch.
 */
#ifndef ROUTE_REGEX_H
#define ROUTE_REGEX_H

#include "base/arena.h"
#include "base/text.h"
#include "route/route.h"

/* Groups that a match remembers: $0 (all of it) to $9. */
enum { REGEX_GROUPS = 10 };

enum regex_answer {
    REGEX_NO,
    REGEX_YES,
    REGEX_GAVE_UP, /* a limit was reached (or memory): counts as no match */
};

/*
 * Compile a pattern into the arena; the machine code goes when the arena does. ERR_CONFIG
 * when it is malformed: why then says what is wrong, with the offset.
 */
CHECKED enum err regex_new(struct sluice_span pattern, struct arena *arena, struct text *why,
                           struct route_regex **regex);

/* The highest group number in the pattern. */
unsigned regex_groups(const struct route_regex *regex);

/*
 * Text that each subject that matches surely begins with ("^/item/[0-9]+$": "/item/"); empty
 * when there is none or it is not plain to see.
 */
struct sluice_span regex_literal(const struct route_regex *regex);

enum regex_answer regex_match(const struct route_regex *regex, struct sluice_span subject,
                              struct route_scratch *scratch);

/* Part of the subject that a group of the last match took; empty when it took none. */
struct sluice_span regex_group(const struct route_scratch *scratch, struct sluice_span subject,
                               unsigned group);

/* Room for decoding a query parameter, larger than any query. */
char *regex_scratch_bytes(struct route_scratch *scratch, size_t *room);

#endif /* ROUTE_REGEX_H */
