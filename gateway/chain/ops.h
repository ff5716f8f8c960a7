/*
 * ops.h - what the chain asks of whoever runs exchanges, and what it calls one.
 *
 * The chain knows no exchange of proxy/: it keeps a struct sluice_exchange beside each, and asks
 * through this table. owner is the exchange of whoever filled the table in.
 *
 * Threads: the exchange's worker.
 */
#ifndef CHAIN_OPS_H
#define CHAIN_OPS_H

#include "base/span.h"
#include "http/message.h"

/*
 * The two directions of an exchange, each of which may wait by itself; and what runs beside them
 * and never waits: attempts, local replies, the end.
 */
enum chain_flow { CHAIN_REQUEST, CHAIN_RESPONSE, CHAIN_ASIDE, CHAIN_FLOWS };

/* Attributes that the gateway itself knows; ids of all others follow. */
#define CHAIN_ATTRIBUTES(X)                                                                        \
    X(METHOD, "request.method")                                                                    \
    X(PATH, "request.path")                                                                        \
    X(QUERY, "request.query")                                                                      \
    X(HOST, "request.host")                                                                        \
    X(SCHEME, "request.scheme")                                                                    \
    X(TARGET, "request.target")                                                                    \
    X(ID, "request.id")                                                                            \
    X(PROTOCOL, "request.protocol")                                                                \
    X(CLIENT_ADDRESS, "client.address")                                                            \
    X(CLIENT_PORT, "client.port")                                                                  \
    X(PEER_ADDRESS, "peer.address")                                                                \
    X(LISTENER, "listener")                                                                        \
    X(ROUTE, "route")                                                                              \
    X(UPSTREAM, "upstream")                                                                        \
    X(ENDPOINT, "endpoint")                                                                        \
    X(STATUS, "response.status")                                                                   \
    X(REASON, "reason")                                                                            \
    X(TLS_VERSION, "tls.version")                                                                  \
    X(TLS_CIPHER, "tls.cipher")                                                                    \
    X(TLS_SNI, "tls.sni")                                                                          \
    X(TLS_CLIENT_SUBJECT, "tls.client.subject")                                                    \
    X(TLS_CLIENT_FINGERPRINT, "tls.client.fingerprint")

#define CHAIN_ATTRIBUTE_MEMBER(symbol, name) CHAIN_##symbol,
enum chain_attribute {
    CHAIN_NO_ATTRIBUTE,
    CHAIN_ATTRIBUTES(CHAIN_ATTRIBUTE_MEMBER) CHAIN_ATTRIBUTES_OWN /* the first free number */
};
#undef CHAIN_ATTRIBUTE_MEMBER

struct call;
struct mailbox;
struct redis_call;

/* A request of the gateway's own. Everything is copied. */
struct chain_http_request {
    unsigned upstream; /* by its index in the snapshot */
    struct sluice_span method;
    struct sluice_span target; /* path and query */
    struct sluice_span host;   /* empty: what the upstream's own rule says */
    const struct sluice_pair *fields;
    size_t n_fields;
    struct sluice_span body;
    uint64_t total_ms;
    size_t max_body; /* of the answer */
};

/* How it ended; valid for the length of the call. */
struct chain_http_answer {
    enum sluice_http_end end;
    const struct response *response; /* NULL unless SLUICE_HTTP_OK */
    struct sluice_span body;
    struct arena *arena; /* for what the callee makes of it */
};

typedef void chain_http_fn(void *arg, const struct chain_http_answer *answer);
typedef void chain_redis_fn(void *arg, const struct sluice_redis_reply *reply);

struct chain_ops {
    /*
     * Bracket what befalls an exchange from outside (a completion, a deadline). leave() runs its
     * story on and may free it, and with it the struct sluice_exchange.
     */
    void (*enter)(void *owner);
    void (*leave)(void *owner);
    /* This flow waits no longer: call the chain again where it said CHAIN_WAITS. Entered. */
    void (*wake)(void *owner, enum chain_flow flow);

    const struct request *(*request)(void *owner);
    /* The fields of a side; NULL when there are none now. *frozen: they may only be read. */
    struct fields *(*fields)(void *owner, enum sluice_side side, bool *frozen);
    /* The value, empty when there is none; valid as long as the exchange. */
    struct sluice_span (*attribute)(void *owner, enum chain_attribute attribute);
    /* From now on the request is known by this id, which lives as long as the exchange. */
    void (*id_set)(void *owner, struct sluice_span id);
    int64_t (*fact)(void *owner, enum sluice_fact fact);
    bool (*target_set)(void *owner, struct sluice_span path, struct sluice_span query);
    /* By its index in the snapshot. */
    bool (*upstream_set)(void *owner, unsigned upstream);
    /* Is there content in this direction, and has its head not gone on yet? */
    bool (*can_want_body)(void *owner, enum chain_flow flow);
    /*
     * Content that has passed all: send it on. The part is borrowed until flush() has returned, or
     * the exchange is left. last: its end as well.
     */
    void (*send)(void *owner, enum chain_flow flow, struct sluice_span part, bool last);
    void (*flush)(void *owner);
    /* Microseconds since 1970, as of this turn. worker is the owner of the chain's worker. */
    uint64_t (*wall_us)(void *worker);

    /* -- of workers and views: what leaves the gateway, and what comes to a worker by mail -- */

    struct mailbox *(*mailbox)(void *worker);
    /*
     * Ask over HTTP, by the upstreams of a view (the owner of a chain_holder). NULL: the request is
     * malformed or too large, or no memory is left. done is called once, from the loop; the call
     * is then over. cancel: it will not be called.
     */
    struct call *(*http_start)(void *view, const struct chain_http_request *request,
                               chain_http_fn *done, void *arg);
    void (*http_cancel)(struct call **call);
    /* One command for Redis, in the same way; NULL also when none is configured. */
    struct redis_call *(*redis_start)(void *worker, const struct sluice_span *argv, size_t n,
                                      uint64_t timeout_ms, chain_redis_fn *done, void *arg);
    void (*redis_cancel)(struct redis_call **call);
};

#endif /* CHAIN_OPS_H */
