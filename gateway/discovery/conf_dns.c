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

    if (conf->min_ms > conf->max_ms) {
        notes_error(bind->notes, node ? node->at : (struct mark){0}, "raise refresh_max",
                    "refresh_min is longer than refresh_max");
    }
}

#define AT(member) offsetof(struct dns_conf, member)

#define DNS_FIELDS(offset_)                                                                        \
    {.name = "servers",                                                                            \
     .shape = &servers_shape,                                                                      \
     .offset = (offset_) + AT(servers),                                                            \
     .help = "DNS servers to ask, in this order. None: those of /etc/resolv.conf.",                \
     .example = "[ 10.0.0.2, \"127.0.0.1:8600\" ]"},                                               \
        {.name = "family",                                                                         \
         .shape = &family_shape,                                                                   \
         .offset = (offset_) + AT(family),                                                         \
         .preset = "auto",                                                                         \
         .help = "Which addresses of a name count."},                                              \
        {.name = "timeout",                                                                        \
         .shape = &wait_shape,                                                                     \
         .offset = (offset_) + AT(timeout_ms),                                                     \
         .preset = "1s",                                                                           \
         .help = "For the first try with a server; there is a second one of twice that."},         \
        {.name = "refresh_min",                                                                    \
         .shape = &wait_shape,                                                                     \
         .offset = (offset_) + AT(min_ms),                                                         \
         .preset = "5s",                                                                           \
         .help = "A name is asked for again when its answer has lived its time (TTL), not sooner " \
                 "than "                                                                           \
                 "this ..."},                                                                      \
    {                                                                                              \
        .name = "refresh_max", .shape = &wait_shape, .offset = (offset_) + AT(max_ms),             \
        .preset = "5m", .help = "... and not later than this."                                     \
    }

static const struct field dns_fields[] = {
    DNS_FIELDS(0),
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
