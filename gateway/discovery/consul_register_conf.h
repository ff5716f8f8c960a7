/*
 * consul_register_conf.h - "register:" of the consul section: what the gateway tells Consul of
 * itself.
 */
#ifndef DISCOVERY_CONSUL_REGISTER_CONF_H
#define DISCOVERY_CONSUL_REGISTER_CONF_H

#include "config/shape.h"

/* How Consul hears of a drain, before the gateway is deregistered. */
enum consul_leave { CONSUL_LEAVE_MAINTENANCE, CONSUL_LEAVE_CRITICAL };

/* A check that the agent makes by itself. */
struct consul_check_conf {
    struct sluice_span http; /* the URL; empty: no such check */
    uint64_t interval_ms, timeout_ms;
    bool skip_verify;
};

struct consul_register_conf {
    bool is_written; /* else nothing is registered */
    struct sluice_span name, id;
    struct sluice_span address; /* empty: the node's */
    uint64_t port;
    struct items tags; /* of struct sluice_span */
    struct items meta; /* of struct meta_conf */
    uint64_t ttl_ms;
    uint64_t deregister_after_ms;
    struct consul_check_conf check;
    int leave; /* enum consul_leave */
};

extern const struct shape consul_register_shape;

#endif /* DISCOVERY_CONSUL_REGISTER_CONF_H */
