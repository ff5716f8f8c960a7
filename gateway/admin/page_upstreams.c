/*
 * page_upstreams.c - upstreams with their sources, and endpoints with all that is known of them.
 *
 * There may be very many: a page is a window of rows. An upstream takes a row for each of its
 * endpoints, and one when it has none; what is above or below the window is left out.
 */
#include "admin/pages.h"
#include "base/now.h"
#include "config/json.h"
#include "http/target.h"
#include "upstream/balance.h"
#include "upstream/collect.h"
#include "upstream/endpoint.h"
#include "upstream/levels.h"
#include "upstream/roster.h"
#include "upstream/upstream.h"

#include <stddef.h>

enum {
    ROWS_PRESET = 1000,
    ROWS_MAX = 10000, /* some 80 ms of the control thread */
    NAME_ROOM = 1024  /* of an upstream */
};

/* What is to be shown. */
struct window {
    uint64_t from, limit;
    struct sluice_span only; /* the upstream; ptr NULL: all */
    uint64_t row;            /* where we are; ends as the number of all rows */
};

/* What all rows of a page are made with. */
struct making {
    struct json *json;
    const struct admin_host *host;
    unsigned n_workers;
    uint64_t now_us, wall_us;
    struct window window;
};

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

static void add_resets(struct json *json, const struct tally_block *block, unsigned n_workers)
{
    json_open_row(json, "resets_by_cause", '{');
    for (size_t i = 0; i < ENDPOINT_RESET_COUNT; i++) {
        uint64_t n =
            collect_sum(block, n_workers,
                        offsetof(struct endpoint_counters, resets) + i * sizeof(struct counter));

        if (n > 0)
            json_number(json, endpoint_reset_text((enum endpoint_reset)i), n);
    }
    json_close(json, '}');
}

/* Only where HTTP/2 was spoken, or TLS. */
static void add_protocols(struct json *json, const struct tally_block *block, unsigned n_workers)
{
    uint64_t full = ENDPOINT_SUM(block, n_workers, tls.full);
    uint64_t resumed = ENDPOINT_SUM(block, n_workers, tls.resumed);
    uint64_t failed = ENDPOINT_SUM(block, n_workers, tls.failed);

    json_number(json, "goaways", ENDPOINT_SUM(block, n_workers, goaways));
    add_resets(json, block, n_workers);
    if (full + resumed + failed == 0)
        return;
    json_open_row(json, "tls_handshakes", '{');
    json_number(json, "full", full);
    json_number(json, "resumed", resumed);
    json_number(json, "failed", failed);
    json_close(json, '}');
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

static void add_bool(struct json *json, const char *name, bool value)
{
    json_literal(json, name, value ? SPAN("true") : SPAN("false"));
}

/* -- an endpoint ------------------------------------------------------------- */

static void add_check(const struct making *making, const struct share *share)
{
    static const char *const states[] = {[CONDITION_UNKNOWN] = "unknown",
                                         [CONDITION_WELL] = "passing",
                                         [CONDITION_UNWELL] = "failing"};
    struct json *json = making->json;

    if (!share->patient)
        return;
    json_open_row(json, "check", '{');
    json_string(json, "state", span_of(states[share->condition.state]));
    if (share->checked.at_us > 0) {
        json_string(json, "last", span_of(probe_result_text(share->checked.result)));
        json_string(json, "cause", span_of(share->checked.why));
        json_number(json, "ago_ms", (making->now_us - share->checked.at_us) / 1000);
    }
    json_close(json, '}');
}

static uint64_t left_ms(const struct making *making, uint64_t until_us)
{
    return until_us > making->now_us ? (until_us - making->now_us) / 1000 : 0;
}

static void add_health(const struct making *making, const struct share *share)
{
    uint64_t slow_until_us = __atomic_load_n(&share->slow_until_us, __ATOMIC_RELAXED);
    uint32_t state = share_state(share);
    struct json *json = making->json;

    add_bool(json, "healthy", state == 0);
    add_check(making, share);
    if (state & SHARE_EJECTED) {
        json_open_row(json, "ejected", '{');
        json_string(json, "cause", span_of(eject_cause_text(share->ejection.cause)));
        json_number(json, "left_ms", left_ms(making, share->ejection.until_us));
        json_number(json, "times", share->ejection.times);
        json_close(json, '}');
    }
    if (slow_until_us > making->now_us)
        json_number(json, "slow_start_left_ms", left_ms(making, slow_until_us));
}

/* The mean over the workers that have measured it; 0: none has. */
static uint64_t latency_of(const struct tally_block *block, unsigned n_workers)
{
    uint64_t sum = 0, n = 0;

    for (unsigned i = 0; i < n_workers; i++) {
        const struct endpoint_counters *counters = tally_slot(block, i);
        uint64_t latency_us = counter_get(&counters->latency_us);

        sum += latency_us;
        n += latency_us > 0;
    }
    return n ? sum / n : 0;
}

static void add_endpoint(const struct making *making, const struct members *members, size_t i)
{
    const struct member *member = &members->member[i];
    unsigned n_workers = making->n_workers;
    struct json *json = making->json;
    uint64_t latency_us = latency_of(member->tally, n_workers);

    json_open(json, NULL, '{');
    json_string(json, "address", member->text);
    json_number(json, "weight", member->weight);
    json_string(json, "state", span_of(state_of(members, i)));
    add_health(making, member->share);
    json_number(json, "priority", member->facts->priority);
    add_facts(json, member->facts);
    json_open_row(json, "connections", '{');
    json_number(json, "active", ENDPOINT_SUM(member->tally, n_workers, active));
    json_number(json, "idle", ENDPOINT_SUM(member->tally, n_workers, idle));
    json_number(json, "tunnels", ENDPOINT_SUM(member->tally, n_workers, tunnels));
    json_number(json, "h2", ENDPOINT_SUM(member->tally, n_workers, h2_connections));
    json_number(json, "streams", ENDPOINT_SUM(member->tally, n_workers, streams));
    json_close(json, '}');
    json_number(json, "connects", ENDPOINT_SUM(member->tally, n_workers, connects));
    json_number(json, "requests", ENDPOINT_SUM(member->tally, n_workers, requests));
    add_failures(json, member->tally, n_workers);
    add_protocols(json, member->tally, n_workers);
    if (latency_us > 0)
        json_number(json, "latency_us", latency_us);
    json_close(json, '}');
}

/* -- an upstream --------------------------------------------------------------- */

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

static void add_source(const struct making *making, const struct roster_row *row)
{
    const struct source_status *status = source_status(row->source);
    const struct found *found = row->members->found;
    struct json *json = making->json;

    json_open_row(json, "source", '{');
    json_string(json, "kind", span_of(row->source->kind->name));
    json_string(json, "title", span_of(row->source->title));
    json_string(json, "state", span_of(source_state_name(status->state)));
    json_string(json, "version", found ? found->version : SPAN(""));
    json_number(json, "as_of", status->as_of_wall_us / 1000000);
    if (status->as_of_wall_us > 0 && source_ages(row->source)) {
        json_number(json, "age_ms",
                    making->wall_us > status->as_of_wall_us
                        ? (making->wall_us - status->as_of_wall_us) / 1000
                        : 0);
    }
    json_number(json, "updates", status->updates);
    json_number(json, "errors", status->errors);
    json_string(json, "cause", span_of(status->why));
    json_close(json, '}');
}

/* The retries of the interval that ends now. */
static void add_budget(const struct making *making, const struct snapshot_upstream *upstream)
{
    const struct budget_rule *rule = &upstream->conf->retry_budget;
    const struct pace *retries = &upstream->members->group->retries;
    uint64_t seconds = rule->interval_ms / 1000;
    uint64_t requests = upstream_begun(upstream->tally, making->now_us, seconds);
    uint64_t allowed = budget_allowance(rule, requests);
    uint64_t spent = pace_sum(retries, making->now_us, seconds);
    struct json *json = making->json;

    json_open_row(json, "retry_budget", '{');
    json_number(json, "interval_ms", rule->interval_ms);
    json_number(json, "requests", requests);
    json_number(json, "allowed", allowed);
    json_number(json, "spent", spent);
    json_number(json, "left", allowed > spent ? allowed - spent : 0);
    json_close(json, '}');
}

/* The priorities of all endpoints, as workers see them (upstream/candidates.c). */
static size_t find_levels(const struct members *members, const struct levels_rule *rule,
                          struct level level[LEVELS_MAX])
{
    size_t n_levels = 0;

    for (size_t i = 0; i < members->n + members->n_failing; i++) {
        const struct member *member = &members->member[i];
        struct level *one = levels_find(level, &n_levels, member->facts->priority);

        one->n++;
        one->n_well += i < members->n && share_state(member->share) == 0;
    }
    levels_share(rule, level, n_levels);
    return n_levels;
}

static void add_level(struct json *json, const struct level *level)
{
    json_open_row(json, NULL, '{');
    json_number(json, "priority", level->priority);
    json_number(json, "endpoints", level->n);
    json_number(json, "healthy", level->n_well);
    json_number(json, "share_percent", (uint64_t)level->share * 100 / LEVELS_WHOLE);
    add_bool(json, "panic", level->panic);
    json_close(json, '}');
}

static void add_levels(struct json *json, const struct members *members,
                       const struct levels_rule *rule)
{
    struct level level[LEVELS_MAX] = {{0}};
    size_t n_levels = find_levels(members, rule, level);
    uint64_t n_healthy = 0;
    bool panic = false;

    for (size_t i = 0; i < n_levels; i++) {
        n_healthy += level[i].n_well;
        panic |= level[i].panic;
    }
    add_bool(json, "panic", panic);
    json_open(json, "priorities", '[');
    for (size_t i = 0; i < n_levels; i++) {
        add_level(json, &level[i]);
    }
    json_close(json, ']');
    json_open_row(json, "endpoint_counts", '{');
    json_number(json, "all", members_count(members));
    json_number(json, "in_rotation", members->n);
    json_number(json, "healthy", n_healthy);
    json_number(json, "failing", members->n_failing);
    json_number(json, "draining", members->n_draining);
    json_close(json, '}');
}

static void add_traffic(const struct making *making, const struct snapshot_upstream *upstream)
{
    unsigned n_workers = making->n_workers;
    struct json *json = making->json;

    json_number(json, "waiting", UPSTREAM_SUM(upstream->tally, n_workers, waiting));
    json_number(json, "retries", retries_of(upstream->tally, n_workers));
    add_budget(making, upstream);
    json_open_row(json, "rejected", '{');
    json_number(json, "full", UPSTREAM_SUM(upstream->tally, n_workers, rejected_full));
    json_number(json, "timeout", UPSTREAM_SUM(upstream->tally, n_workers, rejected_timeout));
    json_close(json, '}');
}

/* Those of the endpoints that the window shows; the first is row number first. */
static void add_endpoints(const struct making *making, const struct members *members,
                          uint64_t first)
{
    const struct window *window = &making->window;
    uint64_t end = window->from + window->limit;

    json_open(making->json, "endpoints", '[');
    for (size_t i = first < window->from ? window->from - first : 0;
         i < members_count(members) && first + i < end; i++) {
        add_endpoint(making, members, i);
    }
    json_close(making->json, ']');
}

static void add_upstream(struct making *making, const struct snapshot_upstream *upstream)
{
    const struct upstream_conf *conf = upstream->conf;
    const struct members *members = upstream->members;
    struct window *window = &making->window;
    uint64_t first = window->row;
    struct roster_row row;
    bool is_listed =
        making->host->roster && roster_find(making->host->roster, conf->named.name, &row);
    size_t n;

    if (is_listed)
        members = row.members;
    n = members_count(members);
    window->row += n > 0 ? n : 1;
    if (window->row <= window->from || first >= window->from + window->limit)
        return;
    json_open(making->json, NULL, '{');
    json_string(making->json, "name", conf->named.name);
    json_string(making->json, "balance", span_of(balance_get(conf->balance)->name));
    json_string(making->json, "protocol", span_of(upstream_protocol_name(conf->protocol)));
    add_traffic(making, upstream);
    if (is_listed)
        add_source(making, &row);
    add_levels(making->json, members, &conf->levels);
    add_endpoints(making, members, first);
    json_close(making->json, '}');
}

/* -- the page --------------------------------------------------------------------- */

/* A number of the query; false when it is there and none, or above max. */
static bool read_number(struct sluice_span query, struct sluice_span name, uint64_t max,
                        uint64_t *number)
{
    char scratch[32];
    struct sluice_span value;

    if (!target_query_find(query, name, scratch, sizeof(scratch), &value))
        return true;
    return span_number(value, max, number) == OK;
}

static bool is_shown(const struct window *window, const struct snapshot_upstream *upstream)
{
    return !window->only.ptr || span_equal(upstream->conf->named.name, window->only);
}

static void add_all(struct making *making, const struct snapshot *snapshot)
{
    const struct window *window = &making->window;
    struct json *json = making->json;

    json_open(json, NULL, '{');
    json_number(json, "generation", snapshot ? snapshot->generation : 0);
    json_open(json, "upstreams", '[');
    for (size_t i = 0; snapshot && i < snapshot->n_upstreams; i++) {
        if (is_shown(window, &snapshot->upstreams[i]))
            add_upstream(making, &snapshot->upstreams[i]);
    }
    json_close(json, ']');
    json_number(json, "rows", window->row);
    json_number(json, "offset", window->from);
    json_number(json, "limit", window->limit);
    if (window->row > window->from + window->limit)
        json_number(json, "next", window->from + window->limit);
    json_close(json, '}');
    text_add_char(making->json->out, '\n');
}

void page_upstreams(const struct ask *ask, struct answer *answer)
{
    const struct snapshot *snapshot = ask->host->snapshot(ask->host->owner);
    struct json json = {.out = &answer->body};
    struct making making = {.json = &json,
                            .host = ask->host,
                            .n_workers = ask->host->crew->n_workers,
                            .now_us = now_us(),
                            .wall_us = now_wall_us(),
                            .window = {.limit = ROWS_PRESET}};
    struct window *window = &making.window;
    char name[NAME_ROOM];

    if (!read_number(ask->query, SPAN("limit"), ROWS_MAX, &window->limit) || window->limit == 0 ||
        !read_number(ask->query, SPAN("offset"), UINT32_MAX, &window->from)) {
        answer_problem(answer, 422,
                       "limit= is a number of rows from 1 to 10000, offset= one from 0.");
        return;
    }
    target_query_find(ask->query, SPAN("upstream"), name, sizeof(name), &window->only);
    add_all(&making, snapshot);
    if (window->only.ptr && window->row == 0)
        answer_problem(answer, 404, "There is no such upstream.");
}
