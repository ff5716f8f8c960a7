/*
 * redis.c - calls wait, are sent on a link, and end.
 *
 *   WAITING > SENT > ENDED > told
 *       \____________/
 *
 *   DOWN > CONNECTING > GREETING > UP > DOWN ...       a link
 *
 * A link is a place for a connection; wire is the connection it has now. The connection's memory
 * outlives it to the end of the turn, so the two are apart. A call that nobody waits for any more
 * stays in the list of those sent until its answer has come: answers have no other name than
 * their order.
 */
#include "net/redis.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/rng.h"
#include "net/addr.h"
#include "net/conn.h"
#include "net/redis_conf.h"
#include "net/resp.h"

#include <stdio.h>
#include <string.h>

enum {
    READS_MAX = 8,
    RETRY_FIRST_MS = 50,
    RETRY_LAST_MS = 5000,
    RETRY_DOUBLINGS = 7,
    DEMAND_US = 60 * 1000000, /* connect again by ourselves when somebody asked so lately */
    WHY_BYTES = 160,
};

enum link_state { LINK_DOWN, LINK_CONNECTING, LINK_GREETING, LINK_UP };
enum call_state { CALL_WAITING, CALL_SENT, CALL_ENDED };

struct link;

struct wire {
    struct conn conn;
    struct link *link; /* borrowed; NULL: closed */
};

struct link {
    struct list node; /* in redis->links */
    struct redis *redis;
    struct redis_peer *peer; /* shared */
    struct wire *wire;       /* owned until it is closed; NULL when DOWN */
    struct tls_memory memory;
    enum link_state state;
    struct list sent; /* of calls, in order */
    unsigned n_sent, n_hello;
    struct resp_scan scan;
    struct alarm retry;
    unsigned failures; /* since the last answer */
    bool is_retired;   /* nothing new is sent: the peer has changed */
};

struct redis_call {
    struct list link;
    struct redis *redis;
    enum call_state state;
    redis_done_fn *done; /* NULL: nobody waits */
    void *arg;           /* borrowed */
    struct alarm deadline;
    char *bytes; /* owned; NULL once they are sent */
    size_t len;
    uint64_t begun_us;
    uint32_t kind; /* how it ended without an answer */
};

struct redis {
    struct loop *loop;
    struct rng *rng;
    struct redis_counters *counters;
    struct redis_peer *peer; /* shared */
    struct list links, waiting, ended;
    unsigned n_links; /* those not retired */
    unsigned n_waiting;
    struct soon work;
    struct redis_call *telling;
    uint64_t asked_us;                  /* when the last command came */
    char why[WHY_BYTES];                /* the last failure of a connection */
    char *answer;                       /* owned: the bytes of the one that is told */
    struct sluice_redis_reply *element; /* owned */
};

static const struct conn_ops wire_ops;

/* -- calls --------------------------------------------------------------------- */

static void call_free(struct redis_call *call)
{
    alarm_disarm(&call->deadline);
    list_remove(&call->link);
    alloc_free(call->bytes);
    alloc_free(call);
}

static void leave_queue(struct redis_call *call)
{
    list_remove(&call->link);
    call->redis->n_waiting--;
    counter_sub(&call->redis->counters->waiting, 1);
}

static void tell(struct redis_call *call, const struct sluice_redis_reply *reply)
{
    struct redis *redis = call->redis;
    redis_done_fn *done = call->done;

    if (!done)
        return;
    call->done = NULL;
    alarm_disarm(&call->deadline);
    redis->telling = call;
    done(call->arg, reply);
    redis->telling = NULL;
}

static void tell_failure(struct redis_call *call, uint32_t kind)
{
    struct redis *redis = call->redis;
    struct sluice_redis_reply reply = {
        .size = sizeof(reply), .kind = kind, .text = span_of(redis->why)};

    if (kind == SLUICE_REDIS_TIMEOUT)
        reply.text = SPAN("no answer in time");
    if (call->done) {
        counter_add(kind == SLUICE_REDIS_TIMEOUT ? &redis->counters->timeouts
                                                 : &redis->counters->unreachable,
                    1);
    }
    tell(call, &reply);
}

/* It will be told at the end of the turn that there was no connection. It is in no list now. */
static void end_unreachable(struct redis_call *call)
{
    struct redis *redis = call->redis;

    call->state = CALL_ENDED;
    call->kind = SLUICE_REDIS_UNREACHABLE;
    list_append(&redis->ended, &call->link);
    loop_soon(redis->loop, &redis->work);
}

static void on_deadline(struct alarm *alarm)
{
    struct redis_call *call = list_entry(alarm, struct redis_call, deadline);

    if (call->state == CALL_ENDED)
        return; /* it is about to be told */
    if (call->state == CALL_WAITING)
        leave_queue(call);
    tell_failure(call, SLUICE_REDIS_TIMEOUT);
    if (call->state == CALL_WAITING)
        call_free(call);
}

/* -- links ------------------------------------------------------------------------ */

static void close_wire(struct link *link)
{
    struct wire *wire = link->wire;

    if (!wire)
        return;
    if (link->state == LINK_UP)
        counter_sub(&link->redis->counters->connections, 1);
    link->wire = NULL;
    wire->link = NULL;
    conn_close(&wire->conn);
}

static void link_free(struct link *link)
{
    close_wire(link);
    alarm_disarm(&link->retry);
    list_remove(&link->node);
    if (!link->is_retired)
        link->redis->n_links--;
    tls_forget(&link->memory);
    redis_peer_unref(&link->peer);
    alloc_free(link);
}

static uint64_t retry_ms(struct link *link)
{
    unsigned doublings = link->failures < RETRY_DOUBLINGS ? link->failures : RETRY_DOUBLINGS;
    uint64_t ms = (uint64_t)RETRY_FIRST_MS << doublings;

    if (ms > RETRY_LAST_MS)
        ms = RETRY_LAST_MS;
    return ms / 2 + rng_below(link->redis->rng, ms / 2 + 1);
}

/* The connection is of no use any more, or could not be had. */
static void link_fail(struct link *link, struct sluice_span why)
{
    struct redis *redis = link->redis;

    snprintf(redis->why, sizeof(redis->why), "%.*s", (int)why.len, why.ptr);
    counter_add(
        link->state == LINK_UP ? &redis->counters->breaks : &redis->counters->connect_failures, 1);
    close_wire(link);
    link->state = LINK_DOWN;
    while (!list_is_empty(&link->sent)) {
        struct redis_call *call = list_entry(link->sent.next, struct redis_call, link);

        list_remove(&call->link);
        counter_sub(&redis->counters->in_flight, 1);
        end_unreachable(call);
    }
    link->n_sent = 0;
    if (link->is_retired) {
        link_free(link);
        return;
    }
    alarm_arm(redis->loop, &link->retry, retry_ms(link));
    link->failures++;
    loop_soon(redis->loop, &redis->work);
}

static void link_up(struct link *link)
{
    link->state = LINK_UP;
    counter_add(&link->redis->counters->connects, 1);
    counter_add(&link->redis->counters->connections, 1);
    conn_set_alarm(&link->wire->conn, 0);
    loop_soon(link->redis->loop, &link->redis->work);
}

static void greet(struct link *link)
{
    struct conn *conn = &link->wire->conn;
    enum err err;

    link->n_hello = link->peer->n_hello;
    link->scan = (struct resp_scan){0};
    if (link->n_hello == 0) {
        link_up(link);
        return;
    }
    link->state = LINK_GREETING;
    conn_put(conn, link->peer->hello);
    err = conn_flush(conn);
    if (err && err != ERR_AGAIN)
        link_fail(link, span_of(err_text(err)));
}

static void link_connect(struct link *link)
{
    const struct redis_peer *peer = link->peer;
    struct wire *wire = alloc_new(sizeof(*wire));
    bool connected = false;
    enum err err = conn_dial(&wire->conn, link->redis->loop,
                             &peer->addrs[link->failures % peer->n_addrs], &wire_ops, &connected);

    if (err) {
        alloc_free(wire);
        link_fail(link, span_of(err_text(err)));
        return;
    }
    wire->link = link;
    link->wire = wire;
    link->state = LINK_CONNECTING;
    conn_set_alarm(&wire->conn, peer->connect_ms);
    if (peer->tls) {
        err = tls_connect(&wire->conn, peer->tls, peer->host, &link->memory);
        connected = false; /* not before hands are shaken */
    }
    if (err) {
        link_fail(link, span_of(err_text(err)));
    } else if (connected) {
        greet(link);
    }
}

static void on_retry(struct alarm *alarm)
{
    struct link *link = list_entry(alarm, struct link, retry);
    struct redis *redis = link->redis;

    if (loop_now_us(redis->loop) - redis->asked_us < DEMAND_US)
        link_connect(link);
}

static struct link *link_new(struct redis *redis)
{
    struct link *link = alloc_new(sizeof(*link));

    link->redis = redis;
    link->peer = redis_peer_ref(redis->peer);
    list_init(&link->sent);
    alarm_init(&link->retry, on_retry);
    list_append(&redis->links, &link->node);
    redis->n_links++;
    return link;
}

/* -- sending ------------------------------------------------------------------------ */

static void fail_waiting(struct redis *redis)
{
    list_each_safe (node, after, &redis->waiting) {
        struct redis_call *call = list_entry(node, struct redis_call, link);

        leave_queue(call);
        end_unreachable(call);
    }
}

/* As much of the queue as this link may take, with one system call. */
static void send_some(struct link *link)
{
    struct redis *redis = link->redis;
    struct conn *conn = &link->wire->conn;
    struct list *last = link->sent.prev;
    enum err err;

    while (link->n_sent < link->peer->pipeline && !list_is_empty(&redis->waiting)) {
        struct redis_call *call = list_entry(redis->waiting.next, struct redis_call, link);

        leave_queue(call);
        call->state = CALL_SENT;
        list_append(&link->sent, &call->link);
        counter_add(&redis->counters->in_flight, 1);
        if (link->n_sent++ == 0)
            conn_set_alarm(conn, link->peer->answer_ms);
        conn_lend(conn, span_make(call->bytes, call->len));
    }
    if (link->sent.prev == last)
        return;
    err = conn_flush(conn);
    for (struct list *node = last->next; node != &link->sent; node = node->next) {
        struct redis_call *call = list_entry(node, struct redis_call, link);

        alloc_free(call->bytes);
        call->bytes = NULL;
    }
    if (err && err != ERR_AGAIN)
        link_fail(link, span_of(err_text(err)));
}

/* The standing link with the least to do, that may take more. */
static struct link *best_link(struct redis *redis)
{
    struct link *best = NULL;

    list_each (node, &redis->links) {
        struct link *link = list_entry(node, struct link, node);

        if (!link->is_retired && link->state == LINK_UP && link->n_sent < link->peer->pipeline &&
            (!best || link->n_sent < best->n_sent))
            best = link;
    }
    return best;
}

/* Is somebody on the way up, or may begin? False: all are down and wait for their time. */
static bool get_up(struct redis *redis)
{
    bool has_hope = false;

    if (redis->n_links < redis->peer->connections)
        link_new(redis);
    list_each_safe (node, after, &redis->links) {
        struct link *link = list_entry(node, struct link, node);

        if (link->is_retired)
            continue;
        if (link->state == LINK_DOWN && !alarm_is_armed(&link->retry))
            link_connect(link);
        has_hope = has_hope || link->state != LINK_DOWN;
    }
    return has_hope;
}

static void send_waiting(struct redis *redis)
{
    while (redis->n_waiting > 0) { /* each turn fills a link or breaks one */
        struct link *link = best_link(redis);

        if (!link)
            break;
        send_some(link);
    }
    if (redis->n_waiting > 0 && !get_up(redis))
        fail_waiting(redis);
}

static void work(struct soon *soon)
{
    struct redis *redis = list_entry(soon, struct redis, work);

    if (redis->peer)
        send_waiting(redis);
    while (!list_is_empty(&redis->ended)) {
        struct redis_call *call = list_entry(redis->ended.next, struct redis_call, link);

        list_remove(&call->link);
        tell_failure(call, call->kind);
        call_free(call);
    }
}

/* -- receiving ------------------------------------------------------------------------ */

static void take_hello(struct link *link, const struct sluice_redis_reply *reply)
{
    if (reply->kind == SLUICE_REDIS_ERROR) {
        link_fail(link, reply->text);
    } else if (--link->n_hello == 0) {
        link_up(link);
    }
}

static void take_answer(struct link *link, const struct sluice_redis_reply *reply)
{
    struct redis *redis = link->redis;
    struct conn *conn = &link->wire->conn;
    struct redis_call *call;

    if (link->n_sent == 0) {
        link_fail(link, SPAN("an answer that nobody asked for"));
        return;
    }
    call = list_entry(link->sent.next, struct redis_call, link);
    list_remove(&call->link);
    link->n_sent--;
    link->failures = 0;
    counter_sub(&redis->counters->in_flight, 1);
    conn_set_alarm(conn, link->n_sent > 0 ? link->peer->answer_ms : 0);
    if (redis->n_waiting > 0)
        loop_soon(redis->loop, &redis->work);
    if (call->done) {
        counter_add(&redis->counters->answers, 1);
        counter_add(&redis->counters->errors, reply->kind == SLUICE_REDIS_ERROR);
        histogram_add(&redis->counters->time, loop_now_us(redis->loop) - call->begun_us);
    }
    tell(call, reply);
    call_free(call);
}

/* Take whole answers from the unread bytes; false when the connection is gone. */
static bool take(struct wire *wire)
{
    for (;;) { /* each turn takes an answer */
        struct link *link = wire->link;
        struct sluice_span bytes = conn_peek(&wire->conn);
        struct redis *redis = link->redis;
        size_t length;
        enum err err = ERR_AGAIN;

        if (bytes.len > 0)
            err = resp_scan(&link->scan, bytes, &length);
        if (err == OK && length > REDIS_ANSWER_MAX)
            err = ERR_LIMIT;
        if (err == ERR_AGAIN)
            return true;
        if (err) {
            link_fail(link, err == ERR_LIMIT ? SPAN("an answer is too large")
                                             : SPAN("what answers is not Redis"));
            return false;
        }
        link->scan = (struct resp_scan){0};
        memcpy(redis->answer, bytes.ptr, length);
        conn_consume(&wire->conn, length);
        resp_build(span_make(redis->answer, length), redis->element);
        if (link->state == LINK_GREETING) {
            take_hello(link, redis->element);
        } else {
            take_answer(link, redis->element);
        }
        if (!wire->link)
            return false;
        if (link->is_retired && link->n_sent == 0) {
            link_free(link);
            return false;
        }
    }
}

static void on_readable(struct conn *conn)
{
    struct wire *wire = list_entry(conn, struct wire, conn);
    struct sluice_span bytes;
    enum err err = OK;

    if (conn_peek(conn).len > 0 && !take(wire))
        return;
    for (unsigned i = 0; i < READS_MAX && err == OK; i++) {
        err = conn_read(conn, &bytes);
        if (err == OK && !take(wire))
            return;
    }
    if (err && err != ERR_AGAIN) {
        link_fail(wire->link,
                  err == ERR_LIMIT ? SPAN("an answer is too large") : span_of(err_text(err)));
        return;
    }
    if (conn_settle(conn, true) != OK) {
        link_fail(wire->link, SPAN("out of memory"));
    } else if (err == OK) {
        conn_yield(conn);
    }
}

static void on_hangup(struct conn *conn, enum err err)
{
    (void)conn, (void)err; /* never held: reading finds out */
}

static void on_drained(struct conn *conn)
{
    struct link *link = list_entry(conn, struct wire, conn)->link;

    if (link->state == LINK_CONNECTING)
        greet(link);
}

static void on_progress(struct conn *conn)
{
    (void)conn;
}

static void on_failed(struct conn *conn, enum err err)
{
    struct link *link = list_entry(conn, struct wire, conn)->link;
    struct sluice_span cause = tls_failure(conn);

    link_fail(link, cause.len > 0 ? cause : span_of(err_text(err)));
}

static void on_alarm(struct conn *conn)
{
    struct link *link = list_entry(conn, struct wire, conn)->link;

    link_fail(link,
              link->state == LINK_UP ? SPAN("no answer in time") : SPAN("no connection in time"));
}

static void on_closed(struct conn *conn)
{
    alloc_free(list_entry(conn, struct wire, conn));
}

static const struct conn_ops wire_ops = {
    .on_readable = on_readable,
    .on_hangup = on_hangup,
    .on_drained = on_drained,
    .on_progress = on_progress,
    .on_failed = on_failed,
    .on_alarm = on_alarm,
    .on_closed = on_closed,
};

/* -- actions ------------------------------------------------------------------------------ */

static struct redis_call *call_new(const struct sluice_span *argv, size_t n, size_t bytes)
{
    struct redis_call *call = alloc_try(sizeof(*call));

    if (!call)
        return NULL;
    *call = (struct redis_call){.len = bytes, .bytes = alloc_try(bytes)};
    if (!call->bytes) {
        alloc_free(call);
        return NULL;
    }
    resp_write_command(argv, n, call->bytes);
    list_init(&call->link);
    alarm_init(&call->deadline, on_deadline);
    return call;
}

struct redis_call *redis_send(struct redis *redis, const struct sluice_span *argv, size_t n,
                              uint64_t timeout_ms, redis_done_fn *done, void *arg)
{
    size_t bytes = resp_command_bytes(argv, n);
    struct redis_call *call;

    if (!redis->peer || n == 0)
        return NULL;
    if (redis->n_waiting >= redis->peer->queue || bytes > REDIS_COMMAND_MAX) {
        counter_add(&redis->counters->refused, 1);
        return NULL;
    }
    call = call_new(argv, n, bytes);
    if (!call)
        return NULL;
    call->redis = redis;
    call->done = done;
    call->arg = arg;
    call->begun_us = redis->asked_us = loop_now_us(redis->loop);
    alarm_arm(redis->loop, &call->deadline, timeout_ms);
    list_append(&redis->waiting, &call->link);
    redis->n_waiting++;
    counter_add(&redis->counters->waiting, 1);
    counter_add(&redis->counters->commands, 1);
    loop_soon(redis->loop, &redis->work);
    return call;
}

void redis_cancel(struct redis_call **call)
{
    struct redis_call *old = *call;

    *call = NULL;
    if (!old || old == old->redis->telling)
        return;
    old->done = NULL;
    alarm_disarm(&old->deadline);
    if (old->state == CALL_WAITING) {
        leave_queue(old);
        call_free(old);
    }
}

/* -- life ------------------------------------------------------------------------------------ */

static void retire(struct link *link)
{
    if (link->n_sent == 0) {
        link_free(link);
        return;
    }
    link->is_retired = true;
    link->redis->n_links--;
}

void redis_set_peer(struct redis *redis, struct redis_peer *peer)
{
    if (redis_peer_is_same(redis->peer, peer))
        return;
    redis_peer_unref(&redis->peer);
    redis->peer = redis_peer_ref(peer);
    list_each_safe (node, after, &redis->links) {
        struct link *link = list_entry(node, struct link, node);

        if (!link->is_retired)
            retire(link);
    }
    if (!peer)
        fail_waiting(redis);
    loop_soon(redis->loop, &redis->work);
}

void redis_stop(struct redis *redis)
{
    redis_set_peer(redis, NULL);
    list_each_safe (node, after, &redis->links) {
        link_fail(list_entry(node, struct link, node), SPAN("the gateway ends"));
    }
}

bool redis_has_peer(const struct redis *redis)
{
    return redis->peer != NULL;
}

struct redis *redis_new(struct loop *loop, struct rng *rng, struct redis_counters *counters)
{
    struct redis *redis = alloc_new(sizeof(*redis));

    redis->loop = loop;
    redis->rng = rng;
    redis->counters = counters;
    list_init(&redis->links);
    list_init(&redis->waiting);
    list_init(&redis->ended);
    soon_init(&redis->work, work);
    redis->answer = alloc_new(REDIS_ANSWER_MAX);
    redis->element = alloc_new(RESP_ELEMENTS * sizeof(*redis->element));
    return redis;
}

static void free_calls(struct list *calls)
{
    list_each_safe (node, after, calls) {
        call_free(list_entry(node, struct redis_call, link));
    }
}

void redis_free(struct redis **redis)
{
    struct redis *old = *redis;

    *redis = NULL;
    if (!old)
        return;
    CHECK(!old->telling);
    list_each_safe (node, after, &old->links) {
        struct link *link = list_entry(node, struct link, node);

        free_calls(&link->sent);
        link_free(link);
    }
    free_calls(&old->waiting);
    free_calls(&old->ended);
    soon_cancel(&old->work);
    redis_peer_unref(&old->peer);
    alloc_free(old->answer);
    alloc_free(old->element);
    alloc_free(old);
}
