#include "server/conf_rest.h"

#include "chain/chain.h"
#include "chain/plugin.h"

static void note_names(const struct snapshot_conf *conf, struct arena *arena, struct notes *notes)
{
    const struct listener_conf *listener = conf->listeners.first;
    const struct upstream_conf *upstream = conf->upstreams.first;
    size_t n_listeners = conf->listeners.n;
    size_t n_upstreams = conf->upstreams.n;
    struct sluice_span *listeners = arena_new(arena, (n_listeners + 1) * sizeof(*listeners));
    struct sluice_span *upstreams = arena_new(arena, (n_upstreams + 1) * sizeof(*upstreams));
    struct mark *marks = arena_new(arena, (n_upstreams + 1) * sizeof(*marks));
    const struct route_names names = {listeners, n_listeners, upstreams, n_upstreams, marks, NULL};

    for (size_t i = 0; i < n_listeners; i++)
        listeners[i] = listener[i].name.ptr ? listener[i].name : SPAN("");
    for (size_t i = 0; i < n_upstreams; i++) {
        upstreams[i] = upstream[i].named.name;
        marks[i] = upstream[i].named.at;
    }
    (void)route_table_new(&conf->routes, &names, arena, notes);
}

/* Have plugins say what is wrong with their options, by a home that ends with it. */
static void note_plugins(const struct snapshot_conf *conf, struct arena *arena, struct notes *notes)
{
    const struct listener_conf *listener = conf->listeners.first;
    const struct upstream_conf *upstream = conf->upstreams.first;
    struct chain_spot *listeners = arena_new(arena, (conf->listeners.n + 1) * sizeof(*listeners));
    struct chain_spot *upstreams = arena_new(arena, (conf->upstreams.n + 1) * sizeof(*upstreams));
    struct chain_spot *routes = arena_new(arena, (conf->routes.n + 1) * sizeof(*routes));
    struct tally *tally = tally_new(1);
    struct chain_home *home = home_new(tally, 0);
    struct chain_set *set;

    for (size_t i = 0; i < conf->listeners.n; i++) {
        listeners[i].name = listener[i].name.ptr ? listener[i].name : SPAN("");
        listeners[i].plugins = listener[i].plugins;
    }
    for (size_t i = 0; i < conf->upstreams.n; i++) {
        upstreams[i].name = upstream[i].named.name;
        upstreams[i].plugins = upstream[i].plugins;
    }
    for (size_t i = 0; i < conf->routes.n; i++) {
        routes[i].name = SPAN("");
        routes[i].plugins = route_list_plugins(&conf->routes, i);
    }
    set = chain_set_new(&(struct chain_wanted){.home = home,
                                               .arena = arena,
                                               .notes = notes,
                                               .dirs = conf->plugin_path.first,
                                               .n_dirs = conf->plugin_path.n,
                                               .plugins = conf->plugins,
                                               .listeners = listeners,
                                               .routes = routes,
                                               .upstreams = upstreams,
                                               .n_listeners = conf->listeners.n,
                                               .n_routes = conf->routes.n,
                                               .n_upstreams = conf->upstreams.n,
                                               .check_only = true});
    chain_set_free(&set);
    home_free(&home);
    tally_free(&tally);
}

void conf_rest_note(const struct snapshot_conf *conf, bool has_names, struct arena *arena,
                    struct notes *notes)
{
    if (!has_names)
        return;
    note_names(conf, arena, notes);
    note_plugins(conf, arena, notes);
}
