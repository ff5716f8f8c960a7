/*
 * names.h - field names that the gateway itself looks at, as small numbers.
 */
#ifndef HTTP_NAMES_H
#define HTTP_NAMES_H

#include "base/span.h"

/* X(symbol, lower-case name) */
#define FIELD_NAMES(X)                                                                             \
    X(HOST, "host")                                                                                \
    X(CONNECTION, "connection")                                                                    \
    X(CONTENT_LENGTH, "content-length")                                                            \
    X(TRANSFER_ENCODING, "transfer-encoding")                                                      \
    X(TE, "te")                                                                                    \
    X(TRAILER, "trailer")                                                                          \
    X(UPGRADE, "upgrade")                                                                          \
    X(KEEP_ALIVE, "keep-alive")                                                                    \
    X(PROXY_CONNECTION, "proxy-connection")                                                        \
    X(PROXY_AUTHENTICATE, "proxy-authenticate")                                                    \
    X(PROXY_AUTHORIZATION, "proxy-authorization")                                                  \
    X(EXPECT, "expect")                                                                            \
    X(VIA, "via")                                                                                  \
    X(FORWARDED, "forwarded")                                                                      \
    X(X_FORWARDED_FOR, "x-forwarded-for")                                                          \
    X(X_FORWARDED_PROTO, "x-forwarded-proto")                                                      \
    X(X_FORWARDED_HOST, "x-forwarded-host")                                                        \
    X(X_FORWARDED_PORT, "x-forwarded-port")                                                        \
    X(X_REAL_IP, "x-real-ip")                                                                      \
    X(X_REQUEST_ID, "x-request-id")                                                                \
    X(DATE, "date")                                                                                \
    X(SERVER, "server")                                                                            \
    X(COOKIE, "cookie")                                                                            \
    X(SET_COOKIE, "set-cookie")                                                                    \
    X(AUTHORIZATION, "authorization")                                                              \
    X(USER_AGENT, "user-agent")                                                                    \
    X(REFERER, "referer")                                                                          \
    X(ACCEPT, "accept")                                                                            \
    X(ACCEPT_ENCODING, "accept-encoding")                                                          \
    X(CONTENT_TYPE, "content-type")                                                                \
    X(CONTENT_ENCODING, "content-encoding")                                                        \
    X(CONTENT_RANGE, "content-range")                                                              \
    X(CACHE_CONTROL, "cache-control")                                                              \
    X(LOCATION, "location")                                                                        \
    X(RETRY_AFTER, "retry-after")                                                                  \
    X(ALLOW, "allow")                                                                              \
    X(ORIGIN, "origin")                                                                            \
    X(TRACEPARENT, "traceparent")

#define FIELD_ID_MEMBER(symbol, name) FIELD_##symbol,
enum field_id { FIELD_OTHER, FIELD_NAMES(FIELD_ID_MEMBER) FIELD_ID_COUNT };
#undef FIELD_ID_MEMBER

/* The number of a name in any case, or FIELD_OTHER. */
enum field_id name_find(struct sluice_span name);

/* The lower-case name; empty for FIELD_OTHER. */
struct sluice_span name_text(enum field_id id);

#endif /* HTTP_NAMES_H */
