/*
 * conf_balance.h - what the rules of balancing want configured; part of conf.c.
 */
#ifndef UPSTREAM_CONF_BALANCE_H
#define UPSTREAM_CONF_BALANCE_H

#include "upstream/conf.h"

extern const struct shape upstream_hash_shape, upstream_sticky_shape;

/* Does an upstream have what its rule needs? A shape_check_fn's work; conf is bound. */
void conf_balance_check(struct bind *bind, const struct tree *node,
                        const struct upstream_conf *conf);

#endif /* UPSTREAM_CONF_BALANCE_H */
