/*
 * gateway_conf.c - the top level of the configuration, and where one comes from.
 *
 * The parts belong to the layers below: each has its own table, which is only named here.
 */
#include "server/gateway_conf.h"

#include "base/log.h"
#include "core/helpers.h"
#include "http/target.h"
#include "server/conf_rest.h"
#include "server/remote.h"
#include "upstream/collect.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS_MAX = 256 };

#define DEFAULT_BIND "127.0.0.1:8080"

/* What is used when nothing is named; conf/sluice.yaml is the same with comments. */
static const char default_head[] = "access_log: { path: stdout }\n";

/* -- workers ----------------------------------------------------------------- */

static enum err parse_workers(struct bind *bind, const struct tree *node, void *out)
{
    uint64_t *workers = out;

    if (node->kind == TREE_SCALAR && span_equal(node->text, SPAN("auto"))) {
        *workers = 0;
        return OK;
    }
    if (node->kind == TREE_SCALAR && !span_number(node->text, WORKERS_MAX, workers) && *workers > 0)
        return OK;
    if (node->kind == TREE_SCALAR) {
        notes_error(bind->notes, node->at, "write auto, or a number from 1 to 256",
                    "workers '%s' is neither auto nor a number from 1 to %d", node->text.ptr,
                    WORKERS_MAX);
    } else {
        notes_error(bind->notes, node->at, "write auto, or a number from 1 to 256",
                    "workers is a %s here", node->kind == TREE_LIST ? "list" : "map");
    }
    return ERR_CONFIG;
}

static const struct shape workers_shape = {
    .kind = SHAPE_CUSTOM,
    .size = sizeof(uint64_t),
    .min = 1,
    .max = WORKERS_MAX,
    .parse = parse_workers,
    .what = "auto, or a number from 1 to 256",
    .pattern = "^(auto|[1-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-6])$"};

/* -- log ----------------------------------------------------------------------- */

static const struct choice level_choices[] = {
    {"error", LOG_ERROR, "What needs a person."},
    {"warn", LOG_WARN, "What may need one soon."},
    {"info", LOG_INFO, "Starts, ends and changes."},
    {"debug", LOG_DEBUG, "What a peer did wrong, and more; much under load."},
    {"trace", LOG_TRACE, "Each step."},
    {NULL, 0, NULL},
};
static const struct shape level_shape = {
    .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = level_choices};

static const struct choice form_choices[] = {
    {"text", LOG_TEXT, "A line for people: time, level, message, fields."},
    {"json", LOG_JSON, "A JSON object on each line."},
    {NULL, 0, NULL},
};
static const struct shape form_shape = {
    .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = form_choices};

static void check_log(struct bind *bind, const struct tree *node, void *out)
{
    const struct log_conf *log = out;

    if (log->path.len == 0) {
        notes_error(bind->notes, node->at, "write stderr, stdout or a file",
                    "log.path must not be empty");
    }
}

static const struct field log_fields[] = {
    {.name = "level",
     .shape = &level_shape,
     .offset = offsetof(struct log_conf, level),
     .preset = "info",
     .help = "The least important messages that are written."},
    {.name = "format",
     .shape = &form_shape,
     .offset = offsetof(struct log_conf, form),
     .preset = "text",
     .help = "How a line looks."},
    {.name = "path",
     .shape = &shape_text,
     .offset = offsetof(struct log_conf, path),
     .preset = "stderr",
     .help = "Where lines go: stderr, stdout or a file (opened again at SIGUSR1).",
     .example = "/var/log/sluice/sluice.log"},
    {.name = NULL},
};
static const struct shape log_shape = {.kind = SHAPE_STRUCT,
                                       .size = sizeof(struct log_conf),
                                       .fields = log_fields,
                                       .check = check_log,
                                       .title = "log"};

/* -- admin ---------------------------------------------------------------------- */

#define ADMIN_PRESET "127.0.0.1:9901"

static enum err parse_admin_bind(struct bind *bind, const struct tree *node, void *out)
{
    struct admin_conf *admin = out;

    if (node->kind != TREE_SCALAR)
        return ERR_CONFIG;
    admin->bind = arena_copy(bind->arena, node->text);
    admin->off = span_equal(node->text, SPAN("off"));
    if (!admin->bind.ptr || admin->off || !addr_parse(node->text, bind->arena, &admin->addr))
        return OK;
    notes_error(bind->notes, node->at,
                "write ADDRESS:PORT, [V6]:PORT, unix:PATH, or off for no admin listener",
                "'%s' is not an address for the admin listener", node->text.ptr);
    return ERR_CONFIG;
}

/* Stored in place: the one value is all of the struct. */
static const struct shape admin_bind_shape = {
    .kind = SHAPE_CUSTOM,
    .size = sizeof(struct admin_conf),
    .parse = parse_admin_bind,
    .what = "an address such as 127.0.0.1:9901 or unix:/run/sluice/admin.sock, or off",
    .pattern = "^(off|unix:.+|.+:[0-9]+)$"};

static const struct choice endpoint_choices[] = {
    {"auto", ENDPOINT_METRICS_AUTO, "All of them, and with more than 5000 endpoints as used."},
    {"all", ENDPOINT_METRICS_ALL, "All of them."},
    {"used", ENDPOINT_METRICS_USED, "Only those that are not zero."},
    {"none", ENDPOINT_METRICS_NONE, "None: only those of upstreams."},
    {NULL, 0, NULL},
};
static const struct shape endpoint_metrics_shape = {.kind = SHAPE_CHOICE,
                                                    .size = sizeof(int),
                                                    .choices = endpoint_choices,
                                                    .what = "auto, all, used or none"};

static const struct field admin_fields[] = {
    {.name = "bind",
     .shape = &admin_bind_shape,
     .offset = 0,
     .preset = ADMIN_PRESET,
     .help =
         "Where health, metrics and control are served: ADDRESS:PORT, unix:PATH, or off. Who "
         "reaches it can drain the gateway: keep it away from clients. A unix socket is for its "
         "owner alone (mode 0600).",
     .example = "unix:/run/sluice/admin.sock"},
    {.name = "endpoint_metrics",
     .shape = &endpoint_metrics_shape,
     .offset = offsetof(struct admin_conf, endpoint_metrics),
     .preset = "auto",
     .help = "Which samples of single endpoints the metrics page has. The page holds 64 MiB at "
             "most, which is about 500,000 samples."},
    {.name = NULL},
};
static const struct shape admin_shape = {.kind = SHAPE_STRUCT,
                                         .size = sizeof(struct admin_conf),
                                         .fields = admin_fields,
                                         .scalar = "bind",
                                         .title = "admin"};

/* -- drain and limits -------------------------------------------------------------- */

static const struct field drain_fields[] = {
    {.name = "pause",
     .shape = &shape_duration,
     .offset = offsetof(struct drain_conf, pause_ms),
     .preset = "0s",
     .help = "Serve on as before for this time after readiness went red, so that balancers notice.",
     .example = "5s"},
    {.name = "timeout",
     .shape = &shape_duration,
     .offset = offsetof(struct drain_conf, timeout_ms),
     .preset = "30s",
     .help = "After the pause, exchanges may take this long to end; then they are cut."},
    {.name = "idle",
     .shape = &shape_duration,
     .offset = offsetof(struct drain_conf, idle_ms),
     .preset = "1s",
     .help = "A connection without a request is closed when it has been quiet for this time."},
    {.name = "flush",
     .shape = &shape_duration,
     .offset = offsetof(struct drain_conf, flush_ms),
     .preset = "2s",
     .help = "When the last exchange has ended, plugins may send for so long what must not be lost "
             "(spans). 0: they may not."},
    {.name = NULL},
};
static const struct shape drain_shape = {.kind = SHAPE_STRUCT,
                                         .size = sizeof(struct drain_conf),
                                         .fields = drain_fields,
                                         .title = "drain"};

static const struct field limits_fields[] = {
    {.name = "connections",
     .shape = &shape_uint,
     .offset = offsetof(struct limits_conf, connections),
     .preset = "0",
     .help = "Client connections of the whole process. 0: by the descriptors it may open "
             "(ulimit -n)."},
    {.name = NULL},
};
/* Named apart from the limits of listeners and routes. */
static const struct shape limits_shape = {.kind = SHAPE_STRUCT,
                                          .size = sizeof(struct limits_conf),
                                          .fields = limits_fields,
                                          .title = "process limits"};

/* -- helpers ---------------------------------------------------------------------- */

static const struct shape helpers_threads = {.kind = SHAPE_UINT,
                                             .size = sizeof(uint64_t),
                                             .min = 1,
                                             .max = HELPERS_MAX,
                                             .what = "a number from 1 to 64"};
static const struct shape helpers_queue = {.kind = SHAPE_UINT,
                                           .size = sizeof(uint64_t),
                                           .min = 1,
                                           .max = 1000000,
                                           .what = "a number from 1 to 1000000"};

static const struct field helpers_fields[] = {
    {.name = "threads",
     .shape = &helpers_threads,
     .offset = offsetof(struct helpers_conf, threads),
     .preset = "2",
     .help = "How many; they run only when a plugin is configured."},
    {.name = "queue",
     .shape = &helpers_queue,
     .offset = offsetof(struct helpers_conf, queue),
     .preset = "1024",
     .help = "Work that may wait for a thread; more is refused, and the plugin decides what that "
             "means."},
    {.name = NULL},
};
static const struct shape helpers_shape = {.kind = SHAPE_STRUCT,
                                           .size = sizeof(struct helpers_conf),
                                           .fields = helpers_fields,
                                           .scalar = "threads",
                                           .title = "helpers"};

/* -- the top level ------------------------------------------------------------------- */

/* Who prefers a zone must know which is ours. */
static void spread_zone(struct bind *bind, struct gateway_conf *conf)
{
    struct upstream_conf *upstream = conf->serving.upstreams.first;

    for (size_t i = 0; i < conf->serving.upstreams.n; i++, upstream++) {
        upstream->zone = conf->zone;
        if (conf->zone.len == 0 && zone_conf_is_on(&upstream->zone_preference)) {
            notes_warn(bind->notes, upstream->named.at,
                       "write zone: NAME at the top level, or zone: \"${ZONE}\"",
                       "upstream '%s' prefers our zone, which is not said",
                       upstream->named.name.ptr);
        }
    }
}

static void check_gateway(struct bind *bind, const struct tree *node, void *out)
{
    struct gateway_conf *conf = out;

    spread_zone(bind, conf);
    if (node->kind == TREE_MAP && !node->first) {
        notes_error(bind->notes, node->at, "the least is: routes: [ { echo: true } ]",
                    "the configuration is empty");
    } else if (conf->serving.routes.n == 0) {
        notes_warn(bind->notes, node->at, "the least is: routes: [ { echo: true } ]",
                   "no routes: every request is answered with 404");
    }
}

#define AT(member) offsetof(struct gateway_conf, member)

static const struct field gateway_fields[] = {
    {.name = "include",
     .shape = &shape_texts,
     .offset = AT(include),
     .help = "Further files, by pattern, relative to this one; lists are appended, maps joined.",
     .example = "[ \"conf.d/*.yaml\" ]"},
    {.name = "workers",
     .shape = &workers_shape,
     .offset = AT(workers),
     .preset = "auto",
     .help = "Threads that carry traffic; auto: one for each CPU this process may use. A change "
             "needs a restart."},
    {.name = "log", .shape = &log_shape, .offset = AT(log), .help = "The gateway's own log."},
    {.name = "access_log",
     .shape = &access_log_shape,
     .offset = AT(serving.access_log),
     .help = "A line for each exchange."},
    {.name = "admin",
     .shape = &admin_shape,
     .offset = AT(admin),
     .help = "Health, metrics and control. An address alone, or off, means its bind."},
    {.name = "drain",
     .shape = &drain_shape,
     .offset = AT(drain),
     .help = "How the gateway ends when asked to."},
    {.name = "limits",
     .shape = &limits_shape,
     .offset = AT(limits),
     .help = "Bounds of the whole process."},
    {.name = "consul",
     .shape = &consul_shape,
     .offset = AT(consul),
     .preset = "{}",
     .help = "The Consul agent that upstreams with consul ask. Its address alone is enough.",
     .example = "{ address: \"http://127.0.0.1:8500\", state_dir: /var/lib/sluice }"},
    {.name = "dns",
     .shape = &dns_shape,
     .offset = AT(dns),
     .help = "How host names of endpoints are resolved, where an upstream says nothing else.",
     .example = "{ servers: [ 10.0.0.2, 10.0.0.3 ] }"},
    {.name = "ready_timeout",
     .shape = &shape_duration,
     .offset = AT(ready_timeout_ms),
     .preset = "10s",
     .help = "At the start, clients are served and readiness turns green when the endpoints of "
             "every upstream are known, or after this time."},
    {.name = "plugin_path",
     .shape = &shape_texts,
     .offset = AT(serving.plugin_path),
     .help = "Folders to look for plugins in, before SLUICE_PLUGINS and those of the installation.",
     .example = "[ /opt/sluice/plugins ]"},
    {.name = "plugins",
     .shape = &shape_plugins,
     .offset = AT(serving.plugins),
     .help = "For every request, in this order; responses pass them in reverse."},
    {.name = "zone",
     .shape = &shape_text,
     .offset = AT(zone),
     .help = "The zone this gateway runs in, as sources call it (\"${ZONE}\": from the "
             "environment); for the upstreams with zone_preference.",
     .example = "eu-1a"},
    {.name = "listeners",
     .shape = &listener_list_shape,
     .offset = AT(serving.listeners),
     .preset = "[ { name: default, bind: \"" DEFAULT_BIND "\" } ]",
     .help = "Where clients connect.",
     .example = "[ { name: edge, bind: \"0.0.0.0:8080\" } ]"},
    {.name = "upstreams",
     .shape = &upstream_map_shape,
     .offset = AT(serving.upstreams),
     .help = "Services that requests go to, by name.",
     .example = "{ app: { endpoints: [ \"127.0.0.1:9000\" ] } }"},
    {.name = "routes",
     .shape = &route_list_shape,
     .offset = AT(serving.routes),
     .help = "Which requests go where. The most specific route serves a request, whatever the "
             "order of writing: host (exact, then the longer wildcard, then none), path (exact, "
             "then the longest prefix, then pattern, then none), methods, more fields, more query "
             "parameters; between equals, the first.",
     .example = "[ { match: { path: /orders }, upstream: app } ]"},
    {.name = "redis",
     .shape = &redis_shape,
     .offset = AT(serving.redis),
     .help = "Where plugins keep what several gateways share. An address alone means that."},
    {.name = "splice",
     .shape = &splice_shape,
     .offset = AT(serving.splice),
     .help = "Large content without copying it. false: all of it is copied.",
     .example = "{ min_size: 512KiB }"},
    {.name = "helpers",
     .shape = &helpers_shape,
     .offset = AT(helpers),
     .help = "Threads for work of plugins that takes its time, such as hashing passwords."},
    {.name = NULL},
};

#undef AT

const struct shape gateway_shape = {.kind = SHAPE_STRUCT,
                                    .size = sizeof(struct gateway_conf),
                                    .fields = gateway_fields,
                                    .check = check_gateway,
                                    .title = "configuration"};

/* -- sources --------------------------------------------------------------------------- */

const char *gateway_find_file(void)
{
    static const char *const names[] = {"./sluice.yaml", "/etc/sluice/sluice.yaml"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (access(names[i], F_OK) == 0)
            return names[i];
    }
    return NULL;
}

static bool has_port(struct sluice_span authority)
{
    struct sluice_span host;
    uint16_t port = 0;

    return target_authority(authority, &host, &port) == OK && port != 0;
}

void gateway_print_source(const struct gateway_source *source, struct text *out)
{
    struct sluice_span authority = SPAN("");

    text_add(out, span_of(default_head));
    text_add(out, SPAN("listeners:\n  - name: default\n    bind: \""));
    text_add_json(out, source->listen ? span_of(source->listen) : SPAN(DEFAULT_BIND));
    text_add(out, SPAN("\"\n"));
    if (!source->to) {
        text_add(out, SPAN("routes:\n  - name: echo\n    echo: true\n"));
        return;
    }
    if (gateway_check_url(source->to, &authority))
        authority = SPAN("");
    text_add(out, SPAN("upstreams:\n  to:\n    endpoints: [ \""));
    text_add_json(out, authority);
    if (!has_port(authority))
        text_add(out, SPAN(":80"));
    text_add(out, SPAN("\" ]\nroutes:\n  - name: to\n    upstream: to\n"));
}

const char *gateway_check_url(const char *url, struct sluice_span *authority)
{
    struct sluice_span text = span_of(url);
    struct sluice_span host;
    uint16_t port;

    if (span_starts(text, SPAN("https://")))
        return "upstreams that speak TLS are not supported yet: use http://HOST[:PORT]";
    if (!span_starts(text, SPAN("http://")))
        return "expected http://HOST[:PORT]";
    text = span_make(text.ptr + 7, text.len - 7);
    if (text.len && text.ptr[text.len - 1] == '/')
        text.len--;
    if (span_find(text, '/') < text.len || span_find(text, '?') < text.len)
        return "expected http://HOST[:PORT] and nothing after it; a route can rewrite paths";
    if (target_authority(text, &host, &port) || host.len == 0)
        return "expected a host and a port after http://";
    *authority = text;
    return NULL;
}

/* -- loading ----------------------------------------------------------------------------- */

static enum err read_source(const struct gateway_source *source, struct gateway_loaded *loaded,
                            struct notes *notes)
{
    struct text yaml;
    enum err err;

    if (source->path)
        return tree_read(source->path, &loaded->arena, notes, &loaded->tree);
    text_init(&yaml, 4096);
    gateway_print_source(source, &yaml);
    err = tree_parse(text_span(&yaml), gateway_source_name(source), &loaded->arena, notes,
                     &loaded->tree);
    text_fini(&yaml);
    return err;
}

const char *gateway_source_name(const struct gateway_source *source)
{
    if (source->path)
        return source->path;
    return source->to || source->listen ? "command line" : "built in";
}

/* The consul section of a tree. */
static enum err bind_consul(const struct tree *tree, struct arena *arena, struct notes *notes,
                            struct consul_conf *conf)
{
    struct bind bind = {.arena = arena, .notes = notes};
    const struct tree *node = tree_find(tree, SPAN("consul"));

    *conf = (struct consul_conf){.connections = 0};
    return node ? shape_bind(&bind, &consul_shape, node, conf) : ERR_MISSING;
}

enum err gateway_peek_consul(const struct gateway_source *source, struct arena *arena,
                             struct consul_conf *conf)
{
    struct gateway_loaded loaded = {.tree = NULL};
    struct notes *notes = notes_new();
    enum err err = ERR_MISSING;

    arena_init(&loaded.arena, NULL, 0);
    if (source->path && !read_source(source, &loaded, notes))
        err = bind_consul(loaded.tree, &loaded.arena, notes, conf);
    notes_free(&notes);
    if (err) {
        arena_fini(&loaded.arena);
    } else {
        *arena = loaded.arena;
    }
    return err;
}

/* What a source of before wanted does not belong to one that wants something else. */
static bool wants_pieces(const struct gateway_source *source, const struct tree *tree)
{
    struct notes *notes = notes_new();
    struct consul_conf conf;
    struct arena arena;
    bool wanted;

    arena_init(&arena, NULL, 0);
    wanted = bind_consul(tree, &arena, notes, &conf) == OK &&
             span_equal(conf.kv.prefix, source->pieces->prefix);
    arena_fini(&arena);
    notes_free(&notes);
    return wanted;
}

/*
 * A piece from elsewhere may say what is served and how, not where the gateway is steered from,
 * what code it loads, or which files of this machine it writes.
 */
static enum err add_pieces(const struct gateway_source *source, struct gateway_loaded *loaded,
                           struct notes *notes)
{
    static const char *const refused[] = {"consul",      "admin",   "workers", "log", "access_log",
                                          "plugin_path", "plugins", "helpers", NULL};
    const struct consul_kv_set *set;
    enum err worst = OK;

    if (!source->pieces || !loaded->tree || !wants_pieces(source, loaded->tree))
        return OK;
    set = source->pieces->set;
    for (size_t i = 0; i < set->n; i++) {
        enum err err = tree_add(&set->piece[i], refused, &loaded->arena, notes, loaded->tree);

        if (err)
            worst = err;
    }
    return worst;
}

enum err gateway_load(const struct gateway_source *source, struct notes *notes,
                      struct gateway_loaded *loaded)
{
    struct bind bind = {.arena = &loaded->arena, .notes = notes};
    size_t errors = notes_errors(notes);
    enum err err, bind_err = OK;

    *loaded = (struct gateway_loaded){.tree = NULL};
    arena_init(&loaded->arena, NULL, 0);
    loaded->origins = origins_new(&loaded->arena);
    bind.origins = loaded->origins;
    err = read_source(source, loaded, notes);
    if (!err)
        err = add_pieces(source, loaded, notes);
    if (err && loaded->tree && !loaded->tree->first)
        loaded->tree = NULL; /* nothing was read, which is not the same as nothing written */
    if (loaded->tree)
        bind_err = shape_bind(&bind, &gateway_shape, loaded->tree, &loaded->conf);
    if (!err && !bind_err && loaded->tree && notes_errors(notes) == errors)
        return OK;
    if (loaded->tree)
        conf_rest_note(&loaded->conf.serving, err != ERR_PROTOCOL, &loaded->arena, notes);
    gateway_unload(loaded);
    return ERR_CONFIG;
}

void gateway_unload(struct gateway_loaded *loaded)
{
    arena_fini(&loaded->arena);
    *loaded = (struct gateway_loaded){.tree = NULL};
    arena_init(&loaded->arena, NULL, 0);
}
