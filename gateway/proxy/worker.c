#include "proxy/worker.h"

#include "base/alloc.h"
#include "base/log.h"
#include "base/now.h"
#include "chain/view.h"
#include "core/mailbox.h"
#include "http/date.h"
#include "net/listener.h"
#include "net/redis_conf.h"
#include "proxy/exchange_chain.h"
#include "proxy/port_tls.h"
#include "proxy/session.h"
#include "proxy/tunnel.h"
#include "upstream/upstream.h"

#include <string.h>
#include <unistd.h>

enum {
    LAST_TURNS_MAX = 4,    /* that connections get to end in */
    SWEEP_MS = 200,        /* how often a draining worker looks for idle connections */
    FLUSH_MS = 20,         /* how often plugins are asked whether they have sent all */
    WALL_US = 1000 * 1000, /* the wall clock is asked again after this long: it may be set */
    HAND_OVER_SLACK = 4,   /* connections above the average before new ones go elsewhere ... */
    HAND_OVER_SHARE = 32,  /* ... and this part of the average more: a hop is not worth less */
};

static const struct listener_ops port_ops;

/* -- views -------------------------------------------------------------- */

static void hold_view(void *view)
{
    (void)view_use(view);
}

static void release_view(void *view_)
{
    struct view *view = view_;

    view_unuse(&view);
}

static void view_select(struct view *view)
{
    const struct route_table *routes = view->snapshot->routes;

    view->selections = alloc_new((route_table_selections(routes) + 1) * sizeof(struct selection *));
    for (size_t i = 0; i < route_table_count(routes); i++) {
        const struct route *route = route_table_get(routes, i);

        for (size_t at = 0; at < route->n_targets; at++) {
            const struct route_target *target = &route->targets[at];

            if (target->selection > 0) {
                view->selections[target->selection] =
                    upstream_select(view->upstreams[target->index], &target->subset);
            }
        }
    }
}

static struct view *view_new(struct worker *worker, struct snapshot *snapshot)
{
    struct view *view = alloc_new(sizeof(*view));

    view->worker = worker;
    view->snapshot = snapshot_ref(snapshot);
    view->users = 1;
    view->upstreams = alloc_new((snapshot->n_upstreams + 1) * sizeof(struct upstream *));
    for (size_t i = 0; i < snapshot->n_upstreams; i++) {
        const struct snapshot_upstream *upstream = &snapshot->upstreams[i];
        const struct upstream_wanted wanted = {.generation = snapshot->generation,
                                               .conf = upstream->conf,
                                               .members = upstream->members,
                                               .tls = upstream->tls,
                                               .tally = upstream->tally};

        view->upstreams[i] = upstream_get(worker->upstreams, &wanted);
    }
    view_select(view);
    if (snapshot->chains) {
        const struct chain_holder holder = {view, hold_view, release_view};

        view->chains = chain_view_new(worker->chain, snapshot->chains, &holder);
    }
    return view;
}

struct view *view_use(struct view *view)
{
    view->users++;
    return view;
}

void view_unuse(struct view **view)
{
    struct view *old = *view;

    *view = NULL;
    if (!old || --old->users > 0)
        return;
    chain_view_free(&old->chains);
    for (unsigned i = 1; i <= route_table_selections(old->snapshot->routes); i++) {
        selection_unref(&old->selections[i]);
    }
    alloc_free(old->selections);
    for (size_t i = 0; i < old->snapshot->n_upstreams; i++) {
        upstream_unref(&old->upstreams[i]);
    }
    snapshot_unref(&old->snapshot);
    alloc_free(old->upstreams);
    alloc_free(old);
}

/* -- ports -------------------------------------------------------------- */

static struct port *port_find(struct worker *worker, struct sluice_span name)
{
    list_each (node, &worker->ports) {
        struct port *port = list_entry(node, struct port, link);

        if (span_equal(span_of(port->name), name))
            return port;
    }
    return NULL;
}

/* Take the rules of this name from a newer view; what the view does not name keeps those it has. */
static void port_follow(struct port *port, struct worker *worker)
{
    const struct snapshot *snapshot = worker->view->snapshot;

    for (size_t i = 0; i < snapshot->n_listeners; i++) {
        struct view *old = port->view;

        if (!span_equal(snapshot->listeners[i].name, span_of(port->name)))
            continue;
        port->view = view_use(worker->view);
        port->conf = &snapshot->listeners[i];
        port->h2_settings = port->conf->http2.settings;
        port->index = (unsigned)i;
        view_unuse(&old);
        return;
    }
}

static void port_end_if_unused(struct port *port)
{
    if (port->listener || port->sessions > 0)
        return;
    list_remove(&port->link);
    view_unuse(&port->view);
    alloc_free(port->name);
    alloc_free(port);
}

/*
 * Accept what is queued, then no more. What is accepted may end at once, so the port is held
 * meanwhile.
 */
static void port_close(struct port *port)
{
    port->sessions++;
    listener_free(&port->listener);
    port->sessions--;
    port_end_if_unused(port);
}

/* Connections of this listener over all workers. */
static uint64_t port_open(const struct port *port)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < port->worker->crew->n_workers; i++) {
        const struct port_counters *counters = tally_slot(port->tally, i);

        n += counter_get(&counters->open);
    }
    return n;
}

static bool may_accept(void *port_)
{
    struct port *port = port_;
    struct crew *crew = port->worker->crew;
    uint64_t cap = port->conf->connections;
    bool was_full = port->full;

    if (port_tls_is_full(port)) {
        counter_add(&port->counters->refused_handshakes, !was_full);
        port->full = true;
        return false;
    }
    port->full = __atomic_load_n(&crew->connections, __ATOMIC_RELAXED) >=
                     __atomic_load_n(&crew->max_connections, __ATOMIC_RELAXED) ||
                 (cap > 0 && port_open(port) >= cap);
    if (port->full && !was_full)
        counter_add(&port->counters->refused_limit, 1);
    return !port->full;
}

static void port_take(struct port *port, int fd, const struct addr *peer)
{
    struct worker *worker = port->worker;

    port->sessions++;
    counter_add(&port->counters->open, 1);
    counter_add(&worker->counters.connections, 1);
    session_open(port, fd, peer);
}

/* Connections it has, or is about to have. */
static uint64_t load_of(const struct worker *worker)
{
    return counter_get(&worker->counters.connections) +
           __atomic_load_n(&worker->incoming, __ATOMIC_RELAXED);
}

/*
 * The least loaded worker, if we have clearly more long-lived connections than our share; else
 * NULL.
 */
static struct worker *lighter_worker(const struct worker *worker)
{
    const struct crew *crew = worker->crew;
    uint64_t own = load_of(worker);
    uint64_t all = __atomic_load_n(&crew->connections, __ATOMIC_RELAXED);
    uint64_t average = all / crew->n_workers;
    struct worker *best = NULL;
    uint64_t least = own;

    if (crew->n_workers == 1 || own <= average + average / HAND_OVER_SHARE + HAND_OVER_SLACK)
        return NULL;
    for (unsigned i = 0; i < crew->n_workers; i++) {
        uint64_t its = load_of(crew->worker[i]);

        if (its < least) {
            least = its;
            best = crew->worker[i];
        }
    }
    return best;
}

static void on_accept(void *port_, int fd, const struct addr *peer)
{
    struct port *port = port_;
    struct worker *worker = port->worker;
    struct worker *other = worker->draining ? NULL : lighter_worker(worker);

    __atomic_fetch_add(&worker->crew->connections, 1, __ATOMIC_RELAXED);
    counter_add(&worker->counters.accepted, 1);
    counter_add(&port->counters->accepted, 1);
    if (!other) {
        port_take(port, fd, peer);
        return;
    }
    counter_add(&worker->counters.handed_off, 1);
    worker_hand_over(other, span_of(port->name), fd, peer);
}

static void on_shed(void *port_, unsigned n)
{
    struct port *port = port_;

    counter_add(&port->counters->refused_descriptors, n);
    if (n > 0 && log_gate_pass(&port->worker->crew->shed_gate)) {
        log_warn("out of descriptors, connections turned away: raise the limit of open files "
                 "(ulimit -n, LimitNOFILE=)",
                 F_STR("listener", port->name), F_UINT("connections", n));
    }
}

static const struct listener_ops port_ops = {
    .on_accept = on_accept,
    .may_accept = may_accept,
    .on_shed = on_shed,
};

/* Has all been sent that plugins must not lose, or is the time for it over? */
static bool is_flushed(struct worker *worker)
{
    struct chain_view *chains = worker->view ? worker->view->chains : NULL;
    uint64_t flush_ms = __atomic_load_n(&worker->crew->drain_flush_ms, __ATOMIC_RELAXED);

    if (worker->flush_until_us == 0)
        worker->flush_until_us = loop_now_us(worker->loop) + flush_ms * 1000;
    return !chains || loop_now_us(worker->loop) >= worker->flush_until_us ||
           chain_view_drain(chains);
}

static void say_if_drained(struct worker *worker)
{
    struct crew *crew = worker->crew;

    if (!worker->draining || !list_is_empty(&worker->all) || worker->said_drained)
        return;
    if (!is_flushed(worker)) {
        alarm_arm(worker->loop, &worker->flush, FLUSH_MS);
        return;
    }
    worker->said_drained = true;
    crew->on_drained(crew->on_drained_arg, worker->index);
}

static void on_flush(struct alarm *alarm)
{
    say_if_drained(list_entry(alarm, struct worker, flush));
}

void worker_on_session_end(struct worker *worker, struct port *port)
{
    bool was_full = __atomic_fetch_sub(&worker->crew->connections, 1, __ATOMIC_RELAXED) >=
                    __atomic_load_n(&worker->crew->max_connections, __ATOMIC_RELAXED);

    counter_sub(&worker->counters.connections, 1);
    counter_sub(&port->counters->open, 1);
    port->sessions--;
    if (port->listener && (was_full || port->conf->connections > 0))
        listener_resume(port->listener);
    port_end_if_unused(port);
    say_if_drained(worker);
}

/* -- letters -------------------------------------------------------------- */

struct publish_letter {
    struct letter letter;
    struct snapshot *snapshot; /* shared */
};

static void on_publish(void *worker_, struct letter *letter)
{
    struct worker *worker = worker_;
    struct publish_letter *publish = (struct publish_letter *)(void *)letter;
    struct view *old = worker->view;

    redis_set_peer(worker->redis, publish->snapshot->redis);
    pipes_limit(&worker->loop->pipes, (unsigned)publish->snapshot->splice.pipes);
    worker->view = view_new(worker, publish->snapshot);
    list_each_safe (node, after, &worker->ports) {
        port_follow(list_entry(node, struct port, link), worker);
    }
    view_unuse(&old);
    upstreams_leave_others(worker->upstreams, publish->snapshot->generation);
    snapshot_unref(&publish->snapshot);
    alloc_free(publish);
}

void worker_publish(struct worker *worker, struct snapshot *snapshot)
{
    struct publish_letter *publish = alloc_new(sizeof(*publish));

    publish->snapshot = snapshot_ref(snapshot);
    mailbox_post(worker->mailbox, &publish->letter, on_publish);
}

struct members_letter {
    struct letter letter;
    struct members *members; /* shared */
};

static void on_members(void *worker_, struct letter *letter)
{
    struct worker *worker = worker_;
    struct members_letter *newer = (struct members_letter *)(void *)letter;

    upstreams_set_members(worker->upstreams, newer->members);
    members_unref(&newer->members);
    alloc_free(newer);
}

void worker_set_members(struct worker *worker, struct members *members)
{
    struct members_letter *newer = alloc_new(sizeof(*newer));

    newer->members = members_ref(members);
    mailbox_post(worker->mailbox, &newer->letter, on_members);
}

/*
 * About one listener, by name: a descriptor to accept from, a connection to take over, or
 * nothing.
 */
struct name_letter {
    struct letter letter;
    const struct tally_block *tally;
    struct addr peer;
    int fd;
    size_t name_len;
    char name[];
};

static struct name_letter *name_letter_new(struct sluice_span name, int fd)
{
    struct name_letter *letter = alloc_new(sizeof(*letter) + name.len);

    letter->fd = fd;
    letter->name_len = name.len;
    memcpy(letter->name, name.ptr, name.len);
    return letter;
}

static struct port *port_new(struct worker *worker, struct sluice_span name,
                             const struct tally_block *tally)
{
    struct port *port = alloc_new(sizeof(*port));

    port->worker = worker;
    port->name = alloc_text(name.ptr, name.len);
    port->tally = tally;
    port->counters = tally_slot(tally, worker->index);
    list_append(&worker->ports, &port->link);
    port_follow(port, worker);
    return port;
}

static void on_add_port(void *worker_, struct letter *letter)
{
    struct worker *worker = worker_;
    struct name_letter *add = (struct name_letter *)(void *)letter;
    struct sluice_span name = span_make(add->name, add->name_len);
    struct port *port = port_find(worker, name);

    if (!port)
        port = port_new(worker, name, add->tally);
    /* An address may move while the name stays: the old socket is emptied first. */
    listener_free(&port->listener);
    port->listener = listener_new(worker->loop, add->fd, &port_ops, port);
    alloc_free(add);
}

void worker_add_port(struct worker *worker, struct sluice_span name, int fd,
                     const struct tally_block *tally)
{
    struct name_letter *add = name_letter_new(name, fd);

    add->tally = tally;
    mailbox_post(worker->mailbox, &add->letter, on_add_port);
}

static void on_remove_port(void *worker_, struct letter *letter)
{
    struct name_letter *remove = (struct name_letter *)(void *)letter;
    struct port *port = port_find(worker_, span_make(remove->name, remove->name_len));

    if (port)
        port_close(port);
    alloc_free(remove);
}

void worker_remove_port(struct worker *worker, struct sluice_span name)
{
    mailbox_post(worker->mailbox, &name_letter_new(name, -1)->letter, on_remove_port);
}

static void on_hand_over(void *worker_, struct letter *letter)
{
    struct worker *worker = worker_;
    struct name_letter *over = (struct name_letter *)(void *)letter;
    struct port *port = port_find(worker, span_make(over->name, over->name_len));

    __atomic_fetch_sub(&worker->incoming, 1, __ATOMIC_RELAXED);
    if (port) {
        port_take(port, over->fd, &over->peer);
    } else {
        /*
         * The listener went away meanwhile, and with it every promise to serve the connection by
         * its rules.
         */
        close(over->fd);
        __atomic_fetch_sub(&worker->crew->connections, 1, __ATOMIC_RELAXED);
    }
    alloc_free(over);
}

void worker_hand_over(struct worker *worker, struct sluice_span port, int fd,
                      const struct addr *peer)
{
    struct name_letter *over = name_letter_new(port, fd);

    over->peer = *peer;
    __atomic_fetch_add(&worker->incoming, 1, __ATOMIC_RELAXED);
    mailbox_post(worker->mailbox, &over->letter, on_hand_over);
}

static void on_give_way(void *worker_, struct letter *letter)
{
    struct worker *worker = worker_;
    struct name_letter *give = (struct name_letter *)(void *)letter;

    upstreams_give_way(worker->upstreams, span_make(give->name, give->name_len));
    alloc_free(give);
}

/* Often a certificate: nothing that the client is to be told, and a person has to know. */
static void on_unshaken(void *worker_, const struct upstream *upstream,
                        const struct endpoint *endpoint, struct sluice_span cause)
{
    struct worker *worker = worker_;

    if (log_gate_pass(&worker->crew->unshaken_gate)) {
        log_warn("TLS handshake with an endpoint failed", F_STR("upstream", upstream->name),
                 F_SPAN("endpoint", endpoint->member.text), F_SPAN("cause", cause));
    }
}

static void on_starved(void *worker_, struct sluice_span upstream)
{
    const struct worker *worker = worker_;
    const struct crew *crew = worker->crew;

    for (unsigned i = 0; i < crew->n_workers; i++) {
        if (i != worker->index) {
            mailbox_post(crew->worker[i]->mailbox, &name_letter_new(upstream, -1)->letter,
                         on_give_way);
        }
    }
}

static void on_wake(void *worker_, struct letter *letter)
{
    struct worker *worker = worker_;
    struct name_letter *wake = (struct name_letter *)(void *)letter;

    upstreams_wake(worker->upstreams, span_make(wake->name, wake->name_len));
    alloc_free(wake);
}

static void on_freed(void *worker_, struct sluice_span upstream, unsigned index)
{
    const struct worker *worker = worker_;
    const struct crew *crew = worker->crew;

    for (unsigned i = index; i < crew->n_workers; i += 64) {
        if (i != worker->index) {
            mailbox_post(crew->worker[i]->mailbox, &name_letter_new(upstream, -1)->letter, on_wake);
        }
    }
}

struct beat_letter {
    struct letter letter;
    uint64_t number;
};

static void on_beat(void *worker_, struct letter *letter)
{
    struct worker *worker = worker_;
    struct beat_letter *beat = (struct beat_letter *)(void *)letter;

    __atomic_store_n(&worker->beat, beat->number, __ATOMIC_RELAXED);
    alloc_free(beat);
}

uint64_t worker_silence_us(struct worker *worker)
{
    uint64_t silence_us = now_us() - worker->beat_asked_us;
    struct beat_letter *beat;

    /* One question at a time: a worker that hangs collects no letters. */
    if (__atomic_load_n(&worker->beat, __ATOMIC_RELAXED) != worker->beat_asked)
        return silence_us ? silence_us : 1;
    beat = alloc_new(sizeof(*beat));
    beat->number = ++worker->beat_asked;
    worker->beat_asked_us = now_us();
    mailbox_post(worker->mailbox, &beat->letter, on_beat);
    return 0;
}

static void sweep(struct worker *worker, uint64_t quiet_us)
{
    uint64_t now_us = loop_now_us(worker->loop);

    list_each_safe (node, after, &worker->all) {
        session_sweep(node, now_us, quiet_us);
    }
}

static void on_sweep(struct alarm *alarm)
{
    struct worker *worker = list_entry(alarm, struct worker, sweep);

    uint64_t quiet_ms = __atomic_load_n(&worker->crew->drain_idle_ms, __ATOMIC_RELAXED);

    sweep(worker, quiet_ms * 1000 + 1);
    if (!list_is_empty(&worker->all))
        alarm_arm(worker->loop, &worker->sweep, SWEEP_MS);
}

static void on_drain(void *worker_, struct letter *letter)
{
    struct worker *worker = worker_;

    alloc_free(letter);
    worker->draining = true;
    list_each_safe (node, after, &worker->ports) {
        struct port *port = list_entry(node, struct port, link);

        port_close(port);
    }
    alarm_arm(worker->loop, &worker->sweep, SWEEP_MS);
    say_if_drained(worker);
}

void worker_drain(struct worker *worker)
{
    mailbox_post(worker->mailbox, alloc_new(sizeof(struct letter)), on_drain);
}

static void on_last_turn(struct soon *soon)
{
    struct worker *worker = list_entry(soon, struct worker, last_turn);

    /* A shared connection says its end in one turn, and goes in the next. */
    if (upstreams_has_connections(worker->upstreams) && worker->last_turns++ < LAST_TURNS_MAX) {
        loop_soon(worker->loop, &worker->last_turn);
    } else {
        loop_stop(worker->loop);
    }
}

static void on_stop(void *worker_, struct letter *letter)
{
    struct worker *worker = worker_;

    alloc_free(letter);
    list_each_safe (node, after, &worker->ports) {
        struct port *port = list_entry(node, struct port, link);

        port_close(port);
    }
    sweep(worker, 0);
    view_unuse(&worker->view);
    redis_stop(worker->redis);
    /* What was put off in this turn still runs; the loop ends with the next one. */
    loop_soon(worker->loop, &worker->last_turn);
}

void worker_stop(struct worker *worker)
{
    mailbox_post(worker->mailbox, alloc_new(sizeof(struct letter)), on_stop);
}

/* -- life ----------------------------------------------------------------- */

struct worker *worker_new(struct crew *crew, unsigned index)
{
    struct worker *worker = alloc_new(sizeof(*worker));

    worker->index = index;
    worker->crew = crew;
    worker->loop = loop_new();
    if (mailbox_new(&worker->mailbox, worker->loop, worker)) {
        loop_free(&worker->loop);
        alloc_free(worker);
        return NULL;
    }
    rng_init(&worker->rng);
    worker->upstreams = upstreams_new(worker->loop, &worker->rng, index);
    upstreams_on_starved(worker->upstreams, on_starved, worker);
    upstreams_on_freed(worker->upstreams, on_freed, worker);
    upstreams_on_unshaken(worker->upstreams, on_unshaken, worker);
    worker->redis = redis_new(worker->loop, &worker->rng, &worker->redis_counters);
    worker->chain = chain_worker_new(worker, worker->loop, &worker->rng, &exchange_chain_ops, index,
                                     crew->n_workers);
    worker->scratch = route_scratch_new();
    worker->h2 = h2_bench_new();
    slab_init(&worker->sessions, session_bytes(), 0);
    slab_init(&worker->tunnels, tunnel_bytes(), 0);
    slab_init(&worker->chunks, ARENA_CHUNK, 0);
    slab_join(&worker->sessions, &worker->loop->slabs);
    slab_join(&worker->tunnels, &worker->loop->slabs);
    slab_join(&worker->chunks, &worker->loop->slabs);
    h2_bench_join(worker->h2, &worker->loop->slabs);
    list_init(&worker->ports);
    list_init(&worker->all);
    list_init(&worker->walks);
    alarm_init(&worker->sweep, on_sweep);
    alarm_init(&worker->flush, on_flush);
    soon_init(&worker->last_turn, on_last_turn);
    worker->lane = writer_lane_new(crew->writer, LANE_BYTES);
    text_init(&worker->line, ACCESS_LINE_MAX);
    worker->request_lines = alloc_new(WORKER_LINES * sizeof(struct field_line));
    worker->response_lines = alloc_new(WORKER_LINES * sizeof(struct field_line));
    return worker;
}

void worker_free(struct worker **worker)
{
    struct worker *old = *worker;

    if (!old)
        return;
    *worker = NULL;
    mailbox_free(&old->mailbox);
    view_unuse(&old->view);
    redis_free(&old->redis);
    upstreams_free(&old->upstreams);
    chain_worker_free(&old->chain);
    route_scratch_free(&old->scratch);
    h2_bench_free(&old->h2);
    alloc_free(old->request_lines);
    alloc_free(old->response_lines);
    text_fini(&old->line);
    slab_fini(&old->sessions);
    slab_fini(&old->tunnels);
    slab_fini(&old->chunks);
    loop_free(&old->loop);
    alloc_free(old);
}

void worker_main(void *arg)
{
    struct worker *worker = arg;

    loop_run(worker->loop);
}

/* -- time ------------------------------------------------------------------ */

uint64_t worker_wall_us(struct worker *worker)
{
    uint64_t now_us = loop_now_us(worker->loop);

    if (worker->wall_renewed_us == 0 || now_us - worker->wall_renewed_us > WALL_US) {
        worker->wall_renewed_us = now_us;
        worker->wall_offset_us = (int64_t)(now_wall_us() - now_us);
    }
    return now_us + (uint64_t)worker->wall_offset_us;
}

struct sluice_span worker_date(struct worker *worker)
{
    uint64_t wall_s = worker_wall_us(worker) / 1000000;

    if (wall_s != worker->date_s) {
        worker->date_s = wall_s;
        date_format(wall_s, worker->date);
    }
    return span_make(worker->date, DATE_TEXT);
}
