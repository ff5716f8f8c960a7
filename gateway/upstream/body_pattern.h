/*
 * body_pattern.h - a PCRE2 pattern that the body of a check's answer must match somewhere.
 *
 * Works on bytes. Bounds on steps and memory: what gives up does not match.
 *
 * Threads: the control thread's.
 */
#ifndef UPSTREAM_BODY_PATTERN_H
#define UPSTREAM_BODY_PATTERN_H

#include "base/arena.h"
#include "base/text.h"

struct body_pattern;

/* Compile into the arena. ERR_CONFIG when it is malformed: why then says what is wrong. */
CHECKED enum err body_pattern_new(struct sluice_span text, struct arena *arena, struct text *why,
                                  struct body_pattern **pattern);

bool body_pattern_matches(const struct body_pattern *pattern, struct sluice_span body);

#endif /* UPSTREAM_BODY_PATTERN_H */
