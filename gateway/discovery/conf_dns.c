/*
 * conf_dns.c - how names are asked for, and names as the source of an upstream.
 */
#include "discovery/conf.h"
#include "discovery/found.h"
#include "net/addr.h"

#include <stddef.h>

enum { DNS_PORT = 53 };

static const struct choice families[] = {
    {"auto", DNS_AUTO, "IPv4, and IPv6 where this machine has an address of it."},
    {"ipv4", DNS_IPV4, "IPv4 alone."},
    {"ipv6", DNS_IPV6, "IPv6 alone."},
    {"both", DNS_BOTH, "Both."},
    {NULL, 0, NULL},
};

static const struct shape family_shape = {.kind = SHAPE_CHOICE,
                                          .size = sizeof(int),
                                          .choices = families,
                                          .what = "auto, ipv4, ipv6 or both"};

static const struct shape wait_shape = {.kind = SHAPE_DURATION,
                                        .size = sizeof(uint64_t),
                                        .min = 100,
                                        .max = 24ull * 3600 * 1000,
                                        .what = "a duration from 100ms to 1d"};

/* -- servers -------------------------------------------------------------- */

/* "10.0.0.2" and "::1" stand for their port 53; stored with port, as c-ares wants it. */
static enum err parse_server(struct bind *bind, const struct tree *node, void *out)
{
    struct sluice_span *server = out;
    struct addr_range bare;
    struct addr addr = {.family = 0};

    if (node->kind == TREE_SCALAR && span_find(node->text, '/') == node->text.len) {
        if (addr_range_parse(node->text, &bare) == OK) {
            addr = bare.base;
            addr.port = DNS_PORT;
        } else if (addr_parse(node->text, bind->arena, &addr)) {
            addr.family = 0;
        }
    }
    if (addr.family != 0 && addr.port != 0) {
        char text[ADDR_TEXT];

        *server = arena_copy(bind->arena, span_make(text, addr_format(&addr, text, sizeof(text))));
        return OK;
    }
    notes_error(bind->notes, node->at, "write its address: 10.0.0.2, 127.0.0.1:8600 or [::1]:53",
                "not the address of a DNS server");
    return ERR_CONFIG;
}

static const struct shape server_shape = {.kind = SHAPE_CUSTOM,
                                          .size = sizeof(struct sluice_span),
                                          .parse = parse_server,
                                          .what = "an address such as 10.0.0.2 or 127.0.0.1:8600"};

static const struct shape servers_shape = {.kind = SHAPE_LIST,
                                           .size = sizeof(struct items),
                                           .element = &server_shape,
                                           .max = 8,
                                           .what = "a list of addresses"};

/* -- how names are asked for ------------------------------------------------ */

static void check_refresh(struct bind *bind, const struct tree *node, void *out)
{
    const struct dns_conf *conf = out;

    if (conf->max_ms > 0 && conf->min_ms > conf->max_ms) {
        notes_error(bind->notes, node ? node->at : (struct mark){0}, "raise refresh_max",
                    "refresh_min is longer than refresh_max");
    }
}

#define AT(member) offsetof(struct dns_conf, member)

/* The same keys twice: with presets for all, and without for one upstream. */
#define DNS_FIELDS(at, family_, timeout_, min_, max_)                                              \
    {.name = "servers",                                                                            \
     .shape = &servers_shape,                                                                      \
     .offset = (at) + AT(servers),                                                                 \
     .help = "DNS servers to ask, in this order. None: those of /etc/resolv.conf.",                \
     .example = "[ 10.0.0.2, \"127.0.0.1:8600\" ]"},                                               \
        {.name = "family",                                                                         \
         .shape = &family_shape,                                                                   \
         .offset = (at) + AT(family),                                                              \
         .preset = (family_),                                                                      \
         .help = "Which addresses of a name count."},                                              \
        {.name = "timeout",                                                                        \
         .shape = &wait_shape,                                                                     \
         .offset = (at) + AT(timeout_ms),                                                          \
         .preset = (timeout_),                                                                     \
         .help = "For the first try with a server; there is a second one of twice that."},         \
        {.name = "refresh_min",                                                                    \
         .shape = &wait_shape,                                                                     \
         .offset = (at) + AT(min_ms),                                                              \
         .preset = (min_),                                                                         \
         .help = "A name is asked for again when its answer has lived its time (TTL), but not "    \
                 "sooner than this."},                                                             \
    {                                                                                              \
        .name = "refresh_max", .shape = &wait_shape, .offset = (at) + AT(max_ms),                  \
        .preset = (max_), .help = "A name is asked for again after this time at the latest."       \
    }

static const struct field dns_fields[] = {
    DNS_FIELDS(0, "auto", "1s", "5s", "5m"),
    {0},
};

const struct shape dns_shape = {.kind = SHAPE_STRUCT,
                                .size = sizeof(struct dns_conf),
                                .fields = dns_fields,
                                .check = check_refresh,
                                .title = "dns"};

struct dns_conf dns_conf_copy(const struct dns_conf *conf, struct arena *arena)
{
    const struct sluice_span *server = conf->servers.first;
    struct sluice_span *copy = arena_new(arena, (conf->servers.n + 1) * sizeof(*copy));
    struct dns_conf made = *conf;

    for (size_t i = 0; i < conf->servers.n; i++) {
        copy[i] = arena_copy(arena, server[i]);
    }
    made.servers.first = copy;
    return made;
}

struct dns_conf dns_conf_default(void)
{
    return (struct dns_conf){
        .family = DNS_AUTO, .timeout_ms = 1000, .min_ms = 5000, .max_ms = 300000};
}

struct dns_conf dns_conf_join(const struct dns_conf *own, const struct dns_conf *others,
                              struct arena *arena)
{
    struct dns_conf joined = *own;

    if (own->servers.n == 0)
        joined.servers = others->servers;
    if (own->family == DNS_UNSET)
        joined.family = others->family;
    if (own->timeout_ms == 0)
        joined.timeout_ms = others->timeout_ms;
    if (own->min_ms == 0)
        joined.min_ms = others->min_ms;
    if (own->max_ms == 0)
        joined.max_ms = others->max_ms;
    return dns_conf_copy(&joined, arena);
}

/* -- names as a source ------------------------------------------------------ */

static void check_source(struct bind *bind, const struct tree *node, void *out)
{
    const struct dns_source_conf *conf = out;
    struct mark at = node ? node->at : (struct mark){0};
    struct sluice_span host;
    uint16_t port;

    if (!conf->name.ptr || !node)
        return;
    if (!found_split_name(arena_format(bind->arena, "%s:1", conf->name.ptr), &host, &port)) {
        notes_error(bind->notes, at, "write a host name; addresses belong into endpoints",
                    "'%s' is not a name that DNS can be asked for", conf->name.ptr);
    }
    if (conf->srv && conf->port > 0) {
        notes_error(bind->notes, at, "remove port", "SRV records say the port themselves");
    } else if (!conf->srv && conf->port == 0) {
        notes_error(bind->notes, at, "write port, or srv: true for SRV records",
                    "on which port '%s' listens is not said", conf->name.ptr);
    }
    check_refresh(bind, node, &((struct dns_source_conf *)out)->how);
}

static const struct shape port_shape = {.kind = SHAPE_UINT,
                                        .size = sizeof(uint64_t),
                                        .min = 1,
                                        .max = 65535,
                                        .what = "a port from 1 to 65535"};

static const struct field dns_source_fields[] = {
    {.name = "name",
     .shape = &shape_text,
     .offset = offsetof(struct dns_source_conf, name),
     .required = true,
     .help = "The name to ask for.",
     .example = "orders.internal"},
    {.name = "port",
     .shape = &port_shape,
     .offset = offsetof(struct dns_source_conf, port),
     .help = "Where its addresses listen.",
     .example = "8080"},
    {.name = "srv",
     .shape = &shape_bool,
     .offset = offsetof(struct dns_source_conf, srv),
     .preset = "false",
     .help = "Ask for SRV records: servers with ports, weights and priorities."},
    DNS_FIELDS(offsetof(struct dns_source_conf, how), NULL, NULL, NULL, NULL),
    {0},
};

const struct shape dns_source_shape = {.kind = SHAPE_STRUCT,
                                       .size = sizeof(struct dns_source_conf),
                                       .fields = dns_source_fields,
                                       .check = check_source,
                                       .title = "dns of an upstream"};
