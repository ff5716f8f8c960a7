#include "server/conf_rest.h"

static void note_names(const struct snapshot_conf *conf, struct arena *arena, struct notes *notes)
{
    const struct listener_conf *listener = conf->listeners.first;
    const struct upstream_conf *upstream = conf->upstreams.first;
    size_t n_listeners = conf->listeners.n;
    size_t n_upstreams = conf->upstreams.n;
    struct sluice_span *listeners = arena_new(arena, (n_listeners + 1) * sizeof(*listeners));
    struct sluice_span *upstreams = arena_new(arena, (n_upstreams + 1) * sizeof(*upstreams));
    struct mark *marks = arena_new(arena, (n_upstreams + 1) * sizeof(*marks));
    const struct route_names names = {listeners, n_listeners, upstreams, n_upstreams, marks};

    for (size_t i = 0; i < n_listeners; i++)
        listeners[i] = listener[i].name.ptr ? listener[i].name : SPAN("");
    for (size_t i = 0; i < n_upstreams; i++) {
        upstreams[i] = upstream[i].named.name;
        marks[i] = upstream[i].named.at;
    }
    (void)route_table_new(&conf->routes, &names, arena, notes);
}

void conf_rest_note(const struct snapshot_conf *conf, bool has_names, struct arena *arena,
                    struct notes *notes)
{
    if (has_names)
        note_names(conf, arena, notes);
}
