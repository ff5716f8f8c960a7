#include "proxy/snapshot.h"

#include "base/alloc.h"
#include "base/check.h"
#include "chain/chain.h"
#include "net/redis_conf.h"
#include "net/tls.h"
#include "proxy/counters.h"
#include "upstream/upstream.h"

#include <errno.h>
#include <string.h>

/* Port 0 is another one each time; unix sockets have none. */
static bool may_collide(const struct addr *addr)
{
    return addr_unix_path(addr) || addr->port != 0;
}

static void add_listeners(struct snapshot *snapshot, const struct snapshot_conf *conf,
                          struct notes *notes)
{
    snapshot->listeners = conf->listeners.first;
    snapshot->n_listeners = conf->listeners.n;
    for (size_t i = 0; i < snapshot->n_listeners; i++) {
        struct listener_conf *listener = &snapshot->listeners[i];

        for (size_t j = 0; j < i; j++) {
            const struct listener_conf *other = &snapshot->listeners[j];

            if (span_equal(listener->name, other->name)) {
                notes_error(notes, listener->at, "give each listener a name of its own",
                            "two listeners are called '%s'", listener->name.ptr);
            } else if (may_collide(&listener->addr) && addr_equal(&listener->addr, &other->addr)) {
                notes_error(notes, listener->at, "remove one of them",
                            "listeners '%s' and '%s' have the same address", other->name.ptr,
                            listener->name.ptr);
            }
        }
    }
}

/* Read certificates and keys; what is wrong with them is noted. */
static void add_secrets(struct snapshot *snapshot, const struct snapshot_parts *parts,
                        struct notes *notes)
{
    snapshot->files_stamp = snapshot_files(snapshot);
    for (size_t i = 0; i < snapshot->n_listeners; i++) {
        struct listener_conf *listener = &snapshot->listeners[i];

        if (listener->tls.is_on) {
            listener->server =
                tls_server_new(&listener->tls, listener->name, parts->tickets, notes);
        }
    }
    for (size_t i = 0; i < snapshot->n_upstreams; i++) {
        struct snapshot_upstream *upstream = &snapshot->upstreams[i];

        if (tls_client_conf_is_on(&upstream->conf->tls))
            upstream->tls = tls_client_new(&upstream->conf->tls, notes);
        if (upstream->tls && parts->tickets)
            tls_client_log_keys(upstream->tls, &upstream->conf->tls, notes);
    }
}

uint64_t snapshot_files(const struct snapshot *snapshot)
{
    uint64_t stamp = 0;

    for (size_t i = 0; i < snapshot->n_listeners; i++) {
        stamp = tls_server_stamp(&snapshot->listeners[i].tls, stamp);
    }
    for (size_t i = 0; i < snapshot->n_upstreams; i++) {
        stamp = tls_client_stamp(&snapshot->upstreams[i].conf->tls, stamp);
    }
    if (snapshot->chains)
        stamp = chain_set_files(snapshot->chains, stamp);
    return stamp;
}

/* A socket has no name that a certificate could be for. */
static void check_expected(const struct upstream_conf *conf, struct notes *notes)
{
    const struct endpoint_conf *endpoint = conf->source.endpoints.first;

    if (!tls_client_conf_is_on(&conf->tls) || !conf->tls.verify || conf->tls.sni.len > 0)
        return;
    for (size_t i = 0; i < conf->source.endpoints.n; i++) {
        if (span_starts(endpoint[i].address, SPAN("unix:"))) {
            notes_error(notes, endpoint[i].at, "say who must be there: tls: { sni: NAME }",
                        "endpoint '%s' of upstream '%s' has no name to check a certificate for",
                        endpoint[i].address.ptr, conf->named.name.ptr);
        }
    }
}

static void add_upstreams(struct snapshot *snapshot, const struct snapshot_conf *conf,
                          const struct snapshot_parts *parts, struct notes *notes)
{
    const struct upstream_conf *upstream = conf->upstreams.first;

    snapshot->n_upstreams = conf->upstreams.n;
    snapshot->upstreams =
        arena_new(&snapshot->arena, (conf->upstreams.n + 1) * sizeof(*snapshot->upstreams));
    for (size_t i = 0; i < conf->upstreams.n; i++) {
        snapshot->upstreams[i].conf = &upstream[i];
        snapshot->upstreams[i].members = roster_plan(parts->draft, &upstream[i], notes);
        check_expected(&upstream[i], notes);
        snapshot->upstreams[i].tally = tally_get(
            parts->tally, UPSTREAM_TALLY, upstream[i].named.name, sizeof(struct upstream_counters));
    }
}

/* Say for each target which rules hold: the route's over the upstream's. */
static void settle_rules(struct snapshot *snapshot, const struct route *route)
{
    for (size_t i = 0; i < route->n_targets; i++) {
        struct route_target *target = &route->targets[i];
        const struct retry_rule *base = &snapshot->upstreams[target->index].conf->retry;
        struct retry_rule *merged;

        target->hedge = route->hedge && route->hedge->is_written
                            ? route->hedge
                            : &snapshot->upstreams[target->index].conf->hedge;
        target->retry = base;
        if (route->retry && route->retry->written != 0) {
            merged = arena_new(&snapshot->arena, sizeof(*merged));
            retry_rule_over(merged, base, route->retry);
            target->retry = merged;
        }
    }
}

/* What routes may refer to, in the snapshot's arena. */
static struct route_names names_of(struct snapshot *snapshot)
{
    struct sluice_span *listeners =
        arena_new(&snapshot->arena, (snapshot->n_listeners + 1) * sizeof(*listeners));
    struct sluice_span *upstreams =
        arena_new(&snapshot->arena, (snapshot->n_upstreams + 1) * sizeof(*upstreams));
    struct mark *marks = arena_new(&snapshot->arena, (snapshot->n_upstreams + 1) * sizeof(*marks));
    struct route_names names = {.listeners = listeners,
                                .n_listeners = snapshot->n_listeners,
                                .upstreams = upstreams,
                                .n_upstreams = snapshot->n_upstreams,
                                .upstream_marks = marks,
                                .is_used = arena_new(&snapshot->arena, snapshot->n_upstreams + 1)};

    for (size_t i = 0; i < snapshot->n_listeners; i++) {
        listeners[i] = snapshot->listeners[i].name;
    }
    for (size_t i = 0; i < snapshot->n_upstreams; i++) {
        upstreams[i] = snapshot->upstreams[i].conf->named.name;
        marks[i] = snapshot->upstreams[i].conf->named.at;
    }
    return names;
}

static void add_routes(struct snapshot *snapshot, const struct snapshot_conf *conf,
                       const struct snapshot_parts *parts, const struct route_names *names,
                       struct notes *notes)
{
    snapshot->unrouted_tally =
        tally_get(parts->tally, ROUTE_TALLY, SPAN(""), sizeof(struct route_counters));
    snapshot->routes = route_table_new(&conf->routes, names, &snapshot->arena, notes);
    if (!snapshot->routes)
        return;
    snapshot->route_tally = arena_new(&snapshot->arena, (route_table_count(snapshot->routes) + 1) *
                                                            sizeof(const struct tally_block *));
    for (size_t i = 0; i < route_table_count(snapshot->routes); i++) {
        const struct route *route = route_table_get(snapshot->routes, i);

        snapshot->route_tally[route->index] =
            tally_get(parts->tally, ROUTE_TALLY, route->name, sizeof(struct route_counters));
        settle_rules(snapshot, route);
    }
}

/* As if it had been written: { endpoints: [ HOST:PORT ], tls: true }. */
static struct upstream_conf *conf_of_url(struct snapshot *snapshot, const struct chain_url *url,
                                         struct notes *notes)
{
    const struct shape *shape = upstream_map_shape.element;
    struct bind bind = {.arena = &snapshot->arena, .notes = notes};
    struct upstream_conf *conf = arena_new(&snapshot->arena, sizeof(*conf));
    struct endpoint_conf *endpoint = arena_new(&snapshot->arena, sizeof(*endpoint));

    *endpoint = (struct endpoint_conf){.at = url->at, .address = url->endpoint, .weight = 1};
    CHECK(shape_bind(&bind, shape, NULL, conf) == OK); /* nothing but presets */
    conf->named = (struct named){.name = url->name, .at = url->at};
    conf->source.endpoints = (struct items){endpoint, 1};
    CHECK(shape_bind(&bind, &tls_client_shape, NULL, &conf->tls) == OK);
    conf->tls.is_written = conf->tls.enabled = url->is_tls;
    conf->tls.verify = true;
    return conf;
}

/* The upstreams that URLs in options of plugins stand for, behind those that were written. */
static void add_urls(struct snapshot *snapshot, const struct snapshot_parts *parts,
                     struct notes *notes)
{
    size_t n = snapshot->n_upstreams, n_urls = chain_set_urls(snapshot->chains);
    struct snapshot_upstream *all;

    if (n_urls == 0)
        return;
    all = arena_new(&snapshot->arena, (n + n_urls + 1) * sizeof(*all));
    memcpy(all, snapshot->upstreams, n * sizeof(*all));
    for (size_t i = 0; i < n_urls; i++) {
        const struct chain_url *url = chain_set_url(snapshot->chains, i);
        struct upstream_conf *conf = conf_of_url(snapshot, url, notes);

        all[n + i].conf = conf;
        all[n + i].members = roster_plan(parts->draft, conf, notes);
        all[n + i].tally =
            tally_get(parts->tally, UPSTREAM_TALLY, url->name, sizeof(struct upstream_counters));
        if (url->is_tls)
            all[n + i].tls = tls_client_new(&conf->tls, notes);
    }
    snapshot->upstreams = all;
    snapshot->n_upstreams = n + n_urls;
}

/* Load the plugins, and let them say what is wrong with their options. */
static void add_chains(struct snapshot *snapshot, const struct snapshot_conf *conf,
                       const struct snapshot_parts *parts, struct notes *notes, bool check_only)
{
    size_t n_routes = route_table_count(snapshot->routes);
    struct chain_spot *listeners =
        arena_new(&snapshot->arena, (snapshot->n_listeners + 1) * sizeof(*listeners));
    struct chain_spot *upstreams =
        arena_new(&snapshot->arena, (snapshot->n_upstreams + 1) * sizeof(*upstreams));
    struct chain_spot *routes = arena_new(&snapshot->arena, (n_routes + 1) * sizeof(*routes));
    const struct chain_wanted wanted = {.home = parts->home,
                                        .arena = &snapshot->arena,
                                        .notes = notes,
                                        .origins = parts->origins,
                                        .dirs = conf->plugin_path.first,
                                        .n_dirs = conf->plugin_path.n,
                                        .plugins = conf->plugins,
                                        .listeners = listeners,
                                        .routes = routes,
                                        .upstreams = upstreams,
                                        .n_listeners = snapshot->n_listeners,
                                        .n_routes = n_routes,
                                        .n_upstreams = snapshot->n_upstreams,
                                        .check_only = check_only};

    for (size_t i = 0; i < snapshot->n_listeners; i++) {
        listeners[i].name = snapshot->listeners[i].name;
        listeners[i].plugins = snapshot->listeners[i].plugins;
    }
    for (size_t i = 0; i < snapshot->n_upstreams; i++) {
        upstreams[i].name = snapshot->upstreams[i].conf->named.name;
        upstreams[i].plugins = snapshot->upstreams[i].conf->plugins;
    }
    for (size_t i = 0; i < n_routes; i++) {
        const struct route *route = route_table_get(snapshot->routes, i);
        struct chain_spot *spot = &routes[route->index];
        unsigned *targets = arena_new(&snapshot->arena, (route->n_targets + 1) * sizeof(*targets));

        for (size_t j = 0; j < route->n_targets; j++)
            targets[j] = route->targets[j].index;
        spot->name = route->name;
        spot->plugins = route->plugins;
        spot->targets = targets;
        spot->n_targets = route->n_targets;
    }
    snapshot->chains = parts->home ? chain_set_new(&wanted) : NULL;
    add_urls(snapshot, parts, notes);
    if (snapshot->chains)
        snapshot->files_stamp = snapshot_files(snapshot);
}

/* Plugins may name upstreams that no route does. */
static void warn_of_unused(const struct snapshot *snapshot, const struct route_names *names,
                           struct notes *notes)
{
    for (size_t i = 0; snapshot->chains && i < names->n_upstreams; i++) {
        if (chain_names_upstream(snapshot->chains, i))
            names->is_used[i] = true;
    }
    route_warn_unused(names, notes);
}

static void add_access_log(struct snapshot *snapshot, const struct snapshot_conf *conf,
                           struct notes *notes, bool check_only)
{
    struct sluice_span path = conf->access_log.path;

    snapshot->access_log = conf->access_log;
    snapshot->logs_response = access_format_wants_response(conf->access_log.format);
    if (check_only || span_equal(path, SPAN("off")))
        return;
    if (writer_open(snapshot->writer, path, &snapshot->access_file)) {
        notes_error(notes, (struct mark){0}, "check the folder and its rights",
                    "access_log.path '%s' cannot be opened: %s", path.ptr, strerror(errno));
    }
}

struct snapshot *snapshot_new(struct arena *arena, const struct snapshot_conf *conf,
                              const struct snapshot_parts *parts, struct notes *notes,
                              bool check_only)
{
    struct snapshot *snapshot = alloc_new(sizeof(*snapshot));
    struct route_names names;

    snapshot->arena = *arena;
    arena_init(arena, NULL, 0);
    snapshot->refs = 1;
    snapshot->writer = parts->writer;
    snapshot->origins = parts->origins;
    snapshot->splice = conf->splice;
    snapshot->retire = parts->retire;
    snapshot->retire_arg = parts->retire_arg;
    add_listeners(snapshot, conf, notes);
    add_upstreams(snapshot, conf, parts, notes);
    add_secrets(snapshot, parts, notes);
    names = names_of(snapshot);
    add_routes(snapshot, conf, parts, &names, notes);
    snapshot->redis = redis_peer_new(&conf->redis, notes);
    if (snapshot->redis && snapshot->redis->tls && parts->tickets)
        tls_client_log_keys(snapshot->redis->tls, &conf->redis.tls, notes);
    if (snapshot->routes) {
        add_chains(snapshot, conf, parts, notes, check_only);
        warn_of_unused(snapshot, &names, notes);
    }
    if (notes_errors(notes) == 0)
        add_access_log(snapshot, conf, notes, check_only);
    if (notes_errors(notes) > 0) {
        chain_set_free(&snapshot->chains);
        *arena = snapshot->arena;
        arena_init(&snapshot->arena, NULL, 0);
        snapshot_free(&snapshot);
    }
    return snapshot;
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
    __atomic_add_fetch(&snapshot->refs, 1, __ATOMIC_RELAXED);
    return snapshot;
}

void snapshot_unref(struct snapshot **snapshot)
{
    struct snapshot *old = *snapshot;

    *snapshot = NULL;
    if (old && __atomic_sub_fetch(&old->refs, 1, __ATOMIC_ACQ_REL) == 0)
        old->retire(old->retire_arg, old);
}

void snapshot_free(struct snapshot **snapshot)
{
    struct snapshot *old = *snapshot;

    *snapshot = NULL;
    if (!old)
        return;
    chain_set_free(&old->chains);
    redis_peer_unref(&old->redis);
    for (size_t i = 0; i < old->n_upstreams; i++) {
        members_unref(&old->upstreams[i].members);
        tls_client_unref(&old->upstreams[i].tls);
    }
    for (size_t i = 0; i < old->n_listeners; i++) {
        tls_server_unref(&old->listeners[i].server);
    }
    if (old->access_file)
        writer_close(old->writer, &old->access_file);
    arena_fini(&old->arena);
    alloc_free(old);
}
