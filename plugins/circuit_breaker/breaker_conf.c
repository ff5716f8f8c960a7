/*
 * breaker_conf.c - the options of circuit_breaker.
 */
#include "breaker.h"

static const struct sluice_choice keys[] = {
    {"upstream", BY_UPSTREAM, "one circuit for each upstream, whatever route leads there"},
    {"route", BY_ROUTE, "one circuit for each route"},
    {NULL, 0, NULL},
};

#define FALLBACK(member) offsetof(struct breaker_fallback, member)
#define CONF(member)     offsetof(struct breaker_conf, member)

static const struct sluice_option fallback_options[] = {
    {.kind = SLUICE_OPTION_UINT,
     .name = "status",
     .offset = FALLBACK(status),
     .preset = "503",
     .min = 200,
     .max = 599,
     .help = "Status of the answer while the circuit is open."},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "body",
     .offset = FALLBACK(body),
     .help = "Body of the answer; without one the gateway makes its usual error.",
     .example = "'{\"orders\": []}'"},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "content_type",
     .offset = FALLBACK(content_type),
     .help = "Content-Type of the body; text/plain when not written.",
     .example = "application/json"},
    {.kind = SLUICE_OPTION_UPSTREAM,
     .name = "upstream",
     .offset = FALLBACK(upstream),
     .help = "Send requests to this upstream instead of answering.",
     .example = "orders-static"},
    {.kind = SLUICE_OPTION_BOOL,
     .name = "retry_after",
     .offset = FALLBACK(retry_after),
     .preset = "on",
     .help = "Tell the client in Retry-After when the next probe may go."},
    {.kind = SLUICE_OPTION_END},
};

const struct sluice_option breaker_options[] = {
    {.kind = SLUICE_OPTION_CHOICE,
     .name = "key",
     .offset = CONF(key),
     .preset = "upstream",
     .choices = keys,
     .help = "What has a circuit of its own."},
    {.kind = SLUICE_OPTION_UINT,
     .name = "consecutive_failures",
     .offset = CONF(consecutive_failures),
     .preset = "0",
     .max = CIRCUIT_RUN_MAX,
     .help = "Open after so many failures in a row; 0: do not count them.",
     .example = "5"},
    {.kind = SLUICE_OPTION_RATIO,
     .name = "error_ratio",
     .offset = CONF(error_ratio),
     .preset = "50%",
     .help = "Open when this share of the window's requests failed; 0: do not look at it."},
    {.kind = SLUICE_OPTION_RATIO,
     .name = "slow_ratio",
     .offset = CONF(slow_ratio),
     .preset = "0%",
     .help = "Open when this share of the window's requests was slow; 0: do not look at it.",
     .example = "80%"},
    {.kind = SLUICE_OPTION_DURATION,
     .name = "slow",
     .offset = CONF(slow_ms),
     .preset = "5s",
     .min = 1,
     .max = 3600000,
     .help = "A request is slow when the head of its response takes at least this long."},
    {.kind = SLUICE_OPTION_DURATION,
     .name = "window",
     .offset = CONF(window_ms),
     .preset = "10s",
     .min = 100,
     .max = 3600000,
     .help = "The time that the ratios look back; it slides in tenths."},
    {.kind = SLUICE_OPTION_UINT,
     .name = "min_requests",
     .offset = CONF(min_requests),
     .preset = "20",
     .min = 1,
     .max = 1000000000,
     .help = "The ratios say nothing before the window holds this many requests."},
    {.kind = SLUICE_OPTION_LIST,
     .name = "failure_statuses",
     .offset = CONF(statuses),
     .preset = "[500, 502, 503, 504]",
     .element = SLUICE_OPTION_UINT,
     .element_size = sizeof(uint64_t),
     .max = 100,
     .help =
         "Statuses of the upstream that count as failures; not getting a response always does."},
    {.kind = SLUICE_OPTION_DURATION,
     .name = "open",
     .offset = CONF(open_ms),
     .preset = "5s",
     .min = 10,
     .max = 86400000,
     .help = "How long it stays open the first time; up to a quarter is added by chance."},
    {.kind = SLUICE_OPTION_DURATION,
     .name = "open_max",
     .offset = CONF(open_max_ms),
     .preset = "1m",
     .min = 10,
     .max = 86400000,
     .help = "The open time doubles with each failed probing, up to this."},
    {.kind = SLUICE_OPTION_UINT,
     .name = "probes",
     .offset = CONF(probes),
     .preset = "3",
     .min = 1,
     .max = CIRCUIT_PROBES_MAX,
     .help = "Requests let through after the open time; when all went well, the circuit closes."},
    {.kind = SLUICE_OPTION_STRUCT,
     .name = "fallback",
     .offset = CONF(fallback),
     .fields = fallback_options,
     .help = "What happens to requests while the circuit is open."},
    {.kind = SLUICE_OPTION_END},
};

/* -- configuration ---------------------------------------------------------- */

void breaker_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    struct breaker_conf *conf = conf_;

    if (conf->consecutive_failures == 0 && conf->error_ratio <= 0 && conf->slow_ratio <= 0) {
        host->conf_error(setup, NULL, "set consecutive_failures, error_ratio or slow_ratio",
                         "this circuit can never open");
    }
    if (conf->open_max_ms < conf->open_ms) {
        host->conf_error(setup, "open_max", "make it at least as long as open",
                         "open_max is shorter than open");
    }
    for (size_t i = 0; i < conf->statuses.n; i++) {
        uint64_t status = ((const uint64_t *)conf->statuses.first)[i];

        if (status < 400 || status > 599) {
            host->conf_error(setup, "failure_statuses", "write statuses from 400 to 599",
                             "%u is no status of a failure", (unsigned)status);
        }
    }
    conf->rules = (struct circuit_rules){.probes = (uint32_t)conf->probes,
                                         .open_ms = (uint32_t)conf->open_ms,
                                         .open_max_ms = (uint32_t)conf->open_max_ms,
                                         .probe_lost_ms = 60000};
    conf->name = host->attribute(setup, conf->key == BY_ROUTE ? SLUICE_SPAN("route")
                                                              : SLUICE_SPAN("upstream"));
}

static struct sluice_metric *metric(const struct sluice_host *host, struct sluice_setup *setup,
                                    struct sluice_metric_spec spec)
{
    spec.size = sizeof(spec);
    return host->metric(setup, &spec);
}

bool breaker_start(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    struct breaker_conf *conf = conf_;
    static const char *const of_state[] = {"circuit", "state", NULL};
    static const char *const of_circuit[] = {"circuit", NULL};
    static const char *const of_result[] = {"circuit", "result", NULL};
    const struct sluice_shared_spec spec = {.size = sizeof(spec),
                                            .version = 1,
                                            .name = "circuits",
                                            .key = conf->key == BY_ROUTE ? SLUICE_SPAN("route")
                                                                         : SLUICE_SPAN("upstream"),
                                            .capacity = 65536};

    conf->words = host->words(setup, &spec);
    if (!conf->words) {
        host->conf_error(setup, NULL, NULL, "no memory for the state of circuits");
        return false;
    }
    conf->transitions = metric(
        host, setup,
        (struct sluice_metric_spec){.kind = SLUICE_COUNTER,
                                    .name = "transitions_total",
                                    .help = "Changes of circuits, by the state they went to.",
                                    .labels = of_state});
    conf->refused =
        metric(host, setup,
               (struct sluice_metric_spec){.kind = SLUICE_COUNTER,
                                           .name = "refused_total",
                                           .help = "Requests that an open circuit kept away.",
                                           .labels = of_circuit});
    conf->probed = metric(host, setup,
                          (struct sluice_metric_spec){.kind = SLUICE_COUNTER,
                                                      .name = "probes_total",
                                                      .help = "Probes, by their result.",
                                                      .labels = of_result});
    conf->open =
        metric(host, setup,
               (struct sluice_metric_spec){.kind = SLUICE_GAUGE,
                                           .name = "open",
                                           .help = "1 while a circuit keeps requests away.",
                                           .labels = of_circuit});
    conf->unkept =
        metric(host, setup,
               (struct sluice_metric_spec){
                   .kind = SLUICE_COUNTER,
                   .name = "unkept_total",
                   .help = "Events without room to keep them: the circuit stays as it was.",
                   .labels = NULL});
    return true;
}
