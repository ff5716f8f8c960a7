#include "upstream/conf_outlier.h"

#include <stddef.h>

static const struct shape count_shape = {.kind = SHAPE_UINT,
                                         .size = sizeof(uint64_t),
                                         .max = 1000000,
                                         .what = "a number from 0 to 1000000"};

static const struct shape percent_shape = {.kind = SHAPE_UINT,
                                           .size = sizeof(uint64_t),
                                           .max = 100,
                                           .what = "a percentage from 0 to 100, without a sign"};

static const struct shape time_shape = {.kind = SHAPE_DURATION,
                                        .size = sizeof(uint64_t),
                                        .min = 100,
                                        .max = 86400000,
                                        .what = "a duration from 100ms to 1d"};

static const struct shape jitter_shape = {.kind = SHAPE_DURATION,
                                          .size = sizeof(uint64_t),
                                          .max = 86400000,
                                          .what = "a duration up to 1d"};

#define AT(member) offsetof(struct outlier_conf, member)

static const struct field outlier_fields[] = {
    {.name = "enabled",
     .shape = &shape_bool,
     .offset = AT(enabled),
     .preset = "true",
     .help = "Whether it is on; \"outlier_detection: true\" is short for all defaults."},
    {.name = "consecutive_5xx",
     .shape = &count_shape,
     .offset = AT(consecutive_5xx),
     .preset = "5",
     .help = "Answers of 500 and above in a row, over all workers, that eject. 0: never."},
    {.name = "consecutive_gateway_failure",
     .shape = &count_shape,
     .offset = AT(consecutive_gateway),
     .preset = "0",
     .help = "Answers of 502, 503 or 504 in a row that eject. 0: never."},
    {.name = "consecutive_local_origin_failure",
     .shape = &count_shape,
     .offset = AT(consecutive_local),
     .preset = "5",
     .help = "Tries in a row without an answer (connect, reset, time-out, malformed) that eject. "
             "0: never."},
    {.name = "interval",
     .shape = &time_shape,
     .offset = AT(interval_ms),
     .preset = "10s",
     .help = "How often success rates are compared and old ejections forgiven."},
    {.name = "base_ejection_time",
     .shape = &time_shape,
     .offset = AT(ejection_ms),
     .preset = "30s",
     .help = "How long the first ejection lasts; the next one twice as long, and so on. Each "
             "interval without an ejection takes one back."},
    {.name = "max_ejection_time",
     .shape = &time_shape,
     .offset = AT(ejection_max_ms),
     .preset = "5m",
     .help = "No ejection is longer, but for the jitter."},
    {.name = "max_ejection_time_jitter",
     .shape = &jitter_shape,
     .offset = AT(jitter_ms),
     .preset = "1s",
     .help = "A random time up to this is added, so that not all come back together."},
    {.name = "max_ejection_percent",
     .shape = &percent_shape,
     .offset = AT(max_percent),
     .preset = "50",
     .help = "At most this part of the endpoints is ejected; one always may, if others remain."},
    {.name = "success_rate_minimum_hosts",
     .shape = &count_shape,
     .offset = AT(rate_hosts),
     .preset = "5",
     .help = "Success rates are compared when so many endpoints had enough requests."},
    {.name = "success_rate_request_volume",
     .shape = &count_shape,
     .offset = AT(rate_volume),
     .preset = "100",
     .help = "Requests in an interval that an endpoint must have had to be compared."},
    {.name = "success_rate_stdev_factor",
     .shape = &count_shape,
     .offset = AT(rate_factor),
     .preset = "1900",
     .help = "An endpoint is ejected whose success rate is below the mean less this many "
             "thousandths of the standard deviation. 0: rates are not compared."},
    {.name = "failure_percentage_threshold",
     .shape = &percent_shape,
     .offset = AT(failure_percent),
     .preset = "0",
     .help = "An endpoint is ejected of whose requests in an interval this part or more failed. "
             "0: never."},
    {.name = "failure_percentage_minimum_hosts",
     .shape = &count_shape,
     .offset = AT(failure_hosts),
     .preset = "5",
     .help = "Failure percentages are looked at when so many endpoints had enough requests."},
    {.name = "failure_percentage_request_volume",
     .shape = &count_shape,
     .offset = AT(failure_volume),
     .preset = "50",
     .help = "Requests in an interval that an endpoint must have had to be looked at."},
    {.name = "successful_active_health_check_uneject_host",
     .shape = &shape_bool,
     .offset = AT(ends_on_check),
     .preset = "false",
     .help = "Whether an active check (health) that passes ends an ejection before its time. Say "
             "true when an endpoint that passes its checks also serves requests."},
    {0},
};

#undef AT

static void outlier_check(struct bind *bind, const struct tree *node, void *out)
{
    struct outlier_conf *conf = out;

    if (!node)
        return;
    conf->is_written = true;
    if (conf->ejection_max_ms < conf->ejection_ms) {
        notes_error(bind->notes, node->at, "make max_ejection_time the longer one",
                    "max_ejection_time is shorter than base_ejection_time");
    }
    if (conf->enabled && conf->max_percent == 0) {
        notes_warn(bind->notes, node->at, "write enabled: false to turn it off",
                   "max_ejection_percent 0 still lets one endpoint be ejected");
    }
}

const struct shape outlier_shape = {.kind = SHAPE_STRUCT,
                                    .size = sizeof(struct outlier_conf),
                                    .fields = outlier_fields,
                                    .scalar = "enabled",
                                    .check = outlier_check,
                                    .what = "true, or a map",
                                    .title = "outlier_detection"};

bool outlier_conf_is_on(const struct outlier_conf *conf)
{
    return conf->is_written && conf->enabled;
}
