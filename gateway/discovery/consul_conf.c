#include "discovery/consul_conf.h"

#include "config/input.h"
#include "discovery/conf.h"
#include "discovery/found.h"
#include "http/target.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096, TOKEN_BYTES = 4096, CONNECTIONS_MAX = 10000, PREFIX_MAX = 512 };

/* -- the token -------------------------------------------------------------- */

static enum err parse_token_file(struct bind *bind, const struct tree *node,
                                 struct consul_token_conf *token)
{
    char why[INPUT_WHY];
    struct text path, bytes;
    enum err err;

    text_init(&path, PATH_BYTES);
    text_init(&bytes, TOKEN_BYTES);
    input_join(notes_file(bind->notes, node->at.file),
               span_make(node->text.ptr + 5, node->text.len - 5), &path);
    err = input_read(path.ptr, &bytes, NULL, why);
    if (err) {
        notes_error(bind->notes, node->at, "file:PATH names a file that holds the token alone",
                    "the token's file '%s' cannot be read: %s", path.ptr, why);
        err = ERR_CONFIG;
    }
    token->file = arena_copy(bind->arena, text_span(&path));
    text_fini(&bytes);
    text_fini(&path);
    return err;
}

static enum err parse_token(struct bind *bind, const struct tree *node, void *out)
{
    struct consul_token_conf *token = out;
    const char *value;

    if (node->kind != TREE_SCALAR || node->text.len == 0) {
        notes_error(bind->notes, node->at, "write the token, file:PATH or env:NAME",
                    "expected a token");
        return ERR_CONFIG;
    }
    if (span_starts(node->text, SPAN("file:")))
        return parse_token_file(bind, node, token);
    if (!span_starts(node->text, SPAN("env:"))) {
        token->text = arena_copy(bind->arena, node->text);
        return OK;
    }
    value = getenv(node->text.ptr + 4);
    if (!value || !value[0]) {
        notes_error(bind->notes, node->at, "set it in the environment of the gateway",
                    "the variable '%s' is not set", node->text.ptr + 4);
        return ERR_CONFIG;
    }
    token->text = arena_copy(bind->arena, span_of(value));
    return OK;
}

static const struct shape token_shape = {.kind = SHAPE_CUSTOM,
                                         .size = sizeof(struct consul_token_conf),
                                         .parse = parse_token,
                                         .what = "a token, file:PATH or env:NAME",
                                         .pattern = ".+"};

/* -- the agent ----------------------------------------------------------------- */

static bool is_loopback(struct sluice_span host)
{
    return span_equal(host, SPAN("localhost")) || span_starts(host, SPAN("127.")) ||
           span_equal(host, SPAN("[::1]"));
}

/* The url and what belongs to it. */
static bool find_url(struct bind *bind, struct consul_conf *conf)
{
    struct sluice_span text = conf->written, host, scheme = SPAN("http://");
    uint16_t port = 0;

    if (span_starts(text, SPAN("unix:"))) {
        size_t skip = span_starts(text, SPAN("unix://")) ? 7 : 5;

        conf->unix_path = arena_copy(bind->arena, span_make(text.ptr + skip, text.len - skip));
        conf->url = SPAN("http://localhost");
        conf->is_local = true;
        return conf->unix_path.len > 0 && conf->unix_path.ptr[0] == '/';
    }
    if (span_starts(text, SPAN("http://")) || span_starts(text, SPAN("https://"))) {
        scheme = span_make(text.ptr, span_find(text, '/') + 2);
        text = span_make(text.ptr + scheme.len, text.len - scheme.len);
    }
    if (text.len && text.ptr[text.len - 1] == '/')
        text.len--;
    if (target_authority(text, &host, &port) || host.len == 0)
        return false;
    if (port == 0)
        port = span_equal(scheme, SPAN("https://")) ? 8501 : 8500;
    conf->is_local = is_loopback(host);
    conf->host = arena_format(bind->arena, "%.*s:%u", (int)host.len, host.ptr, port);
    if (conf->tls.sni.len > 0)
        host = conf->tls.sni;
    conf->url = arena_format(bind->arena, "%.*s%.*s:%u", (int)scheme.len, scheme.ptr, (int)host.len,
                             host.ptr, port);
    return true;
}

static void check_consul(struct bind *bind, const struct tree *node, void *out)
{
    struct consul_conf *conf = out;

    if (!find_url(bind, conf)) {
        notes_error(bind->notes, node ? node->at : (struct mark){0},
                    "write http://HOST:PORT, https://HOST:PORT or unix:/PATH",
                    "'%.*s' is not the address of a Consul agent", (int)conf->written.len,
                    conf->written.ptr);
    }
    if (conf->tls.key_log.path.len > 0) {
        notes_error(bind->notes, conf->tls.key_log.at,
                    "leave it out: listeners and upstreams have one",
                    "there is no key_log of connections to Consul");
    }
}

static const struct choice reads[] = {
    {"auto", CONSUL_READ_AUTO, "As cached when the agent is on this machine, else as default."},
    {"default", CONSUL_READ_DEFAULT, "The leader answers."},
    {"stale", CONSUL_READ_STALE, "Any server answers; for an address that is a server's."},
    {"consistent", CONSUL_READ_CONSISTENT, "The leader answers after asking its followers."},
    {"cached", CONSUL_READ_CACHED, "The agent answers from its cache, which it keeps up to date."},
    {NULL, 0, NULL},
};
static const struct shape read_shape = {.kind = SHAPE_CHOICE,
                                        .size = sizeof(int),
                                        .choices = reads,
                                        .what = "auto, default, stale, consistent or cached"};

static const struct choice empties[] = {
    {"confirm", CONSUL_EMPTY_CONFIRM, "Believed when a second read, past all caches, agrees."},
    {"keep", CONSUL_EMPTY_KEEP, "Never believed: the last endpoints stay."},
    {"accept", CONSUL_EMPTY_ACCEPT, "Believed at once."},
    {NULL, 0, NULL},
};
static const struct shape empty_shape = {.kind = SHAPE_CHOICE,
                                         .size = sizeof(int),
                                         .choices = empties,
                                         .what = "confirm, keep or accept"};

static const struct shape connections_shape = {.kind = SHAPE_UINT,
                                               .size = sizeof(uint64_t),
                                               .min = CONSUL_CONNECTIONS_SPARE + 2,
                                               .max = CONNECTIONS_MAX,
                                               .what = "a number from 12 to 10000"};
static const struct shape wait_shape = {.kind = SHAPE_DURATION,
                                        .size = sizeof(uint64_t),
                                        .min = 1000,
                                        .max = 600000,
                                        .what = "a duration from 1s to 10m"};

static void check_kv(struct bind *bind, const struct tree *node, void *out)
{
    struct consul_kv_conf *conf = out;
    struct sluice_span prefix = conf->prefix;

    while (prefix.len > 0 && prefix.ptr[0] == '/')
        prefix = span_make(prefix.ptr + 1, prefix.len - 1);
    while (prefix.len > 0 && prefix.ptr[prefix.len - 1] == '/')
        prefix.len--;
    if (prefix.len == 0 || prefix.len > PREFIX_MAX) {
        notes_error(bind->notes, node ? node->at : (struct mark){0}, "write prefix: sluice/edge",
                    "the prefix of keys is empty, or too long");
        return;
    }
    /* With its end, so that sluice/edge is not sluice/edge2. */
    conf->prefix = arena_format(bind->arena, "%.*s/", (int)prefix.len, prefix.ptr);
}

static const struct shape debounce_shape = {
    .kind = SHAPE_DURATION, .size = sizeof(uint64_t), .max = 60000, .what = "a duration up to 1m"};

#define AT(member) offsetof(struct consul_kv_conf, member)

static const struct field kv_fields[] = {
    {.name = "prefix",
     .shape = &shape_text,
     .offset = AT(prefix),
     .required = true,
     .help = "Each key under it holds a piece of the configuration in YAML, joined as included "
             "files are, in order of the keys. Who may write there decides what is served.",
     .example = "sluice/edge"},
    {.name = "debounce",
     .shape = &debounce_shape,
     .offset = AT(debounce_ms),
     .preset = "500ms",
     .help = "Changes within this time are applied together."},
    {.name = "allow_empty",
     .shape = &shape_bool,
     .offset = AT(allow_empty),
     .preset = "false",
     .help = "When all keys are gone, so is the configuration they held. Otherwise the last one "
             "stays: a token that may no longer read them sees the same."},
    {.name = NULL},
};

#undef AT

static const struct shape kv_shape = {.kind = SHAPE_STRUCT,
                                      .size = sizeof(struct consul_kv_conf),
                                      .fields = kv_fields,
                                      .scalar = "prefix",
                                      .check = check_kv,
                                      .title = "consul config"};

#define AT(member) offsetof(struct consul_conf, member)

static const struct field consul_fields[] = {
    {.name = "address",
     .shape = &shape_text,
     .offset = AT(written),
     .preset = "http://127.0.0.1:8500",
     .help = "The agent to ask: http, https, or unix:/PATH. Best one on the same machine.",
     .example = "unix:/run/consul/http.sock"},
    {.name = "token",
     .shape = &token_shape,
     .offset = AT(token),
     .help = "ACL token. file:PATH is read again when it changes and when Consul refuses it, "
             "env:NAME is a variable of the environment."},
    {.name = "tls",
     .shape = &tls_client_shape,
     .offset = AT(tls),
     .help = "For https: whom to believe, who we are."},
    {.name = "datacenter",
     .shape = &shape_text,
     .offset = AT(datacenter),
     .help = "The datacenter to ask for; by default the agent's own.",
     .example = "dc1"},
    {.name = "namespace",
     .shape = &shape_text,
     .offset = AT(ns),
     .help = "The namespace to ask for (Consul Enterprise)."},
    {.name = "state_dir",
     .shape = &shape_text,
     .offset = AT(state_dir),
     .help = "A folder for what was last known of each service, so that a start does not need "
             "Consul. Empty: none is kept.",
     .example = "/var/lib/sluice"},
    {.name = "connections",
     .shape = &connections_shape,
     .offset = AT(connections),
     .preset = "100",
     .help = "At most so many connections to the agent, which allows 200 from one address "
             "(limits.http_max_conns_per_client). With more services than that, they share a few "
             "queries (mode grouped) and changes are noticed later. By HTTPS, where the agent "
             "speaks HTTP/2, a connection carries 100 queries and each service has its own."},
    {.name = "wait",
     .shape = &wait_shape,
     .offset = AT(wait_ms),
     .preset = "60s",
     .help = "How long the agent may hold a query while nothing changes."},
    {.name = "read",
     .shape = &read_shape,
     .offset = AT(read),
     .preset = "auto",
     .help = "Who answers."},
    {.name = "max_stale",
     .shape = &shape_duration,
     .offset = AT(max_stale_ms),
     .preset = "0",
     .help = "What could not be confirmed for so long is used no more: the service has no "
             "endpoints then. 0: it is used until something newer is known."},
    {.name = "on_empty",
     .shape = &empty_shape,
     .offset = AT(guard.on_empty),
     .preset = "confirm",
     .help = "What an answer without any endpoint means, when there were some before."},
    {.name = "shrink",
     .shape = &shape_ratio,
     .offset = AT(guard.shrink),
     .preset = "50%",
     .help = "An answer that has lost more than this share of the endpoints is confirmed by a "
             "second read."},
    {.name = "shrink_grace",
     .shape = &shape_duration,
     .offset = AT(guard.grace_ms),
     .preset = "10s",
     .help = "When more than half of the endpoints are gone at once, they are still used for this "
             "time, in which health checks decide."},
    {.name = "register",
     .shape = &consul_register_shape,
     .offset = AT(registration),
     .help = "The gateway itself as a service of the agent, for as long as its workers are alive.",
     .example = "{ name: edge, port: 8080 }"},
    {.name = "config",
     .shape = &kv_shape,
     .offset = AT(kv),
     .help = "More of the configuration, from keys of Consul. It is watched, and a change is "
             "checked, applied or refused as a reload. What was last applied is kept in state_dir.",
     .example = "{ prefix: sluice/edge }"},
    {.name = NULL},
};

#undef AT

const struct shape consul_shape = {.kind = SHAPE_STRUCT,
                                   .size = sizeof(struct consul_conf),
                                   .fields = consul_fields,
                                   .scalar = "address",
                                   .check = check_consul,
                                   .title = "consul"};

/* -- of an upstream -------------------------------------------------------------- */

static void check_source(struct bind *bind, const struct tree *node, void *out)
{
    struct consul_source_conf *conf = out;

    conf->at = node ? node->at : (struct mark){0};
    if (!node)
        return;
    if (conf->service.len == 0 && conf->query.len == 0) {
        notes_error(bind->notes, conf->at, "write service: NAME", "consul without a service");
    } else if (conf->service.len > 0 && conf->query.len > 0) {
        notes_error(bind->notes, conf->at, "remove one of them",
                    "'service' and 'query' exclude each other");
    }
    if (conf->query.len > 0 && conf->filter.len > 0) {
        notes_error(bind->notes, conf->at, "put it into the query's definition",
                    "a prepared query takes no 'filter'");
    }
}

static const struct shape weight_shape = {.kind = SHAPE_UINT,
                                          .size = sizeof(uint64_t),
                                          .max = FOUND_WEIGHT_MAX,
                                          .what = "a weight from 0 to 65535"};
static const struct shape datacenters_shape = {.kind = SHAPE_LIST,
                                               .size = sizeof(struct items),
                                               .element = &shape_text,
                                               .min = 1,
                                               .max = 16,
                                               .what = "a list of datacenters"};
static const struct shape interval_shape = {.kind = SHAPE_DURATION,
                                            .size = sizeof(uint64_t),
                                            .min = 500,
                                            .max = 3600000,
                                            .what = "a duration from 500ms to 1h"};

#define AT(member) offsetof(struct consul_source_conf, member)

static const struct field source_fields[] = {
    {.name = "service",
     .shape = &shape_text,
     .offset = AT(service),
     .help = "The name it is registered by.",
     .example = "orders"},
    {.name = "query",
     .shape = &shape_text,
     .offset = AT(query),
     .help = "Instead of a service: the name or id of a prepared query, asked every interval.",
     .example = "orders-nearest"},
    {.name = "tags",
     .shape = &shape_texts,
     .offset = AT(tags),
     .help = "Only endpoints that have all of these tags.",
     .example = "[ prod ]"},
    {.name = "meta",
     .shape = &meta_map_shape,
     .offset = AT(meta),
     .help = "Only endpoints that have all of this service meta.",
     .example = "{ version: \"2\" }"},
    {.name = "filter",
     .shape = &shape_text,
     .offset = AT(filter),
     .help = "A filter expression that Consul applies.",
     .example = "'\"canary\" not in Service.Tags'"},
    {.name = "datacenters",
     .shape = &datacenters_shape,
     .offset = AT(datacenters),
     .help = "Where to look, the first is used first (priority 0, 1, ...).",
     .example = "[ dc1, dc2 ]"},
    {.name = "namespace",
     .shape = &shape_text,
     .offset = AT(ns),
     .help = "Another namespace than that of the consul section."},
    {.name = "near",
     .shape = &shape_text,
     .offset = AT(near),
     .help = "Ask for the nearest first: _agent, or a node's name. Consul cannot stream changes "
             "to such a query, and the order does not matter to most ways of balancing.",
     .example = "_agent"},
    {.name = "address",
     .shape = &shape_text,
     .offset = AT(address),
     .help = "The tagged address to connect to; an endpoint that has none is reached by its plain "
             "address.",
     .example = "wan"},
    {.name = "zone",
     .shape = &shape_text,
     .offset = AT(zone),
     .preset = "zone",
     .help = "The meta, of the service or its node, that says its zone."},
    {.name = "weight",
     .shape = &shape_text,
     .offset = AT(weight),
     .preset = "weight",
     .help = "The service meta, or the tag NAME=5, that overrides the weights of the registry."},
    {.name = "passing_weight",
     .shape = &weight_shape,
     .offset = AT(passing),
     .preset = "1",
     .help = "Of a passing endpoint, when the registry gives no weight."},
    {.name = "warning_weight",
     .shape = &weight_shape,
     .offset = AT(warning),
     .preset = "1",
     .help = "Of an endpoint whose checks warn, when the registry gives no weight."},
    {.name = "passing_only",
     .shape = &shape_bool,
     .offset = AT(passing_only),
     .preset = "false",
     .help = "An endpoint whose checks warn gets no requests."},
    {.name = "interval",
     .shape = &interval_shape,
     .offset = AT(interval_ms),
     .preset = "10s",
     .help = "How often to ask a prepared query."},
    {.name = NULL},
};

#undef AT

static const char *const source_others[] = {"query", NULL};

const struct shape consul_source_shape = {.kind = SHAPE_STRUCT,
                                          .size = sizeof(struct consul_source_conf),
                                          .fields = source_fields,
                                          .scalar = "service",
                                          .others = source_others,
                                          .check = check_source,
                                          .title = "consul source"};
