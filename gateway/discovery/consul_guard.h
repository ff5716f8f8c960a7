/*
 * consul_guard.h - whether an answer that takes endpoints away is believed. Without any I/O.
 *
 * Registries answer "none" for many reasons: a follower that has just started, an agent that has
 * not told the servers yet, a cache, a token that may not read. So an empty answer, or one that is
 * much smaller than what is known, is held back until a second read, made on purpose and past all
 * caches, says the same.
 */
#ifndef DISCOVERY_CONSUL_GUARD_H
#define DISCOVERY_CONSUL_GUARD_H

#include "base/rng.h"

#include <stdbool.h>
#include <stddef.h>

enum consul_empty {
    CONSUL_EMPTY_CONFIRM, /* believed when a second read agrees */
    CONSUL_EMPTY_KEEP,    /* never */
    CONSUL_EMPTY_ACCEPT,  /* at once */
};

enum consul_guard_verdict {
    GUARD_PASS,
    GUARD_EMPTY,  /* held: nothing is left of it */
    GUARD_SHRUNK, /* held: much less is left */
    GUARD_HIDDEN, /* held: the token may not see all */
};

/* What the configuration says. */
struct consul_guard_rules {
    int on_empty;      /* enum consul_empty */
    double shrink;     /* the share that may vanish in one step without doubt */
    uint64_t grace_ms; /* how long a step of more than half is held in any case */
};

/* Zero: nothing is held. */
struct consul_guard {
    uint64_t held_us; /* since when, in the clock of now_us; 0: nothing is held */
    unsigned reads;   /* that did not end it */
};

struct consul_guard_question {
    size_t n_known, n_new;
    bool hidden;              /* the registry says that it left out what the token may not see */
    bool confirms;            /* a second read, past all caches */
    uint64_t suspect_till_us; /* until then the agent may have forgotten; 0: not */
    uint64_t now_us;
};

/* Passing, or beginning to hold, is remembered. */
enum consul_guard_verdict consul_guard_judge(struct consul_guard *guard,
                                             const struct consul_guard_rules *rules,
                                             const struct consul_guard_question *question);

/* How long until the next read on purpose: 1 to 3 s, later up to 30 s. */
uint64_t consul_guard_delay(const struct consul_guard *guard, struct rng *rng);

/* "empty", for metrics and messages; a static text. */
const char *consul_guard_name(enum consul_guard_verdict verdict);

#endif /* DISCOVERY_CONSUL_GUARD_H */
