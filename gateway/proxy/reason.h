/*
 * reason.h - the closed list of how exchanges end: access log, metric label, error body.
 */
#ifndef PROXY_REASON_H
#define PROXY_REASON_H

/* X(symbol, name, status of our own answer or 0, what a client may be told) */
#define REASONS(X)                                                                                 \
    X(COMPLETED, "completed", 0, "")                                                               \
    X(RESPONDED, "responded", 0, "")                                                               \
    X(REDIRECTED, "redirected", 0, "")                                                             \
    X(PLUGIN_REPLIED, "plugin_replied", 0, "")                                                     \
    X(BAD_REQUEST, "bad_request", 400, "The request is malformed.")                                \
    X(TARGET_TOO_LONG, "target_too_long", 414, "The start line is longer than the limit.")         \
    X(HEAD_TOO_LARGE, "head_too_large", 431, "The header fields exceed the limit.")                \
    X(VERSION_UNSUPPORTED, "version_unsupported", 505, "This HTTP version is not supported.")      \
    X(BODY_TOO_LARGE, "body_too_large", 413, "The content exceeds the limit.")                     \
    X(HEAD_TIMEOUT, "head_timeout", 408, "The request head did not arrive in time.")               \
    X(BODY_TIMEOUT, "body_timeout", 408, "The content stopped arriving.")                          \
    X(NOT_FOUND, "not_found", 404, "No route matches this request.")                               \
    X(MISDIRECTED, "misdirected", 421, "This connection was not made for that host.")              \
    X(TOO_EARLY, "too_early", 425, "Not before the handshake is over.")                            \
    X(METHOD_NOT_ALLOWED, "method_not_allowed", 405, "This method is not allowed here.")           \
    X(NO_ENDPOINT, "no_endpoint", 503, "The service has no endpoint that can be used.")            \
    X(UPSTREAM_FULL, "upstream_full", 503, "Too many requests wait for the service.")              \
    X(QUEUE_TIMEOUT, "queue_timeout", 503, "No connection to the service became free in time.")    \
    X(CONNECT_FAILED, "connect_failed", 502, "The service could not be reached.")                  \
    X(CONNECT_TIMEOUT, "connect_timeout", 504, "The service could not be reached in time.")        \
    X(UPSTREAM_RESET, "upstream_reset", 502, "The service reset the connection.")                  \
    X(UPSTREAM_CLOSED, "upstream_closed", 502, "The service closed the connection too early.")     \
    X(UPSTREAM_PROTOCOL, "upstream_protocol", 502, "The service sent a malformed response.")       \
    X(RESPONSE_TIMEOUT, "response_timeout", 504, "The service did not answer in time.")            \
    X(UPSTREAM_IDLE_TIMEOUT, "upstream_idle_timeout", 504, "The service stopped in the middle.")   \
    X(RESPONSE_TOO_LARGE, "response_too_large", 502, "The response exceeds the limit.")            \
    X(TOTAL_TIMEOUT, "total_timeout", 504, "The exchange took longer than allowed.")               \
    X(TUNNEL_TIMEOUT, "tunnel_timeout", 0, "")                                                     \
    X(TUNNEL_DRAINED, "tunnel_drained", 0, "")                                                     \
    X(OPERATOR_CLOSED, "operator_closed", 0, "")                                                   \
    X(CLIENT_CLOSED, "client_closed", 0, "")                                                       \
    X(CLIENT_RESET, "client_reset", 0, "")                                                         \
    X(WRITE_TIMEOUT, "write_timeout", 0, "")                                                       \
    X(TUNNEL_UNSUPPORTED, "tunnel_unsupported", 501, "CONNECT is not supported here.")             \
    X(PLUGIN_FAILED, "plugin_failed", 500, "A plugin of the gateway failed.")                      \
    X(PLUGIN_TIMEOUT, "plugin_timeout", 500, "A plugin of the gateway took too long.")             \
    X(OVERLOAD, "overload", 503, "The gateway is out of resources.")                               \
    X(DRAINING, "draining", 503, "The gateway is shutting down.")                                  \
    X(INTERNAL, "internal", 500, "The gateway failed.")

#define REASON_MEMBER(symbol, name, status, text) REASON_##symbol,
enum reason { REASON_NONE, REASONS(REASON_MEMBER) REASON_COUNT };
#undef REASON_MEMBER

/* "connect_failed"; a static string. */
const char *reason_name(enum reason reason);

/* The status of our own answer, 0 when there is none. */
unsigned reason_status(enum reason reason);

/* One sentence that a client may read. */
const char *reason_text(enum reason reason);

#endif /* PROXY_REASON_H */
