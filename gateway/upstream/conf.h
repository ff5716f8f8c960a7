/*
 * conf.h - an upstream as configured: the "upstreams:" map bound to memory.
 */
#ifndef UPSTREAM_CONF_H
#define UPSTREAM_CONF_H

#include "config/shape.h"
#include "discovery/conf.h"
#include "net/tls_conf.h"
#include "policy/hedge.h"
#include "policy/retry.h"
#include "policy/subset.h"
#include "upstream/budget.h"
#include "upstream/conf_deadline.h"
#include "upstream/conf_health.h"
#include "upstream/conf_http2.h"
#include "upstream/conf_levels.h"
#include "upstream/conf_outlier.h"
#include "upstream/conf_proxying.h"

struct balance;

struct upstream_connections {
    uint64_t max;  /* per endpoint, over all workers; 0: none */
    uint64_t idle; /* kept per worker and endpoint */
    uint64_t idle_timeout_ms;
    uint64_t max_age_ms; /* 0: no limit */
    uint64_t requests;   /* per connection; 0: no limit */
    uint64_t queue;      /* waiting for a connection, per worker */
    uint64_t queue_timeout_ms;
};

/* Under way, over all workers; 0: no limit. */
struct upstream_requests {
    uint64_t max, per_endpoint;
};

struct upstream_times {
    uint64_t connect_ms, response_ms, idle_ms, total_ms; /* total 0: none */
    uint64_t tunnel_ms, tunnel_max_ms;                   /* max 0: none */
    uint64_t drain_tunnel_ms;                            /* 0: none */
};

/* What of a request is hashed: the first of these that is there. */
enum upstream_hash_by { HASH_BY_NOTHING, HASH_BY_SOURCE, HASH_BY_PATH };

struct upstream_hash {
    int by; /* enum upstream_hash_by */
    struct sluice_span field, cookie, query;
    uint64_t bound_percent; /* 0: none */
};

enum upstream_same_site { SAME_SITE_OFF, SAME_SITE_LAX, SAME_SITE_STRICT, SAME_SITE_NONE };

enum { UPSTREAM_STICKY_MAX = 1024 /* bytes of its name and path together */ };

/* The cookie that names the endpoint. */
struct upstream_sticky {
    struct sluice_span cookie, path;
    uint64_t ttl_ms; /* 0: as long as the browser runs */
    int same_site;   /* enum upstream_same_site */
    bool secure, http_only;
};

struct upstream_conf {
    struct named named;
    struct source_conf source; /* where its endpoints come from */
    int balance;               /* index for balance_get() */
    struct upstream_hash hash;
    struct upstream_sticky sticky;
    uint64_t slow_start_ms; /* 0: none */
    struct subset subset;   /* of what the source says; not set: all */
    struct levels_rule levels;
    struct zone_conf zone_preference;
    struct sluice_span zone; /* of this gateway; "": unknown. The top level's, see server/ */
    struct sluice_span host; /* "preserve", "endpoint" or the text to send */
    struct upstream_connections connections;
    struct upstream_requests requests;
    struct upstream_times timeout;
    struct deadline_conf deadline;
    struct retry_rule retry;
    struct budget_rule retry_budget;
    struct hedge_rule hedge;
    struct tls_client_conf tls;
    struct proxying_conf proxying;
    int protocol; /* enum upstream_protocol */
    struct upstream_http2 http2;
    struct health_conf health;
    struct outlier_conf outlier;
    const struct tree *plugins; /* as written; NULL: none */
};

/* The map: a SHAPE_MAP of struct upstream_conf. */
extern const struct shape upstream_map_shape;

/* "name:port" and "[v6]:port" without the port and the brackets. */
struct sluice_span upstream_host_alone(struct sluice_span text);

#endif /* UPSTREAM_CONF_H */
