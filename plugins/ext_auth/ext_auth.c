/*
 * ext_auth - ask a service over HTTP whether a request may pass.
 *
 * The story of a request: look whether the answer is known; else ask, with the fields and perhaps
 * the content that the options name; do what the answer says, and remember it when told to. 2xx
 * lets pass, 3xx and 4xx go to the client, and all else is a failure.
 */
#include "cache.h"
#include "decision.h"
#include "kit/span.h"
#include "options.h"
#include "subrequest.h"

struct worker {
    struct cache *cache; /* owned */
};

/* A field for the response, in memory of the exchange. */
struct given {
    struct given *next;
    struct sluice_pair field;
};

/* One exchange. */
struct asked {
    struct given *given, **last; /* in the order of the answer */
    struct cache_key key;
    bool has_key;
    uint64_t begun_us;
};

/* -- what is told ---------------------------------------------------------------- */

static void count(const struct sluice_call *call, struct sluice_metric *metric,
                  struct sluice_span label)
{
    call->host->metric_add(call, metric, &label, 1);
}

static enum sluice_verdict no_room(const struct sluice_call *call)
{
    call->host->note(call, SLUICE_SPAN("ext_auth_no_room"));
    return SLUICE_FAIL;
}

/* -- fields to the upstream ------------------------------------------------------ */

static bool is_ours(const void *arg, struct sluice_span name)
{
    const struct options *options = arg;
    const struct sluice_span *fields = options->upstream_fields.first;

    for (size_t i = 0; i < options->upstream_fields.n; i++) {
        if (span_is_alike(name, fields[i]))
            return true;
    }
    return false;
}

/* Nobody but the service says what is in them: also when it says nothing. */
static bool clear_fields(const struct sluice_call *call)
{
    const struct options *options = call->conf;

    return options->upstream_fields.n == 0 || consumer_clear_fields(call, is_ours, options);
}

/* -- doing what was decided ------------------------------------------------------ */

static bool give_later(const struct sluice_call *call, const struct item *item)
{
    struct asked *asked = call->ctx;
    struct given *given = call->host->alloc(call, sizeof(*given));

    if (!given)
        return false;
    given->next = NULL;
    given->field = (struct sluice_pair){item->name, call->host->copy(call, item->value)};
    if (item->value.len > 0 && !given->field.value.ptr)
        return false;
    *(asked->last ? asked->last : &asked->given) = given;
    asked->last = &given->next;
    return true;
}

static bool apply(const struct sluice_call *call, const struct item *item)
{
    switch (item->kind) {
    case ITEM_UPSTREAM:
        return call->host->field_add(call, SLUICE_REQUEST, item->name, item->value);
    case ITEM_CLIENT:
        return give_later(call, item);
    case ITEM_ATTRIBUTE:
        return call->host->attribute_set(call, item->id, item->value);
    case ITEM_DENIED:
        break;
    }
    return true;
}

static enum sluice_verdict allow(const struct sluice_call *call, const struct decision *decision)
{
    const struct options *options = call->conf;

    if (!clear_fields(call) ||
        !call->host->attribute_set(call, options->consumer.method_id, SLUICE_SPAN("ext_auth")))
        return no_room(call);
    for (size_t i = 0; i < decision->n; i++) {
        if (!apply(call, &decision->items[i]))
            return no_room(call);
    }
    if (!((const struct asked *)call->ctx)->given)
        call->host->detach(call, 1u << SLUICE_PHASE_RESPONSE_HEAD);
    return SLUICE_NEXT;
}

static enum sluice_verdict deny(const struct sluice_call *call, const struct decision *decision)
{
    struct sluice_span word = decision->status == 401 ? SLUICE_SPAN("ext_auth_unauthorized")
                                                      : SLUICE_SPAN("ext_auth_denied");
    struct sluice_reply reply = {.size = sizeof(reply),
                                 .status = decision->status,
                                 .reason = word,
                                 .content_type = decision->content_type,
                                 .body = decision->body,
                                 .n_fields = decision->n};
    struct sluice_pair *fields = NULL;

    if (decision->n > 0) {
        fields = call->host->alloc(call, decision->n * sizeof(*fields));
        if (!fields)
            return no_room(call);
    }
    for (size_t i = 0; i < decision->n; i++)
        fields[i] = (struct sluice_pair){decision->items[i].name, decision->items[i].value};
    reply.fields = fields;
    return call->host->reply(call, &reply) ? SLUICE_REPLIED : no_room(call);
}

static enum sluice_verdict act(const struct sluice_call *call, const struct decision *decision,
                               struct sluice_span allowed, struct sluice_span denied)
{
    const struct options *options = call->conf;

    count(call, options->requests, decision->is_allowed ? allowed : denied);
    return decision->is_allowed ? allow(call, decision) : deny(call, decision);
}

/* No answer, or none that says anything: the options decide. */
static enum sluice_verdict failed(const struct sluice_call *call, bool may_pass)
{
    const struct options *options = call->conf;
    const struct sluice_reply reply = {.size = sizeof(reply),
                                       .status = (uint32_t)options->failure_status,
                                       .reason = SLUICE_SPAN("ext_auth_failed")};

    if (may_pass && options->failure_mode == FAILURE_OPEN) {
        call->host->note(call, reply.reason);
        count(call, options->requests, SLUICE_SPAN("failed_open"));
        return clear_fields(call) ? SLUICE_NEXT : no_room(call);
    }
    count(call, options->requests, SLUICE_SPAN("failed"));
    return call->host->reply(call, &reply) ? SLUICE_REPLIED : no_room(call);
}

/* -- asking ---------------------------------------------------------------------- */

static void measure(const struct sluice_call *call, const struct sluice_http_response *response)
{
    static const struct sluice_span ends[] = {
        [SLUICE_HTTP_OK] = SLUICE_SPAN_INIT("ok"),
        [SLUICE_HTTP_TIMEOUT] = SLUICE_SPAN_INIT("timeout"),
        [SLUICE_HTTP_UNREACHABLE] = SLUICE_SPAN_INIT("unreachable"),
        [SLUICE_HTTP_BROKEN] = SLUICE_SPAN_INIT("broken"),
        [SLUICE_HTTP_TOO_LARGE] = SLUICE_SPAN_INIT("too_large"),
    };
    const struct options *options = call->conf;
    const struct asked *asked = call->ctx;
    bool is_error = response->end == SLUICE_HTTP_OK && response->status >= 500;

    count(call, options->calls,
          is_error                                         ? SLUICE_SPAN("error")
          : response->end < sizeof(ends) / sizeof(ends[0]) ? ends[response->end]
                                                           : SLUICE_SPAN("broken"));
    call->host->metric_add(call, options->seconds, NULL,
                           (double)(call->host->now_us(call) - asked->begun_us) / 1e6);
}

static enum sluice_verdict on_answer(const struct sluice_call *call,
                                     const struct sluice_http_response *response, void *arg)
{
    const struct options *options = call->conf;
    struct worker *worker = call->worker;
    struct asked *asked = call->ctx;
    uint64_t now_us = call->host->now_us(call);
    struct decision *decision;
    enum sluice_verdict verdict;

    (void)arg;
    measure(call, response);
    if (response->end != SLUICE_HTTP_OK || response->status < 200 || response->status >= 500)
        return failed(call, response->end != SLUICE_HTTP_TOO_LARGE);
    decision = decision_new(options, response);
    if (!decision)
        return no_room(call);
    verdict = act(call, decision, SLUICE_SPAN("allowed"), SLUICE_SPAN("denied"));
    if (asked->has_key) {
        cache_put(worker->cache, &asked->key, &decision, now_us,
                  now_us + decision_ttl_ms(options, response) * 1000);
    }
    decision_free(&decision);
    return verdict;
}

static enum sluice_verdict ask(const struct sluice_call *call, struct sluice_span body)
{
    struct asked *asked = call->ctx;

    asked->begun_us = call->host->now_us(call);
    return subrequest_begin(call, call->conf, body, on_answer) != 0 ? SLUICE_WAIT
                                                                    : failed(call, true);
}

/* What is known of the request. Leaves a key to remember by when it is to be asked about. */
static const struct decision *look_up(const struct sluice_call *call)
{
    const struct options *options = call->conf;
    const struct worker *worker = call->worker;
    struct asked *asked = call->ctx;
    struct sluice_span key;

    if (!options->cache.key)
        return NULL;
    key = call->host->render(call, options->cache.key);
    if (key.len == 0)
        return NULL;
    asked->has_key = cache_key(worker->cache, key, &asked->key);
    return asked->has_key ? cache_find(worker->cache, &asked->key, call->host->now_us(call)) : NULL;
}

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    const struct options *options = call->conf;
    const struct decision *known = look_up(call);

    if (known)
        return act(call, known, SLUICE_SPAN("cached_allowed"), SLUICE_SPAN("cached_denied"));
    if (options->body > 0 && call->host->fact(call, SLUICE_FACT_REQUEST_LENGTH) != 0 &&
        call->host->body_want(call, SLUICE_REQUEST, SLUICE_BODY_WHOLE, options->body))
        return SLUICE_NEXT; /* to on_request_body(), before the head goes on */
    return ask(call, (struct sluice_span){NULL, 0});
}

static enum sluice_verdict on_request_body(const struct sluice_call *call, struct sluice_span part,
                                           bool last)
{
    (void)last; /* it comes whole */
    return ask(call, part);
}

static enum sluice_verdict on_response_head(const struct sluice_call *call)
{
    const struct asked *asked = call->ctx;

    for (const struct given *given = asked->given; given; given = given->next) {
        if (!call->host->field_add(call, SLUICE_RESPONSE, given->field.name, given->field.value))
            return no_room(call);
    }
    return SLUICE_NEXT;
}

/* -- workers --------------------------------------------------------------------- */

static bool worker_start(const struct sluice_call *call)
{
    const struct options *options = call->conf;
    struct worker *worker = call->worker;

    worker->cache = cache_new(options->cache.key ? options->cache.size : 0);
    return worker->cache != NULL;
}

static void worker_stop(const struct sluice_call *call)
{
    struct worker *worker = call->worker;

    cache_free(&worker->cache);
}

const struct sluice_plugin sluice_plugin = {
    SLUICE_PLUGIN_HEAD,
    .name = "ext_auth",
    .version = "1.0.0",
    .summary = "Asks a service over HTTP whether a request may pass.",
    .options = options_table,
    .conf_size = sizeof(struct options),
    .worker_size = sizeof(struct worker),
    .ctx_size = sizeof(struct asked),
    .conf_check = options_check,
    .conf_start = options_start,
    .worker_start = worker_start,
    .worker_stop = worker_stop,
    .on_request_head = on_request_head,
    .on_request_body = on_request_body,
    .on_response_head = on_response_head,
};
