/*
 * balance.h - which endpoint serves the next request. One file a rule, chosen by name.
 */
#ifndef UPSTREAM_BALANCE_H
#define UPSTREAM_BALANCE_H

#include "config/shape.h"

#include <stdint.h>

struct endpoint;
struct lease;
struct upstream;

struct balance {
    const char *name;

    /* The set of endpoints has changed. May be NULL. */
    void (*on_members)(struct upstream *upstream);

    /* An endpoint with room that the lease has not tried yet, or NULL when there is none. */
    struct endpoint *(*pick)(struct upstream *upstream, const struct lease *lease);
};

extern const struct balance balance_round, balance_least;

/* The rules for the configuration: choice.value is the index for balance_get(). */
extern const struct choice balance_choices[];
const struct balance *balance_get(int index);

#endif /* UPSTREAM_BALANCE_H */
