/*
 * listener_conf.h - a listener as configured: the "listeners:" list bound to memory.
 */
#ifndef PROXY_LISTENER_CONF_H
#define PROXY_LISTENER_CONF_H

#include "config/shape.h"
#include "net/addr.h"
#include "net/tls_conf.h"
#include "proxy/http2_conf.h"
#include "proxy/proxied_conf.h"

enum forwarded_send { FORWARDED_X, FORWARDED_STANDARD, FORWARDED_BOTH, FORWARDED_NONE };
enum half_close { HALF_CLOSE_ABORT, HALF_CLOSE_ALLOW };

struct listener_limits {
    uint64_t line_bytes, fields, head_bytes, body_bytes; /* body_bytes 0: no limit */
};

struct listener_times {
    uint64_t head_ms, body_ms, idle_ms, write_ms;
};

struct forwarded_conf {
    struct items trust; /* of struct addr_range */
    int send;           /* enum forwarded_send */
};

/* Plain HTTP that leads to HTTPS. */
struct redirect_conf {
    unsigned port;             /* where HTTPS is; 0: requests are served here */
    const struct route *route; /* made with the shape; NULL: none */
};

enum listener_protocol { PROTOCOL_HTTP_1_1, PROTOCOL_H2 };

struct route;
struct tls_server;

struct listener_conf {
    struct mark at;
    struct sluice_span name;
    struct sluice_span bind; /* as written */
    struct addr addr;
    uint64_t connections; /* 0: no cap of its own */
    uint64_t backlog;
    struct listener_limits limits;
    struct listener_times timeout;
    struct forwarded_conf forwarded;
    struct proxied_conf proxied;
    struct redirect_conf redirect;
    bool via;
    bool merge_slashes;
    int half_close;         /* enum half_close */
    struct items protocols; /* of int: enum listener_protocol, the best first */
    bool speaks_h1, speaks_h2;
    struct http2_conf http2;
    struct tls_server_conf tls;
    const struct tree *plugins; /* as written; NULL: none */
    struct tls_server *server;  /* shared; NULL: no TLS. Made and freed by the snapshot */
};

/* The list: a SHAPE_LIST of struct listener_conf. Without one, "127.0.0.1:8080" is bound. */
extern const struct shape listener_list_shape;

#endif /* PROXY_LISTENER_CONF_H */
