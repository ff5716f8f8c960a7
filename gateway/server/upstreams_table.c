/*
 * upstreams_table.c - a paragraph for each upstream: what is to be known of it, then its endpoints
 * in columns that stand below each other in the whole table.
 */
#include "server/upstreams_table.h"

#include "server/columns.h"

#include <string.h>

/* -- the state of an endpoint ---------------------------------------------------------- */

/* What matters most of it. */
static enum tone add_state(const json_t *endpoint, struct text *out)
{
    const char *state = cell_text(endpoint, "state");
    const json_t *ejected = json_object_get(endpoint, "ejected");
    const json_t *slow = json_object_get(endpoint, "slow_start_left_ms");

    if (strcmp(state, "draining") == 0 || strcmp(state, "failing") == 0) {
        cell_add_shown(out, state);
        return state[0] == 'f' ? TONE_BAD : TONE_CARE;
    }
    if (ejected) {
        text_add(out, SPAN("ejected "));
        cell_add_duration(out, cell_number(ejected, "left_ms"));
        return TONE_BAD;
    }
    if (json_is_false(json_object_get(endpoint, "healthy"))) {
        text_add(out, SPAN("unhealthy"));
        return TONE_BAD;
    }
    if (slow) {
        text_add(out, SPAN("slow start "));
        cell_add_duration(out, (long long)json_integer_value(slow));
        return TONE_CARE;
    }
    cell_add_shown(out, state);
    return strcmp(state, "warning") == 0 ? TONE_CARE : TONE_GOOD;
}

static void add_why(const json_t *endpoint, struct text *out)
{
    const json_t *ejected = json_object_get(endpoint, "ejected");
    const json_t *check = json_object_get(endpoint, "check");
    const char *last = cell_text(check, "last");
    const char *cause = cell_text(check, "cause");

    if (ejected) {
        cell_add_shown(out, cell_text(ejected, "cause"));
        if (cell_number(ejected, "times") > 1)
            text_format(out, ", %lld times", cell_number(ejected, "times"));
        text_add(out, check ? SPAN("; ") : SPAN(""));
    }
    if (!check)
        return;
    text_add(out, SPAN("check "));
    cell_add_shown(out, last[0] ? last : "is to come");
    if (cause[0]) {
        text_add(out, SPAN(": "));
        cell_add_shown(out, cause);
    }
}

/* -- columns ----------------------------------------------------------------------------- */

enum endpoint_column {
    COLUMN_ADDRESS,
    COLUMN_STATE,
    COLUMN_WEIGHT,
    COLUMN_PRIORITY,
    COLUMN_ZONE,
    COLUMN_ACTIVE,
    COLUMN_IDLE,
    COLUMN_REQUESTS,
    COLUMN_FAILURES,
    COLUMN_LATENCY,
    COLUMN_WHY,
    COLUMN_COUNT
};

static const struct column columns[] = {
    [COLUMN_ADDRESS] = {"ENDPOINT", false}, [COLUMN_STATE] = {"STATE", false},
    [COLUMN_WEIGHT] = {"WEIGHT", true},     [COLUMN_PRIORITY] = {"PRIORITY", true},
    [COLUMN_ZONE] = {"ZONE", false},        [COLUMN_ACTIVE] = {"ACTIVE", true},
    [COLUMN_IDLE] = {"IDLE", true},         [COLUMN_REQUESTS] = {"REQUESTS", true},
    [COLUMN_FAILURES] = {"FAILURES", true}, [COLUMN_LATENCY] = {"LATENCY", true},
    [COLUMN_WHY] = {"WHY", false},
};

static void add_latency(const json_t *endpoint, struct text *out)
{
    const json_t *latency = json_object_get(endpoint, "latency_us");

    if (latency)
        text_format(out, "%.1fms", (double)json_integer_value(latency) / 1000);
}

static enum tone add_cell(const json_t *endpoint, unsigned column, struct text *out)
{
    const json_t *connections = json_object_get(endpoint, "connections");

    switch ((enum endpoint_column)column) {
    case COLUMN_ADDRESS:
        cell_add_shown(out, cell_text(endpoint, "address"));
        break;
    case COLUMN_STATE:
        return add_state(endpoint, out);
    case COLUMN_WEIGHT:
        text_format(out, "%lld", cell_number(endpoint, "weight"));
        break;
    case COLUMN_PRIORITY:
        text_format(out, "%lld", cell_number(endpoint, "priority"));
        break;
    case COLUMN_ZONE:
        cell_add_shown(out, cell_text(endpoint, "zone"));
        break;
    case COLUMN_ACTIVE:
        text_format(out, "%lld", cell_number(connections, "active"));
        break;
    case COLUMN_IDLE:
        text_format(out, "%lld", cell_number(connections, "idle"));
        break;
    case COLUMN_REQUESTS:
        text_format(out, "%lld", cell_number(endpoint, "requests"));
        break;
    case COLUMN_FAILURES:
        text_format(out, "%lld", cell_number(endpoint, "failures"));
        return cell_number(endpoint, "failures") > 0 ? TONE_CARE : TONE_PLAIN;
    case COLUMN_LATENCY:
        add_latency(endpoint, out);
        break;
    case COLUMN_WHY:
        add_why(endpoint, out);
        return TONE_FAINT;
    case COLUMN_COUNT:
        break;
    }
    return TONE_PLAIN;
}

/* -- an upstream --------------------------------------------------------------------------- */

static void add_source(struct columns *table, const json_t *source)
{
    const char *state = cell_text(source, "state");
    const char *version = cell_text(source, "version");
    const json_t *age = json_object_get(source, "age_ms");

    text_add(table->out, SPAN("  source: "));
    cell_add_shown(table->out, cell_text(source, "title"));
    if (version[0]) {
        text_add(table->out, SPAN(", "));
        cell_add_shown(table->out, version);
    }
    text_add(table->out, SPAN(", "));
    columns_add_toned(table, strcmp(state, "fresh") == 0 ? TONE_GOOD : TONE_CARE, span_of(state));
    if (age) {
        text_add(table->out, SPAN(", confirmed "));
        cell_add_duration(table->out, (long long)json_integer_value(age));
        text_add(table->out, SPAN(" ago"));
    }
    if (cell_text(source, "cause")[0]) {
        text_add(table->out, SPAN(": "));
        cell_add_shown(table->out, cell_text(source, "cause"));
    }
    columns_end_line(table);
}

static void add_budget(struct columns *table, const json_t *upstream)
{
    const json_t *budget = json_object_get(upstream, "retry_budget");

    text_format(table->out, "  retry budget: %lld of %lld left in ", cell_number(budget, "left"),
                cell_number(budget, "allowed"));
    cell_add_duration(table->out, cell_number(budget, "interval_ms"));
    text_format(table->out, "; retries: %lld; waiting: %lld", cell_number(upstream, "retries"),
                cell_number(upstream, "waiting"));
    columns_end_line(table);
}

/* Only where there are several. */
static void add_levels(struct columns *table, const json_t *levels)
{
    if (json_array_size(levels) < 2)
        return;
    text_add(table->out, SPAN("  priorities:"));
    for (size_t i = 0; i < json_array_size(levels); i++) {
        const json_t *level = json_array_get(levels, i);

        text_format(table->out, "%s %lld takes %lld%% (%lld of %lld healthy)", i > 0 ? "," : "",
                    cell_number(level, "priority"), cell_number(level, "share_percent"),
                    cell_number(level, "healthy"), cell_number(level, "endpoints"));
    }
    columns_end_line(table);
}

static void add_head(struct columns *table, const json_t *upstream)
{
    const json_t *counts = json_object_get(upstream, "endpoint_counts");
    char buffer[CELL_MAX];
    struct text name;

    text_init_fixed(&name, buffer, sizeof(buffer));
    cell_add_shown(&name, cell_text(upstream, "name"));
    columns_add_toned(table, TONE_HEAD, text_span(&name));
    text_format(table->out, "  %s, %s, %lld of %lld endpoints healthy",
                cell_text(upstream, "balance"), cell_text(upstream, "protocol"),
                cell_number(counts, "healthy"), cell_number(counts, "all"));
    if (json_is_true(json_object_get(upstream, "panic"))) {
        text_add(table->out, SPAN("  "));
        columns_add_toned(table, TONE_BAD, SPAN("PANIC: too few are well, all are used"));
    }
    columns_end_line(table);
    add_source(table, json_object_get(upstream, "source"));
    add_budget(table, upstream);
    add_levels(table, json_object_get(upstream, "priorities"));
}

static void add_upstream(struct columns *table, const json_t *upstream)
{
    const json_t *endpoints = json_object_get(upstream, "endpoints");

    add_head(table, upstream);
    if (json_array_size(endpoints) > 0)
        columns_add_titles(table);
    for (size_t i = 0; i < json_array_size(endpoints); i++) {
        columns_add_row(table, json_array_get(endpoints, i));
    }
}

static void measure_all(struct columns *table, const json_t *upstreams)
{
    for (size_t i = 0; i < json_array_size(upstreams); i++) {
        const json_t *endpoints = json_object_get(json_array_get(upstreams, i), "endpoints");

        for (size_t at = 0; at < json_array_size(endpoints); at++) {
            columns_measure(table, json_array_get(endpoints, at));
        }
    }
}

void upstreams_table(const json_t *whole, bool colour, struct text *out)
{
    const json_t *upstreams = json_object_get(whole, "upstreams");
    struct columns table = {
        .out = out, .colour = colour, .column = columns, .n = COLUMN_COUNT, .cell = add_cell};

    measure_all(&table, upstreams);
    for (size_t i = 0; i < json_array_size(upstreams); i++) {
        if (i > 0)
            text_add_char(out, '\n');
        add_upstream(&table, json_array_get(upstreams, i));
    }
    if (json_array_size(upstreams) == 0)
        text_add(out, SPAN("There are no upstreams.\n"));
}
