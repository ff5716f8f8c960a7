/*
 * exchange.c - the life of one request.
 *
 *   MATCH > PASS > AIM > LEASE > SEND_HEAD > FORWARD > RETURN > ANSWER > DRAIN > DONE
 *      \______\_____\______\________\__________\________\___> REPLY ____/     /
 *                                                         \__> TUNNEL _______/
 *
 *   from              to          by
 *   MATCH             PASS        step_match, when plugins serve it
 *   MATCH, PASS       AIM         go_on, when the route forwards
 *   MATCH, PASS       REPLY       go_on, when the route answers itself, or there is none
 *   AIM               PASS        step_aim, when the chosen upstream has plugins of its own
 *   AIM               LEASE       step_aim, while a connection is dialled or queued for
 *   AIM               SEND_HEAD   step_aim, with a kept connection
 *   LEASE             SEND_HEAD   exchange_on_connected
 *   SEND_HEAD         FORWARD     step_send_head
 *   FORWARD           RETURN      exchange_on_response, exchange_on_tunnel, when plugins look
 *   FORWARD, RETURN   ANSWER      exchange_answer
 *   FORWARD, RETURN   TUNNEL      exchange_answer
 *   ANSWER            DRAIN       exchange_on_response_end
 *   TUNNEL            DONE        step_tunnel, when both sides have ended and have taken everything
 *   LEASE, FORWARD    AIM         exchange_on_attempt_failed, when nothing was sent (retry.c)
 *   FORWARD           PAUSE       exchange_on_attempt_failed, exchange_on_response: once more
 *   PAUSE             AIM         step_pause, when the time has come
 *   all before ANSWER REPLY       exchange_refuse
 *   REPLY             DRAIN       step_reply
 *   DRAIN             DONE        step_drain, when the client has taken everything
 *   any               DONE        cut
 *
 * A step never blocks and never calls another step. It sets the next state and
 * returns NEXT, or returns WAIT: an event then changes the state and exchange_leave() runs the
 * story on.
 */
#include "proxy/exchange.h"

#include "base/log.h"
#include "http/target.h"
#include "net/tls.h"
#include "proxy/affinity.h"
#include "proxy/deadline.h"
#include "proxy/exchange_chain.h"
#include "proxy/grpc.h"
#include "proxy/hedge.h"
#include "proxy/record.h"
#include "proxy/retry.h"
#include "proxy/tunnel.h"
#include "proxy/worker.h"

#include <string.h>

enum {
    ARENA_MAX = 1024 * 1024, /* bytes: several times the largest head, with what is added */
    ID_DIGITS = 32
};

enum progress { NEXT, WAIT };

typedef enum progress step_fn(struct exchange *ex);

static step_fn step_match, step_pass, step_return, step_pause, step_aim, step_wait;
static step_fn step_send_head, step_reply, step_drain, step_tunnel;

static const struct {
    const char *name;
    step_fn *step;
} story[] = {
    [EX_MATCH] = {"matching", step_match},
    [EX_PASS] = {"passing plugins", step_pass},
    [EX_PAUSE] = {"pausing", step_pause},
    [EX_AIM] = {"choosing an endpoint", step_aim},
    [EX_LEASE] = {"waiting for a connection", step_wait},
    [EX_SEND_HEAD] = {"sending the head", step_send_head},
    [EX_FORWARD] = {"forwarding", step_wait},
    [EX_RETURN] = {"passing plugins back", step_return},
    [EX_ANSWER] = {"answering", step_wait},
    [EX_TUNNEL] = {"tunnelling", step_tunnel},
    [EX_REPLY] = {"replying", step_reply},
    [EX_DRAIN] = {"draining", step_drain},
    [EX_DONE] = {"done", step_wait},
};

/* -- life ------------------------------------------------------------- */

static void on_total(struct alarm *alarm);

struct exchange *exchange_new(struct port *port)
{
    struct worker *worker = port->worker;
    struct arena arena;
    struct exchange *ex;

    arena_init(&arena, &worker->chunks, ARENA_MAX);
    ex = arena_try_raw(&arena, sizeof(*ex));
    if (!ex) {
        arena_fini(&arena);
        return NULL;
    }
    memset(ex, 0, sizeof(*ex));
    ex->arena = arena;
    ex->worker = worker;
    ex->view = view_use(port->view);
    ex->begun_us = loop_now_us(worker->loop);
    ex->id[0] = rng_next(&worker->rng);
    ex->id[1] = rng_next(&worker->rng);
    alarm_init(&ex->total, on_total);
    counter_add(&worker->counters.exchanges, 1);
    return ex;
}

static void release(struct exchange *ex)
{
    struct arena arena = ex->arena; /* ex lives in it */

    counter_sub(&ex->worker->counters.exchanges, 1);
    view_unuse(&ex->view);
    arena_fini(&arena);
}

void exchange_forget(struct exchange *ex)
{
    release(ex);
}

static void end_parts(struct exchange *ex)
{
    alarm_disarm(&ex->total);
    if (ex->hedge)
        hedge_end(ex);
    if (ex->retry)
        retry_end(ex);
    if (ex->chain)
        exchange_chain_end(ex);
}

/* Both legs are settled: a tunnel that needs nothing of us may go on alone. */
void exchange_let_go(struct soon *soon)
{
    struct exchange *ex = list_entry(soon, struct exchange_tunnel, let_go)->ex;

    if (ex->state == EX_TUNNEL && tunnel_begin(ex)) {
        end_parts(ex);
        release(ex);
    }
}

static void finish(struct exchange *ex)
{
    if (ex->chain && ex->attempt)
        exchange_chain_attempt_done(ex, ex->attempt, 0, ex->reason, false);
    if (ex->attempt)
        attempt_end(ex->attempt);
    end_parts(ex);
    if (ex->tunnel)
        exchange_leave_tunnel(ex);
    record_exchange(ex);
    ex->from.leg->ops->end(ex->from.leg, ex->down_end);
    release(ex);
}

const char *exchange_state_name(const struct exchange *ex)
{
    return story[ex->state].name;
}

void exchange_enter(struct exchange *ex)
{
    ex->entered++;
}

static void tell_step(const struct exchange *ex)
{
    log_at(LOG_TRACE, "exchange goes on", F_STR("state", exchange_state_name(ex)),
           F_UINT("connection", ex->from.connection), F_UINT("request", ex->from.requests));
}

static void run(struct exchange *ex)
{
    enum progress progress = NEXT;
    bool is_told = log_is_on(LOG_TRACE);

    while (progress == NEXT && ex->state != EX_DONE) {
        if (is_told)
            tell_step(ex);
        progress = story[ex->state].step(ex);
    }
}

/* What is told of a request whose head cannot be kept; its bytes are about to go. */
static void forget_head(struct request *request)
{
    *request = (struct request){.method = request->method,
                                .minor = request->minor,
                                .framing = request->framing,
                                .body_bytes = request->body_bytes};
}

void exchange_take(struct exchange *ex, const struct exchange_from *from,
                   const struct request *request, struct sluice_span head)
{
    ex->from = *from;
    ex->request = *request;
    ex->request_done = !request_has_content(request);
    ex->state = EX_MATCH;
    if (request_keep(&ex->request, head, &ex->arena)) {
        forget_head(&ex->request);
        exchange_refuse(ex, REASON_OVERLOAD, NULL);
    }
}

void exchange_take_refused(struct exchange *ex, const struct exchange_from *from,
                           enum reason reason, const char *detail)
{
    ex->from = *from;
    ex->request.minor = 1;
    ex->request.fields.arena = &ex->arena;
    ex->request_done = true;
    exchange_refuse(ex, reason, detail);
}

void exchange_begin(struct exchange *ex)
{
    run(ex);
}

static void cut(struct exchange *ex, enum reason reason)
{
    ex->reason = reason;
    ex->down_end = LEG_CUT;
    ex->state = EX_DONE;
}

static void flush_up(struct exchange *ex)
{
    struct leg *up = &ex->attempt->leg;
    enum err err = up->ops->flush(up);

    if (err == ERR_AGAIN && !ex->down_held && !ex->request_done) {
        ex->down_held = true;
        ex->from.leg->ops->hold(ex->from.leg);
    }
    /* Reading tells why it failed, but of a side that has ended nothing is read any more. */
    if (err && err != ERR_AGAIN && ex->state == EX_TUNNEL && ex->response_done)
        cut(ex, REASON_UPSTREAM_RESET);
}

static void flush_down(struct exchange *ex)
{
    struct leg *down = ex->from.leg;
    enum err err = down->ops->flush(down);

    if (err == ERR_AGAIN && !ex->up_held && !ex->response_done && ex->state >= EX_ANSWER &&
        ex->attempt) {
        ex->up_held = true;
        ex->attempt->leg.ops->hold(&ex->attempt->leg);
    }
    if (err && err != ERR_AGAIN)
        exchange_on_client_gone(ex, REASON_CLIENT_RESET);
}

static bool sends_up(const struct exchange *ex)
{
    return ex->attempt && attempt_is_held(ex->attempt) && ex->state > EX_SEND_HEAD &&
           ex->state < EX_REPLY;
}

static bool sends_down(const struct exchange *ex)
{
    return ex->state >= EX_FORWARD && ex->state <= EX_TUNNEL;
}

void exchange_flush(struct exchange *ex)
{
    if (sends_up(ex))
        flush_up(ex);
    if (sends_down(ex))
        flush_down(ex);
}

void exchange_push(struct exchange *ex)
{
    struct leg *down = ex->from.leg;

    if (sends_up(ex))
        (void)ex->attempt->leg.ops->flush(&ex->attempt->leg);
    if (sends_down(ex))
        (void)down->ops->flush(down);
}

bool exchange_leave(struct exchange *ex)
{
    if (ex->entered > 1) {
        ex->entered--;
        return false;
    }
    run(ex);
    exchange_flush(ex);
    run(ex);
    ex->entered--;
    if (ex->state != EX_DONE)
        return false;
    finish(ex);
    return true;
}

/* -- the story --------------------------------------------------------- */

static enum progress refuse(struct exchange *ex, enum reason reason, const char *detail)
{
    exchange_refuse(ex, reason, detail);
    return NEXT;
}

static const struct listener_conf *listener_of(const struct exchange *ex)
{
    return ex->from.port->conf;
}

/* Say which limits hold for this exchange: the route's where it has its own. */
static void settle_limits(struct exchange *ex)
{
    const struct route *route = ex->route;

    ex->body_max = route->body_bytes ? route->body_bytes : listener_of(ex)->limits.body_bytes;
    ex->times = route->times;
}

static enum progress normalise(struct exchange *ex)
{
    struct request *request = &ex->request;
    enum target_slashes slashes =
        listener_of(ex)->merge_slashes ? TARGET_MERGE_SLASHES : TARGET_KEEP_SLASHES;

    if (request->method == METHOD_CONNECT)
        return refuse(ex, REASON_TUNNEL_UNSUPPORTED, NULL);
    if (request->form == TARGET_ASTERISK)
        return WAIT;
    if (target_normalise(request->path, slashes, &ex->arena, &request->path))
        return refuse(ex, REASON_BAD_REQUEST, "malformed path");
    if (request->has_query && !target_query_is_valid(request->query))
        return refuse(ex, REASON_BAD_REQUEST, "malformed query");
    return WAIT;
}

/* Does it change nothing when it comes twice? */
static bool may_be_early(const struct request *request)
{
    return method_is_safe(request->method) && !request_has_content(request) &&
           !fields_find(&request->fields, FIELD_UPGRADE);
}

/* Was this connection made for that host, and is it to carry requests at all? */
static enum progress look_at_connection(struct exchange *ex)
{
    const struct listener_conf *conf = listener_of(ex);
    struct sluice_span host;
    uint16_t port;

    if (conf->redirect.route && !exchange_is_secure(ex)) {
        ex->reason = REASON_REDIRECTED;
        ex->state = EX_REPLY;
        return NEXT;
    }
    if (conf->tls.early_data && tls_is_early(ex->from.conn)) {
        ex->from.is_early = true;
        if (!may_be_early(&ex->request))
            return refuse(ex, REASON_TOO_EARLY, NULL);
    }
    if (!tls_server_conf_is_strict(&conf->tls) ||
        target_authority(ex->request.authority, &host, &port) || tls_is_for(ex->from.conn, host))
        return WAIT;
    return refuse(ex, REASON_MISDIRECTED, NULL);
}

/* All plugins have let it pass, or there are none. */
static enum progress go_on(struct exchange *ex)
{
    if (ex->unmatched)
        return refuse(ex, ex->unmatched, NULL);
    if (ex->route->action == ROUTE_FORWARD) {
        ex->state = EX_AIM;
        return NEXT;
    }
    ex->reason = ex->route->action == ROUTE_REDIRECT ? REASON_REDIRECTED : REASON_RESPONDED;
    ex->state = EX_REPLY;
    return NEXT;
}

static enum progress step_match(struct exchange *ex)
{
    const struct snapshot *snapshot = ex->view->snapshot;
    enum route_answer answer;

    if (normalise(ex) == NEXT || look_at_connection(ex) == NEXT)
        return NEXT;
    answer = route_find(snapshot->routes, ex->from.port->index, &ex->request, ex->worker->scratch,
                        &ex->route, &ex->allowed_methods);
    if (answer != ROUTE_FOUND) {
        ex->route = NULL;
        ex->unmatched = answer == ROUTE_NONE ? REASON_NOT_FOUND : REASON_METHOD_NOT_ALLOWED;
    } else {
        settle_limits(ex);
        if (ex->body_max && ex->request.framing == FRAMING_LENGTH &&
            (uint64_t)ex->request.body_bytes > ex->body_max)
            return refuse(ex, REASON_BODY_TOO_LARGE, NULL);
    }
    if (snapshot->chains && exchange_chain_begin(ex)) {
        ex->state = EX_PASS;
        return NEXT;
    }
    return ex->state == EX_MATCH ? go_on(ex) : NEXT;
}

static enum progress step_pass(struct exchange *ex)
{
    enum err err = exchange_chain_pass(ex);

    if (err == OK)
        err = exchange_chain_collect(ex);
    if (err == OK)
        return go_on(ex);
    return err == ERR_AGAIN ? WAIT : NEXT;
}

/* Before the first try: which upstream, what it gets to see, how long it may take. */
static enum err aim_first(struct exchange *ex)
{
    const struct upstream_conf *conf;
    const struct upstream_times *times;
    enum err err = OK;

    ex->attempt = arena_try_raw(&ex->arena, sizeof(*ex->attempt));
    if (!ex->attempt)
        return ERR_MEMORY;
    attempt_init(ex->attempt, ex);
    ex->attempt->lease.selection = ex->view->selections[ex->target->selection];
    affinity_find(ex); /* before the fields change */
    conf = ex->view->snapshot->upstreams[ex->target->index].conf;
    times = &conf->timeout;
    upstream_note_request(ex->view->upstreams[ex->target->index], ex->begun_us);
    if (ex->times.response_ms == 0)
        ex->times.response_ms = times->response_ms;
    if (ex->times.idle_ms == 0)
        ex->times.idle_ms = times->idle_ms;
    if (ex->times.total_ms == 0)
        ex->times.total_ms = times->total_ms;
    if (ex->times.tunnel_ms == 0)
        ex->times.tunnel_ms = times->tunnel_ms;
    if (ex->times.tunnel_max_ms == 0)
        ex->times.tunnel_max_ms = times->tunnel_max_ms;
    if (ex->request.method == METHOD_POST)
        ex->is_grpc = grpc_is_call(ex);
    if (ex->times.total_ms > 0 || deadline_may_come(&conf->deadline, ex->request.method))
        err = deadline_begin(ex);
    if (err)
        return err;
    if (!ex->request_done) {
        ex->down_held = true; /* until somebody is there to take the content */
        ex->from.leg->ops->hold(ex->from.leg);
        retry_begin(ex);
    }
    ex->request.upgrade = upgrade_wanted(&ex->request, ex->route);
    ex->attempt->lease.alone = ex->request.upgrade.len > 0; /* HTTP/1 opens tunnels for certain */
    if (ex->request.protocol.len > 0 && ex->request.upgrade.len == 0)
        return ERR_REFUSED;
    if (hedge_rule_is_on(ex->target->hedge))
        hedge_begin(ex);
    return forwarded_apply(ex);
}

const struct route_target *exchange_target(struct exchange *ex)
{
    const struct route *route = ex->route;

    if (!ex->target && route && route->action == ROUTE_FORWARD) {
        ex->target =
            route->n_targets == 1 ? route->targets : route_pick(route, rng_next(&ex->worker->rng));
    }
    return ex->target;
}

static enum progress step_aim(struct exchange *ex)
{
    enum reason reason = REASON_INTERNAL;
    enum err err;

    (void)exchange_target(ex);
    if (ex->chain) {
        err = exchange_chain_extend(ex);
        if (err == ERR_AGAIN)
            ex->state = EX_PASS;
        if (err)
            return err == ERR_AGAIN ? NEXT : refuse(ex, REASON_OVERLOAD, NULL);
    }
    err = ex->attempt ? OK : aim_first(ex);
    if (err == ERR_REFUSED)
        return refuse(ex, REASON_TUNNEL_UNSUPPORTED, NULL);
    if (err)
        return refuse(ex, ex->detail ? REASON_BAD_REQUEST : REASON_OVERLOAD, ex->detail);
    err = attempt_start(ex->attempt, ex->view->upstreams[ex->target->index], &reason);
    if (err && err != ERR_AGAIN) {
        /* After a failed try, that failure says more than "nobody left". */
        if (reason == REASON_NO_ENDPOINT && ex->reason != REASON_NONE)
            reason = ex->reason;
        return refuse(ex, reason, NULL);
    }
    ex->state = err == OK ? EX_SEND_HEAD : EX_LEASE;
    if (ex->chain && attempt_is_held(ex->attempt))
        (void)exchange_chain_attempt(ex, ex->attempt);
    return NEXT;
}

static enum progress step_pause(struct exchange *ex)
{
    return retry_waits(ex) ? WAIT : NEXT;
}

static enum progress step_return(struct exchange *ex)
{
    return exchange_return(ex) ? NEXT : WAIT;
}

static enum progress step_wait(struct exchange *ex)
{
    (void)ex;
    return WAIT;
}

static inline struct sluice_span host_to_send(const struct exchange *ex,
                                              const struct attempt *attempt)
{
    struct sluice_span rule = ex->view->snapshot->upstreams[ex->target->index].conf->host;
    struct sluice_span endpoint = attempt->lease.endpoint->member.text;

    if (ex->route->host.len > 0)
        return ex->route->host;
    if (span_equal(rule, SPAN("preserve")) && ex->request.authority.len > 0)
        return ex->request.authority;
    /* An HTTP/1.0 client may leave Host out; an HTTP/1.1 request must not. */
    if (!span_equal(rule, SPAN("preserve")) && !span_equal(rule, SPAN("endpoint")))
        return rule;
    return span_starts(endpoint, SPAN("unix:")) ? SPAN("localhost") : endpoint;
}

/* In place where every request comes by. */
__attribute__((always_inline)) static inline enum err send_request(struct exchange *ex,
                                                                   struct attempt *attempt)
{
    struct request *request = attempt->request ? attempt->request : &ex->request;
    struct leg *up = &attempt->leg;
    struct leg_head head = {.request = request,
                            .host = host_to_send(ex, attempt),
                            .framing = request->framing,
                            .body_bytes = request->body_bytes,
                            .keep_length = BODY_UNKNOWN};
    enum err err =
        route_rewrite_target(ex->route, request, ex->worker->scratch, &ex->arena, &head.target);

    if (err == OK && ex->tells_deadline)
        err = deadline_tell(ex, &request->fields);
    if (err == OK)
        err = up->ops->send_head(up, &head);
    if (err)
        return err;
    if (ex->content.len > 0)
        up->ops->send_body(up, ex->content);
    if (ex->retry)
        retry_resend(ex);
    if (ex->request_done && !(ex->chain && exchange_chain_holds(ex, CHAIN_REQUEST)))
        up->ops->send_end(up, NULL);
    return OK;
}

enum err exchange_send_request(struct exchange *ex, struct attempt *attempt)
{
    return send_request(ex, attempt);
}

static enum progress step_send_head(struct exchange *ex)
{
    enum err err = send_request(ex, ex->attempt);

    if (err == ERR_REFUSED) {
        attempt_on_no_room(ex->attempt);
        return NEXT;
    }
    if (err)
        return refuse(ex, REASON_INTERNAL, "the request head cannot be sent");
    ex->state = EX_FORWARD;
    if (ex->chain && exchange_chain_holds(ex, CHAIN_REQUEST))
        return NEXT; /* a plugin goes on with it */
    if (!ex->request_done && ex->down_held) {
        ex->down_held = false;
        ex->from.leg->ops->release(ex->from.leg);
    }
    return NEXT;
}

static enum progress step_reply(struct exchange *ex)
{
    enum err err = reply_send(ex);

    if (err == ERR_AGAIN)
        return WAIT;
    if (err) {
        ex->reason = REASON_INTERNAL;
        ex->down_end = LEG_CUT;
        ex->state = EX_DONE;
        return NEXT;
    }
    ex->head_sent = ex->response_done = true;
    ex->state = EX_DRAIN;
    return NEXT;
}

static enum progress step_drain(struct exchange *ex)
{
    struct leg *down = ex->from.leg;
    enum err err;

    if (ex->attempt)
        attempt_end(ex->attempt);
    err = down->ops->flush(down);
    if (err == ERR_AGAIN)
        return WAIT;
    if (err) {
        exchange_on_client_gone(ex, REASON_CLIENT_RESET);
        return NEXT;
    }
    if (!ex->request_done && down->ops->can_skip(down)) {
        ex->skipping = true;
        if (ex->down_held) {
            ex->down_held = false;
            down->ops->release(down);
        }
        return WAIT;
    }
    ex->state = EX_DONE;
    return NEXT;
}

static enum progress step_tunnel(struct exchange *ex)
{
    struct leg *up = &ex->attempt->leg, *down = ex->from.leg;
    enum err up_err, down_err;

    if (!ex->request_done || !ex->response_done)
        return WAIT;
    up_err = up->ops->flush(up);
    down_err = down->ops->flush(down);
    if (up_err == ERR_AGAIN || down_err == ERR_AGAIN)
        return WAIT;
    if (up_err) {
        cut(ex, REASON_UPSTREAM_RESET);
    } else if (down_err) {
        cut(ex, REASON_CLIENT_RESET);
    } else {
        ex->state = EX_DONE;
    }
    return NEXT;
}

/* -- ends out of order ----------------------------------------------------- */

/* A client that has the head can be told no more than how its call ended, if it is one. */
static void end_begun(struct exchange *ex, enum reason reason, const char *detail)
{
    ex->detail = detail;
    cut(ex, reason);
    if (!ex->is_grpc || ex->response_done || grpc_tell_end(ex) != OK)
        return;
    ex->response_done = true;
    ex->down_end = LEG_KEEP;
    ex->state = EX_DRAIN;
}

void exchange_refuse(struct exchange *ex, enum reason reason, const char *detail)
{
    if (ex->state == EX_DONE)
        return;
    if (ex->state == EX_TUNNEL) {
        cut(ex, reason);
        return;
    }
    if (ex->response_done && ex->from.leg->ops->flush(ex->from.leg) == OK) {
        /* It has its answer; what it sends after that is no longer of interest. */
        ex->state = EX_DONE;
        return;
    }
    if (ex->hedge)
        hedge_end(ex);
    if (ex->chain && ex->attempt)
        exchange_chain_attempt_done(ex, ex->attempt, 0, reason, false);
    if (ex->attempt)
        attempt_end(ex->attempt);
    if (ex->head_sent) {
        end_begun(ex, reason, detail);
        return;
    }
    if (ex->chain) {
        if (ex->composed)
            return; /* a plugin looks at an answer that is made already */
        exchange_chain_refused(ex);
    }
    ex->reason = reason;
    ex->detail = detail;
    ex->state = EX_REPLY;
}

void exchange_on_client_gone(struct exchange *ex, enum reason reason)
{
    if (ex->state == EX_DONE)
        return;
    if (ex->response_done && ex->skipping)
        reason = ex->reason; /* it had its answer */
    cut(ex, reason);
}

static void on_total(struct alarm *alarm)
{
    struct exchange *ex = list_entry(alarm, struct exchange, total);

    exchange_enter(ex);
    exchange_refuse(ex, ex->tunnel ? REASON_TUNNEL_TIMEOUT : REASON_TOTAL_TIMEOUT, NULL);
    exchange_leave(ex);
}

/* -- the request's content ------------------------------------------------ */

/* Something moves in a tunnel: its time begins anew, within what its age leaves. */
void exchange_note_activity(struct exchange *ex)
{
    if (ex->state != EX_TUNNEL || !ex->tunnel)
        return;
    record_moved(ex);
    alarm_arm(ex->worker->loop, &ex->total,
              tunnel_time_left_ms(ex->worker->loop, ex->times.tunnel_ms, ex->tunnel->ends_us));
}

/* Does nobody want the rest of the request? In a tunnel, each side ends by itself. */
static bool is_answered(const struct exchange *ex)
{
    return ex->response_done && ex->state != EX_TUNNEL;
}

void exchange_pass_request(struct exchange *ex, struct sluice_span piece, bool last,
                           const struct fields *trailers)
{
    struct leg *up;

    if (!ex->attempt)
        return;
    up = &ex->attempt->leg;
    retry_keep(ex, piece); /* also between two tries: a plugin may have held it */
    if (attempt_is_held(ex->attempt) && piece.len > 0)
        up->ops->send_body(up, piece);
    if (!last)
        return;
    retry_keep_end(ex, trailers);
    if (attempt_is_held(ex->attempt))
        up->ops->send_end(up, trailers);
}

void exchange_on_request_body(struct exchange *ex, struct sluice_span piece)
{
    if (ex->state == EX_DONE || ex->skipping || is_answered(ex))
        return;
    ex->request_bytes += (int64_t)piece.len;
    exchange_note_activity(ex);
    if (ex->body_max && (uint64_t)ex->request_bytes > ex->body_max) {
        exchange_refuse(ex, REASON_BODY_TOO_LARGE, NULL);
        return;
    }
    if (ex->chain && ex->state < EX_TUNNEL && exchange_chain_sees(ex, CHAIN_REQUEST)) {
        exchange_chain_content(ex, CHAIN_REQUEST, piece, false, NULL);
        return;
    }
    if (ex->attempt && attempt_is_held(ex->attempt))
        exchange_pass_request(ex, piece, false, NULL);
}

void exchange_on_request_end(struct exchange *ex, const struct fields *trailers)
{
    ex->request_done = true;
    if (ex->skipping) {
        ex->state = EX_DONE;
        return;
    }
    if (ex->state == EX_DONE || is_answered(ex))
        return;
    exchange_note_activity(ex);
    if (ex->chain && ex->state < EX_TUNNEL) {
        exchange_chain_content(ex, CHAIN_REQUEST, SPAN(""), true, trailers);
        return;
    }
    if (ex->attempt && attempt_is_held(ex->attempt))
        exchange_pass_request(ex, SPAN(""), true, trailers);
}

void exchange_on_request_failed(struct exchange *ex, enum reason reason, const char *detail)
{
    ex->request_done = true; /* nothing of it can be read any more */
    exchange_refuse(ex, reason, detail);
}

void exchange_on_up_drained(struct exchange *ex)
{
    exchange_note_activity(ex);
    if (!ex->down_held || (ex->chain && exchange_chain_holds(ex, CHAIN_REQUEST)))
        return;
    ex->down_held = false;
    ex->from.leg->ops->release(ex->from.leg);
}

void exchange_on_down_drained(struct exchange *ex)
{
    exchange_note_activity(ex);
    if (!ex->up_held || (ex->chain && exchange_chain_holds(ex, CHAIN_RESPONSE)))
        return;
    ex->up_held = false;
    if (ex->attempt && attempt_is_held(ex->attempt))
        ex->attempt->leg.ops->release(&ex->attempt->leg);
}

/* -- the attempt ------------------------------------------------------------ */

void exchange_on_connected(struct exchange *ex, const struct attempt *attempt)
{
    if (attempt != ex->attempt) {
        hedge_on_connected(ex, attempt);
    } else if (ex->state == EX_LEASE) {
        ex->state = EX_SEND_HEAD;
    }
}

bool exchange_on_attempt_failed(struct exchange *ex, struct attempt *attempt, enum reason reason,
                                const char *detail, enum attempt_loss loss)
{
    bool has_rival = ex->hedge && ex->hedge->n_running > 0;
    bool repeats;

    if (ex->state == EX_DONE || is_answered(ex))
        return false;
    /* What was left of a response that is not wanted. */
    if (ex->state == EX_PAUSE)
        return true;
    if (has_rival && ex->chain)
        exchange_chain_attempt_done(ex, attempt, 0, reason, false);
    if (hedge_on_failure(ex, attempt))
        return true;
    repeats = retry_on_failure(ex, reason, loss);
    if (ex->chain)
        exchange_chain_attempt_done(ex, attempt, 0, reason, repeats);
    if (!repeats)
        exchange_refuse(ex, reason, detail);
    return repeats;
}

/* Eight digits at once, the highest first: an octet of a word for each, then its letter. */
static void put_hex(char *out, uint32_t number)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t digits = number, letters;

    digits = (digits << 32 | digits >> 16) & UINT64_C(0x0000ffff0000ffff);
    digits = (digits << 16 | digits >> 8) & UINT64_C(0x00ff00ff00ff00ff);
    digits = (digits << 8 | digits >> 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    letters = ((digits + 6 * ones) >> 4) & ones;
    digits += '0' * ones + letters * ('a' - '0' - 10);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    digits = __builtin_bswap64(digits);
#endif
    memcpy(out, &digits, sizeof(digits));
}

struct sluice_span exchange_id(struct exchange *ex)
{
    char *text;

    if (ex->id_text.len > 0)
        return ex->id_text;
    text = arena_try_raw(&ex->arena, ID_DIGITS + 1);
    if (!text)
        return SPAN("");
    for (unsigned i = 0; i < ID_DIGITS / 8; i++)
        put_hex(text + 8 * (size_t)i, (uint32_t)(ex->id[i / 2] >> (i % 2 ? 0 : 32)));
    text[ID_DIGITS] = '\0';
    ex->id_text = span_make(text, ID_DIGITS);
    return ex->id_text;
}
