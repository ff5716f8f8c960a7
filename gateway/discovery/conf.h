/*
 * conf.h - where an upstream's endpoints come from, as configured.
 */
#ifndef DISCOVERY_CONF_H
#define DISCOVERY_CONF_H

#include "config/shape.h"

struct found;

/* "name: value" of an endpoint's meta. */
struct meta_conf {
    struct named named;
    struct sluice_span value;
};

/* One endpoint as written, in the configuration or in a file of endpoints. */
struct endpoint_conf {
    struct mark at;
    struct sluice_span address; /* as written: host:port, [v6]:port, unix:/path */
    struct sluice_span id, zone;
    uint64_t weight; /* 0: drains */
    uint64_t priority;
    int state;         /* enum found_state */
    struct items tags; /* of struct sluice_span */
    struct items meta; /* of struct meta_conf */
};

/* What an upstream may say of its source; exactly one of them is there. */
struct source_conf {
    struct items endpoints; /* of struct endpoint_conf */
};

/* A list of struct endpoint_conf. */
extern const struct shape endpoint_list_shape;

/* Add what conf says to a set; everything is copied. */
void endpoint_conf_add(const struct endpoint_conf *conf, struct found *found);

#endif /* DISCOVERY_CONF_H */
