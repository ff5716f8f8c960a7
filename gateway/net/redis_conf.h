/*
 * redis_conf.h - the "redis:" map, and what connections to it are made of.
 *
 * A redis_peer is made of the map, never changed, and counted: a reload makes a new one, and
 * commands under way end with the one they began with.
 *
 * Threads: _new the control thread's; ref, unref any.
 */
#ifndef NET_REDIS_CONF_H
#define NET_REDIS_CONF_H

#include "net/tls.h"

struct addr;

struct redis_conf {
    struct mark at;
    struct sluice_span address; /* host:port, [v6]:port, unix:/path; empty: none */
    struct sluice_span username, password;
    uint64_t database;
    struct tls_client_conf tls;
    uint64_t connect_ms, answer_ms;
    uint64_t connections; /* of a worker */
    uint64_t pipeline;    /* unanswered commands of a connection */
    uint64_t queue;       /* commands of a worker that wait for a connection */
};

extern const struct shape redis_shape;

/* Fields are read-only. */
struct redis_peer {
    unsigned refs; /* atomic */
    struct arena arena;
    struct sluice_span address; /* as written, for people */
    struct sluice_span host;    /* whom a certificate must be for */
    const struct addr *addrs;
    size_t n_addrs;
    struct tls_client *tls;   /* shared; NULL: none */
    struct sluice_span hello; /* what a connection begins with; holds the password */
    unsigned n_hello;         /* answers to that */
    uint64_t connect_ms, answer_ms;
    unsigned connections, pipeline, queue;
};

/*
 * Resolve the address and read the files; what is wrong goes to notes. NULL: that, or no address
 * is configured.
 */
struct redis_peer *redis_peer_new(const struct redis_conf *conf, struct notes *notes);
struct redis_peer *redis_peer_ref(struct redis_peer *peer);
void redis_peer_unref(struct redis_peer **peer);

/* Would connections be the same, and as many? NULL is like NULL only. */
bool redis_peer_is_same(const struct redis_peer *a, const struct redis_peer *b);

#endif /* NET_REDIS_CONF_H */
