#include "upstream/conf.h"

#include "upstream/balance.h"
#include "upstream/conf_balance.h"

#include <stddef.h>

/* -- connections --------------------------------------------------------- */

#define AT(member) offsetof(struct upstream_connections, member)

static const struct field connections_fields[] = {
    {.name = "max",
     .shape = &shape_uint,
     .offset = AT(max),
     .preset = "0",
     .help = "Connections to one endpoint at most, over all workers; further requests wait. 0: no "
             "limit."},
    {.name = "idle",
     .shape = &shape_uint,
     .offset = AT(idle),
     .preset = "128",
     .help = "Idle connections kept per worker and endpoint."},
    {.name = "idle_timeout",
     .shape = &shape_duration,
     .offset = AT(idle_timeout_ms),
     .preset = "60s",
     .help = "An idle connection is closed after this time. Keep it below the endpoint's own."},
    {.name = "max_age",
     .shape = &shape_duration,
     .offset = AT(max_age_ms),
     .preset = "0s",
     .help = "A connection this old is closed when no request is on it; up to a tenth earlier, so "
             "that those made together do not end together. 0: no limit.",
     .example = "10m"},
    {.name = "requests",
     .shape = &shape_uint,
     .offset = AT(requests),
     .preset = "0",
     .help =
         "A connection is closed after this many requests, up to a tenth earlier as well. 0: no "
         "limit."},
    {.name = "queue",
     .shape = &shape_uint,
     .offset = AT(queue),
     .preset = "1024",
     .help = "Requests of one worker that may wait for a connection, or for the caps of requests; "
             "more are answered with 503."},
    {.name = "queue_timeout",
     .shape = &shape_duration,
     .offset = AT(queue_timeout_ms),
     .preset = "5s",
     .help = "A request waits at most this long for a connection, then it is answered with 503."},
    {0},
};

#undef AT

static const struct shape connections_shape = {.kind = SHAPE_STRUCT,
                                               .size = sizeof(struct upstream_connections),
                                               .fields = connections_fields,
                                               .title = "connections"};

/* -- requests ------------------------------------------------------------- */

static const struct field requests_fields[] = {
    {.name = "max",
     .shape = &shape_uint,
     .offset = offsetof(struct upstream_requests, max),
     .preset = "0",
     .help =
         "Requests under way at most, over all endpoints and workers; further ones wait as for a "
         "connection (connections.queue). 0: no limit.",
     .example = "500"},
    {.name = "per_endpoint",
     .shape = &shape_uint,
     .offset = offsetof(struct upstream_requests, per_endpoint),
     .preset = "0",
     .help = "The same for each endpoint. 0: no limit.",
     .example = "100"},
    {0},
};

static const struct shape requests_shape = {.kind = SHAPE_STRUCT,
                                            .size = sizeof(struct upstream_requests),
                                            .fields = requests_fields,
                                            .scalar = "max",
                                            .title = "requests"};

/* -- timeouts ------------------------------------------------------------- */

static const struct shape wait_shape = {.kind = SHAPE_DURATION,
                                        .size = sizeof(uint64_t),
                                        .min = 1,
                                        .what = "a duration such as 10s, above 0"};

static const struct field times_fields[] = {
    {.name = "connect",
     .shape = &wait_shape,
     .offset = offsetof(struct upstream_times, connect_ms),
     .preset = "2s",
     .help = "To connect to an endpoint."},
    {.name = "response",
     .shape = &wait_shape,
     .offset = offsetof(struct upstream_times, response_ms),
     .preset = "60s",
     .help = "From the whole request sent to the head of the response."},
    {.name = "idle",
     .shape = &wait_shape,
     .offset = offsetof(struct upstream_times, idle_ms),
     .preset = "60s",
     .help = "Between two pieces of a body, in either direction."},
    {.name = "total",
     .shape = &shape_duration,
     .offset = offsetof(struct upstream_times, total_ms),
     .preset = "0s",
     .help = "For the whole exchange. 0: no limit."},
    {.name = "tunnel",
     .shape = &wait_shape,
     .offset = offsetof(struct upstream_times, tunnel_ms),
     .preset = "1h",
     .help = "Inactivity of a tunnel (WebSocket), both directions together. Of these times, only "
             "this and tunnel_max hold in a tunnel."},
    {.name = "tunnel_max",
     .shape = &shape_duration,
     .offset = offsetof(struct upstream_times, tunnel_max_ms),
     .preset = "0s",
     .help = "Age at which a tunnel is cut, or up to a tenth before it, so that not all go "
             "together. 0: no limit."},
    {.name = "drain_tunnel",
     .shape = &shape_duration,
     .offset = offsetof(struct upstream_times, drain_tunnel_ms),
     .preset = "1h",
     .help = "Tunnels to an endpoint that is named no more, or drains, are cut after this time. "
             "0: they end by themselves.",
     .example = "5m"},
    {0},
};

static const struct shape times_shape = {.kind = SHAPE_STRUCT,
                                         .size = sizeof(struct upstream_times),
                                         .fields = times_fields,
                                         .title = "timeout"};

/* -- upstreams ------------------------------------------------------------- */

static const struct shape balance_shape = {.kind = SHAPE_CHOICE,
                                           .size = sizeof(int),
                                           .choices = balance_choices,
                                           .what = "a balancing rule"};

static const struct field upstream_fields[] = {
    {.name = "endpoints",
     .shape = &endpoint_list_shape,
     .offset = offsetof(struct upstream_conf, source.endpoints),
     .help = "The addresses that serve it. An upstream has one source of endpoints: this list, or "
             "another below.",
     .example = "[ \"127.0.0.1:9000\", { address: \"127.0.0.1:9001\", weight: 5 } ]"},
    {.name = "file",
     .shape = &file_source_shape,
     .offset = offsetof(struct upstream_conf, source.file),
     .help = "A file that lists the addresses, and is watched.",
     .example = "{ path: members/orders.yaml }"},
    {.name = "dns",
     .shape = &dns_source_shape,
     .offset = offsetof(struct upstream_conf, source.dns),
     .help = "A name whose addresses serve it, asked for again and again.",
     .example = "{ name: orders.internal, port: 8080 }"},
    {.name = "consul",
     .shape = &consul_source_shape,
     .offset = offsetof(struct upstream_conf, source.consul),
     .help = "A service that Consul knows (its agent: the consul section). The service's name "
             "alone is enough.",
     .example = "{ service: orders, tags: [ prod ] }"},
    {.name = "subset",
     .shape = &subset_filter_shape,
     .offset = offsetof(struct upstream_conf, subset),
     .help = "Only endpoints of the source with these tags and this meta; the others are not "
             "there. For a choice by route see the route's upstream.",
     .example = "{ tags: [ prod ] }"},
    {.name = "balance",
     .shape = &balance_shape,
     .offset = offsetof(struct upstream_conf, balance),
     .preset = "round_robin",
     .help = "How an endpoint is chosen for a request."},
    {.name = "hash",
     .shape = &upstream_hash_shape,
     .offset = offsetof(struct upstream_conf, hash),
     .help = "For ring_hash and maglev: requests that have the same of this go to the same "
             "endpoint; a request that has none of it goes anywhere.",
     .example = "{ field: X-User, bound: 150% }"},
    {.name = "sticky",
     .shape = &upstream_sticky_shape,
     .offset = offsetof(struct upstream_conf, sticky),
     .help = "For sticky_cookie: the cookie that names the endpoint.",
     .example = "{ cookie: app_route, ttl: 1h, secure: true }"},
    {.name = "slow_start",
     .shape = &shape_duration,
     .offset = offsetof(struct upstream_conf, slow_start_ms),
     .preset = "0s",
     .help = "The weight of an endpoint that is new, or well again, grows from a tenth to the "
             "whole in this time; not for the hashing rules. 0: at once.",
     .example = "30s"},
    {.name = "panic_threshold",
     .shape = &panic_shape,
     .offset = offsetof(struct upstream_conf, levels.panic_percent),
     .preset = "50",
     .help =
         "When a smaller percentage than this of the endpoints of a priority is well, and other "
         "priorities cannot take its requests, they go to all of its endpoints (panic): those "
         "that are left would only follow. 0: never; when nobody is well, requests are "
         "answered with 503."},
    {.name = "overprovisioning",
     .shape = &overprovisioning_shape,
     .offset = offsetof(struct upstream_conf, levels.overprovisioning_percent),
     .preset = "140",
     .help = "How many more requests than its part endpoints can take, in percent: at 140, a "
             "priority takes all requests until fewer than 1/1.4 (71%) of its endpoints are well; "
             "from there on the next priority takes what is missing."},
    {.name = "zone_preference",
     .shape = &zone_shape,
     .offset = offsetof(struct upstream_conf, zone_preference),
     .help = "Prefer endpoints of the gateway's own zone (see zone at the top level), as far as "
             "their part of the capacity allows; the rest goes to other zones. Off when not given.",
     .example = "{ min_endpoints: 3 }"},
    {.name = "host",
     .shape = &shape_text,
     .offset = offsetof(struct upstream_conf, host),
     .preset = "preserve",
     .help = "The Host field sent: preserve (the client's), endpoint (its address), or any other "
             "text as it is."},
    {.name = "connections",
     .shape = &connections_shape,
     .offset = offsetof(struct upstream_conf, connections),
     .help = "How many connections, and for how long."},
    {.name = "requests",
     .shape = &requests_shape,
     .offset = offsetof(struct upstream_conf, requests),
     .help = "How many requests may be under way."},
    {.name = "timeout",
     .shape = &times_shape,
     .offset = offsetof(struct upstream_conf, timeout),
     .help = "How long to wait for what.",
     .example = "{ connect: 1s, response: 15s }"},
    {.name = "hedge",
     .shape = &hedge_shape,
     .offset = offsetof(struct upstream_conf, hedge),
     .help = "Send slow idempotent requests without content a second time; within retry_budget."},
    {.name = "deadline",
     .shape = &deadline_shape,
     .offset = offsetof(struct upstream_conf, deadline),
     .help = "Who may shorten timeout.total, and how the endpoint is told what is left of it; the "
             "name of a field alone means the same as field.",
     .example = "x-request-timeout-ms"},
    {.name = "retry",
     .shape = &retry_shape,
     .offset = offsetof(struct upstream_conf, retry),
     .preset = RETRY_PRESET,
     .help = "When a request that failed is sent again. A route may say it otherwise.",
     .example = "{ attempts: 2, on: [ connect, reset, 503 ] }"},
    {.name = "retry_budget",
     .shape = &budget_shape,
     .offset = offsetof(struct upstream_conf, retry_budget),
     .help = "How many requests may be sent again, over all workers; what is over it is answered "
             "with its failure. Not about connections that could not be made.",
     .example = "{ share: 20%, min_per_second: 3, interval: 10s }"},
    {.name = "tls",
     .shape = &tls_client_shape,
     .offset = offsetof(struct upstream_conf, tls),
     .help = "Speak TLS to the endpoints; \"true\" for all defaults. Plain when not given.",
     .example = "{ ca: tls/internal-ca.pem, sni: orders.internal }"},
    {.name = "proxy_protocol",
     .shape = &proxying_shape,
     .offset = offsetof(struct upstream_conf, proxying),
     .help =
         "Begin connections with a PROXY header, before TLS, that says whose they are; the "
         "version alone for all defaults. Such a connection serves no other client's "
         "connection. The gateway's own requests say LOCAL, and so do health checks, unless they "
         "have a port of their own.",
     .example = "v2"},
    {.name = "protocol",
     .shape = &upstream_protocol_shape,
     .offset = offsetof(struct upstream_conf, protocol),
     .preset = "h1",
     .help = "What is spoken to the endpoints; gRPC needs h2, h2c or auto."},
    {.name = "http2",
     .shape = &upstream_http2_shape,
     .offset = offsetof(struct upstream_conf, http2),
     .help = "How HTTP/2 is spoken, where it is.",
     .example = "{ max_concurrent_streams: 200, keepalive_interval: 20s }"},
    {.name = "health",
     .shape = &health_shape,
     .offset = offsetof(struct upstream_conf, health),
     .help = "Ask each endpoint at intervals whether it is well; the path alone for all defaults. "
             "None when not given.",
     .example = "{ path: /healthz, interval: 2s }"},
    {.name = "outlier_detection",
     .shape = &outlier_shape,
     .offset = offsetof(struct upstream_conf, outlier),
     .help = "Take endpoints out for a while whose answers or connections fail; \"true\" for all "
             "defaults. Off when not given.",
     .example = "{ consecutive_5xx: 3, max_ejection_percent: 30 }"},
    {.name = "plugins",
     .shape = &shape_plugins,
     .offset = offsetof(struct upstream_conf, plugins),
     .help = "For requests to this upstream, once it is chosen: after all others."},
    {0},
};

/* "name:port" and "[v6]:port" without the port and the brackets. */
struct sluice_span upstream_host_alone(struct sluice_span text)
{
    size_t end = text.len;

    if (text.len > 0 && text.ptr[0] == '[') {
        size_t bracket = span_find(text, ']');

        return span_make(text.ptr + 1, bracket < text.len ? bracket - 1 : text.len - 1);
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == ':')
            end = i;
    }
    return span_make(text.ptr, end);
}

/* A fixed Host is also who must be there. */
static void upstream_check(struct bind *bind, const struct tree *node, void *out)
{
    struct upstream_conf *conf = out;

    source_conf_check(bind, node ? node->at : (struct mark){0}, &conf->source);
    if (conf->tls.sni.len == 0 && !span_equal(conf->host, SPAN("preserve")) &&
        !span_equal(conf->host, SPAN("endpoint")))
        conf->tls.sni = upstream_host_alone(conf->host);
    if (conf->tls.sni.len > 0)
        conf->tls.sni = arena_copy(bind->arena, conf->tls.sni);
    conf_http2_check(bind, node ? node->at : (struct mark){0}, conf->protocol, &conf->tls);
    conf_balance_check(bind, node, conf);
}

static const char *const upstream_others[] = {"file", "dns", "consul", NULL};

static const struct shape upstream_shape = {.kind = SHAPE_STRUCT,
                                            .size = sizeof(struct upstream_conf),
                                            .fields = upstream_fields,
                                            .check = upstream_check,
                                            .others = upstream_others,
                                            .title = "upstream"};

const struct shape upstream_map_shape = {.kind = SHAPE_MAP,
                                         .size = sizeof(struct items),
                                         .element = &upstream_shape,
                                         .what = "a map from names to upstreams"};
