/* sluice_test_host.c - the rest of the fake host: configuration, shared state, metrics, log. */
#include "sluice_test_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SHARED_TTL_MS = 3600000 };

/* -- while a configuration is checked or started -------------------------------------- */

static void want_stage(struct sluice_setup *setup, const char *service, bool starting)
{
    enum fake_stage stage = setup->test->stage;

    if (stage != FAKE_STARTING && (starting || stage != FAKE_CHECKING)) {
        fake_violation(setup->test, "%s() outside of %sconf_start", service,
                       starting ? "" : "conf_check and ");
    }
}

static void report_line(struct fake_text *lines, const char *option, const char *hint,
                        const char *text)
{
    fake_format(lines, "%s: %s", option ? option : "options", text);
    if (hint)
        fake_format(lines, " (%s)", hint);
    fake_add(lines, "\n", 1);
}

static __attribute__((format(printf, 4, 5))) void conf_error(struct sluice_setup *setup,
                                                             const char *option, const char *hint,
                                                             const char *format, ...)
{
    char text[1024];
    va_list args;

    want_stage(setup, "conf_error", false);
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    report_line(&setup->test->errors, option, hint, text);
    setup->test->n_errors++;
}

static __attribute__((format(printf, 4, 5))) void
conf_warn(struct sluice_setup *setup, const char *option, const char *hint, const char *format, ...)
{
    char text[1024];
    va_list args;

    want_stage(setup, "conf_warn", false);
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    report_line(&setup->test->warnings, option, hint, text);
}

static void *conf_alloc(struct sluice_setup *setup, size_t bytes)
{
    char *made;

    want_stage(setup, "conf_alloc", false);
    made = fake_block_add(&setup->test->conf_memory, bytes);
    memset(made, 0, bytes);
    return made;
}

static struct sluice_span conf_place(struct sluice_setup *setup)
{
    want_stage(setup, "conf_place", false);
    return SLUICE_SPAN("route api, plugins[0]");
}

static uint32_t workers(struct sluice_setup *setup)
{
    want_stage(setup, "workers", false);
    return setup->test->n_workers;
}

static uint32_t attribute(struct sluice_setup *setup, struct sluice_span name)
{
    want_stage(setup, "attribute", false);
    return fake_attribute(setup->test, name);
}

/* The same text as an option would be; what holes it has is looked at here too. */
static const struct sluice_template *template_make(struct sluice_setup *setup, const char *option,
                                                   struct sluice_span text)
{
    struct sluice_template *made = conf_alloc(setup, sizeof(*made));
    const char *hole;

    want_stage(setup, "template_make", false);
    made->text = conf_alloc(setup, text.len + 1);
    memcpy(made->text, text.ptr, text.len);
    hole = strstr(made->text, "${");
    while (hole) {
        struct sluice_span name = {hole + 2, strcspn(hole + 2, "}:")};

        if (!strchr(hole, '}') || fake_attribute(setup->test, name) == 0) {
            conf_error(setup, option, "write ${attribute} or ${attribute:-default}",
                       "a template is malformed");
            return NULL;
        }
        hole = strstr(hole + 2, "${");
    }
    return made;
}

/* -- shared state ------------------------------------------------------------------------- */

static struct fake_shared *find_shared(struct sluice_setup *setup,
                                       const struct sluice_shared_spec *spec, bool is_map)
{
    struct sluice_test *test = setup->test;
    const char *service = is_map ? "map" : "words";
    struct fake_shared *shared = test->shared;

    want_stage(setup, service, true);
    if (spec->size != sizeof(*spec) || !spec->name || spec->capacity == 0 ||
        (is_map && spec->max_value == 0)) {
        fake_violation(test, "%s() with a spec that lacks size, name, capacity or max_value",
                       service);
        return NULL;
    }
    if (fake_fails(test))
        return NULL;
    for (; shared; shared = shared->next) {
        if (shared->is_map == is_map && shared->version == spec->version &&
            strcmp(shared->name, spec->name) == 0 && fake_same(fake_span(shared->key), spec->key))
            return shared;
    }
    /* words and map differ in nothing else, so that one piece of code frees both */
    shared = fake_alloc(sizeof(*shared));
    shared->test = test;
    shared->name = fake_dup(fake_span(spec->name));
    shared->key = fake_dup(spec->key);
    shared->version = spec->version;
    shared->max_value = spec->max_value;
    shared->capacity = spec->capacity;
    shared->is_map = is_map;
    shared->next = test->shared;
    test->shared = shared;
    return shared;
}

static struct sluice_words *words(struct sluice_setup *setup, const struct sluice_shared_spec *spec)
{
    return (struct sluice_words *)(void *)find_shared(setup, spec, false);
}

static struct sluice_map *map(struct sluice_setup *setup, const struct sluice_shared_spec *spec)
{
    return (struct sluice_map *)(void *)find_shared(setup, spec, true);
}

static void drop_entry(struct fake_shared *shared, struct fake_entry **at)
{
    struct fake_entry *entry = *at;

    *at = entry->next;
    shared->n--;
    fake_drop(entry->key);
    fake_drop(entry->value);
    fake_drop(entry);
}

/* What has expired is dropped on the way. */
static struct fake_entry *find_entry(struct fake_shared *shared, struct sluice_span key)
{
    for (struct fake_entry **at = &shared->entry; *at;) {
        if ((*at)->until_us <= shared->test->now_us) {
            drop_entry(shared, at);
            continue;
        }
        if (fake_same((struct sluice_span){(*at)->key, (*at)->key_len}, key))
            return *at;
        at = &(*at)->next;
    }
    return NULL;
}

/* Found or made, and its time begun again; NULL: full. */
static struct fake_entry *touch(struct fake_shared *shared, struct sluice_span key, uint32_t ttl_ms)
{
    struct fake_entry *entry = find_entry(shared, key);

    if (fake_fails(shared->test) || (!entry && shared->n == shared->capacity))
        return NULL;
    if (!entry) {
        entry = fake_alloc(sizeof(*entry));
        entry->key = fake_dup(key);
        entry->key_len = key.len;
        entry->next = shared->entry;
        shared->entry = entry;
        shared->n++;
    }
    entry->until_us = shared->test->now_us + (ttl_ms ? ttl_ms : SHARED_TTL_MS) * 1000ULL;
    return entry;
}

static uint64_t words_get(struct sluice_words *words, struct sluice_span key)
{
    const struct fake_entry *entry = find_entry(&words->shared, key);

    return entry ? entry->word : 0;
}

static enum sluice_shared words_swap(struct sluice_words *words, struct sluice_span key,
                                     uint64_t *expected, uint64_t desired, uint32_t ttl_ms)
{
    struct fake_entry *entry;
    uint64_t now = words_get(words, key);

    if (now != *expected) {
        *expected = now;
        return SLUICE_SHARED_OTHER;
    }
    entry = touch(&words->shared, key, ttl_ms);
    if (!entry)
        return SLUICE_SHARED_FULL;
    entry->word = desired;
    return SLUICE_SHARED_OK;
}

static enum sluice_shared words_add(struct sluice_words *words, struct sluice_span key,
                                    int64_t difference, uint32_t ttl_ms, uint64_t *result)
{
    struct fake_entry *entry = touch(&words->shared, key, ttl_ms);

    if (!entry)
        return SLUICE_SHARED_FULL;
    entry->word += (uint64_t)difference;
    if (result)
        *result = entry->word;
    return SLUICE_SHARED_OK;
}

static enum sluice_shared map_get(struct sluice_map *map, struct sluice_span key, void *out,
                                  size_t cap, size_t *len, uint64_t *serial)
{
    const struct fake_entry *entry = find_entry(&map->shared, key);

    if (!entry)
        return SLUICE_SHARED_ABSENT;
    if (len)
        *len = entry->value_len;
    if (serial)
        *serial = entry->serial;
    if (cap && entry->value_len)
        memcpy(out, entry->value, entry->value_len < cap ? entry->value_len : cap);
    return SLUICE_SHARED_OK;
}

static enum sluice_shared map_set(struct sluice_map *map, struct sluice_span key,
                                  struct sluice_span value, uint32_t ttl_ms)
{
    struct fake_entry *entry =
        value.len <= map->shared.max_value ? touch(&map->shared, key, ttl_ms) : NULL;

    if (!entry)
        return SLUICE_SHARED_FULL;
    fake_drop(entry->value);
    entry->value = fake_dup(value);
    entry->value_len = value.len;
    entry->serial = ++map->shared.serial;
    return SLUICE_SHARED_OK;
}

static void map_remove(struct sluice_map *map, struct sluice_span key)
{
    struct fake_entry *found = find_entry(&map->shared, key), **at = &map->shared.entry;

    while (found && *at != found)
        at = &(*at)->next;
    if (found)
        drop_entry(&map->shared, at);
}

/* -- metrics -------------------------------------------------------------------------------- */

static uint32_t count_labels(const char *const *labels)
{
    uint32_t n = 0;

    while (labels && labels[n])
        n++;
    return n;
}

static char *join_labels(const char *const *labels)
{
    struct fake_text text = {0};

    fake_add(&text, "", 0);
    for (uint32_t i = 0; labels && labels[i]; i++)
        fake_format(&text, "%s%s", i ? "," : "", labels[i]);
    return text.ptr;
}

static struct sluice_metric *metric(struct sluice_setup *setup,
                                    const struct sluice_metric_spec *spec)
{
    struct sluice_test *test = setup->test;
    struct sluice_metric *metric = test->metric;
    char *labels;

    want_stage(setup, "metric", true);
    if (spec->size != sizeof(*spec) || !spec->name || !spec->help || !*spec->help ||
        spec->kind > SLUICE_HISTOGRAM || count_labels(spec->labels) > 8) {
        fake_violation(test, "metric() with a spec that lacks size, name or help, or has a wrong "
                             "kind or more than 8 labels");
        return NULL;
    }
    if (spec->kind == SLUICE_COUNTER &&
        (strlen(spec->name) < 6 || strcmp(spec->name + strlen(spec->name) - 6, "_total") != 0))
        fake_violation(test, "metric %s: counters end in _total", spec->name);
    labels = join_labels(spec->labels);
    while (metric && strcmp(metric->name, spec->name) != 0)
        metric = metric->next;
    if (metric) {
        bool same = metric->kind == spec->kind && strcmp(metric->labels, labels) == 0;

        fake_drop(labels);
        return same ? metric : NULL;
    }
    metric = fake_alloc(sizeof(*metric));
    metric->name = fake_dup(fake_span(spec->name));
    metric->labels = labels;
    metric->kind = spec->kind;
    metric->n_labels = count_labels(spec->labels);
    metric->max_series = spec->max_series ? spec->max_series : 1000;
    metric->next = test->metric;
    test->metric = metric;
    return metric;
}

static struct fake_series *find_series(struct sluice_metric *metric, const char *labels)
{
    for (struct fake_series *series = metric->series; series; series = series->next) {
        if (strcmp(series->labels, labels) == 0)
            return series;
    }
    return NULL;
}

static struct fake_series *make_series(struct sluice_metric *metric, struct fake_text *labels)
{
    struct fake_series *series = find_series(metric, labels->ptr);

    if (!series && metric->n_labels && metric->n_series >= metric->max_series) {
        labels->len = 0;
        for (uint32_t i = 0; i < metric->n_labels; i++)
            fake_format(labels, "%sother", i ? "," : "");
        series = find_series(metric, labels->ptr);
    }
    if (!series) {
        series = fake_alloc(sizeof(*series));
        series->labels = fake_dup(fake_span(labels->ptr));
        series->next = metric->series;
        metric->series = series;
        metric->n_series++;
    }
    return series;
}

static void metric_add(const struct sluice_call *call, struct sluice_metric *metric,
                       const struct sluice_span *values, double amount)
{
    struct sluice_test *test = fake_enter(call, "metric_add");
    struct fake_text labels = {0};
    struct fake_series *series;

    if (!metric)
        return;
    if (metric->kind == SLUICE_COUNTER && amount < 0)
        fake_violation(test, "metric_add() of %f to counter %s", amount, metric->name);
    if (metric->n_labels && !values) {
        fake_violation(test, "metric_add() to %s without its labels", metric->name);
        return;
    }
    fake_add(&labels, "", 0);
    for (uint32_t i = 0; i < metric->n_labels; i++) {
        fake_add(&labels, ",", i > 0);
        fake_add(&labels, values[i].ptr, values[i].len);
    }
    series = make_series(metric, &labels);
    series->sum += amount;
    series->count++;
    fake_text_fini(&labels);
}

/* -- telling --------------------------------------------------------------------------------- */

static bool log_enabled(enum sluice_log_level level)
{
    return level <= SLUICE_LOG_ERROR;
}

static void log_line(const struct sluice_call *call, enum sluice_log_level level,
                     const char *message, const struct sluice_pair *pairs, size_t n)
{
    static const char *const names[] = {"trace", "debug", "info", "warn", "error"};
    struct sluice_test *test = fake_enter(call, "log");

    if ((unsigned)level > SLUICE_LOG_ERROR || !message) {
        fake_violation(test, "log() without a level or a message");
        return;
    }
    fake_format(&test->log, "%s %s", names[level], message);
    for (size_t i = 0; i < n; i++) {
        fake_format(&test->log, " %.*s=%.*s", (int)pairs[i].name.len, pairs[i].name.ptr,
                    (int)pairs[i].value.len, pairs[i].value.ptr);
    }
    fake_add(&test->log, "\n", 1);
}

static void span_attribute(const struct sluice_call *call, struct sluice_span name,
                           struct sluice_span value)
{
    fake_fields_add(&fake_exchange(call, "span_attribute")->spans, name, value);
}

static bool span_attribute_each(const struct sluice_call *call, size_t *at,
                                struct sluice_pair *pair)
{
    struct sluice_exchange *ex = fake_exchange(call, "span_attribute_each");

    if (*at >= ex->spans.n)
        return false;
    pair->name = fake_lend(ex->test, fake_span(ex->spans.line[*at].name), 0);
    pair->value = fake_lend(ex->test, fake_span(ex->spans.line[*at].value), 0);
    ++*at;
    return true;
}

static void report(const struct sluice_call *call, struct sluice_span json)
{
    struct sluice_test *test = fake_enter(call, "report");

    test->report.len = 0;
    fake_add(&test->report, json.ptr, json.len);
}

static struct sluice_span target_text(const struct sluice_target *target)
{
    return fake_span(target->url);
}

static uint64_t now_us(const struct sluice_call *call)
{
    return fake_enter(call, "now_us")->now_us;
}

static uint64_t wall_us(const struct sluice_call *call)
{
    return fake_enter(call, "wall_us")->wall_us;
}

/* xorshift64*: the same numbers in every run. */
static uint64_t random_bits(const struct sluice_call *call)
{
    struct sluice_test *test = fake_enter(call, "random");

    test->random ^= test->random >> 12;
    test->random ^= test->random << 25;
    test->random ^= test->random >> 27;
    return test->random * 2685821657736338717U;
}

static uint32_t worker_index(const struct sluice_call *call)
{
    struct sluice_test *test = fake_enter(call, "worker_index");

    for (uint32_t i = 0; i < test->n_workers; i++) {
        if (test->worker[i] == call->worker)
            return i;
    }
    return 0;
}

/* The attributes that a plugin may not set; their numbers come first. */
static const char *const own[] = {"request.method",
                                  "request.path",
                                  "request.query",
                                  "request.host",
                                  "request.scheme",
                                  "request.target",
                                  "request.id",
                                  "request.protocol",
                                  "client.address",
                                  "client.port",
                                  "peer.address",
                                  "listener",
                                  "route",
                                  "upstream",
                                  "endpoint",
                                  "response.status",
                                  "reason",
                                  "tls.version",
                                  "tls.cipher",
                                  "tls.sni",
                                  "tls.client.subject",
                                  "tls.client.fingerprint"};

void fake_host_init(struct sluice_test *test)
{
    struct sluice_host *host = &test->host;

    *host = (struct sluice_host){.size = sizeof(*host),
                                 .abi = SLUICE_ABI,
                                 .abi_minor = SLUICE_ABI_MINOR,
                                 .version = "0.0.0-test",
                                 .conf_error = conf_error,
                                 .conf_warn = conf_warn,
                                 .conf_alloc = conf_alloc,
                                 .conf_place = conf_place,
                                 .workers = workers,
                                 .template_make = template_make,
                                 .attribute = attribute,
                                 .metric = metric,
                                 .words = words,
                                 .map = map,
                                 .now_us = now_us,
                                 .wall_us = wall_us,
                                 .random = random_bits,
                                 .worker_index = worker_index,
                                 .words_get = words_get,
                                 .words_swap = words_swap,
                                 .words_add = words_add,
                                 .map_get = map_get,
                                 .map_set = map_set,
                                 .map_remove = map_remove,
                                 .metric_add = metric_add,
                                 .log_enabled = log_enabled,
                                 .log = log_line,
                                 .span_attribute = span_attribute,
                                 .span_attribute_each = span_attribute_each,
                                 .report = report,
                                 .target_text = target_text};
    fake_host_message(host);
    fake_host_later(host);
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        fake_attribute(test, fake_span(own[i]));
    test->n_own_attributes = test->n_attributes;
}

void fake_told_fini(struct sluice_test *test)
{
    while (test->metric) {
        struct sluice_metric *metric = test->metric;

        test->metric = metric->next;
        while (metric->series) {
            struct fake_series *series = metric->series;

            metric->series = series->next;
            fake_drop(series->labels);
            fake_drop(series);
        }
        fake_drop(metric->name);
        fake_drop(metric->labels);
        fake_drop(metric);
    }
    while (test->shared) {
        struct fake_shared *shared = test->shared;

        test->shared = shared->next;
        while (shared->entry)
            drop_entry(shared, &shared->entry);
        fake_drop(shared->name);
        fake_drop(shared->key);
        fake_drop(shared);
    }
}

/* -- for tests -------------------------------------------------------------------------------- */

static void sum_up(const struct sluice_test *test, const char *name, const char *labels,
                   struct fake_series *sum)
{
    const struct sluice_metric *metric = test->metric;

    while (metric && strcmp(metric->name, name) != 0)
        metric = metric->next;
    if (!metric) {
        fake_misuse("nobody made a metric '%s'", name);
        return;
    }
    for (const struct fake_series *series = metric->series; series; series = series->next) {
        if (labels && strcmp(series->labels, labels) != 0)
            continue;
        sum->sum += series->sum;
        sum->count += series->count;
    }
}

double sluice_test_metric(const struct sluice_test *test, const char *name, const char *labels)
{
    struct fake_series sum = {0};

    sum_up(test, name, labels, &sum);
    return sum.sum;
}

uint64_t sluice_test_metric_count(const struct sluice_test *test, const char *name,
                                  const char *labels)
{
    struct fake_series sum = {0};

    sum_up(test, name, labels, &sum);
    return sum.count;
}

size_t sluice_test_logged(const struct sluice_test *test, const char *text)
{
    size_t n = 0;

    for (const char *line = test->log.len ? test->log.ptr : ""; *line;) {
        size_t len = strcspn(line, "\n");
        char *copy = fake_dup((struct sluice_span){line, len});

        n += strstr(copy, text) != NULL;
        fake_drop(copy);
        line += len + (line[len] == '\n');
    }
    return n;
}

const char *sluice_test_report(struct sluice_test *test)
{
    test->report.len = 0;
    if (test->plugin->on_report) {
        fake_call_begin(test, NULL, test->on_worker);
        test->plugin->on_report(&test->call->call);
        fake_call_end(test);
    }
    return test->report.len ? test->report.ptr : "";
}

const char *sluice_test_command(struct sluice_test *test, const char *command)
{
    test->report.len = 0;
    if (test->plugin->on_command) {
        fake_call_begin(test, NULL, test->on_worker);
        test->plugin->on_command(&test->call->call, fake_lend(test, fake_span(command), 0));
        fake_call_end(test);
    }
    return test->report.len ? test->report.ptr : "";
}
