#include "upstream/conf_health.h"

#include "http/octet.h"
#include "upstream/body_pattern.h"

#include <stddef.h>

#define AT(member) offsetof(struct health_conf, member)

static const struct choice kind_choices[] = {
    {"http", HEALTH_HTTP, "A request over HTTP/1.1, by its status and body."},
    {"tcp", HEALTH_TCP, "A connection; with send and expect, what is said on it."},
    {"grpc", HEALTH_GRPC, "The standard health service, grpc.health.v1.Health/Check, over HTTP/2."},
    {NULL, 0, NULL},
};

static const struct shape kind_shape = {.kind = SHAPE_CHOICE,
                                        .size = sizeof(int),
                                        .choices = kind_choices,
                                        .what = "http, tcp or grpc"};

static const struct shape time_shape = {.kind = SHAPE_DURATION,
                                        .size = sizeof(uint64_t),
                                        .min = 10,
                                        .max = 86400000,
                                        .what = "a duration from 10ms to 1d"};

static const struct shape other_time_shape = {.kind = SHAPE_DURATION,
                                              .size = sizeof(uint64_t),
                                              .max = 86400000,
                                              .what = "a duration up to 1d"};

static const struct shape row_shape = {.kind = SHAPE_UINT,
                                       .size = sizeof(uint64_t),
                                       .min = 1,
                                       .max = 1000,
                                       .what = "a number from 1 to 1000"};

static const struct shape port_shape = {.kind = SHAPE_UINT,
                                        .size = sizeof(uint64_t),
                                        .max = 65535,
                                        .what = "a port from 1 to 65535, or 0"};

/* -- statuses ------------------------------------------------------------------- */

enum { STATUS_FIRST = 200, STATUS_LAST = 599 };

static bool read_status(struct sluice_span text, uint16_t *status)
{
    uint64_t number;

    if (span_number(text, STATUS_LAST, &number) || number < STATUS_FIRST)
        return false;
    *status = (uint16_t)number;
    return true;
}

static bool read_statuses(struct sluice_span text, struct health_status *out)
{
    size_t dash = span_find(text, '-');

    if (text.len == 3 && text.ptr[0] >= '2' && text.ptr[0] <= '5' && text.ptr[1] == 'x' &&
        text.ptr[2] == 'x') {
        out->first = (uint16_t)((text.ptr[0] - '0') * 100);
        out->last = (uint16_t)(out->first + 99);
        return true;
    }
    if (dash == text.len) {
        bool fits = read_status(text, &out->first);

        out->last = out->first;
        return fits;
    }
    return read_status(span_make(text.ptr, dash), &out->first) &&
           read_status(span_make(text.ptr + dash + 1, text.len - dash - 1), &out->last) &&
           out->first <= out->last;
}

static enum err parse_status(struct bind *bind, const struct tree *node, void *out)
{
    if (node->kind == TREE_SCALAR && read_statuses(node->text, out))
        return OK;
    notes_error(bind->notes, node->at, "write 200, 2xx or 200-399",
                "not a status from %d to %d, nor a range of them", STATUS_FIRST, STATUS_LAST);
    return ERR_CONFIG;
}

static const struct shape status_shape = {
    .kind = SHAPE_CUSTOM,
    .size = sizeof(struct health_status),
    .parse = parse_status,
    .what = "a status such as 200, 2xx or 200-399",
    .pattern = "^[2-5]([0-9]{2}(-[2-5][0-9]{2})?|xx)$",
};

static const struct shape statuses_shape = {.kind = SHAPE_LIST,
                                            .size = sizeof(struct items),
                                            .element = &status_shape,
                                            .min = 1,
                                            .max = 100,
                                            .what = "statuses"};

/* -- fields ------------------------------------------------------------------------ */

static const struct field field_fields[] = {
    {.name = "value",
     .shape = &shape_secret,
     .offset = offsetof(struct health_field, value),
     .required = true,
     .help = "The value, or file:PATH for what a file holds; a scalar alone means the same."},
    {0},
};

static bool is_name(struct sluice_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!octet_is(text.ptr[i], OCTET_TOKEN))
            return false;
    }
    return text.len > 0;
}

static bool is_value(struct sluice_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (octet_is(text.ptr[i], OCTET_STOP))
            return false;
    }
    return true;
}

static void field_check(struct bind *bind, const struct tree *node, void *out)
{
    const struct health_field *field = out;

    if (!is_name(field->named.name) || !is_value(field->value)) {
        notes_error(bind->notes, node ? node->at : (struct mark){0}, "write NAME: VALUE",
                    "'%s' cannot be sent as a field", field->named.name.ptr);
    }
}

static const struct shape field_shape = {.kind = SHAPE_STRUCT,
                                         .size = sizeof(struct health_field),
                                         .fields = field_fields,
                                         .scalar = "value",
                                         .check = field_check,
                                         .title = "field"};

static const struct shape fields_shape = {
    .kind = SHAPE_MAP, .size = sizeof(struct items), .element = &field_shape};

/* -- a pattern ----------------------------------------------------------------------- */

static enum err parse_pattern(struct bind *bind, const struct tree *node, void *out)
{
    struct text why;
    enum err err;

    if (node->kind != TREE_SCALAR) {
        notes_error(bind->notes, node->at, "write a regular expression (PCRE2)",
                    "body_matches is not a text");
        return ERR_CONFIG;
    }
    text_init(&why, 256);
    err = body_pattern_new(node->text, bind->arena, &why, out);
    if (err) {
        notes_error(bind->notes, node->at, "write a regular expression (PCRE2)", "body_matches: %s",
                    why.len > 0 ? why.ptr : "malformed");
    }
    text_fini(&why);
    return err;
}

static const struct shape pattern_shape = {
    .kind = SHAPE_CUSTOM,
    .size = sizeof(struct body_pattern *),
    .parse = parse_pattern,
    .what = "a regular expression (PCRE2)",
    .pattern = "^",
};

/* -- the whole -------------------------------------------------------------------------- */

static const struct field health_fields[] = {
    {.name = "enabled",
     .shape = &shape_bool,
     .offset = AT(enabled),
     .preset = "true",
     .help = "Whether there are checks."},
    {.name = "type",
     .shape = &kind_shape,
     .offset = AT(kind),
     .preset = "http",
     .help = "How an endpoint is asked. When it is not given, send and expect mean tcp, service "
             "means grpc."},
    {.name = "path",
     .shape = &shape_text,
     .offset = AT(path),
     .preset = "/",
     .help = "http: what is asked for; \"health: /healthz\" is short for it.",
     .example = "/healthz"},
    {.name = "method",
     .shape = &shape_text,
     .offset = AT(method),
     .preset = "GET",
     .help = "http: the method."},
    {.name = "host",
     .shape = &shape_text,
     .offset = AT(host),
     .help = "http and grpc: the Host sent. When not given, the upstream's host if that is a fixed "
             "text, else the endpoint.",
     .example = "orders.internal"},
    {.name = "fields",
     .shape = &fields_shape,
     .offset = AT(fields),
     .help = "http and grpc: fields to send.",
     .example = "{ X-Probe: sluice }"},
    {.name = "status",
     .shape = &statuses_shape,
     .offset = AT(status),
     .preset = "[ 200-399 ]",
     .help = "http: the statuses that are well.",
     .example = "[ 2xx, 404 ]"},
    {.name = "body",
     .shape = &shape_text,
     .offset = AT(body),
     .help = "http: what the body must have in it, within its first 64 KiB.",
     .example = "'\"status\":\"up\"'"},
    {.name = "body_matches",
     .shape = &pattern_shape,
     .offset = AT(pattern),
     .help = "http: a regular expression that the body must match, within its first 64 KiB.",
     .example = "'\"ready\": *true'"},
    {.name = "send",
     .shape = &shape_text,
     .offset = AT(send),
     .help = "tcp: what is sent once connected; double quotes allow escapes.",
     .example = "\"PING\\r\\n\""},
    {.name = "expect",
     .shape = &shape_text,
     .offset = AT(expect),
     .help = "tcp: what must be in the first 64 KiB that come.",
     .example = "+PONG"},
    {.name = "service",
     .shape = &shape_text,
     .offset = AT(service),
     .help = "grpc: the service asked about; empty: the server as a whole.",
     .example = "orders.v1.Orders"},
    {.name = "port",
     .shape = &port_shape,
     .offset = AT(port),
     .preset = "0",
     .help = "The port that is asked, on the endpoint's address. 0: the endpoint's own."},
    {.name = "plain",
     .shape = &shape_bool,
     .offset = AT(plain),
     .preset = "false",
     .help = "Ask without TLS even if the upstream has it."},
    {.name = "interval",
     .shape = &time_shape,
     .offset = AT(interval_ms),
     .preset = "5s",
     .help = "Between two checks of an endpoint that is well."},
    {.name = "unhealthy_interval",
     .shape = &other_time_shape,
     .offset = AT(unhealthy_ms),
     .preset = "0s",
     .help = "Between two checks of one that is not. 0: as interval."},
    {.name = "no_traffic_interval",
     .shape = &other_time_shape,
     .offset = AT(idle_ms),
     .preset = "0s",
     .help = "Between two checks of one that is well and had no request since the last. 0: as "
             "interval."},
    {.name = "timeout",
     .shape = &time_shape,
     .offset = AT(timeout_ms),
     .preset = "2s",
     .help = "For a whole check."},
    {.name = "healthy_threshold",
     .shape = &row_shape,
     .offset = AT(rise),
     .preset = "2",
     .help = "Checks passed in a row that make an endpoint well again. The very first check "
             "decides alone."},
    {.name = "unhealthy_threshold",
     .shape = &row_shape,
     .offset = AT(fall),
     .preset = "3",
     .help = "Checks failed in a row after which it is not to be picked."},
    {.name = "reuse_connection",
     .shape = &shape_bool,
     .offset = AT(reuse),
     .preset = "true",
     .help = "http and grpc: ask over the connection of the check before, if it is still there. "
             "false: each check opens one."},
    {.name = "jitter",
     .shape = &shape_ratio,
     .offset = AT(jitter),
     .preset = "10%",
     .help = "A random part of the interval, up to this, is added to it."},
    {0},
};

#undef AT

static void check_http(struct bind *bind, const struct tree *node, const struct health_conf *conf)
{
    if (!span_starts(conf->path, SPAN("/")) || !is_value(conf->path) ||
        span_find(conf->path, ' ') < conf->path.len) {
        notes_error(bind->notes, node->at, "write a path such as /healthz",
                    "'%s' cannot be asked for", conf->path.ptr);
    }
    if (!is_name(conf->method)) {
        notes_error(bind->notes, node->at, "write GET or HEAD", "'%s' cannot be a method",
                    conf->method.ptr);
    }
    if (!is_value(conf->host)) {
        notes_error(bind->notes, node->at, "write a name", "'%s' cannot be a host", conf->host.ptr);
    }
}

/* An option of another kind of check would silently do nothing. */
static void check_kind(struct bind *bind, const struct tree *node, int kind)
{
    static const struct {
        const char *name;
        unsigned kinds; /* bits 1 << enum health_kind */
    } options[] = {
        {"path", 1 << HEALTH_HTTP},
        {"method", 1 << HEALTH_HTTP},
        {"status", 1 << HEALTH_HTTP},
        {"body", 1 << HEALTH_HTTP},
        {"body_matches", 1 << HEALTH_HTTP},
        {"host", 1 << HEALTH_HTTP | 1 << HEALTH_GRPC},
        {"fields", 1 << HEALTH_HTTP | 1 << HEALTH_GRPC},
        {"reuse_connection", 1 << HEALTH_HTTP | 1 << HEALTH_GRPC},
        {"send", 1 << HEALTH_TCP},
        {"expect", 1 << HEALTH_TCP},
        {"service", 1 << HEALTH_GRPC},
    };

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        const struct tree *found = tree_find(node, span_of(options[i].name));

        if (found && !(options[i].kinds & (1u << kind))) {
            notes_error(bind->notes, found->at, "leave it out, or change type",
                        "%s has no meaning for a check of type %s", options[i].name,
                        kind_choices[kind].name);
        }
    }
}

/* Some options belong to one kind alone, and say which. */
static int kind_of(const struct tree *node, int written)
{
    if (tree_find(node, SPAN("type")))
        return written;
    if (tree_find(node, SPAN("send")) || tree_find(node, SPAN("expect")))
        return HEALTH_TCP;
    return tree_find(node, SPAN("service")) ? HEALTH_GRPC : written;
}

static void health_check(struct bind *bind, const struct tree *node, void *out)
{
    struct health_conf *conf = out;

    if (!node)
        return;
    conf->at = node->at;
    conf->is_written = true;
    check_http(bind, node, conf);
    if (node->kind != TREE_MAP)
        return;
    conf->kind = kind_of(node, conf->kind);
    check_kind(bind, node, conf->kind);
}

/* Each stands apart from the keys of http. */
static const char *const health_others[] = {"send", "expect", "service", NULL};

const struct shape health_shape = {.kind = SHAPE_STRUCT,
                                   .size = sizeof(struct health_conf),
                                   .fields = health_fields,
                                   .scalar = "path",
                                   .check = health_check,
                                   .what = "a path, or a map",
                                   .title = "health",
                                   .others = health_others};

bool health_conf_is_on(const struct health_conf *conf)
{
    return conf->is_written && conf->enabled;
}
