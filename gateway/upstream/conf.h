/*
 * conf.h - an upstream as configured: the "upstreams:" map bound to memory.
 */
#ifndef UPSTREAM_CONF_H
#define UPSTREAM_CONF_H

#include "config/shape.h"

struct balance;

struct upstream_endpoint_conf {
    struct mark at;
    struct sluice_span address; /* as written: host:port, [v6]:port, unix:/path */
    uint64_t weight;
};

struct upstream_connections {
    uint64_t max;  /* per endpoint, over all workers; 0: none */
    uint64_t idle; /* kept per worker and endpoint */
    uint64_t idle_timeout_ms;
    uint64_t requests; /* per connection; 0: no limit */
    uint64_t queue;    /* waiting for a connection, per worker */
    uint64_t queue_timeout_ms;
};

struct upstream_times {
    uint64_t connect_ms, response_ms, idle_ms, total_ms; /* total 0: none */
    uint64_t tunnel_ms, tunnel_max_ms;                   /* max 0: none */
};

struct upstream_conf {
    struct named named;
    struct items endpoints;  /* of struct upstream_endpoint_conf */
    int balance;             /* index for balance_get() */
    struct sluice_span host; /* "preserve", "endpoint" or the text to send */
    struct upstream_connections connections;
    struct upstream_times timeout;
};

/* The map: a SHAPE_MAP of struct upstream_conf. */
extern const struct shape upstream_map_shape;

#endif /* UPSTREAM_CONF_H */
