/*
 * consul_conf.h - Consul as configured: the "consul:" section, and "consul:" of an upstream.
 */
#ifndef DISCOVERY_CONSUL_CONF_H
#define DISCOVERY_CONSUL_CONF_H

#include "config/shape.h"
#include "discovery/consul_guard.h"
#include "discovery/consul_register_conf.h"
#include "net/tls_conf.h"

/* How an agent is to answer. */
enum consul_read {
    CONSUL_READ_AUTO, /* cached when the agent is on this machine, else by default */
    CONSUL_READ_DEFAULT,
    CONSUL_READ_STALE,
    CONSUL_READ_CONSISTENT,
    CONSUL_READ_CACHED,
};

enum {
    CONSUL_CONNECTIONS = 100,      /* half of what an agent allows one address */
    CONSUL_CONNECTIONS_SPARE = 10, /* of them, for single reads beside the watches */
};

/* A secret, or the file that holds it. */
struct consul_token_conf {
    struct sluice_span text; /* empty: none, or in the file */
    struct sluice_span file; /* its path; empty: none */
};

/* Pieces of the configuration itself. */
struct consul_kv_conf {
    struct sluice_span prefix; /* without slashes around it; empty: none */
    uint64_t debounce_ms;
    bool allow_empty;
};

struct consul_conf {
    struct sluice_span written;   /* as in the file */
    struct sluice_span url;       /* "http://127.0.0.1:8500", without a slash at its end */
    struct sluice_span unix_path; /* empty: TCP */
    struct sluice_span host;      /* "127.0.0.1:8500", where to connect when tls.sni is given */
    bool is_local;
    struct consul_token_conf token;
    struct tls_client_conf tls;
    struct sluice_span datacenter, ns, state_dir;
    uint64_t connections;
    uint64_t wait_ms;
    uint64_t max_stale_ms; /* 0: none */
    int read;              /* enum consul_read */
    struct consul_guard_rules guard;
    struct consul_register_conf registration;
    struct consul_kv_conf kv;
};

/* What an upstream asks for. */
struct consul_source_conf {
    struct mark at;
    struct sluice_span service; /* empty: not written, or a query */
    struct sluice_span query;   /* a prepared query: its name or id */
    struct items tags;          /* of struct sluice_span: all of them */
    struct items meta;          /* of struct meta_conf: all of them */
    struct sluice_span filter, ns, near;
    struct items datacenters; /* of struct sluice_span; none: that of the section */
    struct sluice_span address, zone, weight;
    uint64_t passing, warning; /* weights when the registry has none */
    bool passing_only;
    uint64_t interval_ms; /* of a query */
};

extern const struct shape consul_shape, consul_source_shape;

#endif /* DISCOVERY_CONSUL_CONF_H */
