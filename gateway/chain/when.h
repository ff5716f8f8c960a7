/*
 * when.h - the conditions of an entry: "when: { methods: [ POST ], path: /a }". Private to chain/.
 *
 * All that is written must hold. not: turns the conditions in it around. Asked when the request's
 * head reaches the entry.
 */
#ifndef CHAIN_WHEN_H
#define CHAIN_WHEN_H

#include "config/shape.h"
#include "http/message.h"

/* One set of conditions; 0 and empty: any. */
struct when_part {
    struct items methods; /* of struct sluice_span */
    struct sluice_span path, path_exact;
    struct items fields; /* of struct when_field */
    bool written;
};

/* A map of it is the "when:" of an entry. */
struct when {
    struct when_part part;
    struct when_part without; /* not: */
};

extern const struct shape when_shape;

/* Nothing is written: always. */
bool when_is_always(const struct when *when);

bool when_holds(const struct when *when, const struct request *request);

#endif /* CHAIN_WHEN_H */
