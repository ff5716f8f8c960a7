/*
 * proxied_conf.h - the PROXY protocol on a listener, as configured.
 */
#ifndef PROXY_PROXIED_CONF_H
#define PROXY_PROXIED_CONF_H

#include "config/shape.h"

enum proxied_others { PROXIED_REFUSE, PROXIED_DIRECT };

struct proxied_conf {
    bool is_on;        /* the map was written */
    struct items from; /* of struct addr_range */
    int others;        /* enum proxied_others */
    bool optional;
    uint64_t timeout_ms;
};

extern const struct shape proxied_conf_shape;

#endif /* PROXY_PROXIED_CONF_H */
