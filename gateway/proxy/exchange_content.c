/*
 * exchange_content.c - content of an exchange among its plugins.
 *
 * What plugins hold is held here: the peer is not read, whatever the other side could take. What
 * they collect goes on as a message of known length, what they may change as one of open length.
 */
#include "proxy/exchange_chain.h"
#include "proxy/worker.h"

/* -- holding --------------------------------------------------------------------- */

static void hold(struct exchange *ex, enum chain_flow flow)
{
    if (flow == CHAIN_REQUEST && !ex->down_held && !ex->request_done) {
        ex->down_held = true;
        ex->from.leg->ops->hold(ex->from.leg);
    }
    if (flow == CHAIN_RESPONSE && !ex->up_held && ex->attempt && attempt_is_held(ex->attempt)) {
        ex->up_held = true;
        ex->attempt->leg.ops->hold(&ex->attempt->leg);
    }
}

static void release(struct exchange *ex, enum chain_flow flow)
{
    /* Between two tries there is nobody to take it: the next one releases. */
    bool is_taken = ex->state >= EX_FORWARD || ex->state == EX_PASS;

    if (flow == CHAIN_REQUEST && ex->down_held && is_taken) {
        ex->down_held = false;
        ex->from.leg->ops->release(ex->from.leg);
    }
    if (flow == CHAIN_RESPONSE && ex->up_held && ex->attempt && attempt_is_held(ex->attempt)) {
        ex->up_held = false;
        ex->attempt->leg.ops->release(&ex->attempt->leg);
    }
}

bool exchange_chain_sees(const struct exchange *ex, enum chain_flow flow)
{
    return chain_sees_body(ex->chain, flow);
}

bool exchange_chain_holds(const struct exchange *ex, enum chain_flow flow)
{
    return chain_body_waits(ex->chain, flow);
}

/* -- passing on ------------------------------------------------------------------------ */

static void refuse(struct exchange *ex, enum chain_flow flow, enum chain_answer answer)
{
    switch (answer) {
    case CHAIN_GOES_ON:
    case CHAIN_WAITS:
        break;
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
        exchange_refuse(
            ex, flow == CHAIN_REQUEST ? REASON_BODY_TOO_LARGE : REASON_RESPONSE_TOO_LARGE, NULL);
        break;
    }
}

/* Trailers outlive what they were read into only when they are copied. */
static void keep_trailers(struct exchange *ex, enum chain_flow flow)
{
    const struct fields *from = ex->trailers[flow];
    struct fields *kept;

    if (!from)
        return;
    kept = arena_try(&ex->arena, sizeof(*kept));
    ex->trailers[flow] = kept;
    if (!kept)
        return; /* trailers may be left out */
    kept->arena = &ex->arena;
    for (unsigned i = 0; i < from->n; i++) {
        struct sluice_span name = arena_copy(&ex->arena, field_name(&from->line[i]));
        struct sluice_span value = arena_copy(&ex->arena, field_value(&from->line[i]));

        if (!name.ptr || !value.ptr || fields_add(kept, name, value))
            return;
    }
}

static void follow(struct exchange *ex, enum chain_flow flow, enum chain_answer answer)
{
    if (answer == CHAIN_WAITS) {
        hold(ex, flow);
    } else {
        refuse(ex, flow, answer);
    }
}

void exchange_chain_send(struct exchange *ex, enum chain_flow flow, struct sluice_span part,
                         bool last)
{
    const struct fields *trailers = last ? ex->trailers[flow] : NULL;
    enum sluice_phase phase =
        flow == CHAIN_REQUEST ? SLUICE_PHASE_REQUEST_TRAILERS : SLUICE_PHASE_RESPONSE_TRAILERS;

    if (ex->state >= EX_REPLY)
        return; /* it has ended meanwhile */
    if (trailers && trailers->n > 0 && chain_sees(ex->chain, phase)) {
        enum chain_answer answer = chain_trailers(ex->chain, flow);

        if (answer != CHAIN_GOES_ON) {
            refuse(ex, flow, answer);
            return;
        }
    }
    if (flow == CHAIN_REQUEST) {
        exchange_pass_request(ex, part, last, trailers);
    } else {
        exchange_pass_response(ex, part, last, trailers);
    }
}

void exchange_chain_content(struct exchange *ex, enum chain_flow flow, struct sluice_span piece,
                            bool last, const struct fields *trailers)
{
    enum chain_answer answer;

    if (last)
        ex->trailers[flow] = trailers;
    if (!chain_sees_body(ex->chain, flow)) {
        if (flow == CHAIN_RESPONSE || (ex->attempt && attempt_is_held(ex->attempt)))
            exchange_chain_send(ex, flow, piece, last);
        ex->trailers[flow] = NULL;
        return;
    }
    answer = chain_body(ex->chain, flow, piece, last);
    if (last && answer == CHAIN_WAITS)
        keep_trailers(ex, flow);
    follow(ex, flow, answer);
    if (answer == CHAIN_GOES_ON && last && flow == CHAIN_RESPONSE && ex->state == EX_RETURN)
        (void)exchange_return(ex); /* it is whole now */
}

void exchange_chain_wake(struct exchange *ex, enum chain_flow flow)
{
    enum chain_answer answer;

    /* In EX_PASS, EX_RETURN and EX_REPLY the story asks again by itself. */
    if (ex->state == EX_PASS || ex->state == EX_RETURN || ex->state >= EX_REPLY ||
        !chain_body_waits(ex->chain, flow))
        return;
    answer = chain_body_go_on(ex->chain, flow);
    follow(ex, flow, answer);
    if (answer == CHAIN_GOES_ON)
        release(ex, flow);
}

/* -- framing -------------------------------------------------------------------------------- */

/* It is we who want the content now: the upstream has not been asked yet. */
static void say_continue(struct exchange *ex)
{
    struct leg *down = ex->from.leg;
    const struct response response = {.status = 100, .minor = 1};
    const struct leg_head head = {.response = &response,
                                  .framing = FRAMING_NONE,
                                  .body_bytes = BODY_UNKNOWN,
                                  .keep_length = BODY_UNKNOWN};

    if (!ex->request.expects_continue)
        return;
    ex->request.expects_continue = false;
    (void)fields_remove(&ex->request.fields, name_text(FIELD_EXPECT));
    if (down->ops->send_head(down, &head) == OK)
        (void)down->ops->flush(down); /* what it could not take shows with the final head */
}

enum err exchange_chain_collect(struct exchange *ex)
{
    struct request *request = &ex->request;
    enum chain_answer answer = CHAIN_GOES_ON;

    if (!chain_sees_body(ex->chain, CHAIN_REQUEST))
        return OK;
    if (!chain_wants_whole(ex->chain, CHAIN_REQUEST)) {
        if (chain_edits_body(ex->chain, CHAIN_REQUEST)) {
            request->framing = FRAMING_CHUNKED;
            request->body_bytes = BODY_UNKNOWN;
        }
        return OK;
    }
    answer = chain_body_go_on(ex->chain, CHAIN_REQUEST);
    follow(ex, CHAIN_REQUEST, answer);
    if (answer == CHAIN_WAITS)
        return ERR_AGAIN;
    if (answer != CHAIN_GOES_ON)
        return ERR_CLOSED;
    if (!chain_whole(ex->chain, CHAIN_REQUEST, &ex->content)) {
        say_continue(ex);
        release(ex, CHAIN_REQUEST);
        return ERR_AGAIN;
    }
    request->framing = FRAMING_LENGTH;
    request->body_bytes = (int64_t)ex->content.len;
    return OK;
}

bool exchange_chain_collects(const struct exchange *ex)
{
    struct sluice_span content;

    return ex->state == EX_RETURN && chain_wants_whole(ex->chain, CHAIN_RESPONSE) &&
           !chain_body_waits(ex->chain, CHAIN_RESPONSE) &&
           !chain_whole(ex->chain, CHAIN_RESPONSE, &content);
}

bool exchange_chain_frame(struct exchange *ex)
{
    struct response *response = &ex->response;
    enum chain_answer answer;

    if (!chain_sees_body(ex->chain, CHAIN_RESPONSE))
        return true;
    if (!chain_wants_whole(ex->chain, CHAIN_RESPONSE)) {
        if (chain_edits_body(ex->chain, CHAIN_RESPONSE)) {
            response->framing = FRAMING_CHUNKED;
            response->body_bytes = BODY_UNKNOWN;
        }
        return true;
    }
    answer = chain_body_go_on(ex->chain, CHAIN_RESPONSE);
    follow(ex, CHAIN_RESPONSE, answer);
    if (answer != CHAIN_GOES_ON || !chain_whole(ex->chain, CHAIN_RESPONSE, &ex->body))
        return false;
    response->framing = FRAMING_LENGTH;
    response->body_bytes = (int64_t)ex->body.len;
    return true;
}

enum err exchange_chain_reply_content(struct exchange *ex, enum reason *reason)
{
    switch (chain_reply_body(ex->chain, &ex->body)) {
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
