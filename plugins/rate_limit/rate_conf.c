/*
 * rate_conf.c - the options of rate_limit.
 */
#include "rate.h"

#include <stdio.h>
#include <string.h>

static const struct sluice_choice algorithms[] = {
    {"gcra", RATE_GCRA, "a bucket that fills evenly and allows bursts"},
    {"sliding_window", RATE_SLIDING_WINDOW,
     "at most the rate's amount in any period of its length"},
    {"concurrency", RATE_CONCURRENCY, "at most so many requests at once"},
    {NULL, 0, NULL},
};

static const struct sluice_choice stores[] = {
    {"local", RATE_LOCAL, "this gateway counts, all workers together"},
    {"redis", RATE_REDIS,
     "all gateways that use the same Redis count together; it is asked each time"},
    {"hybrid", RATE_HYBRID,
     "the same, but leases are fetched ahead, so that nobody waits for Redis"},
    {NULL, 0, NULL},
};

static const struct sluice_choice missing_choices[] = {
    {"address", RATE_MISSING_ADDRESS, "the client's address is the key then"},
    {"skip", RATE_MISSING_SKIP, "the limit does not apply"},
    {"refuse", RATE_MISSING_REFUSE, "the request is answered 403"},
    {NULL, 0, NULL},
};

static const struct sluice_choice failures[] = {
    {"local", RATE_FAILURE_LOCAL, "this gateway applies the same limits by itself"},
    {"open", RATE_FAILURE_OPEN, "nothing is limited"},
    {"closed", RATE_FAILURE_CLOSED, "requests are answered 503"},
    {NULL, 0, NULL},
};

static const struct sluice_choice field_choices[] = {
    {"standard", RATE_FIELDS_STANDARD, "RateLimit and RateLimit-Policy"},
    {"legacy", RATE_FIELDS_LEGACY, "X-RateLimit-Limit, -Remaining and -Reset"},
    {"off", RATE_FIELDS_OFF, "none"},
    {NULL, 0, NULL},
};

#define LIMIT(member) offsetof(struct rate_limit, member)
#define CONF(member)  offsetof(struct rate_conf, member)

/* The rows of one limit: at the top, and in each element of "limits". */
#define LIMIT_ROWS(at)                                                                             \
    {.kind = SLUICE_OPTION_TEXT,                                                                   \
     .name = "name",                                                                               \
     .offset = (at) + LIMIT(name),                                                                 \
     .help = "Tells limits apart, in metrics, fields and Redis: limits of one name share what "    \
             "they count. The place in the configuration when not written.",                       \
     .example = "per-consumer"},                                                                   \
        {.kind = SLUICE_OPTION_TEXT,                                                               \
         .name = "key",                                                                            \
         .offset = (at) + LIMIT(key),                                                              \
         .preset = "address",                                                                      \
         .help =                                                                                   \
             "Who shares the limit: address, consumer, route, upstream, host, everybody, or a "    \
             "template such as ${request.field.x-tenant}.",                                        \
         .example = "consumer"},                                                                   \
        {.kind = SLUICE_OPTION_RATE,                                                               \
         .name = "rate",                                                                           \
         .offset = (at) + LIMIT(rate),                                                             \
         .help = "How many in what time; of all algorithms but concurrency.",                      \
         .example = "100/s"},                                                                      \
        {.kind = SLUICE_OPTION_UINT,                                                               \
         .name = "burst",                                                                          \
         .offset = (at) + LIMIT(burst),                                                            \
         .preset = "0",                                                                            \
         .max = 1000000000,                                                                        \
         .help = "Of gcra: so many may come at once; 0: the rate's amount.",                       \
         .example = "200"},                                                                        \
        {.kind = SLUICE_OPTION_CHOICE,                                                             \
         .name = "algorithm",                                                                      \
         .offset = (at) + LIMIT(algorithm),                                                        \
         .preset = "gcra",                                                                         \
         .choices = algorithms,                                                                    \
         .help = "How it is counted."},                                                            \
        {.kind = SLUICE_OPTION_UINT,                                                               \
         .name = "concurrent",                                                                     \
         .offset = (at) + LIMIT(concurrent),                                                       \
         .preset = "0",                                                                            \
         .max = 1000000000,                                                                        \
         .help = "Of concurrency: so many requests at once.",                                      \
         .example = "50"},                                                                         \
        {.kind = SLUICE_OPTION_UINT,                                                               \
         .name = "cost",                                                                           \
         .offset = (at) + LIMIT(cost),                                                             \
         .preset = "1",                                                                            \
         .min = 1,                                                                                 \
         .max = 1000000,                                                                           \
         .help = "What one request takes of the amount."},                                         \
    {                                                                                              \
        .kind = SLUICE_OPTION_BOOL, .name = "dry_run", .offset = (at) + LIMIT(dry_run),            \
        .preset = "off",                                                                           \
        .help = "Count and log what would be refused, and let it pass; beside limits: for all of " \
                "them."                                                                            \
    }

static const struct sluice_option limit_options[] = {
    LIMIT_ROWS(0),
    {.kind = SLUICE_OPTION_END},
};

const struct sluice_option rate_options[] = {
    LIMIT_ROWS(CONF(one)),
    {.kind = SLUICE_OPTION_LIST,
     .name = "limits",
     .offset = CONF(limits),
     .element = SLUICE_OPTION_STRUCT,
     .element_size = sizeof(struct rate_limit),
     .fields = limit_options,
     .max = RATE_LIMITS_MAX,
     .help = "Several limits, instead of one written directly; all of them hold.",
     .example = "[ { name: steady, rate: 100/s }, { name: daily, rate: 10000/d, "
                "algorithm: sliding_window } ]"},
    {.kind = SLUICE_OPTION_CHOICE,
     .name = "store",
     .offset = CONF(store),
     .preset = "local",
     .choices = stores,
     .help = "Who counts."},
    {.kind = SLUICE_OPTION_CHOICE,
     .name = "missing_key",
     .offset = CONF(missing),
     .preset = "address",
     .choices = missing_choices,
     .help = "When a request has nothing where the key is looked for."},
    {.kind = SLUICE_OPTION_CHOICE,
     .name = "on_redis_failure",
     .offset = CONF(failure),
     .preset = "local",
     .choices = failures,
     .help = "When Redis does not answer in time."},
    {.kind = SLUICE_OPTION_CHOICE,
     .name = "fields",
     .offset = CONF(fields),
     .preset = "standard",
     .choices = field_choices,
     .help = "Which fields of responses tell clients where they stand."},
    {.kind = SLUICE_OPTION_UINT,
     .name = "ipv4_prefix",
     .offset = CONF(ipv4_bits),
     .preset = "32",
     .min = 1,
     .max = 32,
     .help = "IPv4 addresses that are equal in so many bits are one client."},
    {.kind = SLUICE_OPTION_UINT,
     .name = "ipv6_prefix",
     .offset = CONF(ipv6_bits),
     .preset = "64",
     .min = 1,
     .max = 128,
     .help = "IPv6 addresses that are equal in so many bits are one client."},
    {.kind = SLUICE_OPTION_DURATION,
     .name = "redis_timeout",
     .offset = CONF(redis_ms),
     .preset = "50ms",
     .min = 1,
     .max = 10000,
     .help = "No request waits longer than this for Redis; shorter than the entry's wait (2 s)."},
    {.kind = SLUICE_OPTION_DURATION,
     .name = "redis_pause",
     .offset = CONF(pause_ms),
     .preset = "1s",
     .min = 1,
     .max = 60000,
     .help = "A Redis that failed is not asked again for so long."},
    {.kind = SLUICE_OPTION_DURATION,
     .name = "lease",
     .offset = CONF(lease_ms),
     .preset = "500ms",
     .min = 10,
     .max = 60000,
     .help = "Of hybrid: what is leased is for so long, and forgotten when not used by then."},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "redis_prefix",
     .offset = CONF(prefix),
     .preset = "sluice:rate_limit:",
     .help = "What keys in Redis begin with: gateways that share limits share this."},
    {.kind = SLUICE_OPTION_UINT,
     .name = "status",
     .offset = CONF(status),
     .preset = "429",
     .min = 400,
     .max = 599,
     .help = "Status of a refusal."},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "body",
     .offset = CONF(body),
     .help = "Body of a refusal; without one the gateway makes its usual error."},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "content_type",
     .offset = CONF(content_type),
     .help = "Content-Type of the body; text/plain when not written.",
     .example = "application/json"},
    {.kind = SLUICE_OPTION_UINT,
     .name = "keys",
     .offset = CONF(capacity),
     .preset = "100000",
     .min = 1000,
     .max = 100000000,
     .help = "Keys that are remembered at once, by all limits of this gateway that are not named "
             "otherwise; a request whose key finds no room passes, and is counted."},
    {.kind = SLUICE_OPTION_END},
};

/* -- checking ------------------------------------------------------------------- */

static bool is(struct sluice_span text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.ptr, word, text.len) == 0;
}

/* The words that keys are usually made of, as templates. */
static struct sluice_span template_of(struct sluice_span key)
{
    static const struct {
        const char *word, *text;
    } words[] = {
        {"consumer", "${consumer.name}"}, {"route", "${route}"},      {"upstream", "${upstream}"},
        {"host", "${request.host}"},      {"everybody", "everybody"},
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (is(key, words[i].word))
            return (struct sluice_span){words[i].text, strlen(words[i].text)};
    }
    return memchr(key.ptr, '$', key.len) ? key : (struct sluice_span){NULL, 0};
}

/* What is wrong is told by its place: "rate", or "limits[2].rate". */
struct place {
    const struct sluice_host *host;
    struct sluice_setup *setup;
    char text[64];
    size_t prefix;
};

static const char *option(struct place *place, const char *name)
{
    snprintf(place->text + place->prefix, sizeof(place->text) - place->prefix, "%s", name);
    return place->text;
}

static void check_key(struct place *place, struct rate_limit *limit)
{
    struct sluice_span text;

    limit->by_address = is(limit->key, "address");
    if (limit->by_address)
        return;
    text = template_of(limit->key);
    if (text.len == 0) {
        place->host->conf_error(place->setup, option(place, "key"),
                                "write address, consumer, route, upstream, host, everybody, or a "
                                "template such as ${request.field.x-tenant}",
                                "'%.*s' is no key", (int)limit->key.len, limit->key.ptr);
        return;
    }
    limit->value = place->host->template_make(place->setup, option(place, "key"), text);
}

/* Limits are counted in nanoseconds, in 64 bits. */
#define NS_PER_MS     UINT64_C(1000000)
#define PERIOD_MAX_MS (UINT64_C(100) * 365 * 24 * 3600 * 1000)

static void check_amounts(struct place *place, struct rate_limit *limit)
{
    if (limit->algorithm == RATE_CONCURRENCY) {
        if (limit->concurrent == 0) {
            place->host->conf_error(place->setup, option(place, "concurrent"),
                                    "write concurrent: 50 or the like",
                                    "a limit of requests at once needs their number");
        }
        return;
    }
    if (limit->rate.amount == 0 || limit->rate.period_ms == 0) {
        place->host->conf_error(place->setup, option(place, "rate"),
                                "write rate: 100/s or the like", "a limit needs a rate");
        return;
    }
    if (limit->rate.period_ms > PERIOD_MAX_MS) {
        place->host->conf_error(place->setup, option(place, "rate"), "at most 36500d",
                                "a period of more than a hundred years cannot be counted");
        return;
    }
    limit->bucket = limit_bucket(limit->rate.amount, limit->rate.period_ms,
                                 limit->burst ? limit->burst : limit->rate.amount);
    if (limit->burst > 0 && limit->burst > PERIOD_MAX_MS * NS_PER_MS / limit->bucket.interval_ns) {
        place->host->conf_error(place->setup, option(place, "burst"),
                                "make it smaller, or the rate faster",
                                "at this rate it would take more than a hundred years to fill");
    }
    if (limit->algorithm == RATE_SLIDING_WINDOW && limit->burst > 0) {
        place->host->conf_warn(place->setup, option(place, "burst"), "leave it out",
                               "a sliding window has no burst");
    }
    if (limit->cost > (limit->algorithm == RATE_GCRA ? limit->bucket.burst : limit->rate.amount)) {
        place->host->conf_error(place->setup, option(place, "cost"), "make it smaller",
                                "no request could ever pass: it costs more than there can be");
    }
}

static void name_it(struct place *place, struct rate_limit *limit, size_t index, size_t n)
{
    struct sluice_span where = place->host->conf_place(place->setup);
    char *text;
    size_t room = where.len + 24;

    if (limit->name.len > 0 || n == 0)
        return;
    text = place->host->conf_alloc(place->setup, room);
    limit->name.ptr = text;
    limit->name.len =
        (size_t)(n > 1 ? snprintf(text, room, "%.*s#%zu", (int)where.len, where.ptr, index)
                       : snprintf(text, room, "%.*s", (int)where.len, where.ptr));
}

static void check_name(struct place *place, const struct rate_limit *limit)
{
    bool is_bad = limit->name.len > RATE_NAME_MAX;

    for (size_t i = 0; i < limit->name.len; i++) {
        char c = limit->name.ptr[i];

        is_bad |= c < ' ' || c > '~' || c == '"' || c == '\\';
    }
    if (is_bad) {
        place->host->conf_error(place->setup, option(place, "name"),
                                "write at most 200 printable characters without quotes",
                                "the name cannot be told in a field");
    }
}

static void make_policy(struct place *place, struct rate_limit *limit)
{
    size_t room = limit->name.len + 80;
    char *text = place->host->conf_alloc(place->setup, room);
    unsigned long long quota = limit->rate.amount, window = limit->rate.period_ms / 1000;
    int len;

    if (limit->algorithm == RATE_CONCURRENCY) {
        len =
            snprintf(text, room, "\"%.*s\";q=%llu;qu=\"concurrent-requests\"", (int)limit->name.len,
                     limit->name.ptr, (unsigned long long)limit->concurrent);
    } else {
        if (limit->algorithm == RATE_GCRA) {
            quota = limit->bucket.burst;
            window = (unsigned long long)((double)limit->bucket.burst *
                                          (double)limit->bucket.interval_ns / 1e9);
        }
        len = snprintf(text, room, "\"%.*s\";q=%llu;w=%llu", (int)limit->name.len, limit->name.ptr,
                       quota, window > 0 ? window : 1);
    }
    limit->policy = (struct sluice_span){text, (size_t)len};
}

/* A lease is what the rate gives in its time, but not all of a burst: others want some too. */
static uint64_t lease_of(const struct rate_conf *conf, const struct rate_limit *limit)
{
    double amount = (double)limit->rate.amount * (double)conf->lease_ms /
                    (double)(limit->rate.period_ms ? limit->rate.period_ms : 1) / 4;
    double most =
        (double)(limit->algorithm == RATE_GCRA ? limit->bucket.burst : limit->rate.amount) / 8;

    if (amount > most)
        amount = most;
    return amount > (double)limit->cost ? (uint64_t)amount : limit->cost;
}

static void check_limit(struct place *place, struct rate_conf *conf, struct rate_limit *limit,
                        size_t index)
{
    name_it(place, limit, index, conf->n_limits);
    check_name(place, limit);
    check_key(place, limit);
    check_amounts(place, limit);
    limit->lease = lease_of(conf, limit);
    make_policy(place, limit);
}

/* What is written beside a list would apply to nothing. dry_run is for all of it. */
static void check_beside(struct place *place, const struct rate_limit *one)
{
    const struct {
        const char *name;
        bool is_written;
    } rows[] = {
        {"rate", one->rate.amount > 0},
        {"concurrent", one->concurrent > 0},
        {"name", one->name.len > 0},
        {"key", !is(one->key, "address")},
        {"burst", one->burst > 0},
        {"cost", one->cost != 1},
        {"algorithm", one->algorithm != RATE_GCRA},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        if (rows[i].is_written) {
            place->host->conf_error(place->setup, rows[i].name, "move it into the list",
                                    "write one limit directly, or several as limits, not both");
        }
    }
}

void rate_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    struct rate_conf *conf = conf_;
    struct place place = {.host = host, .setup = setup};
    struct rate_limit *limits =
        conf->limits.n > 0 ? host->conf_alloc(setup, conf->limits.n * sizeof(*limits)) : &conf->one;

    conf->address = host->attribute(setup, SLUICE_SPAN("client.address"));
    conf->n_limits = conf->limits.n > 0 ? conf->limits.n : 1;
    conf->limit = limits;
    if (conf->limits.n > 0) {
        check_beside(&place, &conf->one);
        conf->dry_run = conf->one.dry_run;
        memcpy(limits, conf->limits.first, conf->limits.n * sizeof(*limits));
    }
    for (size_t i = 0; i < conf->n_limits; i++) {
        if (conf->limits.n > 0)
            place.prefix = (size_t)snprintf(place.text, sizeof(place.text), "limits[%zu].", i);
        check_limit(&place, conf, &limits[i], i);
        conf->has_slots |= limits[i].algorithm == RATE_CONCURRENCY;
    }
}

bool rate_start(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    static const char *const of_request[] = {"limit", "result", NULL};
    static const char *const of_redis[] = {"result", NULL};
    static const struct sluice_metric_spec requests = {
        .size = sizeof(requests),
        .kind = SLUICE_COUNTER,
        .name = "requests_total",
        .help = "Requests that a limit was applied to, by what it said.",
        .labels = of_request};
    static const struct sluice_metric_spec redis = {
        .size = sizeof(redis),
        .kind = SLUICE_COUNTER,
        .name = "redis_calls_total",
        .help = "What came of asking Redis; all but answered and refilled: it did not limit.",
        .labels = of_redis};
    static const struct sluice_metric_spec unkept = {
        .size = sizeof(unkept),
        .kind = SLUICE_COUNTER,
        .name = "unkept_total",
        .help = "Requests that passed because their key found no room."};
    struct rate_conf *conf = conf_;
    struct sluice_shared_spec spec = {
        .size = sizeof(spec), .version = 1, .name = "limits", .capacity = conf->capacity};

    conf->words = host->words(setup, &spec);
    conf->requests = host->metric(setup, &requests);
    conf->redis = host->metric(setup, &redis);
    conf->unkept = host->metric(setup, &unkept);
    if (!conf->words)
        host->conf_error(setup, "keys", "write fewer", "no memory to remember so many keys");
    return conf->words != NULL;
}
