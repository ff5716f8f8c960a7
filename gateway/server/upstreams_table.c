/*
 * upstreams_table.c - a paragraph for each upstream: what is to be known of it, then its endpoints
 * in columns that stand below each other in the whole table.
 */
#include "server/upstreams_table.h"

#include <string.h>

enum { CELL_MAX = 256 };

/* -- pieces of JSON ------------------------------------------------------------------ */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

static long long number_of(const json_t *object, const char *name)
{
    return (long long)json_integer_value(json_object_get(object, name));
}

/* Without controls: C0, DEL, and C1 as UTF-8 has them. */
static void add_shown(struct text *out, const char *words)
{
    for (const char *at = words; *at; at++) {
        unsigned char c = (unsigned char)at[0], next = (unsigned char)at[1];
        bool is_c1 = c == 0xc2 && next >= 0x80 && next < 0xa0;

        text_add(out, c < ' ' || c == 0x7f || is_c1 ? SPAN("?") : span_make(at, 1));
        at += is_c1;
    }
}

/* "850ms", "3s", "12m", "5h", "9d" */
static void add_duration(struct text *out, long long ms)
{
    static const struct {
        const char *unit;
        long long ms, below;
    } units[] = {{"ms", 1, 1000},
                 {"s", 1000, 120},
                 {"m", 60000, 120},
                 {"h", 3600000, 48},
                 {"d", 86400000, 0}};
    size_t i = 0;

    while (units[i].below && ms / units[i].ms >= units[i].below)
        i++;
    text_format(out, "%lld%s", ms / units[i].ms, units[i].unit);
}

/* -- the state of an endpoint ---------------------------------------------------------- */

enum tone { TONE_PLAIN, TONE_GOOD, TONE_CARE, TONE_BAD, TONE_HEAD, TONE_FAINT };

static const char *start_of(enum tone tone)
{
    static const char *const starts[] = {
        [TONE_PLAIN] = "",         [TONE_GOOD] = "\033[32m", [TONE_CARE] = "\033[33m",
        [TONE_BAD] = "\033[31;1m", [TONE_HEAD] = "\033[1m",  [TONE_FAINT] = "\033[2m",
    };

    return starts[tone];
}

/* What matters most of it. */
static enum tone add_state(const json_t *endpoint, struct text *out)
{
    const char *state = text_of(endpoint, "state");
    const json_t *ejected = json_object_get(endpoint, "ejected");
    const json_t *slow = json_object_get(endpoint, "slow_start_left_ms");

    if (strcmp(state, "draining") == 0 || strcmp(state, "failing") == 0) {
        add_shown(out, state);
        return state[0] == 'f' ? TONE_BAD : TONE_CARE;
    }
    if (ejected) {
        text_add(out, SPAN("ejected "));
        add_duration(out, number_of(ejected, "left_ms"));
        return TONE_BAD;
    }
    if (json_is_false(json_object_get(endpoint, "healthy"))) {
        text_add(out, SPAN("unhealthy"));
        return TONE_BAD;
    }
    if (slow) {
        text_add(out, SPAN("slow start "));
        add_duration(out, (long long)json_integer_value(slow));
        return TONE_CARE;
    }
    add_shown(out, state);
    return strcmp(state, "warning") == 0 ? TONE_CARE : TONE_GOOD;
}

static void add_why(const json_t *endpoint, struct text *out)
{
    const json_t *ejected = json_object_get(endpoint, "ejected");
    const json_t *check = json_object_get(endpoint, "check");
    const char *last = text_of(check, "last");
    const char *cause = text_of(check, "cause");

    if (ejected) {
        add_shown(out, text_of(ejected, "cause"));
        if (number_of(ejected, "times") > 1)
            text_format(out, ", %lld times", number_of(ejected, "times"));
        text_add(out, check ? SPAN("; ") : SPAN(""));
    }
    if (!check)
        return;
    text_add(out, SPAN("check "));
    add_shown(out, last[0] ? last : "is to come");
    if (cause[0]) {
        text_add(out, SPAN(": "));
        add_shown(out, cause);
    }
}

/* -- columns ----------------------------------------------------------------------------- */

enum column {
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

static const struct {
    const char *title;
    bool right; /* numbers */
} columns[] = {
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

static enum tone add_cell(const json_t *endpoint, enum column column, struct text *out)
{
    const json_t *connections = json_object_get(endpoint, "connections");

    switch (column) {
    case COLUMN_ADDRESS:
        add_shown(out, text_of(endpoint, "address"));
        break;
    case COLUMN_STATE:
        return add_state(endpoint, out);
    case COLUMN_WEIGHT:
        text_format(out, "%lld", number_of(endpoint, "weight"));
        break;
    case COLUMN_PRIORITY:
        text_format(out, "%lld", number_of(endpoint, "priority"));
        break;
    case COLUMN_ZONE:
        add_shown(out, text_of(endpoint, "zone"));
        break;
    case COLUMN_ACTIVE:
        text_format(out, "%lld", number_of(connections, "active"));
        break;
    case COLUMN_IDLE:
        text_format(out, "%lld", number_of(connections, "idle"));
        break;
    case COLUMN_REQUESTS:
        text_format(out, "%lld", number_of(endpoint, "requests"));
        break;
    case COLUMN_FAILURES:
        text_format(out, "%lld", number_of(endpoint, "failures"));
        return number_of(endpoint, "failures") > 0 ? TONE_CARE : TONE_PLAIN;
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

/* Columns that a terminal needs for UTF-8, wide characters apart. */
static size_t width_of(struct sluice_span text)
{
    size_t width = 0;

    for (size_t i = 0; i < text.len; i++) {
        width += ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
    }
    return width;
}

/* The table as it is being made. */
struct table {
    struct text *out;
    bool colour;
    size_t width[COLUMN_COUNT];
};

static void measure(struct table *table, const json_t *endpoint)
{
    for (enum column column = 0; column < COLUMN_COUNT; column++) {
        char buffer[CELL_MAX];
        struct text cell;
        size_t width;

        text_init_fixed(&cell, buffer, sizeof(buffer));
        add_cell(endpoint, column, &cell);
        width = width_of(text_span(&cell));
        if (width > table->width[column])
            table->width[column] = width;
    }
}

static void add_toned(const struct table *table, enum tone tone, struct sluice_span words)
{
    bool colour = table->colour && tone != TONE_PLAIN && words.len > 0;

    text_add(table->out, span_of(colour ? start_of(tone) : ""));
    text_add(table->out, words);
    text_add(table->out, colour ? SPAN("\033[0m") : SPAN(""));
}

static void add_blanks(const struct table *table, size_t n)
{
    text_format(table->out, "%*s", (int)n, "");
}

/* One cell at its place; the last of a line is not padded. */
static void put(const struct table *table, enum column column, enum tone tone,
                struct sluice_span words)
{
    size_t width = width_of(words);
    size_t blanks = table->width[column] > width ? table->width[column] - width : 0;

    text_add(table->out, SPAN("  "));
    if (columns[column].right)
        add_blanks(table, blanks);
    add_toned(table, tone, words);
    if (!columns[column].right && column != COLUMN_WHY)
        add_blanks(table, blanks);
}

/* Nothing to say in the whole table: no zones, say. */
static bool is_left_out(const struct table *table, enum column column)
{
    return table->width[column] == 0;
}

static void end_line(const struct table *table)
{
    struct text *out = table->out;

    while (!out->cut && out->len > 0 && out->ptr[out->len - 1] == ' ')
        out->ptr[--out->len] = 0;
    text_add_char(out, '\n');
}

static void add_titles(const struct table *table)
{
    for (enum column column = 0; column < COLUMN_COUNT; column++) {
        if (!is_left_out(table, column))
            put(table, column, TONE_FAINT, span_of(columns[column].title));
    }
    end_line(table);
}

static void add_endpoint(const struct table *table, const json_t *endpoint)
{
    for (enum column column = 0; column < COLUMN_COUNT; column++) {
        char buffer[CELL_MAX];
        struct text cell;
        enum tone tone;

        if (is_left_out(table, column))
            continue;
        text_init_fixed(&cell, buffer, sizeof(buffer));
        tone = add_cell(endpoint, column, &cell);
        put(table, column, tone, text_span(&cell));
    }
    end_line(table);
}

/* -- an upstream --------------------------------------------------------------------------- */

static void add_source(const struct table *table, const json_t *source)
{
    const char *state = text_of(source, "state");
    const char *version = text_of(source, "version");
    const json_t *age = json_object_get(source, "age_ms");

    text_add(table->out, SPAN("  source: "));
    add_shown(table->out, text_of(source, "title"));
    if (version[0]) {
        text_add(table->out, SPAN(", "));
        add_shown(table->out, version);
    }
    text_add(table->out, SPAN(", "));
    add_toned(table, strcmp(state, "fresh") == 0 ? TONE_GOOD : TONE_CARE, span_of(state));
    if (age) {
        text_add(table->out, SPAN(", confirmed "));
        add_duration(table->out, (long long)json_integer_value(age));
        text_add(table->out, SPAN(" ago"));
    }
    if (text_of(source, "cause")[0]) {
        text_add(table->out, SPAN(": "));
        add_shown(table->out, text_of(source, "cause"));
    }
    end_line(table);
}

static void add_budget(const struct table *table, const json_t *upstream)
{
    const json_t *budget = json_object_get(upstream, "retry_budget");

    text_format(table->out, "  retry budget: %lld of %lld left in ", number_of(budget, "left"),
                number_of(budget, "allowed"));
    add_duration(table->out, number_of(budget, "interval_ms"));
    text_format(table->out, "; retries: %lld; waiting: %lld", number_of(upstream, "retries"),
                number_of(upstream, "waiting"));
    end_line(table);
}

/* Only where there are several. */
static void add_levels(const struct table *table, const json_t *levels)
{
    if (json_array_size(levels) < 2)
        return;
    text_add(table->out, SPAN("  priorities:"));
    for (size_t i = 0; i < json_array_size(levels); i++) {
        const json_t *level = json_array_get(levels, i);

        text_format(table->out, "%s %lld takes %lld%% (%lld of %lld healthy)", i > 0 ? "," : "",
                    number_of(level, "priority"), number_of(level, "share_percent"),
                    number_of(level, "healthy"), number_of(level, "endpoints"));
    }
    end_line(table);
}

static void add_head(const struct table *table, const json_t *upstream)
{
    const json_t *counts = json_object_get(upstream, "endpoint_counts");
    char buffer[CELL_MAX];
    struct text name;

    text_init_fixed(&name, buffer, sizeof(buffer));
    add_shown(&name, text_of(upstream, "name"));
    add_toned(table, TONE_HEAD, text_span(&name));
    text_format(table->out, "  %s, %s, %lld of %lld endpoints healthy",
                text_of(upstream, "balance"), text_of(upstream, "protocol"),
                number_of(counts, "healthy"), number_of(counts, "all"));
    if (json_is_true(json_object_get(upstream, "panic"))) {
        text_add(table->out, SPAN("  "));
        add_toned(table, TONE_BAD, SPAN("PANIC: too few are well, all are used"));
    }
    end_line(table);
    add_source(table, json_object_get(upstream, "source"));
    add_budget(table, upstream);
    add_levels(table, json_object_get(upstream, "priorities"));
}

static void add_upstream(const struct table *table, const json_t *upstream)
{
    const json_t *endpoints = json_object_get(upstream, "endpoints");

    add_head(table, upstream);
    if (json_array_size(endpoints) > 0)
        add_titles(table);
    for (size_t i = 0; i < json_array_size(endpoints); i++) {
        add_endpoint(table, json_array_get(endpoints, i));
    }
}

static void measure_all(struct table *table, const json_t *upstreams)
{
    for (size_t i = 0; i < json_array_size(upstreams); i++) {
        const json_t *endpoints = json_object_get(json_array_get(upstreams, i), "endpoints");

        for (size_t at = 0; at < json_array_size(endpoints); at++) {
            measure(table, json_array_get(endpoints, at));
        }
    }
    for (enum column column = 0; column < COLUMN_COUNT; column++) {
        size_t title = strlen(columns[column].title);

        if (table->width[column] > 0 && table->width[column] < title)
            table->width[column] = title;
    }
}

void upstreams_table(const json_t *whole, bool colour, struct text *out)
{
    const json_t *upstreams = json_object_get(whole, "upstreams");
    struct table table = {.out = out, .colour = colour};

    measure_all(&table, upstreams);
    for (size_t i = 0; i < json_array_size(upstreams); i++) {
        if (i > 0)
            text_add_char(out, '\n');
        add_upstream(&table, json_array_get(upstreams, i));
    }
    if (json_array_size(upstreams) == 0)
        text_add(out, SPAN("There are no upstreams.\n"));
}
