/*
 * consul.h - all that the process knows of Consul: one client, a feed for each service.
 *
 * Configured apart from the upstreams that use it: consul_apply() changes the address, the token
 * and the rest under running feeds, which keep what they know.
 *
 * Threads: the control thread's. Nothing waits but for small files.
 */
#ifndef DISCOVERY_CONSUL_H
#define DISCOVERY_CONSUL_H

#include "discovery/source.h"

struct consul;
struct histogram;
struct page;

enum consul_mode { CONSUL_WATCH, CONSUL_GROUPED, CONSUL_POLL };

/* What there is to say of one service; borrowed for the call. */
struct consul_facts {
    const char *service, *datacenter; /* "": the agent's own */
    enum consul_mode mode;
    enum source_state state;
    const char *why;        /* "" when fresh */
    uint64_t as_of_wall_us; /* 0: nothing known */
    uint64_t index;
    uint64_t updates, errors, held, rejected, resets;
    size_t n_endpoints;
};

/* Asks nothing before consul_apply(). */
struct consul *consul_new(struct loop *loop);

/* No source may use it any more. */
void consul_free(struct consul **consul);

/* Ask there and so from now on; conf is copied. The first time, what is kept on disk is read. */
void consul_apply(struct consul *consul, const struct consul_conf *conf);

typedef void consul_each_fn(void *arg, const struct consul_facts *facts);
void consul_each(const struct consul *consul, consul_each_fn *each, void *arg);

/* How long it took to read answers and to publish what follows. */
const struct histogram *consul_handling(const struct consul *consul);

/* "watch" for CONSUL_WATCH. */
const char *consul_mode_name(enum consul_mode mode);

/* A metrics_collect_fn; arg is a struct consul. */
void consul_collect(void *consul, struct page *page);

#endif /* DISCOVERY_CONSUL_H */
