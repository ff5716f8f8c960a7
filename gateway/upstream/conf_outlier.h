/*
 * conf_outlier.h - outlier detection as configured: which endpoints are ejected, and for how long.
 */
#ifndef UPSTREAM_CONF_OUTLIER_H
#define UPSTREAM_CONF_OUTLIER_H

#include "config/shape.h"

/* A count or threshold of 0 turns that detector off. */
struct outlier_conf {
    bool is_written, enabled;
    uint64_t consecutive_5xx, consecutive_gateway, consecutive_local;
    uint64_t interval_ms;
    uint64_t ejection_ms, ejection_max_ms, jitter_ms;
    uint64_t max_percent;
    uint64_t rate_hosts, rate_volume, rate_factor; /* of the standard deviation, in thousandths */
    uint64_t failure_percent, failure_hosts, failure_volume;
    bool ends_on_check; /* an ejection, when an active check passes */
};

extern const struct shape outlier_shape;

/* Is anything to be detected? */
bool outlier_conf_is_on(const struct outlier_conf *conf);

#endif /* UPSTREAM_CONF_OUTLIER_H */
