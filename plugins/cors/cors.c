/*
 * cors - let browsers read our answers from pages of other origins (Fetch standard, 3.2).
 *
 * A preflight (OPTIONS with Origin and Access-Control-Request-Method) is answered here; other
 * requests go on, and their responses get the fields. What the upstream says about CORS itself is
 * replaced, so that there is one policy and no doubled field.
 */
#include "kit/span.h"
#include "origin.h"

#include <stdio.h>
#include <string.h>

enum preflight { ANSWER, FORWARD };
enum not_allowed { PASS, REFUSE };

struct conf {
    struct sluice_list origins, methods, allow_fields, expose_fields; /* of struct sluice_span */
    bool credentials, private_network;
    uint64_t max_age_ms, preflight_status;
    uint32_t preflight, not_allowed;
    struct origin *origin; /* as many as origins */
    bool any_origin, any_method, any_field;
    struct sluice_span methods_text, allow_text, expose_text; /* joined by commas */
    char max_age_text[24];
    uint32_t method, scheme, host; /* numbers of attributes */
    struct sluice_metric *requests;
};

enum kind { NOT_CORS, ALLOWED, NOT_ALLOWED };

struct ctx {
    struct sluice_span origin; /* in the exchange's memory */
    enum kind kind;
    bool is_ours; /* the answer is made here, with its fields */
};

#define SPANS(row_name, member, row_preset, row_help, row_example)                                 \
    {                                                                                              \
        .kind = SLUICE_OPTION_LIST, .name = (row_name), .offset = offsetof(struct conf, member),   \
        .preset = (row_preset), .max = 1000, .element = SLUICE_OPTION_TEXT,                        \
        .element_size = sizeof(struct sluice_span), .help = (row_help), .example = (row_example)   \
    }

/* clang-format off */
static const struct sluice_choice preflights[] = {
    {"answer", ANSWER, "by the gateway"},
    {"forward", FORWARD, "by the upstream, with our fields"},
    {NULL, 0, NULL}};

static const struct sluice_choice not_alloweds[] = {
    {"pass", PASS, "serve it without the fields: the browser keeps the page from reading it"},
    {"refuse", REFUSE, "answer 403"},
    {NULL, 0, NULL}};

static const struct sluice_option options[] = {
    {.kind = SLUICE_OPTION_LIST, .flags = SLUICE_OPTION_REQUIRED, .name = "origins",
     .offset = offsetof(struct conf, origins), .min = 1, .max = 1000,
     .element = SLUICE_OPTION_TEXT, .element_size = sizeof(struct sluice_span),
     .help = "origins that may: `*`, `null`, https://a.example, https://*.a.example (below it), "
             "https://a.example:* (any port)",
     .example = "[https://app.example, 'https://*.app.example']"},
    SPANS("methods", methods, "[GET, HEAD, POST, PUT, PATCH, DELETE]",
          "methods that may; `*`: all", "[GET, POST]"),
    SPANS("allow_fields", allow_fields, NULL,
          "fields of the request that may, besides those every page may send; `*`: all",
          "[authorization, content-type]"),
    SPANS("expose_fields", expose_fields, NULL, "fields of the response that pages may read",
          "[x-request-id, etag]"),
    {.kind = SLUICE_OPTION_BOOL, .name = "credentials",
     .offset = offsetof(struct conf, credentials), .preset = "false",
     .help = "cookies and other credentials of the user may go along"},
    {.kind = SLUICE_OPTION_DURATION, .name = "max_age", .offset = offsetof(struct conf, max_age_ms),
     .preset = "10m", .max = 86400000,
     .help = "how long a browser may keep the answer to a preflight; 0: not at all"},
    {.kind = SLUICE_OPTION_CHOICE, .name = "preflight", .offset = offsetof(struct conf, preflight),
     .preset = "answer", .choices = preflights, .help = "who answers preflights"},
    {.kind = SLUICE_OPTION_UINT, .name = "preflight_status",
     .offset = offsetof(struct conf, preflight_status), .preset = "204", .min = 200, .max = 299,
     .help = "status of the answer to a preflight"},
    {.kind = SLUICE_OPTION_BOOL, .name = "private_network",
     .offset = offsetof(struct conf, private_network), .preset = "false",
     .help = "public pages may reach us in a private network (Private Network Access)"},
    {.kind = SLUICE_OPTION_CHOICE, .name = "not_allowed",
     .offset = offsetof(struct conf, not_allowed), .preset = "pass", .choices = not_alloweds,
     .help = "what becomes of a request from another origin"},
    {.kind = SLUICE_OPTION_END}};
/* clang-format on */

/* -- checking ---------------------------------------------------------------------- */

static bool is(struct sluice_span text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.ptr, word, text.len) == 0;
}

static bool has_star(const struct sluice_list *list)
{
    const struct sluice_span *text = list->first;

    for (size_t i = 0; i < list->n; i++) {
        if (is(text[i], "*"))
            return true;
    }
    return false;
}

/* "a, b", for a field; every element has to be a token. */
static struct sluice_span join(const struct sluice_host *host, struct sluice_setup *setup,
                               const struct sluice_list *list, const char *name)
{
    const struct sluice_span *text = list->first;
    size_t len = 0;
    char *joined, option[40];

    for (size_t i = 0; i < list->n; i++) {
        len += text[i].len + 2;
        if (span_is_token(text[i]))
            continue;
        snprintf(option, sizeof(option), "%s[%zu]", name, i);
        host->conf_error(setup, option, NULL, "'%.*s' is not a name", (int)text[i].len,
                         text[i].ptr);
    }
    joined = host->conf_alloc(setup, len + 1);
    len = 0;
    for (size_t i = 0; i < list->n; i++) {
        if (i) {
            joined[len++] = ',';
            joined[len++] = ' ';
        }
        memcpy(joined + len, text[i].ptr, text[i].len);
        len += text[i].len;
    }
    return (struct sluice_span){joined, len};
}

static void check_origins(const struct sluice_host *host, struct sluice_setup *setup,
                          struct conf *conf)
{
    const struct sluice_span *text = conf->origins.first;
    char option[40];

    conf->origin = host->conf_alloc(setup, (conf->origins.n + 1) * sizeof(*conf->origin));
    for (size_t i = 0; i < conf->origins.n; i++) {
        const char *wrong = origin_parse(text[i], &conf->origin[i]);

        snprintf(option, sizeof(option), "origins[%zu]", i);
        if (wrong)
            host->conf_error(setup, option, "write https://app.example", "%s", wrong);
        conf->any_origin |= conf->origin[i].is_any;
    }
}

static void conf_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    struct conf *conf = conf_;

    check_origins(host, setup, conf);
    conf->any_method = has_star(&conf->methods);
    conf->any_field = has_star(&conf->allow_fields);
    conf->methods_text = join(host, setup, &conf->methods, "methods");
    conf->allow_text = join(host, setup, &conf->allow_fields, "allow_fields");
    conf->expose_text = join(host, setup, &conf->expose_fields, "expose_fields");
    snprintf(conf->max_age_text, sizeof(conf->max_age_text), "%llu",
             (unsigned long long)(conf->max_age_ms / 1000));
    conf->method = host->attribute(setup, SLUICE_SPAN("request.method"));
    conf->scheme = host->attribute(setup, SLUICE_SPAN("request.scheme"));
    conf->host = host->attribute(setup, SLUICE_SPAN("request.host"));
    if (conf->credentials && conf->any_origin) {
        host->conf_error(setup, "credentials", "name the origins that may",
                         "with origins '*' every page could act for the user");
    }
    if (conf->credentials && has_star(&conf->expose_fields)) {
        host->conf_error(setup, "expose_fields", "name the fields",
                         "browsers take '*' for a name when credentials are allowed");
    }
}

static bool conf_start(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    static const char *const labels[] = {"outcome", NULL};
    struct conf *conf = conf_;

    conf->requests =
        host->metric(setup, &(struct sluice_metric_spec){.size = sizeof(struct sluice_metric_spec),
                                                         .kind = SLUICE_COUNTER,
                                                         .name = "requests_total",
                                                         .help = "Cross-origin requests: allowed, "
                                                                 "preflight, or not_allowed.",
                                                         .labels = labels});
    return true;
}

/* -- deciding ------------------------------------------------------------------------ */

static void count(const struct sluice_call *call, struct sluice_span outcome)
{
    const struct conf *conf = call->conf;

    call->host->metric_add(call, conf->requests, &outcome, 1);
}

static bool is_own_origin(const struct sluice_call *call, struct sluice_span origin)
{
    const struct conf *conf = call->conf;
    struct sluice_span scheme, host;

    return call->host->attribute_get(call, conf->scheme, &scheme) &&
           call->host->attribute_get(call, conf->host, &host) &&
           origin_is_own(origin, scheme, host);
}

static bool is_allowed(const struct conf *conf, struct sluice_span origin)
{
    for (size_t i = 0; i < conf->origins.n; i++) {
        if (origin_fits(&conf->origin[i], origin))
            return true;
    }
    return false;
}

/* Does the list of the preflight name the word? Methods with case, fields without. */
static bool names(const struct sluice_list *list, struct sluice_span word, bool with_case)
{
    const struct sluice_span *text = list->first;

    for (size_t i = 0; i < list->n; i++) {
        if (origin_same_name(text[i], word) &&
            (!with_case || memcmp(text[i].ptr, word.ptr, word.len) == 0))
            return true;
    }
    return false;
}

/* -- answering a preflight ------------------------------------------------------------- */

/* The fields of an answer; bounded by what a preflight can have. */
struct answer {
    struct sluice_pair field[8];
    size_t n;
};

static void add(struct answer *answer, struct sluice_span name, struct sluice_span value)
{
    answer->field[answer->n++] = (struct sluice_pair){name, value};
}

/* A star does not count as one when credentials are allowed: the request's own words then. */
static struct sluice_span list_or_echo(const struct sluice_call *call, bool is_any,
                                       struct sluice_span list, struct sluice_span asked)
{
    const struct conf *conf = call->conf;
    struct sluice_span value;

    if (!is_any)
        return list;
    if (!conf->credentials)
        return SLUICE_SPAN("*");
    return call->host->field_get(call, SLUICE_REQUEST, asked, &value) ? value : SLUICE_SPAN("");
}

/* What we say of an origin: `*` is enough where it may be. */
static struct sluice_span allow_origin(const struct conf *conf, struct sluice_span origin)
{
    return conf->any_origin && !conf->credentials ? SLUICE_SPAN("*") : origin;
}

static void fill_preflight(const struct sluice_call *call, struct answer *answer)
{
    const struct conf *conf = call->conf;
    const struct ctx *ctx = call->ctx;
    struct sluice_span fields, method, wants;

    method = list_or_echo(call, conf->any_method, conf->methods_text,
                          SLUICE_SPAN("access-control-request-method"));
    fields = list_or_echo(call, conf->any_field, conf->allow_text,
                          SLUICE_SPAN("access-control-request-headers"));
    /* a star does not stand for this one */
    if (conf->any_field && !conf->credentials &&
        names(&conf->allow_fields, SLUICE_SPAN("authorization"), false))
        fields = SLUICE_SPAN("*, authorization");
    add(answer, SLUICE_SPAN("access-control-allow-origin"), allow_origin(conf, ctx->origin));
    if (conf->credentials)
        add(answer, SLUICE_SPAN("access-control-allow-credentials"), SLUICE_SPAN("true"));
    if (method.len)
        add(answer, SLUICE_SPAN("access-control-allow-methods"), method);
    if (fields.len)
        add(answer, SLUICE_SPAN("access-control-allow-headers"), fields);
    add(answer, SLUICE_SPAN("access-control-max-age"),
        (struct sluice_span){conf->max_age_text, strlen(conf->max_age_text)});
    if (conf->private_network &&
        call->host->field_get(call, SLUICE_REQUEST,
                              SLUICE_SPAN("access-control-request-private-network"), &wants) &&
        is(wants, "true"))
        add(answer, SLUICE_SPAN("access-control-allow-private-network"), SLUICE_SPAN("true"));
}

static enum sluice_verdict answer_preflight(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;
    struct ctx *ctx = call->ctx;
    struct answer answer = {.n = 0};
    struct sluice_reply reply = {.size = sizeof(reply), .status = (uint32_t)conf->preflight_status};

    add(&answer, SLUICE_SPAN("vary"),
        conf->private_network
            ? SLUICE_SPAN("Origin, Access-Control-Request-Method, Access-Control-Request-Headers, "
                          "Access-Control-Request-Private-Network")
            : SLUICE_SPAN("Origin, Access-Control-Request-Method, "
                          "Access-Control-Request-Headers"));
    if (ctx->kind == ALLOWED) {
        fill_preflight(call, &answer);
        count(call, SLUICE_SPAN("preflight"));
    }
    reply.fields = answer.field;
    reply.n_fields = answer.n;
    ctx->is_ours = true;
    return call->host->reply(call, &reply) ? SLUICE_REPLIED : SLUICE_FAIL;
}

/* -- phases ---------------------------------------------------------------------------- */

static enum sluice_verdict refuse(const struct sluice_call *call)
{
    const struct sluice_pair vary = {SLUICE_SPAN("vary"), SLUICE_SPAN("Origin")};
    const struct sluice_reply reply = {.size = sizeof(reply),
                                       .status = 403,
                                       .reason = SLUICE_SPAN("cors_not_allowed"),
                                       .fields = &vary,
                                       .n_fields = 1};
    struct ctx *ctx = call->ctx;

    ctx->is_ours = true;
    return call->host->reply(call, &reply) ? SLUICE_REPLIED : SLUICE_FAIL;
}

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    const struct sluice_host *host = call->host;
    const struct conf *conf = call->conf;
    struct ctx *ctx = call->ctx;
    struct sluice_span origin, method, asked;
    bool is_preflight;

    if (!host->field_get(call, SLUICE_REQUEST, SLUICE_SPAN("origin"), &origin) || origin.len == 0)
        return SLUICE_NEXT;
    is_preflight =
        host->attribute_get(call, conf->method, &method) && is(method, "OPTIONS") &&
        host->field_get(call, SLUICE_REQUEST, SLUICE_SPAN("access-control-request-method"), &asked);
    ctx->kind = is_allowed(conf, origin)      ? ALLOWED
                : is_own_origin(call, origin) ? NOT_CORS
                                              : NOT_ALLOWED;
    ctx->origin = host->copy(call, origin);
    if (!ctx->origin.ptr)
        return SLUICE_FAIL;
    if (ctx->kind == NOT_ALLOWED) {
        count(call, SLUICE_SPAN("not_allowed"));
        host->note(call, SLUICE_SPAN("cors_not_allowed"));
        if (conf->not_allowed == REFUSE)
            return refuse(call);
    }
    if (is_preflight && conf->preflight == ANSWER && ctx->kind != NOT_CORS)
        return answer_preflight(call);
    if (ctx->kind == ALLOWED)
        count(call, SLUICE_SPAN("allowed"));
    return SLUICE_NEXT;
}

/* Is "origin" or "*" among what Vary names already? */
static bool varies_by_origin(const struct sluice_call *call)
{
    struct sluice_pair line;

    for (size_t at = 0; call->host->field_each(call, SLUICE_RESPONSE, &at, &line);) {
        const char *word = line.value.ptr, *end = word + line.value.len;

        if (!origin_same_name(line.name, SLUICE_SPAN("vary")))
            continue;
        while (word < end) {
            const char *comma = memchr(word, ',', (size_t)(end - word));
            struct sluice_span name;

            while (word < end && (*word == ' ' || *word == '\t'))
                word++;
            name = (struct sluice_span){word, (size_t)((comma ? comma : end) - word)};
            while (name.len && (name.ptr[name.len - 1] == ' ' || name.ptr[name.len - 1] == '\t'))
                name.len--;
            if (origin_same_name(name, SLUICE_SPAN("origin")) || is(name, "*"))
                return true;
            word = comma ? comma + 1 : end;
        }
    }
    return false;
}

static bool drop_upstreams(const struct sluice_call *call)
{
    static const struct sluice_span names[] = {
        SLUICE_SPAN_INIT("access-control-allow-origin"),
        SLUICE_SPAN_INIT("access-control-allow-credentials"),
        SLUICE_SPAN_INIT("access-control-allow-methods"),
        SLUICE_SPAN_INIT("access-control-allow-headers"),
        SLUICE_SPAN_INIT("access-control-expose-headers"),
        SLUICE_SPAN_INIT("access-control-max-age"),
        SLUICE_SPAN_INIT("access-control-allow-private-network")};
    struct sluice_span value;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (call->host->field_get(call, SLUICE_RESPONSE, names[i], &value) &&
            !call->host->field_remove(call, SLUICE_RESPONSE, names[i]))
            return false;
    }
    return true;
}

static bool set_all(const struct sluice_call *call, const struct answer *answer)
{
    for (size_t i = 0; i < answer->n; i++) {
        if (!call->host->field_set(call, SLUICE_RESPONSE, answer->field[i].name,
                                   answer->field[i].value))
            return false;
    }
    return true;
}

static enum sluice_verdict on_response_head(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;
    const struct ctx *ctx = call->ctx;
    struct sluice_span asked;
    struct answer answer = {.n = 0};

    if (ctx->is_ours)
        return SLUICE_NEXT;
    if (!drop_upstreams(call))
        return SLUICE_FAIL;
    /* also when there was no Origin: a cache may give this response to who sends one */
    if ((!conf->any_origin || conf->credentials) && !varies_by_origin(call) &&
        !call->host->field_add(call, SLUICE_RESPONSE, SLUICE_SPAN("vary"), SLUICE_SPAN("Origin")))
        return SLUICE_FAIL;
    if (ctx->kind != ALLOWED)
        return SLUICE_NEXT;
    if (conf->preflight == FORWARD &&
        call->host->field_get(call, SLUICE_REQUEST, SLUICE_SPAN("access-control-request-method"),
                              &asked)) {
        fill_preflight(call, &answer);
        return set_all(call, &answer) ? SLUICE_NEXT : SLUICE_FAIL;
    }
    add(&answer, SLUICE_SPAN("access-control-allow-origin"), allow_origin(conf, ctx->origin));
    if (conf->credentials)
        add(&answer, SLUICE_SPAN("access-control-allow-credentials"), SLUICE_SPAN("true"));
    if (conf->expose_text.len)
        add(&answer, SLUICE_SPAN("access-control-expose-headers"), conf->expose_text);
    return set_all(call, &answer) ? SLUICE_NEXT : SLUICE_FAIL;
}

const struct sluice_plugin sluice_plugin = {
    SLUICE_PLUGIN_HEAD,
    .name = "cors",
    .version = "1.0.0",
    .summary = "Lets browsers read answers from pages of other origins.",
    .options = options,
    .conf_size = sizeof(struct conf),
    .ctx_size = sizeof(struct ctx),
    .conf_check = conf_check,
    .conf_start = conf_start,
    .on_request_head = on_request_head,
    .on_response_head = on_response_head,
};
