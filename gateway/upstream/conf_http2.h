/*
 * conf_http2.h - which version of HTTP is spoken to endpoints, and how HTTP/2 is.
 */
#ifndef UPSTREAM_CONF_HTTP2_H
#define UPSTREAM_CONF_HTTP2_H

#include "config/shape.h"

struct tls_client_conf;

enum upstream_protocol {
    SPEAK_H1,
    SPEAK_H2,   /* over TLS, agreed on by ALPN */
    SPEAK_H2C,  /* without TLS, by prior knowledge */
    SPEAK_AUTO, /* what ALPN agrees on */
};

/* Of one connection. */
struct upstream_http2 {
    uint64_t max_streams;
    uint64_t window, connection_window; /* bytes */
    uint64_t ping_ms, ping_timeout_ms;  /* ping_ms 0: never */
};

extern const struct shape upstream_protocol_shape, upstream_http2_shape;

/* "h2c"; a static string. */
const char *upstream_protocol_name(int protocol);

/* Do protocol and tls fit together? Says to TLS what is to be agreed on. */
void conf_http2_check(struct bind *bind, struct mark at, int protocol, struct tls_client_conf *tls);

#endif /* UPSTREAM_CONF_HTTP2_H */
