/*
 * http2_conf.h - HTTP/2 on a listener, as configured.
 */
#ifndef PROXY_HTTP2_CONF_H
#define PROXY_HTTP2_CONF_H

#include "config/shape.h"
#include "http/h2.h"

/* In one interval, of one connection; 0: no limit. */
struct http2_flood_conf {
    uint64_t interval_ms;
    uint64_t resets, provoked_resets, settings, pings, empty_frames, priorities, tiny_windows;
    uint64_t continuations, control_queue;
};

struct http2_conf {
    uint64_t max_streams, window, connection_window, head_table, response_table;
    uint64_t keepalive_ms, max_age_ms; /* 0: none */
    bool extended_connect;
    struct http2_flood_conf flood;
    struct h2_settings settings; /* the same, as http/h2 wants it */
};

struct listener_limits;

extern const struct shape http2_shape;

/* Fill settings, of heads by the listener's limits. */
void http2_conf_settle(struct http2_conf *conf, const struct listener_limits *limits);

#endif /* PROXY_HTTP2_CONF_H */
