/*
 * condition.h - what active checks have found out about one endpoint: a machine of two states.
 *
 *   UNKNOWN --> WELL, UNWELL   by the first check, whatever it says
 *   WELL    --> UNWELL         after `fall` failed checks in a row
 *   UNWELL  --> WELL           after `rise` passed checks in a row
 *
 * Threads: the control thread's.
 */
#ifndef UPSTREAM_CONDITION_H
#define UPSTREAM_CONDITION_H

#include <stdbool.h>
#include <stdint.h>

enum condition_state { CONDITION_UNKNOWN, CONDITION_WELL, CONDITION_UNWELL };

/* Zero bytes: unknown. */
struct condition {
    enum condition_state state;
    uint32_t row; /* checks in a row that say otherwise */
};

/* A check has passed or failed; true when that changes the state. */
bool condition_note(struct condition *condition, bool passed, uint64_t rise, uint64_t fall);

#endif /* UPSTREAM_CONDITION_H */
