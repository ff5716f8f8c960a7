/*
 * run.c - from plugin to plugin, and what their verdicts mean.
 *
 * A direction (flow) of an exchange is at one seat at a time. When a seat says WAIT the flow stays
 * there: the story is told CHAIN_WAITS and asks again when ops->wake() has said so; the verdict
 * that came meanwhile is then taken in place of a call.
 */
#include "chain/run.h"

#include "chain/plugin.h"
#include "chain/set.h"
#include "chain/state.h"
#include "core/loop.h"

#include <string.h>

#define BIT(phase) (1u << (phase))

static const char *const phase_names[CHAIN_PHASES] = {
    [SLUICE_PHASE_REQUEST_HEAD] = "request_head",
    [SLUICE_PHASE_REQUEST_BODY] = "request_body",
    [SLUICE_PHASE_REQUEST_TRAILERS] = "request_trailers",
    [SLUICE_PHASE_ATTEMPT] = "attempt",
    [SLUICE_PHASE_ATTEMPT_DONE] = "attempt_done",
    [SLUICE_PHASE_LOCAL_REPLY] = "local_reply",
    [SLUICE_PHASE_RESPONSE_HEAD] = "response_head",
    [SLUICE_PHASE_RESPONSE_BODY] = "response_body",
    [SLUICE_PHASE_RESPONSE_TRAILERS] = "response_trailers",
    [SLUICE_PHASE_DONE] = "done",
};

const char *run_phase_name(enum sluice_phase phase)
{
    return phase_names[phase];
}

/* -- one callback ------------------------------------------------------------------ */

void run_say_slow(const struct sluice_place *place, enum sluice_phase phase, uint64_t us)
{
    const struct chain_entry *entry = place->entry;

    counter_add(&place->counters->phase[phase].slow, 1);
    if (!log_gate_pass(&place->worker->slow_gate))
        return;
    log_warn("plugin held its worker: what takes time belongs into offload() or a call",
             F_STR("plugin", entry->about->name), F_STR("phase", phase_names[phase]),
             F_SPAN("place", entry->place), F_UINT("us", us));
}

/* What phases are given beside the call. */
struct run_args {
    struct sluice_span part;
    bool last;
    const struct sluice_attempt *attempt;
};

static enum sluice_verdict invoke(const struct sluice_plugin *about, const struct sluice_call *call,
                                  enum sluice_phase phase, const struct run_args *args)
{
    switch (phase) {
    case SLUICE_PHASE_REQUEST_HEAD:
        return about->on_request_head(call);
    case SLUICE_PHASE_REQUEST_BODY:
        return about->on_request_body(call, args->part, args->last);
    case SLUICE_PHASE_REQUEST_TRAILERS:
        return about->on_request_trailers(call);
    case SLUICE_PHASE_ATTEMPT:
        return about->on_attempt(call, args->attempt);
    case SLUICE_PHASE_ATTEMPT_DONE:
        about->on_attempt_done(call, args->attempt);
        break;
    case SLUICE_PHASE_LOCAL_REPLY:
        return about->on_local_reply(call);
    case SLUICE_PHASE_RESPONSE_HEAD:
        return about->on_response_head(call);
    case SLUICE_PHASE_RESPONSE_BODY:
        return about->on_response_body(call, args->part, args->last);
    case SLUICE_PHASE_RESPONSE_TRAILERS:
        return about->on_response_trailers(call);
    case SLUICE_PHASE_DONE:
        about->on_done(call);
        break;
    }
    return SLUICE_NEXT;
}

static bool has_phase(const struct chain_seat *seat, enum sluice_phase phase)
{
    return (seat->entry->phases & ~seat->detached & BIT(phase)) != 0 && !seat->is_out;
}

/* In place where every callback comes by. */
__attribute__((always_inline)) static inline enum sluice_verdict
call(struct sluice_exchange *ex, enum chain_flow flow, struct chain_seat *seat,
     enum sluice_phase phase, const struct run_args *args)
{
    struct run_call run;
    enum sluice_verdict verdict = SLUICE_FAIL;

    ex->wait[flow].phase = (uint8_t)phase;
    ex->wait[flow].seat = (unsigned)(seat - ex->seat);
    ex->flow = (uint8_t)flow;
    ex->running = seat;
    run_enter(&run, seat->call.place, phase);
    if (!seat->call.place->is_broken) {
        seat->has_run = true;
        verdict = invoke(seat->entry->about, &seat->call, phase, args);
    }
    run_leave(&run);
    ex->running = NULL;
    return verdict;
}

/* -- verdicts --------------------------------------------------------------------------- */

static bool may_wait(enum sluice_phase phase)
{
    return phase == SLUICE_PHASE_REQUEST_HEAD || phase == SLUICE_PHASE_REQUEST_BODY ||
           phase == SLUICE_PHASE_RESPONSE_HEAD || phase == SLUICE_PHASE_RESPONSE_BODY;
}

static bool may_reply(enum sluice_phase phase)
{
    return phase == SLUICE_PHASE_REQUEST_HEAD || phase == SLUICE_PHASE_REQUEST_BODY ||
           phase == SLUICE_PHASE_REQUEST_TRAILERS || phase == SLUICE_PHASE_ATTEMPT;
}

/* What it has under way will never be asked for again. */
static void drop_pending(struct sluice_exchange *ex, const struct chain_seat *seat)
{
    list_each_safe (node, after, &ex->pending) {
        struct chain_pending *pending = list_entry(node, struct chain_pending, link);

        if (&ex->seat[pending->seat] != seat)
            continue;
        pending_remove(pending);
        pending->drop(pending);
    }
}

/* Rare, and large: apart from what each callback passes. */
__attribute__((noinline, cold)) static enum chain_answer
fail(struct sluice_exchange *ex, struct chain_wait *wait, struct chain_seat *seat)
{
    struct sluice_place *place = seat->call.place;
    bool is_late = wait->is_late;

    wait_clear(wait);
    wait->is_late = false;
    seat->is_out = true;
    ex->reply.status = 0;
    drop_pending(ex, seat);
    counter_add(&place->counters->phase[wait->phase].failures, 1);
    counter_add(&place->own->failures, 1);
    if (is_late) {
        counter_add(&place->counters->wait_timeouts, 1);
        counter_add(&place->own->wait_timeouts, 1);
    }
    if (log_gate_pass(&place->worker->fail_gate)) {
        log_warn(is_late ? "plugin kept a request waiting for too long" : "plugin failed",
                 F_STR("plugin", seat->entry->about->name),
                 F_STR("phase", phase_names[wait->phase]), F_SPAN("place", seat->entry->place));
    }
    if (seat->entry->written->on_error == ENTRY_OPEN)
        return CHAIN_GOES_ON;
    return is_late ? CHAIN_TIMES_OUT : CHAIN_FAILS;
}

static void on_deadline(struct alarm *alarm)
{
    struct chain_wait *wait = list_entry(alarm, struct chain_wait, deadline);
    struct sluice_exchange *ex = wait->exchange;
    const struct chain_ops *ops = ex->ops;
    void *owner = ex->owner;

    ops->enter(owner);
    wait->is_late = true;
    run_answer(ex, (enum chain_flow)(wait - ex->wait), SLUICE_FAIL);
    ops->leave(owner);
}

/* What a verdict means for the flow. */
static enum chain_answer settle(struct sluice_exchange *ex, enum chain_flow flow,
                                struct chain_seat *seat, enum sluice_verdict verdict)
{
    struct chain_wait *wait = &ex->wait[flow];
    enum sluice_phase phase = (enum sluice_phase)wait->phase;

    if (verdict == SLUICE_NEXT) {
        wait_clear(wait);
        ex->reply.status = 0;
        return CHAIN_GOES_ON;
    }
    if (verdict == SLUICE_WAIT && may_wait(phase)) {
        wait->is_waiting = true;
        counter_add(&seat->call.place->counters->waits, 1);
        alarm_arm(seat->call.place->worker->loop, &wait->deadline, seat->entry->written->wait_ms);
        return CHAIN_WAITS;
    }
    if (verdict == SLUICE_REPLIED && may_reply(phase) && ex->reply.status > 0) {
        wait_clear(wait);
        counter_add(&seat->call.place->counters->replies, 1);
        counter_add(&seat->call.place->own->replies, 1);
        return CHAIN_REPLIES;
    }
    return fail(ex, wait, seat);
}

/* The seat's verdict: what came while it was waited for, or what it says now. */
static enum chain_answer ask(struct sluice_exchange *ex, enum chain_flow flow,
                             struct chain_seat *seat, enum sluice_phase phase,
                             const struct run_args *args)
{
    struct chain_wait *wait = &ex->wait[flow];
    enum sluice_verdict verdict;

    if (wait->is_waiting)
        return CHAIN_WAITS;
    if (wait->has_verdict) {
        wait->has_verdict = false;
        verdict = (enum sluice_verdict)wait->verdict;
    } else if (has_phase(seat, phase)) {
        verdict = call(ex, flow, seat, phase, args);
    } else {
        return CHAIN_GOES_ON;
    }
    return settle(ex, flow, seat, verdict);
}

void run_answer(struct sluice_exchange *ex, enum chain_flow flow, enum sluice_verdict verdict)
{
    struct chain_wait *wait = &ex->wait[flow];
    bool is_late = wait->is_late;

    wait_clear(wait);
    wait->is_late = is_late;
    wait->has_verdict = true;
    wait->verdict = (uint8_t)verdict;
    ex->ops->wake(ex->owner, flow);
}

static bool waits_at(const struct sluice_exchange *ex, enum chain_flow flow,
                     const struct chain_seat *seat)
{
    return ex->wait[flow].is_waiting && &ex->seat[ex->wait[flow].seat] == seat;
}

/* What was begun in one direction, or beside both, may be what another one waits for. */
static enum chain_flow flow_that_waits(const struct sluice_exchange *ex, enum chain_flow begun,
                                       const struct chain_seat *seat)
{
    if (waits_at(ex, begun, seat))
        return begun;
    if (waits_at(ex, CHAIN_RESPONSE, seat))
        return CHAIN_RESPONSE;
    return waits_at(ex, CHAIN_REQUEST, seat) ? CHAIN_REQUEST : begun;
}

void run_finish(struct sluice_exchange *ex, enum chain_flow begun, struct chain_seat *seat,
                chain_finish_fn *finish, void *arg)
{
    enum chain_flow flow = flow_that_waits(ex, begun, seat);
    struct chain_wait *wait = &ex->wait[flow];
    enum sluice_verdict verdict;
    struct run_call run;

    ex->flow = (uint8_t)flow;
    ex->running = seat;
    run_enter(&run, seat->call.place, (enum sluice_phase)wait->phase);
    verdict = finish(&seat->call, arg);
    run_leave(&run);
    ex->running = NULL;
    if (waits_at(ex, flow, seat) && verdict != SLUICE_WAIT)
        run_answer(ex, flow, verdict);
}

/* -- life ----------------------------------------------------------------------------- */

static enum err take_seats(struct sluice_exchange *ex, const struct chain *chain)
{
    char *ctx = chain->ctx_bytes > 0 ? arena_try(ex->arena, chain->ctx_bytes) : NULL;

    if (!ctx && chain->ctx_bytes > 0)
        return ERR_MEMORY;
    for (unsigned i = 0; i < chain->n; i++) {
        const struct chain_entry *entry = chain->entry[i];
        struct sluice_place *place = &ex->view->places[entry->index];
        struct chain_seat *seat = &ex->seat[ex->n_seats];

        seat->entry = entry;
        seat->call = place->call;
        seat->call.exchange = ex;
        if (entry->about->ctx_size > 0) {
            seat->call.ctx = ctx;
            ctx += entry_ctx_bytes(entry);
        }
        ex->n_seats++;
    }
    ex->phases |= chain->phases;
    return OK;
}

struct sluice_exchange *chain_begin(struct chain_view *view, const struct chain *front,
                                    struct arena *arena, void *owner)
{
    struct sluice_exchange *ex = arena_try(arena, sizeof(*ex));

    if (!ex)
        return NULL;
    ex->owner = owner;
    ex->ops = view->worker->ops;
    ex->view = view;
    ex->arena = arena;
    ex->arena_left = STATE_ALLOC_MAX;
    list_init(&ex->pending);
    for (unsigned i = 0; i < CHAIN_FLOWS; i++) {
        ex->wait[i].exchange = ex;
        list_init(&ex->wait[i].link);
        alarm_init(&ex->wait[i].deadline, on_deadline);
    }
    ex->seat =
        arena_try(arena, (front->n + CHAIN_BACKS * view->set->max_back + 1) * sizeof(*ex->seat));
    return ex->seat && take_seats(ex, front) == OK ? ex : NULL;
}

enum err chain_extend(struct sluice_exchange *ex, const struct chain *back)
{
    return take_seats(ex, back);
}

/* It is told of the end, even when it has failed; unless it said that it does not care. */
static bool owes_done(const struct chain_seat *seat)
{
    return seat->has_run && (seat->entry->phases & ~seat->detached & BIT(SLUICE_PHASE_DONE)) != 0;
}

void chain_end(struct sluice_exchange *ex)
{
    if (!ex || ex->is_ended)
        return;
    ex->is_ended = true;
    pending_drop_all(&ex->pending);
    for (unsigned i = 0; i < CHAIN_FLOWS; i++)
        wait_clear(&ex->wait[i]);
    for (unsigned i = ex->n_seats; i > 0; i--) {
        struct chain_seat *seat = &ex->seat[i - 1];

        if (!owes_done(seat))
            continue;
        seat->is_out = false; /* who failed is told of the end all the same */
        (void)call(ex, CHAIN_ASIDE, seat, SLUICE_PHASE_DONE, NULL);
    }
    body_reset(ex, CHAIN_REQUEST);
    body_reset(ex, CHAIN_RESPONSE);
}

bool chain_owes_end(const struct sluice_exchange *ex)
{
    for (unsigned i = 0; i < ex->n_seats; i++) {
        if (owes_done(&ex->seat[i]))
            return true;
    }
    return !list_is_empty(&ex->pending);
}

/* -- phases ------------------------------------------------------------------------------- */

/* Is the request none of its business? */
static bool is_left_alone(const struct sluice_exchange *ex, const struct chain_seat *seat)
{
    return seat->entry->has_when &&
           !when_holds(&seat->entry->written->when, ex->ops->request(ex->owner));
}

/* The next of the same "any_of" that has a say about this request; NULL: none. */
static struct chain_seat *next_of_group(const struct sluice_exchange *ex,
                                        const struct chain_seat *seat)
{
    for (unsigned i = (unsigned)(seat - ex->seat) + 1; i < ex->n_seats; i++) {
        if (ex->seat[i].entry->group != seat->entry->group)
            return NULL;
        if (!ex->seat[i].is_out && !is_left_alone(ex, &ex->seat[i]))
            return &ex->seat[i];
    }
    return NULL;
}

/*
 * In "any_of", the first that lets the request pass is enough: the others are left out. Who does
 * not is left out as well, and its answer counts only when nobody is left to ask. So is who cannot
 * do its work, be it closed or open: only as the last one does that decide.
 */
static enum chain_answer settle_group(struct sluice_exchange *ex, struct chain_seat *seat,
                                      enum chain_answer answer)
{
    struct chain_seat *next = next_of_group(ex, seat);

    if (answer == CHAIN_GOES_ON && seat->is_out)
        return answer; /* unable, and open: it has let nobody pass */
    if (answer == CHAIN_GOES_ON) {
        for (; next; next = next_of_group(ex, next))
            next->is_out = true;
        return answer;
    }
    if (answer == CHAIN_WAITS || !next)
        return answer;
    seat->is_out = true;
    ex->reply.status = 0;
    return CHAIN_GOES_ON;
}

enum chain_answer chain_request_head(struct sluice_exchange *ex)
{
    const struct chain_wait *wait = &ex->wait[CHAIN_REQUEST];

    while (ex->n_passed < ex->n_seats) {
        struct chain_seat *seat = &ex->seat[ex->n_passed];
        enum chain_answer answer = CHAIN_GOES_ON;

        if (!wait->is_waiting && !wait->has_verdict && is_left_alone(ex, seat))
            seat->is_out = true;
        if (!seat->is_out) {
            answer = ask(ex, CHAIN_REQUEST, seat, SLUICE_PHASE_REQUEST_HEAD, NULL);
            if (seat->entry->group > 0)
                answer = settle_group(ex, seat, answer);
        }
        if (answer != CHAIN_GOES_ON)
            return answer;
        ex->n_passed++;
    }
    return CHAIN_GOES_ON;
}

const struct chain_reply *chain_reply(const struct sluice_exchange *ex)
{
    return &ex->reply;
}

enum chain_answer chain_local_reply(struct sluice_exchange *ex, struct chain_reply *reply)
{
    ex->edited = reply;
    for (unsigned i = ex->n_passed; i > 0; i--)
        (void)ask(ex, CHAIN_ASIDE, &ex->seat[i - 1], SLUICE_PHASE_LOCAL_REPLY, NULL);
    ex->edited = NULL;
    return CHAIN_GOES_ON;
}

enum chain_answer run_body(struct sluice_exchange *ex, enum chain_flow flow,
                           struct chain_seat *seat, struct sluice_span part, bool last)
{
    const struct run_args args = {.part = part, .last = last};

    return ask(ex, flow, seat,
               flow == CHAIN_REQUEST ? SLUICE_PHASE_REQUEST_BODY : SLUICE_PHASE_RESPONSE_BODY,
               &args);
}

enum chain_answer chain_trailers(struct sluice_exchange *ex, enum chain_flow flow)
{
    bool of_request = flow == CHAIN_REQUEST;

    for (unsigned i = 0; i < ex->n_passed; i++) {
        struct chain_seat *seat = &ex->seat[of_request ? i : ex->n_passed - 1 - i];
        enum chain_answer answer =
            ask(ex, flow, seat,
                of_request ? SLUICE_PHASE_REQUEST_TRAILERS : SLUICE_PHASE_RESPONSE_TRAILERS, NULL);

        if (answer != CHAIN_GOES_ON)
            return answer;
    }
    return CHAIN_GOES_ON;
}

void chain_response_reset(struct sluice_exchange *ex)
{
    struct chain_wait *wait = &ex->wait[CHAIN_RESPONSE];

    wait_clear(wait);
    wait->has_verdict = wait->is_late = false;
    ex->n_returned = 0;
    body_reset(ex, CHAIN_RESPONSE);
}

enum chain_answer chain_response_head(struct sluice_exchange *ex)
{
    while (ex->n_returned < ex->n_passed) {
        struct chain_seat *seat = &ex->seat[ex->n_passed - 1 - ex->n_returned];
        enum chain_answer answer = ask(ex, CHAIN_RESPONSE, seat, SLUICE_PHASE_RESPONSE_HEAD, NULL);

        if (answer != CHAIN_GOES_ON)
            return answer;
        ex->n_returned++;
    }
    return CHAIN_GOES_ON;
}

enum chain_answer chain_attempt(struct sluice_exchange *ex, const struct sluice_attempt *attempt,
                                unsigned *seen)
{
    const struct run_args args = {.attempt = attempt};

    for (*seen = 0; *seen < ex->n_passed;) {
        enum chain_answer answer =
            ask(ex, CHAIN_ASIDE, &ex->seat[(*seen)++], SLUICE_PHASE_ATTEMPT, &args);

        if (answer != CHAIN_GOES_ON)
            return answer;
    }
    return CHAIN_GOES_ON;
}

void chain_attempt_done(struct sluice_exchange *ex, const struct sluice_attempt *attempt,
                        unsigned seen)
{
    const struct run_args args = {.attempt = attempt};

    for (unsigned i = seen; i > 0; i--) {
        struct chain_seat *seat = &ex->seat[i - 1];

        if (has_phase(seat, SLUICE_PHASE_ATTEMPT_DONE))
            (void)call(ex, CHAIN_ASIDE, seat, SLUICE_PHASE_ATTEMPT_DONE, &args);
    }
}

/* -- questions ------------------------------------------------------------------------------ */

bool chain_sees(const struct sluice_exchange *ex, enum sluice_phase phase)
{
    return (ex->phases & BIT(phase)) != 0;
}

struct sluice_span chain_notes(const struct sluice_exchange *ex)
{
    return ex->notes;
}

bool chain_attribute(const struct sluice_exchange *ex, struct sluice_span name,
                     struct sluice_span *value)
{
    uint32_t number = chain_set_attribute(ex->view->set, name);

    if (number < CHAIN_ATTRIBUTES_OWN || !ex->attributes)
        return false;
    *value = ex->attributes[number - CHAIN_ATTRIBUTES_OWN];
    return value->ptr != NULL;
}
