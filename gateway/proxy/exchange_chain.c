/*
 * exchange_chain.c - an exchange among its plugins.
 *
 * The chain knows no exchange: it asks through exchange_chain_ops, and its answers become reasons
 * and states here.
 */
#include "proxy/exchange_chain.h"

#include "chain/chain.h"
#include "chain/view.h"
#include "http/target.h"
#include "net/redis.h"
#include "net/tls.h"
#include "proxy/call.h"
#include "proxy/worker.h"

enum { ATTEMPT_SPARE = 8 /* lines that plugins typically add to a try */ };

/* -- what the chain asks ----------------------------------------------------------- */

static void op_enter(void *ex)
{
    exchange_enter(ex);
}

static void op_leave(void *ex)
{
    exchange_leave(ex);
}

static void op_wake(void *ex, enum chain_flow flow)
{
    exchange_chain_wake(ex, flow);
}

static void op_send(void *ex, enum chain_flow flow, struct sluice_span part, bool last)
{
    exchange_chain_send(ex, flow, part, last);
}

static void op_flush(void *ex)
{
    exchange_flush(ex);
}

static bool op_can_want_body(void *ex_, enum chain_flow flow)
{
    const struct exchange *ex = ex_;
    const struct response *response = &ex->response;

    if (flow == CHAIN_REQUEST)
        return ex->state == EX_PASS && request_has_content(&ex->request);
    if (ex->request.method == METHOD_HEAD || response->status == 204 || response->status == 304)
        return false;
    if (ex->composed)
        return ex->body.len > 0;
    return ex->state == EX_RETURN && ex->returned == EX_ANSWER &&
           response->framing != FRAMING_NONE &&
           !(response->framing == FRAMING_LENGTH && response->body_bytes == 0);
}

/* What they were parsed into is the worker's own, and ours for the length of the phase. */
static struct fields *trailers_of(const struct exchange *ex, enum chain_flow flow)
{
    const union {
        const struct fields *parsed;
        struct fields *ours;
    } trailers = {.parsed = ex->trailers[flow]};

    return trailers.ours;
}

static const struct request *op_request(void *ex)
{
    return &((struct exchange *)ex)->request;
}

/* The request as this try sends it: plugins may change its fields. */
static struct request *copy_request(struct exchange *ex)
{
    const struct fields *from = &ex->request.fields;
    struct request *copy = arena_try_raw(&ex->arena, sizeof(*copy));
    unsigned cap = from->n + ATTEMPT_SPARE;

    if (!copy)
        return NULL;
    *copy = ex->request;
    copy->fields.line = arena_try_raw(&ex->arena, cap * sizeof(struct field_line));
    if (!copy->fields.line)
        return NULL;
    for (unsigned i = 0; i < from->n; i++)
        copy->fields.line[i] = from->line[i];
    copy->fields.cap = (uint16_t)cap;
    copy->fields.arena = &ex->arena;
    return copy;
}

/* Only who looks at what a try sends needs it apart from the request. */
static struct fields *fields_of_try(struct exchange *ex, bool *frozen)
{
    struct attempt *attempt = ex->telling;

    if (attempt) {
        if (!attempt->request)
            attempt->request = ex->try_request = copy_request(ex);
        return attempt->request ? &attempt->request->fields : NULL;
    }
    *frozen = true;
    return ex->try_request ? &ex->try_request->fields : NULL;
}

static struct fields *op_fields(void *ex_, enum sluice_side side, bool *frozen)
{
    struct exchange *ex = ex_;

    *frozen = false;
    switch (side) {
    case SLUICE_REQUEST:
        *frozen = ex->state > EX_SEND_HEAD || ex->attempt;
        return &ex->request.fields;
    case SLUICE_RESPONSE:
        *frozen = ex->head_sent;
        return ex->head_sent || ex->state == EX_RETURN || ex->composed ? &ex->response.fields
                                                                       : NULL;
    case SLUICE_ATTEMPT:
        return fields_of_try(ex, frozen);
    case SLUICE_REQUEST_TRAILERS:
        return trailers_of(ex, CHAIN_REQUEST);
    case SLUICE_RESPONSE_TRAILERS:
        return trailers_of(ex, CHAIN_RESPONSE);
    }
    return NULL;
}

static struct sluice_span number_text(struct exchange *ex, uint64_t number)
{
    return arena_format(&ex->arena, "%llu", (unsigned long long)number);
}

static void op_id_set(void *ex_, struct sluice_span id)
{
    struct exchange *ex = ex_;

    ex->id_text = id;
}

static unsigned status_of(const struct exchange *ex)
{
    return ex->head_sent || ex->composed || ex->state == EX_RETURN ? ex->response.status : 0;
}

static struct sluice_span op_attribute(void *ex_, enum chain_attribute attribute)
{
    struct exchange *ex = ex_;
    const struct request *request = &ex->request;
    static const struct sluice_span none = {NULL, 0};
    const struct route_target *target;
    struct sluice_span made;

    switch (attribute) {
    case CHAIN_METHOD:
        return request->method_text;
    case CHAIN_PATH:
        return request->path;
    case CHAIN_QUERY:
        return request->query;
    case CHAIN_HOST:
        return request->authority;
    case CHAIN_SCHEME:
        return span_of(ex->from.scheme);
    case CHAIN_TARGET:
        return request->target;
    case CHAIN_ID:
        return exchange_id(ex);
    case CHAIN_PROTOCOL:
        return span_of(ex->from.protocol);
    case CHAIN_CLIENT_ADDRESS:
        return exchange_client(ex);
    case CHAIN_CLIENT_PORT:
        return number_text(ex, ex->from.peer->port);
    case CHAIN_PEER_ADDRESS:
        return exchange_peer(ex);
    case CHAIN_LISTENER:
        return ex->from.port->conf->name;
    case CHAIN_ROUTE:
        return ex->route ? ex->route->name : none;
    case CHAIN_UPSTREAM:
        target = exchange_target(ex);
        return target ? target->upstream : none;
    case CHAIN_ENDPOINT:
        return ex->endpoint;
    case CHAIN_STATUS:
        return status_of(ex) ? number_text(ex, status_of(ex)) : none;
    case CHAIN_REASON:
        return ex->reason ? span_of(reason_name(ex->reason)) : none;
    case CHAIN_TLS_VERSION:
        return tls_version(ex->from.conn);
    case CHAIN_TLS_CIPHER:
        return tls_cipher(ex->from.conn);
    case CHAIN_TLS_SNI:
        return tls_server_name(ex->from.conn);
    case CHAIN_TLS_CLIENT_SUBJECT:
        return tls_client_subject(ex->from.conn, &ex->arena, &made) ? none : made;
    case CHAIN_TLS_CLIENT_FINGERPRINT:
        return tls_client_fingerprint(ex->from.conn, &ex->arena, &made) ? none : made;
    case CHAIN_NO_ATTRIBUTE:
    case CHAIN_ATTRIBUTES_OWN:
        break;
    }
    return none;
}

static bool is_local(const struct exchange *ex)
{
    return ex->answered_us == 0;
}

static bool is_complete(const struct exchange *ex)
{
    return ex->response_done && ex->down_end == LEG_KEEP;
}

static int64_t op_fact(void *ex_, enum sluice_fact fact)
{
    struct exchange *ex = ex_;
    uint64_t now_us = loop_now_us(ex->worker->loop);

    switch (fact) {
    case SLUICE_FACT_STATUS:
        return status_of(ex) ? (int64_t)status_of(ex) : -1;
    case SLUICE_FACT_STATUS_UPSTREAM:
        return ex->upstream_status ? (int64_t)ex->upstream_status : -1;
    case SLUICE_FACT_IS_LOCAL:
        return status_of(ex) ? is_local(ex) : -1;
    case SLUICE_FACT_REQUEST_BYTES:
        return ex->request_bytes;
    case SLUICE_FACT_RESPONSE_BYTES:
        return ex->response_bytes;
    case SLUICE_FACT_REQUEST_LENGTH:
        return ex->request.framing == FRAMING_NONE ? 0 : ex->request.body_bytes;
    case SLUICE_FACT_ATTEMPTS:
        return ex->tries;
    case SLUICE_FACT_BEGUN_US:
        return (int64_t)ex->begun_us;
    case SLUICE_FACT_DURATION_US:
        return (int64_t)(now_us - ex->begun_us);
    case SLUICE_FACT_UPSTREAM_US:
        return ex->answered_us ? (int64_t)(ex->answered_us - ex->tried_us) : -1;
    case SLUICE_FACT_IS_COMPLETE:
        return is_complete(ex);
    case SLUICE_FACT_BEGUN_WALL_US:
        return (int64_t)(worker_wall_us(ex->worker) - (now_us - ex->begun_us));
    case SLUICE_FACT_IS_TUNNEL:
        return ex->tunnel != NULL;
    }
    return -1;
}

static bool op_target_set(void *ex_, struct sluice_span path, struct sluice_span query)
{
    struct exchange *ex = ex_;
    struct sluice_span normal;

    if (ex->attempt || path.len == 0 || path.ptr[0] != '/' || !target_query_is_valid(query) ||
        target_normalise(path, TARGET_KEEP_SLASHES, &ex->arena, &normal) ||
        !span_equal(path, normal))
        return false;
    ex->request.path = path;
    ex->request.query = query;
    ex->request.has_query = query.len > 0;
    ex->request.target = query.len > 0 ? arena_format(&ex->arena, "%.*s?%.*s", (int)path.len,
                                                      path.ptr, (int)query.len, query.ptr)
                                       : path;
    ex->request.form = TARGET_ORIGIN;
    return ex->request.target.ptr != NULL;
}

static bool op_upstream_set(void *ex_, unsigned upstream)
{
    struct exchange *ex = ex_;
    const struct snapshot *snapshot = ex->view->snapshot;
    struct route_target *target;

    if (ex->attempt || ex->n_extended == CHAIN_BACKS || !ex->route ||
        ex->route->action != ROUTE_FORWARD || upstream >= snapshot->n_upstreams)
        return false;
    for (size_t i = 0; i < ex->route->n_targets; i++) {
        if (ex->route->targets[i].index == upstream) {
            ex->target = &ex->route->targets[i];
            return true;
        }
    }
    target = arena_try(&ex->arena, sizeof(*target));
    if (!target)
        return false;
    target->upstream = snapshot->upstreams[upstream].conf->named.name;
    target->index = upstream;
    target->retry = &snapshot->upstreams[upstream].conf->retry;
    target->hedge = &snapshot->upstreams[upstream].conf->hedge;
    ex->target = target;
    return true;
}

static uint64_t op_wall_us(void *worker)
{
    return worker_wall_us(worker);
}

static struct mailbox *op_mailbox(void *worker_)
{
    const struct worker *worker = worker_;

    return worker->mailbox;
}

/* What to say we want of it, when the request does not: "preserve" has nothing to preserve. */
static struct sluice_span host_rule(const struct upstream_conf *conf)
{
    bool is_rule =
        span_equal(conf->host, SPAN("preserve")) || span_equal(conf->host, SPAN("endpoint"));

    return is_rule ? SPAN("") : conf->host;
}

static struct call *op_http_start(void *view_, const struct chain_http_request *request,
                                  chain_http_fn *done, void *arg)
{
    const struct view *view = view_;
    const struct upstream_conf *conf = view->snapshot->upstreams[request->upstream].conf;
    const struct call_way way = {.upstream = view->upstreams[request->upstream],
                                 .connect_ms = conf->timeout.connect_ms,
                                 .host = host_rule(conf)};

    return call_start(view->worker, &way, request, done, arg);
}

static struct redis_call *op_redis_start(void *worker_, const struct sluice_span *argv, size_t n,
                                         uint64_t timeout_ms, chain_redis_fn *done, void *arg)
{
    struct worker *worker = worker_;

    return redis_send(worker->redis, argv, n, timeout_ms, done, arg);
}

const struct chain_ops exchange_chain_ops = {
    .enter = op_enter,
    .leave = op_leave,
    .wake = op_wake,
    .can_want_body = op_can_want_body,
    .send = op_send,
    .flush = op_flush,
    .request = op_request,
    .fields = op_fields,
    .attribute = op_attribute,
    .id_set = op_id_set,
    .fact = op_fact,
    .target_set = op_target_set,
    .upstream_set = op_upstream_set,
    .wall_us = op_wall_us,
    .mailbox = op_mailbox,
    .http_start = op_http_start,
    .http_cancel = call_cancel,
    .redis_start = op_redis_start,
    .redis_cancel = redis_cancel,
};

/* -- the request ------------------------------------------------------------------------ */

/* What an answer of the chain means for the exchange: OK, ERR_AGAIN, or refused. */
static enum err follow(struct exchange *ex, enum chain_answer answer)
{
    switch (answer) {
    case CHAIN_GOES_ON:
        return OK;
    case CHAIN_WAITS:
        return ERR_AGAIN;
    case CHAIN_REPLIES:
        exchange_refuse(ex, REASON_PLUGIN_REPLIED, NULL);
        break;
    case CHAIN_FAILS:
        exchange_refuse(ex, REASON_PLUGIN_FAILED, NULL);
        break;
    case CHAIN_TIMES_OUT:
        exchange_refuse(ex, REASON_PLUGIN_TIMEOUT, NULL);
        break;
    case CHAIN_TOO_LARGE:
        exchange_refuse(ex, REASON_BODY_TOO_LARGE, NULL);
        break;
    }
    return ERR_CLOSED;
}

/* What is begun late has passed no head yet: the story asks in EX_PASS. */
static bool begin(struct exchange *ex, const struct chain *front)
{
    ex->chain = chain_begin(ex->view->chains, front, &ex->arena, ex);
    if (ex->chain)
        return true;
    exchange_refuse(ex, REASON_OVERLOAD, NULL);
    return false;
}

bool exchange_chain_begin(struct exchange *ex)
{
    const struct snapshot *snapshot = ex->view->snapshot;
    unsigned route = ex->route ? ex->route->index : (unsigned)route_table_count(snapshot->routes);
    const struct chain *front = chain_front(snapshot->chains, ex->from.port->index, route);

    return front && begin(ex, front);
}

enum err exchange_chain_extend(struct exchange *ex)
{
    const struct chain *back;

    if (ex->extended_to == ex->target->index + 1)
        return OK;
    ex->extended_to = ex->target->index + 1;
    back = chain_back(ex->view->snapshot->chains, ex->target->index);
    if (!back)
        return OK;
    ex->n_extended++;
    return chain_extend(ex->chain, back) ? ERR_MEMORY : ERR_AGAIN;
}

enum err exchange_chain_pass(struct exchange *ex)
{
    enum err err = follow(ex, chain_request_head(ex->chain));

    if (err == ERR_AGAIN && !ex->request_done && !ex->down_held) {
        ex->down_held = true;
        ex->from.leg->ops->hold(ex->from.leg);
    }
    return err;
}

/* -- attempts ------------------------------------------------------------------------------ */

static bool are_told(const struct exchange *ex)
{
    return chain_sees(ex->chain, SLUICE_PHASE_ATTEMPT) ||
           chain_sees(ex->chain, SLUICE_PHASE_ATTEMPT_DONE);
}

/* Say that a try begins. CHAIN_GOES_ON when all agree. */
static enum chain_answer tell(struct exchange *ex, struct attempt *attempt)
{
    struct sluice_attempt *told = arena_try_raw(&ex->arena, sizeof(*told));
    enum chain_answer answer;

    attempt->request = NULL;
    if (!told)
        return CHAIN_FAILS;
    *told = (struct sluice_attempt){
        .size = sizeof(*told),
        .number = ex->tries,
        .upstream = ex->target->upstream,
        .endpoint = arena_copy(&ex->arena, attempt->lease.endpoint->member.text),
        .is_reused = attempt->lease.reused,
        .begun_us = loop_now_us(ex->worker->loop)};
    attempt->told = told;
    ex->try_request = &ex->request;
    ex->telling = attempt;
    answer = chain_attempt(ex->chain, told, &attempt->n_told);
    ex->telling = NULL;
    return answer;
}

bool exchange_chain_attempt(struct exchange *ex, struct attempt *attempt)
{
    enum chain_answer answer;

    if (attempt == ex->attempt)
        ex->tried_us = loop_now_us(ex->worker->loop);
    attempt->request = NULL;
    if (!are_told(ex))
        return true;
    answer = tell(ex, attempt);
    return attempt == ex->attempt ? follow(ex, answer) == OK : answer == CHAIN_GOES_ON;
}

void exchange_chain_attempt_lost(struct exchange *ex, struct attempt *attempt)
{
    if (are_told(ex))
        (void)tell(ex, attempt);
}

void exchange_chain_attempt_done(struct exchange *ex, struct attempt *attempt, unsigned status,
                                 enum reason reason, bool will_retry)
{
    struct sluice_attempt *told = attempt->told;

    if (status > 0)
        ex->upstream_status = status;
    if (!told)
        return;
    attempt->told = NULL;
    told->is_done = true;
    told->will_retry = will_retry;
    told->status = (int32_t)status;
    if (status == 0 && reason != REASON_NONE)
        told->failure = span_of(reason_name(reason));
    told->duration_us = loop_now_us(ex->worker->loop) - told->begun_us;
    chain_attempt_done(ex->chain, told, attempt->n_told);
}

/* -- the response ---------------------------------------------------------------------------- */

enum err exchange_chain_return(struct exchange *ex, enum reason *reason)
{
    switch (chain_response_head(ex->chain)) {
    case CHAIN_GOES_ON:
        return OK;
    case CHAIN_WAITS:
        return ERR_AGAIN;
    case CHAIN_TIMES_OUT:
        *reason = REASON_PLUGIN_TIMEOUT;
        break;
    case CHAIN_REPLIES:
    case CHAIN_FAILS:
    case CHAIN_TOO_LARGE:
        *reason = REASON_PLUGIN_FAILED;
        break;
    }
    return ERR_CLOSED;
}

enum err exchange_chain_keep(struct exchange *ex)
{
    struct fields *fields = &ex->response.fields;
    unsigned cap = fields->n + ATTEMPT_SPARE;
    struct field_line *kept = arena_try_raw(&ex->arena, cap * sizeof(*kept));

    for (unsigned i = 0; kept && i < fields->n; i++) {
        struct sluice_span name = arena_copy(&ex->arena, field_name(&fields->line[i]));
        struct sluice_span value = arena_copy(&ex->arena, field_value(&fields->line[i]));

        if (!name.ptr || !value.ptr)
            return ERR_MEMORY;
        kept[i] = fields->line[i];
        kept[i].name = name.ptr;
        kept[i].value = value.ptr;
    }
    if (!kept)
        return ERR_MEMORY;
    ex->response.reason = arena_copy(&ex->arena, ex->response.reason);
    fields->line = kept;
    fields->cap = (uint16_t)cap;
    return ex->response.reason.ptr ? OK : ERR_MEMORY;
}

void exchange_chain_local_reply(struct exchange *ex)
{
    struct response *response = &ex->response;
    const struct field_line *line;
    struct chain_reply reply = {
        .status = response->status, .reason = span_of(reason_name(ex->reason)), .body = ex->body};
    struct sluice_span type;
    unsigned at = 0;

    line = fields_next(&response->fields, SPAN("content-type"), &at);
    if (line)
        reply.content_type = field_value(line);
    type = reply.content_type;
    chain_local_reply(ex->chain, &reply);
    response->status = (uint16_t)reply.status;
    ex->body = reply.body;
    if (!span_equal(type, reply.content_type) &&
        fields_set(&response->fields, SPAN("content-type"), reply.content_type))
        ex->body.len = 0; /* content of a type that cannot be told */
}

/* -- ends -------------------------------------------------------------------------------------- */

void exchange_chain_refused(struct exchange *ex)
{
    chain_response_reset(ex->chain);
}

void exchange_chain_end(struct exchange *ex)
{
    chain_end(ex->chain);
}
