#include "upstream/upstream.h"

#include "base/alloc.h"
#include "base/map.h"
#include "base/rng.h"
#include "http/h2.h"
#include "upstream/balance.h"
#include "upstream/mux.h"
#include "upstream/pool.h"
#include "upstream/quantile.h"
#include "upstream/requests.h"
#include "upstream/tenancy.h"

enum {
    LOOK_MS = 10,     /* how often to look whether another worker freed a capped connection */
    REVIVE_MAX = 256, /* retired endpoints that are looked at for one that is named again */
};

struct upstreams {
    struct map *by_name;    /* owned, of owned struct upstream */
    struct loop *loop;      /* borrowed */
    struct rng *rng;        /* borrowed */
    struct slab conns;      /* of struct pooled */
    struct h2_bench *bench; /* owned; NULL: HTTP/2 was never spoken */
    unsigned worker;
    upstreams_starved_fn *starved;   /* may be NULL */
    void *starved_arg;               /* borrowed, outlives us */
    upstreams_freed_fn *freed;       /* may be NULL */
    void *freed_arg;                 /* borrowed, outlives us */
    upstreams_unshaken_fn *unshaken; /* may be NULL */
    void *unshaken_arg;              /* borrowed, outlives us */
};

struct slab *upstreams_slab(struct upstream *upstream)
{
    return &upstream->all->conns;
}

struct h2_bench *upstreams_bench(struct upstream *upstream)
{
    struct upstreams *all = upstream->all;

    if (!all->bench) {
        struct h2_bench *bench = h2_bench_new();

        if (!bench)
            return NULL;
        h2_bench_join(bench, &all->loop->slabs);
        /* Whole before others may see it: upstreams_look_h2() is for any thread. */
        __atomic_store_n(&all->bench, bench, __ATOMIC_RELEASE);
    }
    return all->bench;
}

unsigned upstreams_worker(const struct upstream *upstream)
{
    return upstream->all->worker;
}

struct upstreams *upstreams_new(struct loop *loop, struct rng *rng, unsigned worker)
{
    struct upstreams *upstreams = alloc_new(sizeof(*upstreams));

    upstreams->by_name = map_new();
    upstreams->loop = loop;
    upstreams->rng = rng;
    upstreams->worker = worker;
    slab_init(&upstreams->conns, sizeof(struct pooled), 0);
    slab_join(&upstreams->conns, &loop->slabs);
    return upstreams;
}

struct slab_look upstreams_look(const struct upstreams *upstreams)
{
    return slab_look(&upstreams->conns);
}

void upstreams_look_h2(const struct upstreams *upstreams, struct slab_look *streams,
                       struct slab_look *queues)
{
    const struct h2_bench *bench = __atomic_load_n(&upstreams->bench, __ATOMIC_ACQUIRE);

    *streams = bench ? h2_bench_streams(bench) : (struct slab_look){0};
    *queues = bench ? h2_bench_queues(bench) : (struct slab_look){0};
}

void upstreams_on_starved(struct upstreams *upstreams, upstreams_starved_fn *starved, void *arg)
{
    upstreams->starved = starved;
    upstreams->starved_arg = arg;
}

void upstreams_on_unshaken(struct upstreams *upstreams, upstreams_unshaken_fn *unshaken, void *arg)
{
    upstreams->unshaken = unshaken;
    upstreams->unshaken_arg = arg;
}

void upstream_say_unshaken(struct upstream *upstream, const struct endpoint *endpoint,
                           struct sluice_span cause)
{
    const struct upstreams *all = upstream->all;

    if (cause.len > 0 && all->unshaken)
        all->unshaken(all->unshaken_arg, upstream, endpoint, cause);
}

void upstreams_on_freed(struct upstreams *upstreams, upstreams_freed_fn *freed, void *arg)
{
    upstreams->freed = freed;
    upstreams->freed_arg = arg;
}

void upstream_say_freed(const struct upstream *upstream, unsigned worker)
{
    const struct upstreams *all = upstream->all;

    if (all->freed)
        all->freed(all->freed_arg, span_of(upstream->name), worker);
}

void upstreams_wake(struct upstreams *upstreams, struct sluice_span name)
{
    struct upstream *upstream = map_find(upstreams->by_name, name);

    if (upstream)
        upstream_wake(upstream);
}

void upstreams_free(struct upstreams **upstreams)
{
    if (!*upstreams)
        return;
    map_free(&(*upstreams)->by_name);
    slab_fini(&(*upstreams)->conns);
    h2_bench_free(&(*upstreams)->bench);
    alloc_free(*upstreams);
    *upstreams = NULL;
}

bool upstreams_has_connections(const struct upstreams *upstreams)
{
    return upstreams->conns.used > 0;
}

const struct upstream *upstreams_at(const struct upstreams *upstreams, size_t at)
{
    struct sluice_span name;
    size_t place = 0;
    void *upstream;

    while (map_each(upstreams->by_name, &place, &name, &upstream)) {
        if (at-- == 0)
            return upstream;
    }
    return NULL;
}

/* -- members ------------------------------------------------------------ */

static void say_waiting(struct upstream *upstream, bool waiting)
{
    for (size_t i = 0; i < upstream->n_endpoints; i++) {
        endpoint_say_waiting(upstream->endpoint[i], waiting);
    }
}

bool upstream_is_warming(const struct upstream *upstream)
{
    return upstream->warming_until_us > 0 &&
           loop_now_us(upstream->loop) < upstream->warming_until_us;
}

/* Leased still, and named again. Only a few are looked at: this is for one that flaps. */
static struct endpoint *find_retired(const struct upstream *upstream, struct sluice_span text)
{
    if (upstream->n_retired > REVIVE_MAX)
        return NULL;
    list_each (node, &upstream->retired) {
        struct endpoint *endpoint = list_entry(node, struct endpoint, link);

        if (span_equal(endpoint->member.text, text))
            return endpoint;
    }
    return NULL;
}

/* Our endpoint of this address, taken out of the old table; NULL when we have none. */
static struct endpoint *claim(struct upstream *upstream, struct endpoint **old,
                              const struct members *members, const struct member *member)
{
    const struct members *before = upstream->members;
    struct endpoint *endpoint = NULL;
    uint32_t was = member->was;

    if (before && members->after != before->serial) { /* we have missed a set */
        const struct member *same = members_find(before, member->text);

        was = same ? (uint32_t)(same - before->member) : MEMBER_NONE;
    }
    if (before && was != MEMBER_NONE) {
        endpoint = old[was];
        old[was] = NULL;
    }
    return endpoint ? endpoint : find_retired(upstream, member->text);
}

/* The table of a newer set; what is left in the old one is named no more. */
static void fill_table(struct upstream *upstream, struct endpoint **old,
                       const struct members *members)
{
    size_t n = members_count(members);

    upstream->endpoint = alloc_new((n + 1) * sizeof(struct endpoint *));
    for (size_t i = 0; i < n; i++) {
        const struct member *member = &members->member[i];
        struct endpoint *endpoint = claim(upstream, old, members, member);

        if (endpoint) {
            endpoint_update(endpoint, member);
        } else {
            endpoint = endpoint_new(upstream, member);
            if (upstream->members && upstream->members->n > 0)
                endpoint_begin_slowly(endpoint); /* where there were others, little by little */
        }
        endpoint_set_rotation(endpoint, i < members->n);
        endpoint->index = (uint32_t)i;
        upstream->endpoint[i] = endpoint;
    }
    upstream->n_endpoints = members->n;
    upstream->n_resting = n - members->n;
}

void upstream_set_members(struct upstream *upstream, struct members *members)
{
    struct members *before = upstream->members;
    struct endpoint **old = upstream->endpoint;
    size_t n_old = upstream->n_endpoints + upstream->n_resting;

    if (before && before->serial >= members->serial)
        return;
    fill_table(upstream, old, members);
    upstream->members = members_ref(members);
    candidates_renew(upstream);
    for (size_t i = 0; i < n_old; i++) {
        if (old[i])
            endpoint_retire(&old[i], before);
    }
    alloc_free(old);
    members_unref(&before);
    if (upstream->n_waiting > 0)
        say_waiting(upstream, true);
    upstream_wake(upstream);
}

void upstreams_set_members(struct upstreams *upstreams, struct members *members)
{
    struct upstream *upstream = map_find(upstreams->by_name, members->upstream);

    if (upstream)
        upstream_set_members(upstream, members);
}

/* -- life --------------------------------------------------------------- */

static void serve(struct soon *soon);
static void on_look(struct alarm *alarm);

static struct upstream *upstream_new(struct upstreams *upstreams, struct sluice_span name)
{
    struct upstream *upstream = alloc_new(sizeof(*upstream));

    upstream->all = upstreams;
    upstream->loop = upstreams->loop;
    upstream->rng = upstreams->rng;
    upstream->name = alloc_text(name.ptr, name.len);
    list_init(&upstream->selections);
    list_init(&upstream->waiting);
    list_init(&upstream->retired);
    soon_init(&upstream->serve, serve);
    alarm_init(&upstream->look, on_look);
    map_set(upstreams->by_name, name, upstream);
    return upstream;
}

static void end_if_unused(struct upstream *upstream)
{
    if (upstream->refs > 0 || upstream->n_retired > 0)
        return;
    map_remove(upstream->all->by_name, span_of(upstream->name));
    soon_cancel(&upstream->serve);
    alarm_disarm(&upstream->look);
    members_unref(&upstream->members);
    tls_client_unref(&upstream->tls);
    candidates_fini(&upstream->everything.candidates);
    alloc_free(upstream->times);
    alloc_free(upstream->zone);
    alloc_free(upstream->endpoint);
    alloc_free(upstream->name);
    alloc_free(upstream);
}

/* Of those that have left too, which may come back. */
static void renew_all(struct upstream *upstream)
{
    list_each (link, &upstream->retired) {
        endpoint_renew(list_entry(link, struct endpoint, link));
    }
    for (size_t i = 0; i < upstream->n_endpoints + upstream->n_resting; i++) {
        endpoint_renew(upstream->endpoint[i]);
    }
}

/* Connections made otherwise are of no use any more; the same again changes nothing. */
static void set_protocol(struct upstream *upstream, struct tls_client *tls, int protocol)
{
    if (tls_client_is_same(upstream->tls, tls) && upstream->protocol == protocol)
        return;
    upstream->protocol = protocol;
    upstream->shares =
        protocol == SPEAK_H2 || protocol == SPEAK_H2C || (protocol == SPEAK_AUTO && tls);
    tls_client_unref(&upstream->tls);
    upstream->tls = tls_client_ref(tls);
    renew_all(upstream);
}

static void set_proxying(struct upstream *upstream, int version)
{
    if (upstream->proxying != version)
        renew_all(upstream);
    upstream->proxying = version;
}

static void set_levels(struct upstream *upstream, const struct upstream_conf *conf)
{
    bool by_zone = zone_conf_is_on(&conf->zone_preference) && conf->zone.len > 0;

    upstream->levels = conf->levels;
    alloc_free(upstream->zone);
    upstream->zone = by_zone ? alloc_text(conf->zone.ptr, conf->zone.len) : NULL;
    upstream->zone_min = conf->zone_preference.min_endpoints;
    upstream->version--; /* the next pick makes its candidates anew */
}

/* Tunnels to an upstream that is not configured any more have the time of a drain. */
static void set_abandoned(struct upstream *upstream, bool abandoned)
{
    if (upstream->abandoned == abandoned)
        return;
    upstream->abandoned = abandoned;
    for (size_t i = 0; i < upstream->n_endpoints + upstream->n_resting; i++) {
        tenancy_set_grace(upstream->endpoint[i]);
    }
}

void upstreams_leave_others(struct upstreams *upstreams, uint64_t generation)
{
    struct sluice_span name;
    void *upstream;
    size_t at = 0;

    while (map_each(upstreams->by_name, &at, &name, &upstream)) {
        if (((struct upstream *)upstream)->generation < generation)
            set_abandoned(upstream, true);
    }
}

struct upstream *upstream_get(struct upstreams *upstreams, const struct upstream_wanted *wanted)
{
    const struct upstream_conf *conf = wanted->conf;
    struct upstream *upstream = map_find(upstreams->by_name, conf->named.name);

    if (!upstream)
        upstream = upstream_new(upstreams, conf->named.name);
    upstream->refs++;
    upstream->balance = balance_get(conf->balance);
    upstream->bound_percent = conf->hash.bound_percent;
    upstream->slow_start_us = conf->slow_start_ms * 1000;
    upstream->limits = conf->connections;
    upstream->requests = conf->requests;
    upstream->caps_requests = conf->requests.max > 0 || conf->requests.per_endpoint > 0;
    upstream->outlier = conf->outlier;
    upstream->counters = tally_slot(wanted->tally, upstreams->worker);
    upstream->tally = wanted->tally;
    upstream->second_ends_us = 0; /* the slot may be another one */
    upstream->budget = conf->retry_budget;
    upstream->http2 = conf->http2;
    upstream->connect_ms = conf->timeout.connect_ms;
    set_protocol(upstream, wanted->tls, conf->protocol);
    set_proxying(upstream, conf->proxying.version);
    set_levels(upstream, conf);
    upstream->drain_tunnel_ms = conf->timeout.drain_tunnel_ms;
    upstream->generation = wanted->generation;
    set_abandoned(upstream, false);
    upstream_set_members(upstream, wanted->members);
    return upstream;
}

static struct selection *selection_of(struct upstream *upstream, const struct lease *lease)
{
    return lease->selection ? lease->selection : &upstream->everything;
}

bool upstream_has_untried(struct upstream *upstream, const struct lease *lease)
{
    const struct candidates *candidates = &selection_of(upstream, lease)->candidates;

    if (lease->again)
        return candidates->n > 0;
    for (size_t i = 0; i < candidates->n; i++) {
        if (lease_may_try(lease, candidates->endpoint[i]))
            return true;
    }
    return false;
}

bool upstream_has_other(struct upstream *upstream, const struct lease *lease)
{
    const struct candidates *candidates = &selection_of(upstream, lease)->candidates;

    return candidates->n > 1 || (candidates->n == 1 && candidates->endpoint[0] != lease->endpoint);
}

uint64_t upstream_begun(const struct tally_block *tally, uint64_t now_us, uint64_t seconds)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < tally->n; i++) {
        const struct upstream_counters *counters = tally_slot(tally, i);

        sum += pace_sum(&counters->requests, now_us, seconds);
    }
    return sum;
}

uint64_t upstream_time_of(struct upstream *upstream, double share)
{
    if (!upstream->times)
        upstream->times = alloc_new(sizeof(*upstream->times));
    return quantile_at(upstream->times, share);
}

void upstream_note_time(struct upstream *upstream, uint64_t us)
{
    if (upstream->times)
        quantile_add(upstream->times, us);
}

bool upstream_take_retry(struct upstream *upstream)
{
    uint64_t now_us = loop_now_us(upstream->loop);
    uint64_t requests =
        upstream_begun(upstream->tally, now_us, upstream->budget.interval_ms / 1000);

    if (budget_take(&upstream->members->group->retries, &upstream->budget, requests, now_us))
        return true;
    counter_add(&upstream->counters->retries_refused[UPSTREAM_REFUSED_BUDGET], 1);
    return false;
}

void upstream_unref(struct upstream **upstream)
{
    struct upstream *old = *upstream;

    *upstream = NULL;
    if (!old || --old->refs > 0)
        return;
    /* Nobody can lease any more: what is idle goes now, what is leased with its lease. */
    old->refs++;
    for (size_t i = 0; i < old->n_endpoints + old->n_resting; i++) {
        endpoint_retire(&old->endpoint[i], old->members);
    }
    old->n_endpoints = old->n_resting = 0;
    candidates_renew(old);
    old->refs--;
    end_if_unused(old);
}

void upstream_forget(struct upstream *upstream)
{
    upstream->n_retired--;
    end_if_unused(upstream);
}

/* -- leases ------------------------------------------------------------- */

static void on_queue_alarm(struct alarm *alarm);

void lease_init(struct lease *lease, const struct conn_ops *ops,
                void (*ready)(struct lease *lease, enum err err))
{
    list_init(&lease->link);
    list_init(&lease->line);
    list_init(&lease->batch);
    alarm_init(&lease->alarm, on_queue_alarm);
    lease->ops = ops;
    lease->ready = ready;
    lease->selection = NULL;
    lease->preface = SPAN("");
    lease->upstream = NULL;
    lease->endpoint = NULL;
    lease->conn = NULL;
    lease->mux = NULL;
    lease->streams = NULL;
    lease->stream = NULL;
    lease->n_tried = lease->slots = 0;
    lease->reused = lease->connecting = lease->fresh = lease->has_key = lease->again = false;
    lease->dialling = lease->dialled = lease->is_open = lease->alone = false;
}

bool lease_may_try(const struct lease *lease, const struct endpoint *endpoint)
{
    for (unsigned i = 0; i < lease->n_tried; i++) {
        if (lease->tried[i] == endpoint)
            return false;
    }
    return true;
}

void lease_note_tunnel(struct lease *lease, void (*end_tunnel)(struct lease *lease))
{
    lease->end_tunnel = end_tunnel;
    tenancy_note(lease->endpoint, &lease->link);
}

void lease_mark_tried(struct lease *lease)
{
    if (lease->n_tried < LEASE_TRIES)
        lease->tried[lease->n_tried++] = lease->endpoint;
}

struct endpoint *upstream_pick(struct upstream *upstream, const struct lease *lease)
{
    struct candidates *candidates;

    if (candidates_are_old(upstream))
        candidates_renew(upstream);
    candidates = &selection_of(upstream, lease)->candidates;
    if (candidates->n_bands == 1)
        return upstream->balance->pick(candidates->band, lease);
    return candidates_pick(candidates, lease);
}

/* Is there one that the lease may have as soon as there is room? */
static bool may_wait(struct upstream *upstream, const struct lease *lease)
{
    const struct candidates *candidates = &selection_of(upstream, lease)->candidates;

    for (size_t i = 0; i < candidates->n; i++) {
        if (lease_may_try(lease, candidates->endpoint[i]))
            return true;
    }
    return false;
}

/* Where bands differ: of which one the endpoint is. */
static void count_band(struct upstream *upstream, const struct lease *lease,
                       const struct endpoint *endpoint)
{
    const struct candidates *candidates = &selection_of(upstream, lease)->candidates;
    struct upstream_counters *counters = upstream->counters;
    const struct band *band;

    if (!candidates->counts)
        return;
    band = &candidates->band[candidates->band_of[endpoint->index]];
    if (band->panic)
        counter_add(&counters->panic_picks, 1);
    if (band->backup)
        counter_add(&counters->backup_picks, 1);
    if (upstream->zone) {
        counter_add(span_equal(endpoint->member.facts->zone, span_of(upstream->zone))
                        ? &counters->near_picks
                        : &counters->far_picks,
                    1);
    }
}

/* ERR_AGAIN: every endpoint that may be tried is full. */
static enum err try_lease(struct upstream *upstream, struct lease *lease)
{
    struct endpoint *endpoint = upstream_pick(upstream, lease);
    enum err err;

    lease->endpoint = NULL;
    lease->dialled = false;
    if (!endpoint && lease->again && lease->n_tried > 0 && !may_wait(upstream, lease)) {
        lease->n_tried = 0;
        endpoint = upstream_pick(upstream, lease);
    }
    if (!endpoint)
        return may_wait(upstream, lease) ? ERR_AGAIN : ERR_MISSING;
    count_band(upstream, lease, endpoint);
    if (upstream->caps_requests && !requests_take(lease, endpoint))
        return ERR_AGAIN;
    err = endpoint_lease(endpoint, lease);
    if (err && lease->slots != 0)
        requests_give(lease, endpoint);
    if (err == ERR_LIMIT)
        return ERR_AGAIN; /* another worker was quicker */
    lease->upstream = upstream;
    lease->endpoint = endpoint;
    return err;
}

/* Ask the other workers for what they keep idle. */
static void call_for_room(struct upstream *upstream)
{
    const struct upstreams *all = upstream->all;

    if (all->starved && upstream->limits.max != 0)
        all->starved(all->starved_arg, span_of(upstream->name));
}

void upstreams_give_way(struct upstreams *upstreams, struct sluice_span name)
{
    struct upstream *upstream = map_find(upstreams->by_name, name);

    for (size_t i = 0; upstream && i < upstream->n_endpoints; i++) {
        endpoint_give_way(upstream->endpoint[i]);
    }
}

static void leave_queue(struct lease *lease)
{
    struct upstream *upstream = lease->upstream;

    list_remove(&lease->link);
    alarm_disarm(&lease->alarm);
    upstream->n_waiting--;
    selection_of(upstream, lease)->n_waiting--;
    counter_sub(&upstream->counters->waiting, 1);
    if (upstream->n_waiting == 0) {
        alarm_disarm(&upstream->look);
        say_waiting(upstream, false);
        requests_say_waiting(upstream, false);
    }
}

static enum err join_queue(struct upstream *upstream, struct lease *lease)
{
    if (upstream->n_waiting >= upstream->limits.queue) {
        counter_add(&upstream->counters->rejected_full, 1);
        return ERR_LIMIT;
    }
    lease->upstream = upstream;
    list_append(&upstream->waiting, &lease->link);
    alarm_arm(upstream->loop, &lease->alarm, upstream->limits.queue_timeout_ms);
    counter_add(&upstream->counters->waiting, 1);
    selection_of(upstream, lease)->n_waiting++;
    if (upstream->n_waiting++ == 0) {
        alarm_arm(upstream->loop, &upstream->look, LOOK_MS);
        say_waiting(upstream, true);
        call_for_room(upstream);
        if (upstream->caps_requests) {
            requests_say_waiting(upstream, true);
            loop_soon(upstream->loop, &upstream->serve); /* given back before we had said so */
        }
    }
    return ERR_AGAIN;
}

enum err upstream_lease(struct upstream *upstream, struct lease *lease)
{
    enum err err = ERR_AGAIN;

    /* Who waits already comes first, but for those who wait for others. */
    if (upstream->n_waiting == 0 || selection_of(upstream, lease)->n_waiting == 0)
        err = try_lease(upstream, lease);
    if (err == OK)
        return lease->dialling ? ERR_AGAIN : OK;
    return err == ERR_AGAIN ? join_queue(upstream, lease) : err;
}

static void on_queue_alarm(struct alarm *alarm)
{
    struct lease *lease = list_entry(alarm, struct lease, alarm);

    counter_add(&lease->upstream->counters->rejected_timeout, 1);
    leave_queue(lease);
    lease->ready(lease, ERR_TIMEOUT);
}

/* The first in the queue whose selection is not known to be full; NULL when there is none. */
static struct lease *next_waiting(struct upstream *upstream)
{
    list_each (node, &upstream->waiting) {
        struct lease *lease = list_entry(node, struct lease, link);

        if (!selection_of(upstream, lease)->is_blocked)
            return lease;
        if (list_is_empty(&upstream->selections))
            return NULL;
    }
    return NULL;
}

static void serve(struct soon *soon)
{
    struct upstream *upstream = list_entry(soon, struct upstream, serve);
    struct lease *lease;

    upstream->refs++; /* a lease that ends in ready() must not take us away */
    upstream->everything.is_blocked = false;
    list_each (node, &upstream->selections) {
        list_entry(node, struct selection, link)->is_blocked = false;
    }
    while ((lease = next_waiting(upstream)) != NULL) {
        enum err err = try_lease(upstream, lease);

        if (err == ERR_AGAIN) {
            selection_of(upstream, lease)->is_blocked = true;
            continue;
        }
        leave_queue(lease);
        if (err || !lease->dialling)
            lease->ready(lease, err);
    }
    if (upstream->n_waiting > 0 && upstream->caps_requests)
        requests_say_waiting(upstream, true);
    upstream_unref(&upstream);
}

static void on_look(struct alarm *alarm)
{
    struct upstream *upstream = list_entry(alarm, struct upstream, look);

    alarm_arm(upstream->loop, &upstream->look, LOOK_MS);
    call_for_room(upstream);
    loop_soon(upstream->loop, &upstream->serve);
}

void upstream_wake(struct upstream *upstream)
{
    if (upstream->n_waiting > 0)
        loop_soon(upstream->loop, &upstream->serve);
}

void upstream_queue(struct upstream *upstream, struct lease *lease)
{
    enum err err = join_queue(upstream, lease);

    if (err == ERR_AGAIN) {
        upstream_wake(upstream);
    } else {
        lease->ready(lease, err);
    }
}

bool lease_is_queued(const struct lease *lease)
{
    return !lease->conn && !lease->mux && !list_is_empty(&lease->link);
}

void lease_return(struct lease *lease)
{
    if (lease->conn) {
        endpoint_return(lease->endpoint, lease);
    } else {
        lease_discard(lease);
    }
}

void lease_discard(struct lease *lease)
{
    if (lease->conn) {
        endpoint_discard(lease->endpoint, lease);
    } else if (lease->mux) {
        mux_leave(lease);
    } else if (!list_is_empty(&lease->link)) {
        leave_queue(lease);
    }
}
