/*
 * conf_levels.h - priorities, panic and zones as configured.
 */
#ifndef UPSTREAM_CONF_LEVELS_H
#define UPSTREAM_CONF_LEVELS_H

#include "config/shape.h"
#include "upstream/levels.h"

struct zone_conf {
    bool is_written, enabled;
    uint64_t min_endpoints; /* of a level that are well; below, zones do not count */
};

/* Is our own zone to be preferred? */
bool zone_conf_is_on(const struct zone_conf *conf);

/* Shapes of struct zone_conf and of the numbers of struct levels_rule. */
extern const struct shape zone_shape, panic_shape, overprovisioning_shape;

#endif /* UPSTREAM_CONF_LEVELS_H */
