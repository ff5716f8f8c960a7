/* sluice_test_exchange.c - drives one exchange through the phases, as the gateway's chain would. */
#include "sluice_test_private.h"

#include <stdio.h>
#include <string.h>

const char *fake_phase_name(enum sluice_phase phase)
{
    static const char *const names[] = {
        "on_request_head",      "on_request_body", "on_request_trailers", "on_attempt",
        "on_attempt_done",      "on_local_reply",  "on_response_head",    "on_response_body",
        "on_response_trailers", "on_done"};

    return names[phase];
}

static bool is_request_phase(enum sluice_phase phase)
{
    return phase <= SLUICE_PHASE_ATTEMPT;
}

static bool may_wait(enum sluice_phase phase)
{
    return phase == SLUICE_PHASE_REQUEST_HEAD || phase == SLUICE_PHASE_REQUEST_BODY ||
           phase == SLUICE_PHASE_RESPONSE_HEAD || phase == SLUICE_PHASE_RESPONSE_BODY;
}

/* -- life ---------------------------------------------------------------------- */

static void set_own(struct sluice_exchange *ex, const char *name, const char *value)
{
    fake_attribute_put(ex, fake_attribute(ex->test, fake_span(name)), fake_span(value));
}

struct sluice_exchange *sluice_test_request(struct sluice_test *test, const char *method,
                                            const char *target)
{
    struct sluice_exchange *ex = fake_alloc(sizeof(*ex)), **end = &test->exchange;
    const char *query = strchr(target, '?');
    char *path = fake_dup((struct sluice_span){target, strcspn(target, "?")});

    if (!test->is_started)
        fake_misuse("sluice_test_start() comes first");
    ex->test = test;
    ex->worker = test->on_worker;
    ex->begun_us = test->now_us;
    ex->ctx = fake_block_add(&ex->memory, test->plugin->ctx_size + 1U);
    memset(ex->ctx, 0, test->plugin->ctx_size + 1U);
    set_own(ex, "request.method", method);
    set_own(ex, "request.path", path);
    set_own(ex, "request.query", query ? query + 1 : "");
    set_own(ex, "request.target", target);
    set_own(ex, "request.host", "example.com");
    set_own(ex, "request.scheme", "http");
    set_own(ex, "request.protocol", "HTTP/1.1");
    set_own(ex, "client.address", "192.0.2.1");
    set_own(ex, "client.port", "40000");
    set_own(ex, "peer.address", "192.0.2.1");
    set_own(ex, "listener", "main");
    set_own(ex, "route", "api");
    fake_drop(path);
    while (*end)
        end = &(*end)->next;
    *end = ex;
    return ex;
}

void fake_exchange_free(struct sluice_exchange **ex_)
{
    struct sluice_exchange *ex = *ex_;

    *ex_ = NULL;
    for (int side = 0; side < FAKE_SIDES; side++)
        fake_fields_fini(&ex->fields[side]);
    fake_fields_fini(&ex->spans);
    for (uint32_t i = 0; i < ex->n_attributes; i++)
        fake_drop(ex->attribute[i]);
    fake_drop(ex->attribute);
    for (int i = 0; i < 2; i++) {
        fake_text_fini(&ex->body[i].gathered);
        fake_text_fini(&ex->body[i].part);
        fake_text_fini(&ex->body[i].replaced);
        fake_text_fini(&ex->body[i].sent);
    }
    fake_text_fini(&ex->notes);
    fake_text_fini(&ex->reply.body);
    fake_drop(ex->reply.reason);
    fake_drop(ex->reply.content_type);
    fake_drop(ex->endpoint);
    fake_drop(ex->failure);
    fake_drop(ex->upstream_set);
    fake_drop(ex->target_set);
    fake_block_free(&ex->memory, 0);
    fake_drop(ex);
}

/* -- verdicts --------------------------------------------------------------------- */

static struct fake_body *body_of(struct sluice_exchange *ex)
{
    return &ex->body[ex->phase >= SLUICE_PHASE_LOCAL_REPLY];
}

static bool is_body_phase(enum sluice_phase phase)
{
    return phase == SLUICE_PHASE_REQUEST_BODY || phase == SLUICE_PHASE_RESPONSE_BODY;
}

/* The part that was looked at goes on, as it is or as it was made. */
static void pass_part(struct sluice_exchange *ex)
{
    struct fake_body *body = body_of(ex);
    const struct fake_text *goes = body->is_replaced ? &body->replaced : &body->part;

    fake_add(&body->sent, goes->ptr ? goes->ptr : "", goes->len);
    body->part.len = body->replaced.len = 0;
    body->is_replaced = false;
}

static bool will_be_ended(const struct sluice_exchange *ex)
{
    for (const struct fake_job *job = ex->test->job; job; job = job->next) {
        if (job->exchange == ex)
            return true;
    }
    return ex->has_ticket;
}

static void begin_wait(struct sluice_exchange *ex)
{
    if (!may_wait(ex->phase)) {
        fake_violation(ex->test, "%s answered SLUICE_WAIT, which is not allowed there",
                       fake_phase_name(ex->phase));
    } else if (!will_be_ended(ex)) {
        fake_violation(ex->test,
                       "%s answered SLUICE_WAIT, but no completion is to come and no "
                       "ticket was taken",
                       fake_phase_name(ex->phase));
    }
    if (!ex->waiting)
        ex->wait_until_us = ex->test->now_us + (uint64_t)ex->test->wait_ms * 1000;
    ex->waiting = true;
}

static void fail(struct sluice_exchange *ex)
{
    const struct sluice_reply reply = {
        .size = sizeof(reply), .status = 500, .reason = SLUICE_SPAN("plugin_failed")};

    if (ex->test->fails_open) {
        ex->out = true;
        if (is_body_phase(ex->phase))
            pass_part(ex);
    } else if (is_request_phase(ex->phase)) {
        fake_reply_set(ex, &reply, false);
    } else {
        ex->out = true; /* the response is cut */
    }
}

void fake_verdict(struct sluice_exchange *ex, enum sluice_verdict verdict, bool has_reply)
{
    const char *phase = fake_phase_name(ex->phase);

    if (verdict != SLUICE_WAIT)
        ex->waiting = ex->has_ticket = false;
    ex->verdict = verdict;
    switch (verdict) {
    case SLUICE_NEXT:
        if (has_reply)
            fake_violation(ex->test, "%s called reply(), and then answered SLUICE_NEXT", phase);
        if (is_body_phase(ex->phase))
            pass_part(ex);
        return;
    case SLUICE_REPLIED:
        if (!is_request_phase(ex->phase)) {
            fake_violation(ex->test, "%s answered SLUICE_REPLIED: only request phases may", phase);
        } else if (!has_reply) {
            fake_violation(ex->test, "%s answered SLUICE_REPLIED without reply()", phase);
        }
        ex->replied = true;
        return;
    case SLUICE_WAIT:
        begin_wait(ex);
        return;
    case SLUICE_FAIL:
        fail(ex);
        return;
    }
    fake_violation(ex->test, "%s answered %d, which is no verdict", phase, (int)verdict);
}

/* -- phases ------------------------------------------------------------------------- */

/* True when the plugin is to be called; else the phase passes by. */
static bool begin(struct sluice_exchange *ex, enum sluice_phase phase, bool has_callback)
{
    struct sluice_test *test = ex->test;

    if (ex->done)
        fake_misuse("the exchange is done");
    if (ex->waiting)
        fake_misuse("the exchange waits in %s; settle it first", fake_phase_name(ex->phase));
    ex->phase = phase;
    ex->verdict = SLUICE_NEXT;
    if (!has_callback || ex->out || ex->detached & 1U << phase)
        return false;
    ex->saw = true;
    if (!test->serves[ex->worker]) {
        fake_verdict(ex, SLUICE_FAIL, false);
        return false;
    }
    fake_call_begin(test, ex, ex->worker);
    test->call->is_phase = true;
    test->call->phase = phase;
    return true;
}

static enum sluice_verdict end(struct sluice_exchange *ex, enum sluice_verdict verdict)
{
    bool has_reply = ex->test->call->has_reply;

    fake_call_end(ex->test);
    fake_verdict(ex, verdict, has_reply);
    return verdict;
}

static enum sluice_verdict run(struct sluice_exchange *ex, enum sluice_phase phase,
                               enum sluice_verdict (*callback)(const struct sluice_call *call))
{
    if (!begin(ex, phase, callback != NULL))
        return ex->verdict;
    return end(ex, callback(&ex->test->call->call));
}

enum sluice_verdict sluice_test_request_head(struct sluice_exchange *ex)
{
    return run(ex, SLUICE_PHASE_REQUEST_HEAD, ex->test->plugin->on_request_head);
}

enum sluice_verdict sluice_test_request_trailers(struct sluice_exchange *ex)
{
    return run(ex, SLUICE_PHASE_REQUEST_TRAILERS, ex->test->plugin->on_request_trailers);
}

enum sluice_verdict sluice_test_response_trailers(struct sluice_exchange *ex)
{
    return run(ex, SLUICE_PHASE_RESPONSE_TRAILERS, ex->test->plugin->on_response_trailers);
}

enum sluice_verdict sluice_test_response_head(struct sluice_exchange *ex, uint32_t status)
{
    char text[16];

    if (status == 0 && !ex->reply.has)
        fake_misuse("a response has a status");
    snprintf(text, sizeof(text), "%u", status ? status : ex->reply.shown.status);
    set_own(ex, "response.status", text);
    ex->response_begun = true;
    return run(ex, SLUICE_PHASE_RESPONSE_HEAD, ex->test->plugin->on_response_head);
}

typedef enum sluice_verdict body_fn(const struct sluice_call *call, struct sluice_span part,
                                    bool last);

static enum sluice_verdict too_large(struct sluice_exchange *ex)
{
    const struct sluice_reply reply = {
        .size = sizeof(reply), .status = ex->phase == SLUICE_PHASE_REQUEST_BODY ? 413 : 502};

    fake_reply_set(ex, &reply, false);
    ex->verdict = SLUICE_REPLIED;
    return SLUICE_REPLIED;
}

static enum sluice_verdict run_body(struct sluice_exchange *ex, enum sluice_phase phase,
                                    body_fn *callback, struct sluice_span part, bool last)
{
    struct fake_body *body = &ex->body[phase == SLUICE_PHASE_RESPONSE_BODY];

    if (body->mode == SLUICE_BODY_NONE || !begin(ex, phase, callback != NULL)) {
        if (ex->waiting || ex->done)
            begin(ex, phase, false); /* says what is wrong */
        fake_add(&body->sent, part.ptr, part.len);
        return SLUICE_NEXT;
    }
    if (body->mode == SLUICE_BODY_WHOLE) {
        fake_add(&body->gathered, part.ptr, part.len);
        if (body->gathered.len > body->max || !last) {
            fake_call_end(ex->test);
            return body->gathered.len > body->max ? too_large(ex) : SLUICE_NEXT;
        }
        part = (struct sluice_span){body->gathered.ptr, body->gathered.len};
    }
    body->part.len = body->replaced.len = 0;
    body->is_replaced = false;
    fake_add(&body->part, part.ptr, part.len);
    return end(ex, callback(&ex->test->call->call, fake_lend(ex->test, part, 0), last));
}

enum sluice_verdict sluice_test_request_body(struct sluice_exchange *ex, struct sluice_span part,
                                             bool last)
{
    return run_body(ex, SLUICE_PHASE_REQUEST_BODY, ex->test->plugin->on_request_body, part, last);
}

enum sluice_verdict sluice_test_response_body(struct sluice_exchange *ex, struct sluice_span part,
                                              bool last)
{
    return run_body(ex, SLUICE_PHASE_RESPONSE_BODY, ex->test->plugin->on_response_body, part, last);
}

/* -- attempts ------------------------------------------------------------------------- */

/* As the plugin sees it: the struct and its spans end with the callback. */
static const struct sluice_attempt *lend_attempt(struct sluice_exchange *ex)
{
    struct sluice_attempt *lent =
        (struct sluice_attempt *)(void *)fake_block_add(&ex->test->lent, sizeof(*lent));

    *lent = ex->attempt;
    lent->upstream = fake_lend(ex->test, ex->attempt.upstream, 0);
    lent->endpoint = fake_lend(ex->test, ex->attempt.endpoint, 0);
    lent->failure = fake_lend(ex->test, ex->attempt.failure, 0);
    return lent;
}

enum sluice_verdict sluice_test_attempt(struct sluice_exchange *ex, const char *endpoint)
{
    const struct sluice_plugin *plugin = ex->test->plugin;
    const char *upstream = ex->upstream_set ? ex->upstream_set : "orders";
    struct fake_fields *fields = &ex->fields[SLUICE_ATTEMPT];
    uint32_t number = ex->attempt.number + 1;

    fake_fields_fini(fields);
    for (size_t i = 0; i < ex->fields[SLUICE_REQUEST].n; i++) {
        const struct fake_field *line = &ex->fields[SLUICE_REQUEST].line[i];

        fake_fields_add(fields, fake_span(line->name), fake_span(line->value));
    }
    fake_drop(ex->endpoint);
    ex->endpoint = fake_dup(fake_span(endpoint));
    set_own(ex, "upstream", upstream);
    set_own(ex, "endpoint", endpoint);
    ex->attempt = (struct sluice_attempt){.size = sizeof(ex->attempt),
                                          .number = number,
                                          .upstream = fake_span(upstream),
                                          .endpoint = fake_span(ex->endpoint),
                                          .failure = {"", 0},
                                          .begun_us = ex->test->now_us};
    if (!begin(ex, SLUICE_PHASE_ATTEMPT, plugin->on_attempt != NULL))
        return ex->verdict;
    return end(ex, plugin->on_attempt(&ex->test->call->call, lend_attempt(ex)));
}

void sluice_test_attempt_done(struct sluice_exchange *ex, int32_t status, const char *failure,
                              bool will_retry)
{
    const struct sluice_plugin *plugin = ex->test->plugin;

    if (ex->attempt.number == 0 || ex->attempt.is_done)
        fake_misuse("no attempt is under way");
    fake_drop(ex->failure);
    ex->failure = failure ? fake_dup(fake_span(failure)) : NULL;
    ex->attempt.is_done = true;
    ex->attempt.will_retry = will_retry;
    ex->attempt.status = status;
    ex->attempt.failure = failure ? fake_span(ex->failure) : (struct sluice_span){"", 0};
    ex->attempt.duration_us = ex->test->now_us - ex->attempt.begun_us;
    if (!begin(ex, SLUICE_PHASE_ATTEMPT_DONE, plugin->on_attempt_done != NULL))
        return;
    plugin->on_attempt_done(&ex->test->call->call, lend_attempt(ex));
    fake_call_end(ex->test);
}

enum sluice_verdict sluice_test_local_reply(struct sluice_exchange *ex, uint32_t status,
                                            const char *reason)
{
    const struct sluice_reply reply = {
        .size = sizeof(reply), .status = status, .reason = fake_span(reason)};

    fake_reply_set(ex, &reply, false);
    set_own(ex, "reason", reason);
    if (!begin(ex, SLUICE_PHASE_LOCAL_REPLY, ex->test->plugin->on_local_reply != NULL))
        return ex->verdict;
    ex->test->call->may_edit = true;
    return end(ex, ex->test->plugin->on_local_reply(&ex->test->call->call));
}

void sluice_test_done(struct sluice_exchange *ex, bool complete)
{
    struct sluice_test *test = ex->test;

    if (ex->done)
        fake_misuse("the exchange is done already");
    ex->waiting = ex->has_ticket = false;
    ex->is_complete = complete;
    fake_jobs_drop(test, ex, false);
    if (ex->saw && test->plugin->on_done && !(ex->detached & 1U << SLUICE_PHASE_DONE)) {
        ex->phase = SLUICE_PHASE_DONE;
        fake_call_begin(test, ex, ex->worker);
        test->call->is_phase = true;
        test->call->phase = SLUICE_PHASE_DONE;
        test->plugin->on_done(&test->call->call);
        fake_call_end(test);
        fake_jobs_drop(test, ex, false);
    }
    ex->done = true;
    ex->ctx = NULL;
    fake_block_end(&ex->memory, &test->quarantine, 0);
}

enum sluice_verdict sluice_test_verdict(const struct sluice_exchange *ex)
{
    return ex->verdict;
}
