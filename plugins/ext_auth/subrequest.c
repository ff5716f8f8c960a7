/*
 * subrequest.c - fields of the gateway come first; what a client sends under their names, or under
 * those of one connection, never goes along.
 */
#include "subrequest.h"

#include "kit/span.h"

/* What is told, and as what. */
static const struct telling {
    struct sluice_span name;
    enum told told;
} tellings[] = {
    {SLUICE_SPAN_INIT("X-Original-Method"), TOLD_METHOD},
    {SLUICE_SPAN_INIT("X-Original-URI"), TOLD_TARGET},
    {SLUICE_SPAN_INIT("X-Forwarded-Method"), TOLD_METHOD},
    {SLUICE_SPAN_INIT("X-Forwarded-Proto"), TOLD_SCHEME},
    {SLUICE_SPAN_INIT("X-Forwarded-Host"), TOLD_HOST},
    {SLUICE_SPAN_INIT("X-Forwarded-Uri"), TOLD_TARGET},
    {SLUICE_SPAN_INIT("X-Forwarded-For"), TOLD_CLIENT},
    {SLUICE_SPAN_INIT("X-Request-ID"), TOLD_ID},
};

#define N_TELLINGS (sizeof(tellings) / sizeof(tellings[0]))

/* Fields of one connection or one message, which a sub-request has for itself. */
static const struct sluice_span own_fields[] = {
    SLUICE_SPAN_INIT("connection"),
    SLUICE_SPAN_INIT("content-length"),
    SLUICE_SPAN_INIT("expect"),
    SLUICE_SPAN_INIT("host"),
    SLUICE_SPAN_INIT("keep-alive"),
    SLUICE_SPAN_INIT("proxy-authorization"),
    SLUICE_SPAN_INIT("proxy-connection"),
    SLUICE_SPAN_INIT("range"),
    SLUICE_SPAN_INIT("te"),
    SLUICE_SPAN_INIT("trailer"),
    SLUICE_SPAN_INIT("transfer-encoding"),
    SLUICE_SPAN_INIT("upgrade"),
};

static bool is_own(struct sluice_span name)
{
    for (size_t i = 0; i < sizeof(own_fields) / sizeof(own_fields[0]); i++) {
        if (span_is_word(name, own_fields[i]))
            return true;
    }
    for (size_t i = 0; i < N_TELLINGS; i++) {
        if (span_is_alike(name, tellings[i].name))
            return true;
    }
    return span_is_word(name, SLUICE_SPAN("forwarded"));
}

static bool is_listed(const struct options *options, struct sluice_span name)
{
    const struct sluice_span *fields = options->fields.first;

    if (options->sends_all)
        return true;
    for (size_t i = 0; i < options->fields.n; i++) {
        if (span_is_word(name, fields[i]))
            return true;
    }
    return false;
}

static bool is_sent(const struct options *options, struct sluice_span name, bool has_body)
{
    static const struct sluice_span type = SLUICE_SPAN_INIT("content-type");
    static const struct sluice_span encoding = SLUICE_SPAN_INIT("content-encoding");

    if (span_is_word(name, type) || span_is_word(name, encoding))
        return has_body; /* they are about the content */
    return is_listed(options, name) && !is_own(name);
}

/* The fields in memory of the exchange. False: no room. */
static bool gather(const struct sluice_call *call, const struct options *options, bool has_body,
                   struct sluice_http_request *request)
{
    const struct sluice_host *host = call->host;
    struct sluice_pair line, *fields;
    size_t n = 0, room = N_TELLINGS;

    for (size_t at = 0; host->field_each(call, SLUICE_REQUEST, &at, &line);)
        room += is_sent(options, line.name, has_body);
    fields = host->alloc(call, room * sizeof(*fields));
    if (!fields)
        return false;
    for (size_t i = 0; i < N_TELLINGS; i++) {
        struct sluice_span value;

        if (host->attribute_get(call, options->told[tellings[i].told], &value))
            fields[n++] = (struct sluice_pair){tellings[i].name, value};
    }
    for (size_t at = 0; n < room && host->field_each(call, SLUICE_REQUEST, &at, &line);) {
        if (is_sent(options, line.name, has_body))
            fields[n++] = line;
    }
    request->fields = fields;
    request->n_fields = n;
    return true;
}

/* The target's path with the request's behind it. False: no room. */
static bool join_paths(const struct sluice_call *call, const struct options *options,
                       struct sluice_span *path)
{
    struct sluice_span target;
    char *text;

    if (!call->host->attribute_get(call, options->told[TOLD_TARGET], &target) || target.len == 0 ||
        target.ptr[0] != '/')
        return true; /* "*": the target's own */
    text = call->host->alloc(call, options->path.len + target.len);
    if (!text)
        return false;
    if (options->path.len > 0)
        memcpy(text, options->path.ptr, options->path.len);
    memcpy(text + options->path.len, target.ptr, target.len);
    *path = (struct sluice_span){text, options->path.len + target.len};
    return true;
}

uint64_t subrequest_begin(const struct sluice_call *call, const struct options *options,
                          struct sluice_span body, sluice_http_fn *done)
{
    struct sluice_http_request request = {.size = sizeof(request),
                                          .target = options->target,
                                          .body = body,
                                          .timeout_ms = (uint32_t)options->timeout_ms,
                                          .max_body = (uint32_t)options->max_answer};

    switch ((enum method)options->method) {
    case METHOD_GET:
        request.method = SLUICE_SPAN("GET");
        break;
    case METHOD_POST:
        request.method = SLUICE_SPAN("POST");
        break;
    case METHOD_ORIGINAL:
        (void)call->host->attribute_get(call, options->told[TOLD_METHOD], &request.method);
        break;
    }
    if ((options->appends_path && !join_paths(call, options, &request.path)) ||
        !gather(call, options, body.len > 0, &request))
        return 0;
    return call->host->http_call(call, &request, done, NULL);
}
