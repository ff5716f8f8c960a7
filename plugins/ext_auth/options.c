/*
 * options.c - what may be written, and how it is compiled.
 */
#include "options.h"

#include "kit/span.h"

#define AT(member) offsetof(struct options, member)
#define FIELDS                                                                                     \
    .max = OPTIONS_LISTED_MAX, .element = SLUICE_OPTION_TEXT,                                      \
    .element_size = sizeof(struct sluice_span)

static const struct sluice_choice methods[] = {
    {"get", METHOD_GET, "always GET"},
    {"post", METHOD_POST, "always POST"},
    {"original", METHOD_ORIGINAL, "that of the request"},
    {NULL, 0, NULL},
};

static const struct sluice_choice failure_modes[] = {
    {"closed", FAILURE_CLOSED, "answer failure_status"},
    {"open", FAILURE_OPEN, "let the request pass"},
    {NULL, 0, NULL},
};

static const struct sluice_option cache_table[] = {
    {.kind = SLUICE_OPTION_TEMPLATE,
     .flags = SLUICE_OPTION_SCALAR | SLUICE_OPTION_REQUIRED,
     .name = "key",
     .offset = offsetof(struct cache_options, key),
     .help = "What a decision is about: requests with the same text share it. Put in all that the "
             "service looks at; requests whose text is empty are always asked about.",
     .example = "\"${request.field.authorization} ${request.method}\""},
    {.kind = SLUICE_OPTION_DURATION,
     .name = "ttl",
     .offset = offsetof(struct cache_options, ttl_ms),
     .preset = "10s",
     .help = "Remember so long that a request may pass.",
     .max = 3600000},
    {.kind = SLUICE_OPTION_DURATION,
     .name = "denied_ttl",
     .offset = offsetof(struct cache_options, denied_ttl_ms),
     .preset = "0s",
     .help = "Remember so long that it may not.",
     .max = 3600000},
    {.kind = SLUICE_OPTION_UINT,
     .name = "size",
     .offset = offsetof(struct cache_options, size),
     .preset = "1024",
     .help = "Decisions that each worker remembers, of at most 16 KiB each.",
     .min = 1,
     .max = 1000000},
    {.kind = SLUICE_OPTION_BOOL,
     .name = "cache_control",
     .offset = offsetof(struct cache_options, heeds_cache_control),
     .preset = "false",
     .help = "Heed no-store, no-cache and a shorter max-age in the answer's Cache-Control."},
    {.kind = SLUICE_OPTION_END},
};

static const struct sluice_option attribute_table[] = {
    {.kind = SLUICE_OPTION_TEXT,
     .flags = SLUICE_OPTION_SCALAR | SLUICE_OPTION_REQUIRED,
     .name = "field",
     .offset = offsetof(struct attribute_option, field),
     .help = "The field of the answer that the attribute is taken from.",
     .example = "X-Tenant"},
    {.kind = SLUICE_OPTION_END},
};

const struct sluice_option options_table[] = {
    {.kind = SLUICE_OPTION_TARGET,
     .flags = SLUICE_OPTION_REQUIRED,
     .name = "target",
     .offset = AT(target),
     .help = "Who is asked: a URL, or UPSTREAM/path.",
     .example = "http://127.0.0.1:4180/oauth2/auth"},
    {.kind = SLUICE_OPTION_CHOICE,
     .name = "method",
     .offset = AT(method),
     .preset = "get",
     .help = "The method of the sub-request.",
     .choices = methods},
    {.kind = SLUICE_OPTION_BOOL,
     .name = "append_path",
     .offset = AT(appends_path),
     .preset = "false",
     .help = "Add the request's path and query to the path of the target."},
    {.kind = SLUICE_OPTION_LIST,
     .name = "fields",
     .offset = AT(fields),
     .preset = "[Authorization, Cookie]",
     .help = "Fields of the request that are sent; \"*\": all but those of one connection.",
     FIELDS},
    {.kind = SLUICE_OPTION_SIZE,
     .name = "body",
     .offset = AT(body),
     .preset = "0",
     .help = "Send the request's content, up to so many bytes (longer ones are answered 413); 0: "
             "never.",
     .max = 16777216},
    {.kind = SLUICE_OPTION_DURATION,
     .name = "timeout",
     .offset = AT(timeout_ms),
     .preset = "500ms",
     .help = "How long the answer may take; shorter than the entry's wait.",
     .min = 1,
     .max = 60000},
    {.kind = SLUICE_OPTION_SIZE,
     .name = "max_answer",
     .offset = AT(max_answer),
     .preset = "64KiB",
     .help = "The longest content of an answer; a longer one is a failure and lets nobody pass.",
     .min = 1,
     .max = 1048576},
    {.kind = SLUICE_OPTION_LIST,
     .name = "upstream_fields",
     .offset = AT(upstream_fields),
     .help = "Fields of an answer 2xx that go on with the request; those a client sends are "
             "removed always.",
     .example = "[X-User]",
     FIELDS},
    {.kind = SLUICE_OPTION_LIST,
     .name = "client_fields",
     .offset = AT(client_fields),
     .help = "Fields of an answer 2xx that are added to the response.",
     .example = "[Set-Cookie]",
     FIELDS},
    {.kind = SLUICE_OPTION_LIST,
     .name = "denied_fields",
     .offset = AT(denied_fields),
     .preset = "[WWW-Authenticate, Location, Set-Cookie, Retry-After]",
     .help = "Fields of another answer that the client gets.",
     FIELDS},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "consumer_field",
     .offset = AT(consumer.name_field),
     .help = "The field of an answer 2xx that becomes consumer.name.",
     .example = "X-User"},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "groups_field",
     .offset = AT(consumer.groups_field),
     .help = "The field of an answer 2xx that becomes consumer.groups.",
     .example = "X-Groups"},
    {.kind = SLUICE_OPTION_MAP,
     .name = "attributes",
     .offset = AT(attributes),
     .help = "Other attributes, and the fields of an answer 2xx they are taken from.",
     .max = OPTIONS_LISTED_MAX,
     .fields = attribute_table,
     .element = SLUICE_OPTION_STRUCT,
     .element_size = sizeof(struct attribute_option),
     .example = "{auth.tenant: X-Tenant}"},
    {.kind = SLUICE_OPTION_CHOICE,
     .name = "failure_mode",
     .offset = AT(failure_mode),
     .preset = "closed",
     .help = "What happens without an answer, or with one of 5xx.",
     .choices = failure_modes},
    {.kind = SLUICE_OPTION_UINT,
     .name = "failure_status",
     .offset = AT(failure_status),
     .preset = "503",
     .help = "The status for failure_mode closed.",
     .min = 400,
     .max = 599},
    {.kind = SLUICE_OPTION_STRUCT,
     .name = "cache",
     .offset = AT(cache),
     .help = "Remember decisions; without it every request is asked about.",
     .fields = cache_table,
     .element_size = sizeof(struct cache_options)},
    {.kind = SLUICE_OPTION_END},
};

/* What the functions of a check share. */
struct checking {
    const struct sluice_host *host;
    struct sluice_setup *setup;
    struct options *options;
};

static void want(const struct checking *checking, bool fine, const char *option, const char *what)
{
    if (!fine)
        checking->host->conf_error(checking->setup, option, NULL, "%s", what);
}

/* Fields that the gateway makes itself: what a service says in them is about its own answer. */
static bool is_framing(struct sluice_span name)
{
    static const struct sluice_span names[] = {
        SLUICE_SPAN_INIT("connection"),        SLUICE_SPAN_INIT("content-length"),
        SLUICE_SPAN_INIT("keep-alive"),        SLUICE_SPAN_INIT("proxy-connection"),
        SLUICE_SPAN_INIT("transfer-encoding"), SLUICE_SPAN_INIT("trailer"),
        SLUICE_SPAN_INIT("upgrade"),           SLUICE_SPAN_INIT("te"),
        SLUICE_SPAN_INIT("content-type"),      SLUICE_SPAN_INIT("host"),
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (span_is_word(name, names[i]))
            return true;
    }
    return false;
}

static void check_list(const struct checking *checking, const struct sluice_list *list,
                       const char *option)
{
    const struct sluice_span *names = list->first;

    for (size_t i = 0; i < list->n; i++) {
        want(checking, span_is_token(names[i]), option, "this is no name of a field");
        want(checking, !is_framing(names[i]), option,
             "fields of framing, Content-Type and Host are the gateway's own");
    }
}

static void check_fields(const struct checking *checking)
{
    struct options *options = checking->options;
    const struct sluice_span *fields = options->fields.first;

    for (size_t i = 0; i < options->fields.n; i++) {
        if (span_is(fields[i], SLUICE_SPAN("*"))) {
            options->sends_all = true;
        } else {
            want(checking, span_is_token(fields[i]), "fields", "this is no name of a field");
        }
    }
    check_list(checking, &options->upstream_fields, "upstream_fields");
    check_list(checking, &options->client_fields, "client_fields");
    check_list(checking, &options->denied_fields, "denied_fields");
}

static void check_attributes(const struct checking *checking)
{
    struct options *options = checking->options;
    const struct attribute_option *written = options->attributes.first;
    struct attribute_option *compiled = checking->host->conf_alloc(
        checking->setup, (options->attributes.n + 1) * sizeof(*compiled));

    for (size_t i = 0; i < options->attributes.n; i++) {
        compiled[i] = written[i];
        compiled[i].id = checking->host->attribute(checking->setup, written[i].name);
        want(checking, compiled[i].id != 0, "attributes",
             "a name of an attribute is letters, digits, '_', '-' and '.'");
        want(checking, span_is_token(written[i].field), "attributes", "this is no name of a field");
    }
    options->attributes.first = compiled;
}

/* "http://host/a?b" and "upstream/a?b" have the path "/a". */
static struct sluice_span path_of(struct sluice_span target)
{
    struct sluice_span rest = target;
    const char *at;

    for (size_t i = 0; i + 3 <= target.len; i++) {
        if (memcmp(target.ptr + i, "://", 3) == 0) {
            rest = (struct sluice_span){target.ptr + i + 3, target.len - i - 3};
            break;
        }
    }
    at = rest.len > 0 ? memchr(rest.ptr, '/', rest.len) : NULL;
    if (!at)
        return (struct sluice_span){"", 0};
    rest.len -= (size_t)(at - rest.ptr);
    rest.ptr = at;
    at = memchr(rest.ptr, '?', rest.len);
    if (at)
        rest.len = (size_t)(at - rest.ptr);
    while (rest.len > 0 && rest.ptr[rest.len - 1] == '/') /* the request's path begins with one */
        rest.len--;
    return rest;
}

static void check_target(const struct checking *checking)
{
    struct options *options = checking->options;
    const struct sluice_host *host = checking->host;

    if (!options->appends_path || !options->target)
        return;
    if (SLUICE_HAS(host, target_text) && host->target_text) {
        options->path = path_of(host->target_text(options->target));
    } else {
        want(checking, false, "append_path", "this gateway cannot tell the path of a target");
    }
}

void options_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf)
{
    static const struct sluice_span told[TOLD_COUNT] = {
        [TOLD_METHOD] = SLUICE_SPAN_INIT("request.method"),
        [TOLD_TARGET] = SLUICE_SPAN_INIT("request.target"),
        [TOLD_HOST] = SLUICE_SPAN_INIT("request.host"),
        [TOLD_SCHEME] = SLUICE_SPAN_INIT("request.scheme"),
        [TOLD_CLIENT] = SLUICE_SPAN_INIT("client.address"),
        [TOLD_ID] = SLUICE_SPAN_INIT("request.id"),
    };
    struct options *options = conf;
    const struct checking checking = {host, setup, options};

    check_fields(&checking);
    check_attributes(&checking);
    check_target(&checking);
    consumer_bind(&options->consumer, host, setup);
    want(&checking, options->body == 0 || options->method != METHOD_GET, "method",
         "a GET carries no content: set method to post or original, or leave body out");
    want(&checking, options->body == 0 || !options->cache.key, "cache",
         "decisions about content are not remembered: leave body or cache out");
    for (size_t i = 0; i < TOLD_COUNT; i++)
        options->told[i] = host->attribute(setup, told[i]);
}

bool options_start(const struct sluice_host *host, struct sluice_setup *setup, void *conf)
{
    static const char *const labels[] = {"result", NULL};
    struct sluice_metric_spec spec = {.size = sizeof(spec),
                                      .kind = SLUICE_COUNTER,
                                      .name = "requests_total",
                                      .help = "Requests, by what was decided.",
                                      .labels = labels,
                                      .max_series = 16};
    struct options *options = conf;

    options->requests = host->metric(setup, &spec);
    spec.name = "calls_total";
    spec.help = "Sub-requests, by how they ended.";
    options->calls = host->metric(setup, &spec);
    spec.kind = SLUICE_HISTOGRAM;
    spec.name = "call_seconds";
    spec.help = "How long sub-requests took.";
    spec.labels = NULL;
    options->seconds = host->metric(setup, &spec);
    return true;
}
