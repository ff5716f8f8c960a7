/*
 * body.c - content on its way through the plugins that asked for it.
 *
 * A part goes from seat to seat. Each may put something else in its place: two buffers take turns,
 * so that what one seat made is what the next one reads. While a seat waits, the part is kept
 * here, and what still comes of the same read waits behind it; the peer is held meanwhile.
 *
 * As soon as one seat wants content whole, it is collected first, and all see it as one part.
 */
#include "chain/host_message.h"

#include <string.h>

enum {
    QUEUE_MAX = 512 * 1024,       /* what one turn's reads can bring behind a part that waits */
    EDIT_MAX = 64 * 1024 * 1024,  /* what a plugin may put in the place of one part */
    WHOLE_PRESET = 1024 * 1024,   /* when a plugin gives no limit */
    WHOLE_MAX = 64 * 1024 * 1024, /* and whatever limit it gives */
};

/* -- asking for it ------------------------------------------------------------------ */

static struct chain_body *body_new(struct sluice_exchange *ex)
{
    struct chain_body *body = arena_try(ex->arena, sizeof(*body));

    if (!body)
        return NULL;
    text_init(&body->kept, WHOLE_MAX);
    text_init(&body->queue, QUEUE_MAX);
    text_init(&body->edit[0], EDIT_MAX);
    text_init(&body->edit[1], EDIT_MAX);
    return body;
}

/* The seat at position at: responses pass in reverse. */
static struct chain_seat *seat_at(const struct sluice_exchange *ex, enum chain_flow flow,
                                  unsigned at)
{
    return &ex->seat[flow == CHAIN_REQUEST ? at : ex->n_passed - 1 - at];
}

static bool flow_of(enum sluice_side side, enum chain_flow *flow)
{
    if (side != SLUICE_REQUEST && side != SLUICE_RESPONSE)
        return false;
    *flow = side == SLUICE_REQUEST ? CHAIN_REQUEST : CHAIN_RESPONSE;
    return true;
}

static bool is_head_phase(const struct sluice_exchange *ex, enum chain_flow flow)
{
    uint8_t phase = ex->wait[flow].phase;

    return ex->flow == flow && phase == (flow == CHAIN_REQUEST ? SLUICE_PHASE_REQUEST_HEAD
                                                               : SLUICE_PHASE_RESPONSE_HEAD);
}

static void want(struct chain_body *body, struct chain_seat *seat, enum chain_flow flow,
                 enum sluice_body_mode mode, uint64_t max_bytes)
{
    if (max_bytes == 0)
        max_bytes = WHOLE_PRESET;
    if (max_bytes > WHOLE_MAX)
        max_bytes = WHOLE_MAX;
    body->n_seats += seat->body[flow] == SLUICE_BODY_NONE;
    seat->body[flow] = (uint8_t)mode;
    body->edits |= mode == SLUICE_BODY_EDIT;
    if (mode != SLUICE_BODY_WHOLE)
        return;
    body->whole = true;
    if (body->max == 0 || max_bytes < body->max)
        body->max = max_bytes;
}

bool host_body_want(const struct sluice_call *call, enum sluice_side side,
                    enum sluice_body_mode mode, uint64_t max_bytes)
{
    struct sluice_exchange *ex = call->exchange;
    enum sluice_phase phase =
        side == SLUICE_REQUEST ? SLUICE_PHASE_REQUEST_BODY : SLUICE_PHASE_RESPONSE_BODY;
    enum chain_flow flow;

    if (!ex || !flow_of(side, &flow) || !ex->running || mode > SLUICE_BODY_WHOLE)
        return false;
    if (mode == SLUICE_BODY_NONE) {
        if (ex->running->body[flow] != SLUICE_BODY_NONE)
            ex->body[flow]->n_seats--;
        ex->running->body[flow] = SLUICE_BODY_NONE;
        return true;
    }
    if (!is_head_phase(ex, flow) || !(ex->running->entry->phases & (1u << phase)) ||
        !ex->ops->can_want_body(ex->owner, flow))
        return false;
    if (!ex->body[flow])
        ex->body[flow] = body_new(ex);
    if (!ex->body[flow])
        return false;
    want(ex->body[flow], ex->running, flow, mode, max_bytes);
    return true;
}

bool host_body_replace(const struct sluice_call *call, struct sluice_span data)
{
    struct sluice_exchange *ex = call->exchange;
    struct chain_body *body;
    struct text *edit;
    uint8_t mode;

    if (!ex || !ex->running || ex->flow > CHAIN_RESPONSE || !ex->body[ex->flow])
        return false;
    body = ex->body[ex->flow];
    /* Whoever else holds the part: only the seat whose turn it is may change it. */
    if (!body->is_busy || body->at >= ex->n_passed ||
        seat_at(ex, (enum chain_flow)ex->flow, body->at) != ex->running)
        return false;
    mode = ex->running->body[ex->flow];
    if (mode != SLUICE_BODY_EDIT && mode != SLUICE_BODY_WHOLE)
        return false;
    edit = &body->edit[!body->current];
    text_reset(edit);
    text_add(edit, data);
    body->is_replaced = !edit->cut;
    return body->is_replaced;
}

/* -- from seat to seat ------------------------------------------------------------------ */

/* What one seat made of the part is what the next one sees. */
static void take_edit(struct chain_body *body)
{
    if (!body->is_replaced)
        return;
    body->is_replaced = false;
    body->current = !body->current;
    body->part = text_span(&body->edit[body->current]);
    if (!body->part.ptr)
        body->part = span_make("", 0);
}

/* Does the part lie in memory of this flow? */
static bool is_ours(const struct chain_body *body)
{
    return body->part.len > 0 &&
           (body->part.ptr == body->edit[body->current].ptr || body->part.ptr == body->kept.ptr);
}

/* The part is somebody else's memory: keep it while a seat waits. */
static bool keep_part(struct chain_body *body)
{
    if (body->part.len == 0 || is_ours(body))
        return true;
    text_reset(&body->kept);
    text_add(&body->kept, body->part);
    body->part = text_span(&body->kept);
    return !body->kept.cut;
}

/* The part of this flow passes the seats that have not seen it yet. */
static enum chain_answer pass(struct sluice_exchange *ex, enum chain_flow flow)
{
    struct chain_body *body = ex->body[flow];

    for (; body->at < ex->n_passed; body->at++) {
        struct chain_seat *seat = seat_at(ex, flow, body->at);
        enum chain_answer answer;

        if (seat->body[flow] == SLUICE_BODY_NONE || (body->part.len == 0 && !body->is_last))
            continue;
        answer = run_body(ex, flow, seat, body->part, body->is_last);
        if (answer == CHAIN_WAITS && !keep_part(body))
            return CHAIN_FAILS;
        if (answer != CHAIN_GOES_ON)
            return answer;
        if (seat->is_out)
            body->is_replaced = false;
        take_edit(body);
    }
    return CHAIN_GOES_ON;
}

/* Send on what has passed all, and take what has come behind it. */
static enum chain_answer drain(struct sluice_exchange *ex, enum chain_flow flow)
{
    struct chain_body *body = ex->body[flow];
    enum chain_answer answer;

    for (;;) {
        answer = pass(ex, flow);
        if (answer != CHAIN_GOES_ON)
            return answer;
        body->is_busy = false;
        if (body->whole) {
            body->is_ready = true;
            return CHAIN_GOES_ON;
        }
        ex->ops->send(ex->owner, flow, body->part, body->is_last);
        if (is_ours(body))
            ex->ops->flush(ex->owner); /* its memory is used again for the next part */
        if (body->queue.len == 0 && !body->queue_last)
            return CHAIN_GOES_ON;
        text_reset(&body->kept);
        text_add(&body->kept, text_span(&body->queue));
        text_reset(&body->queue);
        body->part = text_span(&body->kept);
        body->is_last = body->queue_last;
        body->queue_last = false;
        body->at = 0;
        body->is_busy = true;
    }
}

static enum chain_answer collect(struct sluice_exchange *ex, enum chain_flow flow,
                                 struct sluice_span part, bool last)
{
    struct chain_body *body = ex->body[flow];

    if (part.len > body->max - body->kept.len)
        return CHAIN_TOO_LARGE;
    text_add(&body->kept, part);
    if (body->kept.cut)
        return CHAIN_FAILS;
    if (!last)
        return CHAIN_GOES_ON;
    body->part = text_span(&body->kept);
    if (!body->part.ptr)
        body->part = span_make("", 0);
    body->is_last = body->is_busy = true;
    return drain(ex, flow);
}

enum chain_answer chain_body(struct sluice_exchange *ex, enum chain_flow flow,
                             struct sluice_span part, bool last)
{
    struct chain_body *body = ex->body[flow];

    if (body->whole)
        return collect(ex, flow, part, last);
    if (body->is_busy) {
        text_add(&body->queue, part);
        body->queue_last |= last;
        return body->queue.cut ? CHAIN_FAILS : CHAIN_WAITS;
    }
    body->part = part;
    body->is_last = last;
    body->at = 0;
    body->is_busy = true;
    return drain(ex, flow);
}

enum chain_answer chain_body_go_on(struct sluice_exchange *ex, enum chain_flow flow)
{
    struct chain_body *body = ex->body[flow];

    if (body->whole && body->is_ready && body->at < ex->n_passed) {
        body->is_ready = false; /* more seats have joined */
        body->is_busy = true;
    }
    return body->is_busy ? drain(ex, flow) : CHAIN_GOES_ON;
}

/* -- questions and ends ------------------------------------------------------------------------ */

bool chain_sees_body(const struct sluice_exchange *ex, enum chain_flow flow)
{
    const struct chain_body *body = ex->body[flow];

    return body && (body->n_seats > 0 || body->is_busy || (body->whole && !body->is_ready));
}

bool chain_edits_body(const struct sluice_exchange *ex, enum chain_flow flow)
{
    return ex->body[flow] && ex->body[flow]->edits;
}

bool chain_wants_whole(const struct sluice_exchange *ex, enum chain_flow flow)
{
    return ex->body[flow] && ex->body[flow]->whole;
}

bool chain_body_waits(const struct sluice_exchange *ex, enum chain_flow flow)
{
    return ex->body[flow] && ex->body[flow]->is_busy;
}

bool chain_whole(const struct sluice_exchange *ex, enum chain_flow flow,
                 struct sluice_span *content)
{
    const struct chain_body *body = ex->body[flow];

    if (!body || !body->whole || !body->is_ready)
        return false;
    *content = body->part;
    return true;
}

enum chain_answer chain_reply_body(struct sluice_exchange *ex, struct sluice_span *content)
{
    struct chain_body *body = ex->body[CHAIN_RESPONSE];
    enum chain_answer answer;

    if (!body || body->n_seats == 0)
        return CHAIN_GOES_ON;
    if (!body->whole) {
        body->whole = true;
        body->max = WHOLE_MAX;
    }
    answer = body->is_busy || body->is_ready ? chain_body_go_on(ex, CHAIN_RESPONSE)
                                             : collect(ex, CHAIN_RESPONSE, *content, true);
    if (answer == CHAIN_GOES_ON)
        *content = body->part;
    return answer;
}

void body_reset(struct sluice_exchange *ex, enum chain_flow flow)
{
    struct chain_body *body = ex->body[flow];

    if (!body)
        return;
    for (unsigned i = 0; i < ex->n_seats; i++)
        ex->seat[i].body[flow] = SLUICE_BODY_NONE;
    text_fini(&body->kept);
    text_fini(&body->queue);
    text_fini(&body->edit[0]);
    text_fini(&body->edit[1]);
    ex->body[flow] = NULL;
}
