/*
 * page_workers.c - workers, one by one.
 */
#include "admin/pages.h"
#include "config/json.h"

static void add_worker(struct json *json, const struct worker *worker)
{
    json_open_row(json, NULL, '{');
    json_number(json, "worker", worker->index);
    json_number(json, "connections", counter_get(&worker->counters.connections));
    json_number(json, "exchanges", counter_get(&worker->counters.exchanges));
    json_number(json, "tunnels", counter_get(&worker->counters.tunnels));
    json_number(json, "accepted", counter_get(&worker->counters.accepted));
    json_number(json, "handed_off", counter_get(&worker->counters.handed_off));
    json_number(json, "loop_turns", counter_get(&worker->loop->turns));
    json_close(json, '}');
}

void page_workers(const struct ask *ask, struct answer *answer)
{
    const struct crew *crew = ask->host->crew;
    struct json json = {.out = &answer->body};

    json_open(&json, NULL, '{');
    json_number(&json, "connections", __atomic_load_n(&crew->connections, __ATOMIC_RELAXED));
    json_number(&json, "max_connections",
                __atomic_load_n(&crew->max_connections, __ATOMIC_RELAXED));
    json_open(&json, "workers", '[');
    for (unsigned i = 0; i < crew->n_workers; i++) {
        add_worker(&json, crew->worker[i]);
    }
    json_close(&json, ']');
    json_close(&json, '}');
    text_add_char(&answer->body, '\n');
}
