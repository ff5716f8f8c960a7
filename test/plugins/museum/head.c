/*
 * head.c - a kept plugin: options of many kinds, fields, attributes, a reply, a metric.
 *
 * Its .so was built once, against the header as frozen; see README.md. Do not touch.
 */
#include "sluice_plugin.h"

struct rule {
    struct sluice_span name;
    const struct sluice_template *value;
};

struct conf {
    struct sluice_span deny;
    uint64_t status, wait_ms, bytes;
    double share;
    uint32_t mode, subject;
    bool shout;
    struct sluice_list words, set; /* of spans, of struct rule */
    struct sluice_network network;
    struct sluice_rate rate;
    struct sluice_metric *seen;
};

enum { QUIET, LOUD };

static const struct sluice_choice modes[] = {
    {"quiet", QUIET, "say little"}, {"loud", LOUD, "say more"}, {NULL, 0, NULL}};

static const struct sluice_option rule_options[] = {{.kind = SLUICE_OPTION_TEMPLATE,
                                                     .flags = SLUICE_OPTION_SCALAR,
                                                     .name = "value",
                                                     .offset = offsetof(struct rule, value),
                                                     .help = "a template"},
                                                    {.kind = SLUICE_OPTION_END}};

static const struct sluice_option options[] = {{.kind = SLUICE_OPTION_TEXT,
                                                .name = "deny",
                                                .offset = offsetof(struct conf, deny),
                                                .preset = "x-deny",
                                                .help = "a request with this field is answered"},
                                               {.kind = SLUICE_OPTION_UINT,
                                                .name = "status",
                                                .offset = offsetof(struct conf, status),
                                                .preset = "418",
                                                .min = 200,
                                                .max = 599,
                                                .help = "with this status"},
                                               {.kind = SLUICE_OPTION_DURATION,
                                                .name = "wait",
                                                .offset = offsetof(struct conf, wait_ms),
                                                .preset = "1500ms",
                                                .help = "a duration"},
                                               {.kind = SLUICE_OPTION_SIZE,
                                                .name = "bytes",
                                                .offset = offsetof(struct conf, bytes),
                                                .preset = "64KiB",
                                                .help = "a size"},
                                               {.kind = SLUICE_OPTION_RATIO,
                                                .name = "share",
                                                .offset = offsetof(struct conf, share),
                                                .preset = "25%",
                                                .help = "a ratio"},
                                               {.kind = SLUICE_OPTION_CHOICE,
                                                .name = "mode",
                                                .offset = offsetof(struct conf, mode),
                                                .preset = "loud",
                                                .choices = modes,
                                                .help = "a choice"},
                                               {.kind = SLUICE_OPTION_BOOL,
                                                .name = "shout",
                                                .offset = offsetof(struct conf, shout),
                                                .preset = "on",
                                                .help = "a boolean"},
                                               {.kind = SLUICE_OPTION_LIST,
                                                .name = "words",
                                                .offset = offsetof(struct conf, words),
                                                .preset = "[one, two]",
                                                .element = SLUICE_OPTION_TEXT,
                                                .element_size = sizeof(struct sluice_span),
                                                .help = "a list"},
                                               {.kind = SLUICE_OPTION_MAP,
                                                .name = "set",
                                                .offset = offsetof(struct conf, set),
                                                .fields = rule_options,
                                                .element = SLUICE_OPTION_STRUCT,
                                                .element_size = sizeof(struct rule),
                                                .help = "a map"},
                                               {.kind = SLUICE_OPTION_NETWORK,
                                                .name = "network",
                                                .offset = offsetof(struct conf, network),
                                                .preset = "10.0.0.0/8",
                                                .help = "a network"},
                                               {.kind = SLUICE_OPTION_RATE,
                                                .name = "rate",
                                                .offset = offsetof(struct conf, rate),
                                                .preset = "10/2s",
                                                .help = "a rate"},
                                               {.kind = SLUICE_OPTION_END}};

/* Are the presets where this file believes its options are? */
static bool are_bound(const struct conf *conf)
{
    const struct sluice_span *word = conf->words.first;

    return conf->wait_ms == 1500 && conf->bytes == 65536 && conf->share > 0.24 &&
           conf->share < 0.26 && conf->mode == LOUD && conf->shout && conf->words.n == 2 &&
           word[1].len == 3 && word[1].ptr[0] == 't' && conf->network.bits == 104 &&
           conf->network.is_v4 && conf->network.address[12] == 10 && conf->rate.amount == 10 &&
           conf->rate.period_ms == 2000;
}

static void conf_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    struct conf *conf = conf_;

    conf->subject = host->attribute(setup, SLUICE_SPAN("consumer.name"));
    if (!are_bound(conf))
        host->conf_error(setup, "words", "give no options but deny, status, set",
                         "the presets are not where they were");
}

static bool conf_start(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    static const char *const labels[] = {"outcome", NULL};
    const struct sluice_metric_spec spec = {.size = sizeof(spec),
                                            .kind = SLUICE_COUNTER,
                                            .name = "seen_total",
                                            .help = "Requests.",
                                            .labels = labels};
    struct conf *conf = conf_;

    conf->seen = host->metric(setup, &spec);
    return true;
}

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    const struct sluice_host *host = call->host;
    const struct conf *conf = call->conf;
    const struct rule *rule = conf->set.first;
    const struct sluice_pair field = {SLUICE_SPAN("x-museum"), SLUICE_SPAN("denied")};
    const struct sluice_reply reply = {.size = sizeof(reply),
                                       .status = (uint32_t)conf->status,
                                       .reason = SLUICE_SPAN("museum_denied"),
                                       .content_type = SLUICE_SPAN("text/plain"),
                                       .body = SLUICE_SPAN("denied\n"),
                                       .fields = &field,
                                       .n_fields = 1};
    struct sluice_span value, outcome = SLUICE_SPAN("passed");

    if (host->field_get(call, SLUICE_REQUEST, conf->deny, &value)) {
        outcome = SLUICE_SPAN("denied");
        host->metric_add(call, conf->seen, &outcome, 1);
        return host->reply(call, &reply) ? SLUICE_REPLIED : SLUICE_FAIL;
    }
    host->metric_add(call, conf->seen, &outcome, 1);
    host->note(call, SLUICE_SPAN("museum_passed"));
    host->attribute_set(call, conf->subject, SLUICE_SPAN("curator"));
    for (size_t i = 0; i < conf->set.n; i++) {
        if (!host->field_set(call, SLUICE_REQUEST, rule[i].name, host->render(call, rule[i].value)))
            return SLUICE_FAIL;
    }
    return SLUICE_NEXT;
}

static enum sluice_verdict on_response_head(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;
    struct sluice_span subject;

    if (!call->host->attribute_get(call, conf->subject, &subject))
        return SLUICE_NEXT;
    return call->host->field_set(call, SLUICE_RESPONSE, SLUICE_SPAN("x-museum"), subject)
               ? SLUICE_NEXT
               : SLUICE_FAIL;
}

const struct sluice_plugin sluice_plugin = {SLUICE_PLUGIN_HEAD,
                                            .name = "museum_head",
                                            .version = "1.0.0",
                                            .summary = "A kept plugin: options, fields, a reply.",
                                            .options = options,
                                            .conf_size = sizeof(struct conf),
                                            .conf_check = conf_check,
                                            .conf_start = conf_start,
                                            .on_request_head = on_request_head,
                                            .on_response_head = on_response_head};
