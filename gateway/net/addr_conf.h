/*
 * addr_conf.h - networks as configured.
 */
#ifndef NET_ADDR_CONF_H
#define NET_ADDR_CONF_H

#include "config/shape.h"

struct addr;

/*
 * A list (struct items) of struct addr_range; "unix" stands for all peers of unix sockets.
 */
extern const struct shape addr_ranges_shape;

bool addr_ranges_have(const struct items *ranges, const struct addr *addr);

#endif /* NET_ADDR_CONF_H */
