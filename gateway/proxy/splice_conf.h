/*
 * splice_conf.h - which content passes through the kernel, as configured: the "splice:" map.
 */
#ifndef PROXY_SPLICE_CONF_H
#define PROXY_SPLICE_CONF_H

#include "config/shape.h"

struct splice_conf {
    bool enabled;
    uint64_t min_bytes; /* of content to come; when not enabled, more than there can be */
    uint64_t pipes;     /* of a worker, at most; 0 when not enabled */
};

extern const struct shape splice_shape;

#endif /* PROXY_SPLICE_CONF_H */
