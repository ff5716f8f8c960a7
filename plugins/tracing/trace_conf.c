/*
 * trace_conf.c - the options of tracing.
 */
#include "kit/span.h"
#include "trace.h"

#include <string.h>

#define CONF(member)   offsetof(struct trace_conf, member)
#define EXPORT(member) (offsetof(struct trace_conf, export) + offsetof(struct export_conf, member))
#define SAMPLE(member) offsetof(struct trace_sample, member)

static const struct sluice_choice parents[] = {
    {"follow", TRACE_PARENT_FOLLOW, "what the caller has decided holds"},
    {"ignore", TRACE_PARENT_IGNORE, "decide anew; the trace goes on"},
    {NULL, 0, NULL},
};

static const struct sluice_choice b3_choices[] = {
    {"off", TRACE_B3_OFF, "its fields pass as they are"},
    {"single", TRACE_B3_SINGLE, "b3"},
    {"multi", TRACE_B3_MULTI, "X-B3-TraceId and the like"},
    {"both", TRACE_B3_BOTH, "b3 and X-B3-TraceId and the like"},
    {NULL, 0, NULL},
};

static const struct sluice_choice baggage_choices[] = {
    {"pass", TRACE_BAGGAGE_PASS, "it goes on as it came"},
    {"strip", TRACE_BAGGAGE_STRIP, "upstreams do not see it"},
    {NULL, 0, NULL},
};

/* clang-format off */
static const struct sluice_option sample_options[] = {
    {.kind = SLUICE_OPTION_RATIO, .flags = SLUICE_OPTION_SCALAR, .name = "ratio",
     .offset = SAMPLE(ratio), .preset = "100%", .example = "1%",
     .help = "This share of traces is sampled, by trace id: gateways and services that use the "
             "same share sample the same traces."},
    {.kind = SLUICE_OPTION_CHOICE, .name = "parent", .offset = SAMPLE(parent), .preset = "follow",
     .choices = parents,
     .help = "What becomes of the decision of a caller that sends trace context."},
    {.kind = SLUICE_OPTION_RATE, .name = "rate", .offset = SAMPLE(rate), .example = "100/s",
     .help = "At most so many traces are begun here in such a time, by all workers together; "
             "no limit when not written."},
    {.kind = SLUICE_OPTION_RATE, .name = "errors", .offset = SAMPLE(errors), .preset = "10/s",
     .help = "Of exchanges that were not sampled and failed, at most so many are exported "
             "nevertheless; 0/s: none."},
    {.kind = SLUICE_OPTION_END}};

static const struct sluice_option word_options[] = {
    {.kind = SLUICE_OPTION_TEXT, .flags = SLUICE_OPTION_SCALAR | SLUICE_OPTION_REQUIRED,
     .name = "value", .offset = offsetof(struct export_word, value), .help = "The value.",
     .example = "shop"},
    {.kind = SLUICE_OPTION_END}};

static const struct sluice_option secret_options[] = {
    {.kind = SLUICE_OPTION_SECRET, .flags = SLUICE_OPTION_SCALAR | SLUICE_OPTION_REQUIRED,
     .name = "value", .offset = offsetof(struct export_word, value), .help = "The value.",
     .example = "file:/run/secrets/collector"},
    {.kind = SLUICE_OPTION_END}};

static const struct sluice_option extra_options[] = {
    {.kind = SLUICE_OPTION_TEMPLATE, .flags = SLUICE_OPTION_SCALAR | SLUICE_OPTION_REQUIRED,
     .name = "value", .offset = offsetof(struct trace_extra, value), .help = "A template.",
     .example = "${consumer.name}"},
    {.kind = SLUICE_OPTION_END}};

const struct sluice_option trace_options[] = {
    {.kind = SLUICE_OPTION_TARGET, .flags = SLUICE_OPTION_REQUIRED, .name = "endpoint",
     .offset = EXPORT(endpoint), .example = "http://collector:4318/v1/traces",
     .help = "Where spans go, by OTLP over HTTP: a URL, or UPSTREAM/path."},
    {.kind = SLUICE_OPTION_TEXT, .name = "service", .offset = EXPORT(service), .preset = "sluice",
     .help = "The resource's service.name."},
    {.kind = SLUICE_OPTION_MAP, .name = "resource", .offset = EXPORT(resource), .max = 64,
     .fields = word_options, .element = SLUICE_OPTION_STRUCT,
     .element_size = sizeof(struct export_word),
     .help = "More attributes of the resource, such as deployment.environment.name.",
     .example = "{deployment.environment.name: production}"},
    {.kind = SLUICE_OPTION_STRUCT, .name = "sample", .offset = CONF(sample),
     .fields = sample_options, .help = "Which exchanges are traced; a share alone is the ratio.",
     .example = "{ratio: 1%, errors: 10/s}"},
    {.kind = SLUICE_OPTION_LIST, .name = "trust", .offset = CONF(trust),
     .element = SLUICE_OPTION_NETWORK, .element_size = sizeof(struct sluice_network), .max = 1000,
     .help = "Peers whose trace context is taken over; others begin a new trace. Empty: all.",
     .example = "[10.0.0.0/8, 'fd00::/8']"},
    {.kind = SLUICE_OPTION_CHOICE, .name = "b3", .offset = CONF(b3), .preset = "off",
     .choices = b3_choices,
     .help = "Read B3 fields, too, where there is no traceparent, and send them in this form "
             "beside traceparent."},
    {.kind = SLUICE_OPTION_CHOICE, .name = "baggage", .offset = CONF(baggage), .preset = "pass",
     .choices = baggage_choices, .help = "What becomes of the field baggage."},
    {.kind = SLUICE_OPTION_TEXT, .name = "response_field", .offset = CONF(response_field),
     .help = "A field of the response that tells the client the trace id; none when not written.",
     .example = "x-trace-id"},
    {.kind = SLUICE_OPTION_BOOL, .name = "query", .offset = CONF(query), .preset = "false",
     .help = "Tell the query of the target in url.query; it may hold credentials."},
    {.kind = SLUICE_OPTION_LIST, .name = "request_fields", .offset = CONF(request_fields),
     .element = SLUICE_OPTION_TEXT, .element_size = sizeof(struct sluice_span), .max = 32,
     .help = "Fields of the request that become attributes, http.request.header.NAME.",
     .example = "[x-tenant]"},
    {.kind = SLUICE_OPTION_LIST, .name = "response_fields", .offset = CONF(response_fields),
     .element = SLUICE_OPTION_TEXT, .element_size = sizeof(struct sluice_span), .max = 32,
     .help = "Fields of the response that become attributes, http.response.header.NAME.",
     .example = "[content-type]"},
    {.kind = SLUICE_OPTION_MAP, .name = "attributes", .offset = CONF(attributes), .max = 32,
     .fields = extra_options, .element = SLUICE_OPTION_STRUCT,
     .element_size = sizeof(struct trace_extra),
     .help = "More attributes of the exchange's span: templates; one that comes to nothing is "
             "left out.",
     .example = "{enduser.id: '${consumer.name}'}"},
    {.kind = SLUICE_OPTION_SIZE, .name = "value_size", .offset = CONF(value_size),
     .preset = "1KiB", .min = 32, .max = 4096,
     .help = "Longer values of attributes are cut."},
    {.kind = SLUICE_OPTION_UINT, .name = "batch", .offset = EXPORT(batch), .preset = "512",
     .min = 1, .max = 10000,
     .help = "So many spans are sent at once, by each worker; fewer when they are large."},
    {.kind = SLUICE_OPTION_DURATION, .name = "interval", .offset = EXPORT(interval_ms),
     .preset = "1s", .min = 10, .max = 60000,
     .help = "Spans wait about so long for their batch to fill; by chance up to half more or "
             "less."},
    {.kind = SLUICE_OPTION_SIZE, .name = "queue", .offset = EXPORT(queue_bytes),
     .preset = "4MiB", .min = 65536, .max = 1073741824,
     .help = "Memory of each worker for spans that wait; what finds no room is dropped."},
    {.kind = SLUICE_OPTION_DURATION, .name = "timeout", .offset = EXPORT(timeout_ms),
     .preset = "10s", .min = 10, .max = 300000, .help = "The collector answers in this time."},
    {.kind = SLUICE_OPTION_UINT, .name = "retries", .offset = EXPORT(retries), .preset = "5",
     .max = 100,
     .help = "So often a batch is sent again when the collector cannot be reached or asks for "
             "it (429, 502, 503, 504), after 1 s, 2 s, 4 s and so on up to 30 s, and not before "
             "its Retry-After."},
    {.kind = SLUICE_OPTION_MAP, .name = "fields", .offset = EXPORT(fields), .max = 32,
     .fields = secret_options, .element = SLUICE_OPTION_STRUCT,
     .element_size = sizeof(struct export_word),
     .help = "Fields to send to the collector, such as its key.",
     .example = "{api-key: 'file:/run/secrets/collector'}"},
    {.kind = SLUICE_OPTION_END}};
/* clang-format on */

/* -- checking --------------------------------------------------------------------- */

/* The place being checked. */
struct check {
    const struct sluice_host *host;
    struct sluice_setup *setup;
    const char *option;
};

static bool is_same(struct sluice_span a, const char *b)
{
    if (a.len != strlen(b))
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if ((a.ptr[i] >= 'A' && a.ptr[i] <= 'Z' ? a.ptr[i] - 'A' + 'a' : a.ptr[i]) != b[i])
            return false;
    }
    return true;
}

static bool is_credential(struct sluice_span name)
{
    static const char *const names[] = {"authorization", "proxy-authorization", "cookie",
                                        "set-cookie", "x-api-key"};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (is_same(name, names[i]))
            return true;
    }
    return false;
}

/* The fields with the names of their attributes, both in lower case. */
static struct trace_capture *check_capture(const struct check *check,
                                           const struct sluice_list *fields,
                                           struct sluice_span prefix)
{
    const struct sluice_span *field = fields->first;
    struct trace_capture *out =
        check->host->conf_alloc(check->setup, (fields->n + 1) * sizeof(*out));

    for (size_t i = 0; i < fields->n; i++) {
        char *text = check->host->conf_alloc(check->setup, prefix.len + field[i].len + 1);

        if (!span_is_token(field[i])) {
            check->host->conf_error(check->setup, check->option, "write the name of a field",
                                    "'%.*s' is no field name", (int)field[i].len, field[i].ptr);
        } else if (is_credential(field[i])) {
            check->host->conf_error(check->setup, check->option, "leave it out",
                                    "'%.*s' holds credentials, which no trace may tell",
                                    (int)field[i].len, field[i].ptr);
        }
        memcpy(text, prefix.ptr, prefix.len);
        for (size_t k = 0; k < field[i].len; k++) {
            char c = field[i].ptr[k];

            text[prefix.len + k] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        }
        out[i].field = (struct sluice_span){text + prefix.len, field[i].len};
        out[i].attribute = (struct sluice_span){text, prefix.len + field[i].len};
    }
    return out;
}

/* UINT64_MAX microseconds each: there are none. */
static struct trace_budget budget_of(const struct sluice_rate *rate, struct sluice_span key)
{
    struct trace_budget budget = {.key = key, .interval_us = UINT64_MAX};

    budget.window_us = rate->period_ms * 1000;
    if (rate->amount > 0)
        budget.interval_us = budget.window_us / rate->amount;
    return budget;
}

static void find_attributes(const struct sluice_host *host, struct sluice_setup *setup,
                            struct trace_conf *conf)
{
    conf->method = host->attribute(setup, SLUICE_SPAN("request.method"));
    conf->path = host->attribute(setup, SLUICE_SPAN("request.path"));
    conf->query_text = host->attribute(setup, SLUICE_SPAN("request.query"));
    conf->host = host->attribute(setup, SLUICE_SPAN("request.host"));
    conf->scheme = host->attribute(setup, SLUICE_SPAN("request.scheme"));
    conf->protocol = host->attribute(setup, SLUICE_SPAN("request.protocol"));
    conf->client = host->attribute(setup, SLUICE_SPAN("client.address"));
    conf->peer = host->attribute(setup, SLUICE_SPAN("peer.address"));
    conf->route = host->attribute(setup, SLUICE_SPAN("route"));
    conf->upstream = host->attribute(setup, SLUICE_SPAN("upstream"));
    conf->endpoint = host->attribute(setup, SLUICE_SPAN("endpoint"));
    conf->reason = host->attribute(setup, SLUICE_SPAN("reason"));
    conf->trace_id = host->attribute(setup, SLUICE_SPAN("trace.id"));
    conf->span_id = host->attribute(setup, SLUICE_SPAN("span.id"));
}

void trace_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    struct trace_conf *conf = conf_;
    struct check check = {.host = host, .setup = setup};

    find_attributes(host, setup, conf);
    check.option = "request_fields";
    conf->request_capture =
        check_capture(&check, &conf->request_fields, SLUICE_SPAN("http.request.header."));
    check.option = "response_fields";
    conf->response_capture =
        check_capture(&check, &conf->response_fields, SLUICE_SPAN("http.response.header."));
    if (conf->response_field.len > 0 && !span_is_token(conf->response_field)) {
        host->conf_error(setup, "response_field", "write the name of a field, such as x-trace-id",
                         "it is no field name");
    }
    conf->bound = (uint64_t)(conf->sample.ratio * 0x1p63);
    conf->rate = budget_of(&conf->sample.rate, SLUICE_SPAN("rate"));
    conf->has_rate = conf->sample.rate.period_ms > 0;
    conf->errors = budget_of(&conf->sample.errors, SLUICE_SPAN("errors"));
    conf->has_errors = conf->sample.errors.amount > 0;
    export_check(host, setup, &conf->export);
}

bool trace_start(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    static const char *const by[] = {"by", NULL};
    static const char *const by_field[] = {"field", NULL};
    static const struct sluice_metric_spec sampled = {
        .size = sizeof(sampled),
        .kind = SLUICE_COUNTER,
        .name = "sampled_total",
        .help = "Exchanges whose spans are exported, by what decided it.",
        .labels = by};
    static const struct sluice_metric_spec limited = {.size = sizeof(limited),
                                                      .kind = SLUICE_COUNTER,
                                                      .name = "limited_total",
                                                      .help =
                                                          "Exchanges whose spans a rate left out.",
                                                      .labels = by};
    static const struct sluice_metric_spec malformed = {
        .size = sizeof(malformed),
        .kind = SLUICE_COUNTER,
        .name = "malformed_total",
        .help = "Requests whose trace context could not be read.",
        .labels = by_field};
    struct trace_conf *conf = conf_;
    struct sluice_shared_spec words = {.size = sizeof(words),
                                       .version = 1,
                                       .name = "budgets",
                                       .key = host->conf_place(setup),
                                       .capacity = 64};

    conf->words = host->words(setup, &words);
    conf->sampled = host->metric(setup, &sampled);
    conf->limited = host->metric(setup, &limited);
    conf->malformed = host->metric(setup, &malformed);
    if (!conf->words) {
        host->conf_error(setup, NULL, NULL, "no memory for the rates");
        return false;
    }
    return export_start(host, setup, &conf->export);
}
