/*
 * page_traffic.c - upstreams with their endpoints, and workers.
 */
#include "admin/pages.h"
#include "config/json.h"
#include "upstream/balance.h"
#include "upstream/collect.h"
#include "upstream/endpoint.h"
#include "upstream/roster.h"
#include "upstream/upstream.h"

#include <stddef.h>

#define ENDPOINT_SUM(block, n_workers, member)                                                     \
    collect_sum((block), (n_workers), offsetof(struct endpoint_counters, member))
#define UPSTREAM_SUM(block, n_workers, member)                                                     \
    collect_sum((block), (n_workers), offsetof(struct upstream_counters, member))

static void add_failures(struct json *json, const struct tally_block *block, unsigned n_workers)
{
    uint64_t failures[ENDPOINT_FAILURE_COUNT], sum = 0;

    for (size_t i = 0; i < ENDPOINT_FAILURE_COUNT; i++) {
        failures[i] =
            collect_sum(block, n_workers,
                        offsetof(struct endpoint_counters, failures) + i * sizeof(struct counter));
        sum += failures[i];
    }
    json_number(json, "failures", sum);
    json_open_row(json, "failures_by_reason", '{');
    for (size_t i = 0; i < ENDPOINT_FAILURE_COUNT; i++) {
        if (failures[i] > 0)
            json_number(json, endpoint_failure_text((enum endpoint_failure)i), failures[i]);
    }
    json_close(json, '}');
}

/* In rotation, or why not. */
static const char *state_of(const struct members *members, size_t i)
{
    const struct found_endpoint *facts = members->member[i].facts;

    if (i < members->n)
        return facts->state == FOUND_WARNING ? "warning" : "serving";
    return i < members->n + members->n_failing ? "failing" : "draining";
}

static void add_facts(struct json *json, const struct found_endpoint *facts)
{
    if (facts->id.len > 0)
        json_string(json, "id", facts->id);
    if (facts->zone.len > 0)
        json_string(json, "zone", facts->zone);
    if (facts->host.len > 0)
        json_string(json, "name", facts->host);
    if (facts->n_tags > 0) {
        json_open_row(json, "tags", '[');
        for (size_t i = 0; i < facts->n_tags; i++) {
            json_string(json, NULL, facts->tags[i]);
        }
        json_close(json, ']');
    }
    if (facts->n_meta > 0) {
        json_open_row(json, "meta", '{');
        for (size_t i = 0; i < facts->n_meta; i++) {
            json_string(json, facts->meta[i].name.ptr, facts->meta[i].value);
        }
        json_close(json, '}');
    }
}

static void add_endpoint(struct json *json, const struct members *members, size_t i,
                         unsigned n_workers)
{
    const struct member *member = &members->member[i];

    json_open(json, NULL, '{');
    json_string(json, "address", member->text);
    json_number(json, "weight", member->weight);
    json_string(json, "state", span_of(state_of(members, i)));
    json_number(json, "priority", member->facts->priority);
    add_facts(json, member->facts);
    json_open_row(json, "connections", '{');
    json_number(json, "active", ENDPOINT_SUM(member->tally, n_workers, active));
    json_number(json, "idle", ENDPOINT_SUM(member->tally, n_workers, idle));
    json_close(json, '}');
    json_number(json, "connects", ENDPOINT_SUM(member->tally, n_workers, connects));
    json_number(json, "requests", ENDPOINT_SUM(member->tally, n_workers, requests));
    add_failures(json, member->tally, n_workers);
    json_close(json, '}');
}

/* All causes together. */
static uint64_t retries_of(const struct tally_block *block, unsigned n_workers)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < UPSTREAM_RETRY_COUNT; i++) {
        sum +=
            collect_sum(block, n_workers,
                        offsetof(struct upstream_counters, retries) + i * sizeof(struct counter));
    }
    return sum;
}

static void add_source(struct json *json, const struct roster_row *row)
{
    const struct source_status *status = source_status(row->source);
    const struct found *found = row->members->found;

    json_open_row(json, "source", '{');
    json_string(json, "kind", span_of(row->source->kind->name));
    json_string(json, "title", span_of(row->source->title));
    json_string(json, "state", span_of(source_state_name(status->state)));
    json_string(json, "version", found ? found->version : SPAN(""));
    json_number(json, "as_of", status->as_of_wall_us / 1000000);
    json_number(json, "updates", status->updates);
    json_number(json, "errors", status->errors);
    json_string(json, "cause", span_of(status->why));
    json_close(json, '}');
}

static void add_upstream(struct json *json, const struct snapshot_upstream *upstream,
                         const struct admin_host *host)
{
    const struct upstream_conf *conf = upstream->conf;
    const struct members *members = upstream->members;
    unsigned n_workers = host->crew->n_workers;
    struct roster_row row;

    json_open(json, NULL, '{');
    json_string(json, "name", conf->named.name);
    json_string(json, "balance", span_of(balance_get(conf->balance)->name));
    json_number(json, "waiting", UPSTREAM_SUM(upstream->tally, n_workers, waiting));
    json_number(json, "retries", retries_of(upstream->tally, n_workers));
    json_open_row(json, "rejected", '{');
    json_number(json, "full", UPSTREAM_SUM(upstream->tally, n_workers, rejected_full));
    json_number(json, "timeout", UPSTREAM_SUM(upstream->tally, n_workers, rejected_timeout));
    json_close(json, '}');
    if (host->roster && roster_find(host->roster, conf->named.name, &row)) {
        add_source(json, &row);
        members = row.members;
    }
    json_open(json, "endpoints", '[');
    for (size_t i = 0; i < members_count(members); i++) {
        add_endpoint(json, members, i, n_workers);
    }
    json_close(json, ']');
    json_close(json, '}');
}

void page_upstreams(const struct ask *ask, struct answer *answer)
{
    const struct snapshot *snapshot = ask->host->snapshot(ask->host->owner);
    struct json json = {.out = &answer->body};

    json_open(&json, NULL, '{');
    json_number(&json, "generation", snapshot ? snapshot->generation : 0);
    json_open(&json, "upstreams", '[');
    for (size_t i = 0; snapshot && i < snapshot->n_upstreams; i++) {
        add_upstream(&json, &snapshot->upstreams[i], ask->host);
    }
    json_close(&json, ']');
    json_close(&json, '}');
    text_add_char(&answer->body, '\n');
}

static void add_worker(struct json *json, const struct worker *worker)
{
    json_open_row(json, NULL, '{');
    json_number(json, "worker", worker->index);
    json_number(json, "connections", counter_get(&worker->counters.connections));
    json_number(json, "exchanges", counter_get(&worker->counters.exchanges));
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
