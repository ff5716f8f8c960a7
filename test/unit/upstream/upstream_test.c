#include "upstream/upstream.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "net/listener.h"
#include "upstream/balance.h"
#include "upstream/pool.h"
#include "upstream/tenancy.h"

#include "sets.h"
#include "unit.h"
#include "until.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { ENDPOINTS = 3, WORKERS = 2, LEASES = 400 };

/* Two workers' views of one upstream, on one loop, and the sockets it connects to. */
struct scene {
    struct loop *loop;
    struct rng rng;
    struct tally *tally;
    struct shares *shares;
    struct arena arena;
    struct notes *notes;
    struct upstreams *workers[WORKERS];
    struct upstream *upstream[WORKERS];
    int listen_fd[ENDPOINTS];
    struct addr addr[ENDPOINTS];
};

struct trial {
    struct lease lease;
    unsigned ready, drained;
    enum err err;
};

static void on_event(struct conn *conn)
{
    (void)conn;
}

static void on_error(struct conn *conn, enum err err)
{
    (void)conn;
    (void)err;
}

static void on_drained(struct conn *conn)
{
    list_entry(lease_of(conn), struct trial, lease)->drained++;
}

static const struct conn_ops ops = {.on_readable = on_event,
                                    .on_hangup = on_error,
                                    .on_drained = on_drained,
                                    .on_progress = on_event,
                                    .on_failed = on_error,
                                    .on_alarm = on_event,
                                    .on_closed = on_event};

static void on_ready(struct lease *lease, enum err err)
{
    struct trial *trial = list_entry(lease, struct trial, lease);

    trial->ready++;
    trial->err = err;
}

/* The set for endpoints given as letters with weights: "a5 b1". */
static struct members *members_of(struct scene *it, const char *set, const char *more,
                                  struct upstream_conf **conf)
{
    struct bind bind = {.arena = &it->arena, .notes = it->notes};
    struct items *map = arena_new(&it->arena, sizeof(*map));
    struct tree *tree = NULL;
    struct members *members;
    char yaml[1024];
    int n = snprintf(yaml, sizeof(yaml), "app: { %s%s endpoints: [", more, *more ? "," : "");

    for (const char *at = set; *at; at++) {
        if (*at < 'a' || *at > 'c')
            continue;
        n += snprintf(yaml + n, sizeof(yaml) - (size_t)n,
                      "{ address: \"127.0.0.1:%u\", weight: %d },",
                      (unsigned)it->addr[*at - 'a'].port, at[1] - '0');
    }
    snprintf(yaml + n, sizeof(yaml) - (size_t)n, "] }\n");
    ck_assert_int_eq(tree_parse(span_of(yaml), "test.yaml", &it->arena, it->notes, &tree), OK);
    ck_assert_int_eq(shape_bind(&bind, &upstream_map_shape, tree, map), OK);
    *conf = map->first;
    members = sets_make(*conf, it->shares, it->upstream[0] ? it->upstream[0]->members : NULL);
    ck_assert_ptr_nonnull(members);
    return members;
}

static struct scene *scene_open(const char *set, const char *more)
{
    struct scene *it = alloc_new(sizeof(*it));
    struct upstream_conf *conf;
    struct members *members;

    it->loop = loop_new();
    rng_init(&it->rng);
    it->tally = tally_new(WORKERS);
    it->shares = shares_new(it->tally);
    it->notes = notes_new();
    arena_init(&it->arena, NULL, 0);
    for (unsigned i = 0; i < ENDPOINTS; i++) {
        struct addr addr = {.family = AF_INET, .ip = {127, 0, 0, 1}};

        ck_assert_int_eq(listener_bind(&addr, 512, false, &it->listen_fd[i]), OK);
        ck_assert_int_eq(listener_address(it->listen_fd[i], &addr, &it->addr[i]), OK);
    }
    members = members_of(it, set, more, &conf);
    for (unsigned i = 0; i < WORKERS; i++) {
        const struct upstream_wanted wanted = {.conf = conf,
                                               .members = members,
                                               .tally =
                                                   tally_get(it->tally, UPSTREAM_TALLY, SPAN("app"),
                                                             sizeof(struct upstream_counters))};

        it->workers[i] = upstreams_new(it->loop, &it->rng, i);
        it->upstream[i] = upstream_get(it->workers[i], &wanted);
    }
    members_unref(&members);
    return it;
}

static void scene_close(struct scene *it)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        upstream_unref(&it->upstream[i]);
    }
    loop_turns(it->loop, 2);
    for (unsigned i = 0; i < WORKERS; i++) {
        upstreams_free(&it->workers[i]);
    }
    for (unsigned i = 0; i < ENDPOINTS; i++) {
        close(it->listen_fd[i]);
    }
    shares_free(&it->shares);
    tally_free(&it->tally);
    notes_free(&it->notes);
    arena_fini(&it->arena);
    loop_free(&it->loop);
    alloc_free(it);
}

static void trial_init(struct trial *trial)
{
    *trial = (struct trial){.ready = 0};
    lease_init(&trial->lease, &ops, on_ready);
}

static enum err lease(struct scene *it, unsigned worker, struct trial *trial)
{
    return upstream_lease(it->upstream[worker], &trial->lease);
}

/* The letter of the endpoint that is leased. */
static char letter(const struct scene *it, const struct trial *trial)
{
    for (unsigned i = 0; i < ENDPOINTS; i++) {
        if (addr_equal(&trial->lease.endpoint->member.addr, &it->addr[i]))
            return (char)('a' + i);
    }
    return '?';
}

static bool stands(void *trial)
{
    return !((struct trial *)trial)->lease.connecting || ((struct trial *)trial)->drained > 0;
}

static bool is_ready(void *trial)
{
    return ((struct trial *)trial)->ready > 0;
}

static void take(struct scene *it, unsigned worker, struct trial *trial)
{
    trial_init(trial);
    ck_assert_int_eq(lease(it, worker, trial), OK);
    loop_until(it->loop, stands, trial);
}

/* Which endpoints n leases in a row go to. */
static const char *picks(struct scene *it, unsigned n)
{
    static char out[64];

    for (unsigned i = 0; i < n; i++) {
        struct trial trial;

        trial_init(&trial);
        ck_assert_int_eq(lease(it, 0, &trial), OK);
        out[i] = letter(it, &trial);
        lease_discard(&trial.lease);
    }
    out[n] = '\0';
    return out;
}

/* -- balancing ---------------------------------------------------------- */

START_TEST(weights_are_served_smoothly)
{
    struct scene *it = scene_open("a5 b1 c1", "");

    ck_assert_str_eq(picks(it, 14), "aabacaaaabacaa");
    scene_close(it);
}
END_TEST

START_TEST(equal_weights_take_turns)
{
    struct scene *it = scene_open("a3 b3 c3", "");

    ck_assert_str_eq(picks(it, 7), "abcabca");
    scene_close(it);
}
END_TEST

START_TEST(workers_do_not_start_in_step)
{
    struct scene *it = scene_open("a1 b1 c1", "");
    struct trial first, second;

    take(it, 0, &first);
    take(it, 1, &second);
    ck_assert_int_ne(letter(it, &first), letter(it, &second));
    lease_discard(&first.lease);
    lease_discard(&second.lease);
    scene_close(it);
}
END_TEST

START_TEST(least_requests_fills_by_weight)
{
    static struct trial trials[LEASES];
    struct scene *it = scene_open("a3 b1", "balance: least_requests");
    unsigned n[ENDPOINTS] = {0};

    for (unsigned i = 0; i < LEASES; i++) {
        trial_init(&trials[i]);
        ck_assert_int_eq(lease(it, 0, &trials[i]), OK);
        n[letter(it, &trials[i]) - 'a']++;
    }
    /* With two endpoints both are always looked at, but for draws that hit one twice. */
    ck_assert_uint_ge(n[0], LEASES * 3 / 4 - 25);
    ck_assert_uint_le(n[0], LEASES * 3 / 4 + 25);
    for (unsigned i = 0; i < LEASES; i++) {
        lease_discard(&trials[i].lease);
    }
    scene_close(it);
}
END_TEST

START_TEST(least_requests_finds_the_only_one_left_to_try)
{
    struct scene *it = scene_open("a1 b1 c1", "balance: least_requests");

    for (unsigned round = 0; round < 50; round++) {
        struct trial trial;
        char seen[4] = "";

        trial_init(&trial);
        for (unsigned i = 0; i < ENDPOINTS; i++) {
            ck_assert_int_eq(lease(it, 0, &trial), OK);
            ck_assert_ptr_null(strchr(seen, letter(it, &trial)));
            seen[i] = letter(it, &trial);
            lease_mark_tried(&trial.lease);
            lease_discard(&trial.lease);
        }
        ck_assert_int_eq(lease(it, 0, &trial), ERR_MISSING);
    }
    scene_close(it);
}
END_TEST

START_TEST(endpoints_already_tried_are_skipped)
{
    static const char *const sets[] = {"a1 b1 c1", "a5 b1 c1"};

    for (size_t i = 0; i < 2; i++) {
        struct scene *it = scene_open(sets[i], "");
        struct trial trial;
        char seen[4] = "";

        trial_init(&trial);
        for (unsigned j = 0; j < ENDPOINTS; j++) {
            ck_assert_int_eq(lease(it, 0, &trial), OK);
            ck_assert_ptr_null(strchr(seen, letter(it, &trial)));
            seen[j] = letter(it, &trial);
            lease_mark_tried(&trial.lease);
            lease_discard(&trial.lease);
            ck_assert(!lease_may_try(&trial.lease, trial.lease.tried[j]));
        }
        ck_assert_int_eq(lease(it, 0, &trial), ERR_MISSING);
        scene_close(it);
    }
}
END_TEST

/* -- the pool -------------------------------------------------------------- */

START_TEST(the_freshest_connection_is_used_again)
{
    struct scene *it = scene_open("a1", "");
    struct trial first, second, third;
    struct conn *conn;

    take(it, 0, &first);
    take(it, 0, &second);
    ck_assert(!first.lease.reused);
    conn = second.lease.conn;
    lease_return(&first.lease);
    lease_return(&second.lease);
    ck_assert_ptr_null(second.lease.conn);
    take(it, 0, &third);
    ck_assert(third.lease.reused);
    ck_assert_ptr_eq(third.lease.conn, conn);
    ck_assert_ptr_eq(lease_of(third.lease.conn), &third.lease);
    lease_discard(&third.lease);
    scene_close(it);
}
END_TEST

static bool idle_stands(void *endpoint_)
{
    const struct endpoint *endpoint = endpoint_;

    return !conn_is_dialling(&list_entry(endpoint->idle.next, struct pooled, link)->conn);
}

static bool has_none_idle(void *endpoint)
{
    return ((struct endpoint *)endpoint)->n_idle == 0;
}

START_TEST(a_dial_whose_lease_has_ended_is_the_next_ones)
{
    struct scene *it = scene_open("a1", "");
    struct endpoint *endpoint = it->upstream[0]->endpoint[0];
    struct trial trial;
    struct conn *conn = NULL;

    for (unsigned i = 0; i < 50; i++) {
        trial_init(&trial);
        ck_assert_int_eq(lease(it, 0, &trial), OK);
        ck_assert(trial.lease.connecting && !trial.lease.reused);
        ck_assert(!conn || trial.lease.conn == conn);
        conn = trial.lease.conn;
        lease_return(&trial.lease);
        ck_assert_uint_eq(endpoint->n_idle, 1);
    }
    take(it, 0, &trial);
    ck_assert_ptr_eq(trial.lease.conn, conn);
    ck_assert_uint_eq(counter_get(&endpoint->counters->connects), 1);
    lease_return(&trial.lease);
    ck_assert_uint_eq(pooled_of(conn)->requests, 1);
    scene_close(it);
}
END_TEST

START_TEST(a_dial_that_nobody_waits_for_becomes_an_idle_connection)
{
    struct scene *it = scene_open("a1", "");
    struct endpoint *endpoint = it->upstream[0]->endpoint[0];
    struct trial trial;

    trial_init(&trial);
    ck_assert_int_eq(lease(it, 0, &trial), OK);
    lease_return(&trial.lease);
    loop_until(it->loop, idle_stands, endpoint);
    take(it, 0, &trial);
    ck_assert(trial.lease.reused && !trial.lease.connecting);
    ck_assert_uint_eq(counter_get(&endpoint->counters->connects), 1);
    lease_discard(&trial.lease);
    scene_close(it);
}
END_TEST

START_TEST(dials_that_nobody_waits_for_are_no_more_than_the_idle_limit)
{
    struct scene *it = scene_open("a1", "connections: { idle: 2 }");
    struct trial trial[4];

    for (unsigned i = 0; i < 4; i++) {
        trial_init(&trial[i]);
        ck_assert_int_eq(lease(it, 0, &trial[i]), OK);
    }
    for (unsigned i = 0; i < 4; i++)
        lease_return(&trial[i].lease);
    ck_assert_uint_eq(it->upstream[0]->endpoint[0]->n_idle, 2);
    scene_close(it);
}
END_TEST

START_TEST(a_dial_that_nobody_waits_for_may_fail)
{
    struct scene *it = scene_open("a1", "");
    struct endpoint *endpoint = it->upstream[0]->endpoint[0];
    struct trial trial;

    ck_assert_int_eq(shutdown(it->listen_fd[0], SHUT_RDWR), 0); /* it listens no more */
    trial_init(&trial);
    ck_assert_int_eq(lease(it, 0, &trial), OK);
    lease_return(&trial.lease);
    loop_until(it->loop, has_none_idle, endpoint);
    ck_assert_uint_eq(counter_get(&endpoint->counters->idle), 0);
    scene_close(it);
}
END_TEST

START_TEST(a_fresh_connection_is_dialled_on_demand)
{
    struct scene *it = scene_open("a1", "");
    struct trial first, second;

    take(it, 0, &first);
    lease_return(&first.lease);
    trial_init(&second);
    second.lease.fresh = true;
    ck_assert_int_eq(lease(it, 0, &second), OK);
    ck_assert(!second.lease.reused);
    lease_discard(&second.lease);
    scene_close(it);
}
END_TEST

START_TEST(a_connection_that_was_spoilt_while_idle_is_not_used_again)
{
    struct scene *it = scene_open("a1", "");
    struct trial first, second;
    int peer;

    take(it, 0, &first);
    peer = accept(it->listen_fd[0], NULL, NULL);
    ck_assert_int_ge(peer, 0);
    lease_return(&first.lease);
    ck_assert_int_eq(send(peer, "surprise", 8, MSG_NOSIGNAL), 8);
    loop_turns(it->loop, 3);
    take(it, 0, &second);
    ck_assert(!second.lease.reused);
    lease_discard(&second.lease);
    close(peer);
    scene_close(it);
}
END_TEST

START_TEST(no_more_than_the_idle_limit_are_kept)
{
    struct scene *it = scene_open("a1", "connections: { idle: 1 }");
    struct trial first, second;

    take(it, 0, &first);
    take(it, 0, &second);
    lease_return(&first.lease);
    lease_return(&second.lease);
    ck_assert_uint_eq(it->upstream[0]->endpoint[0]->n_idle, 1);
    scene_close(it);
}
END_TEST

START_TEST(a_connection_ends_after_its_number_of_requests)
{
    struct scene *it = scene_open("a1", "connections: { requests: 2 }");
    struct trial trial;

    take(it, 0, &trial);
    lease_return(&trial.lease);
    take(it, 0, &trial);
    ck_assert(trial.lease.reused);
    lease_return(&trial.lease);
    take(it, 0, &trial);
    ck_assert(!trial.lease.reused);
    lease_discard(&trial.lease);
    scene_close(it);
}
END_TEST

static bool has_no_idle(void *it)
{
    return ((struct scene *)it)->upstream[0]->endpoint[0]->n_idle == 0;
}

START_TEST(an_idle_connection_is_closed_after_its_time)
{
    struct scene *it = scene_open("a1", "connections: { idle_timeout: 5ms }");
    struct trial trial;

    take(it, 0, &trial);
    lease_return(&trial.lease);
    ck_assert_uint_eq(it->upstream[0]->endpoint[0]->n_idle, 1);
    loop_until(it->loop, has_no_idle, it);
    scene_close(it);
}
END_TEST

/* -- cap and queue ------------------------------------------------------------ */

START_TEST(the_cap_holds_over_all_workers)
{
    struct scene *it = scene_open("a1", "connections: { max: 2 }");
    struct trial first, second, third;

    take(it, 0, &first);
    take(it, 1, &second);
    trial_init(&third);
    ck_assert_int_eq(lease(it, 0, &third), ERR_AGAIN);
    loop_turns(it->loop, 3);
    ck_assert_uint_eq(third.ready, 0);
    lease_discard(&second.lease); /* another worker's */
    loop_until(it->loop, is_ready, &third);
    ck_assert_int_eq(third.err, OK);
    lease_discard(&first.lease);
    lease_discard(&third.lease);
    scene_close(it);
}
END_TEST

struct freed {
    struct upstreams *worker;
    unsigned n, index;
};

static void on_freed(void *freed_, struct sluice_span upstream, unsigned worker)
{
    struct freed *freed = freed_;

    freed->n++;
    freed->index = worker;
    ck_assert(span_equal(upstream, SPAN("app")));
    upstreams_wake(freed->worker, upstream);
}

START_TEST(a_free_slot_wakes_a_worker_that_waits_for_one)
{
    struct scene *it = scene_open("a1", "requests: 1");
    struct freed freed = {.worker = it->workers[1]};
    struct trial first, second, third;

    upstreams_on_freed(it->workers[0], on_freed, &freed);
    take(it, 0, &first);
    trial_init(&second);
    ck_assert_int_eq(lease(it, 1, &second), ERR_AGAIN);
    loop_turns(it->loop, 3);
    ck_assert_uint_eq(second.ready, 0);
    lease_return(&first.lease);
    ck_assert_uint_eq(freed.n, 1);
    ck_assert_uint_eq(freed.index, 1);
    loop_until(it->loop, is_ready, &second);
    lease_discard(&second.lease);
    take(it, 0, &third);
    lease_discard(&third.lease);
    ck_assert_uint_eq(freed.n, 1); /* nobody waits any more */
    scene_close(it);
}
END_TEST

START_TEST(a_full_endpoint_leaves_the_request_to_another)
{
    struct scene *it = scene_open("a1 b1", "connections: { max: 1 }");
    struct trial first, second, third;

    take(it, 0, &first);
    take(it, 0, &second);
    ck_assert_int_ne(letter(it, &first), letter(it, &second));
    trial_init(&third);
    ck_assert_int_eq(lease(it, 0, &third), ERR_AGAIN);
    lease_discard(&third.lease);
    lease_discard(&second.lease);
    lease_discard(&first.lease);
    loop_turns(it->loop, 3);
    ck_assert_uint_eq(third.ready, 0);
    scene_close(it);
}
END_TEST

START_TEST(who_waited_first_gets_the_returned_connection)
{
    struct scene *it = scene_open("a1", "connections: { max: 1 }");
    struct trial first, second, third;
    struct conn *conn;

    take(it, 0, &first);
    conn = first.lease.conn;
    trial_init(&second);
    trial_init(&third);
    ck_assert_int_eq(lease(it, 0, &second), ERR_AGAIN);
    ck_assert_int_eq(lease(it, 0, &third), ERR_AGAIN);
    lease_return(&first.lease);
    ck_assert_uint_eq(second.ready, 0); /* never from inside a call */
    loop_until(it->loop, is_ready, &second);
    ck_assert_int_eq(second.err, OK);
    ck_assert(second.lease.reused);
    ck_assert_ptr_eq(second.lease.conn, conn);
    ck_assert_uint_eq(third.ready, 0);
    lease_return(&second.lease);
    loop_until(it->loop, is_ready, &third);
    lease_discard(&third.lease);
    scene_close(it);
}
END_TEST

START_TEST(the_queue_is_bounded)
{
    struct scene *it = scene_open("a1", "connections: { max: 1, queue: 1 }");
    struct trial first, second, third;

    take(it, 0, &first);
    trial_init(&second);
    trial_init(&third);
    ck_assert_int_eq(lease(it, 0, &second), ERR_AGAIN);
    ck_assert_int_eq(lease(it, 0, &third), ERR_LIMIT);
    ck_assert_uint_eq(counter_get(&it->upstream[0]->counters->waiting), 1);
    ck_assert_uint_eq(counter_get(&it->upstream[0]->counters->rejected_full), 1);
    lease_discard(&second.lease);
    ck_assert_uint_eq(counter_get(&it->upstream[0]->counters->waiting), 0);
    lease_discard(&first.lease);
    scene_close(it);
}
END_TEST

START_TEST(waiting_ends_with_its_time)
{
    struct scene *it = scene_open("a1", "connections: { max: 1, queue_timeout: 5ms }");
    struct trial first, second;

    take(it, 0, &first);
    trial_init(&second);
    ck_assert_int_eq(lease(it, 0, &second), ERR_AGAIN);
    loop_until(it->loop, is_ready, &second);
    ck_assert_int_eq(second.err, ERR_TIMEOUT);
    ck_assert_uint_eq(counter_get(&it->upstream[0]->counters->rejected_timeout), 1);
    lease_discard(&second.lease);
    lease_discard(&first.lease);
    scene_close(it);
}
END_TEST

/* -- members change ---------------------------------------------------------------- */

static void set_members(struct scene *it, const char *set)
{
    struct upstream_conf *conf;
    struct members *members = members_of(it, set, "", &conf);

    for (unsigned i = 0; i < WORKERS; i++) {
        upstream_set_members(it->upstream[i], members);
    }
    members_unref(&members);
}

START_TEST(an_endpoint_that_is_still_named_keeps_its_connections)
{
    struct scene *it = scene_open("a1 b1", "");
    struct trial trial;

    take(it, 0, &trial);
    ck_assert_int_eq(letter(it, &trial), 'a');
    lease_return(&trial.lease);
    set_members(it, "c1 a7");
    ck_assert_uint_eq(it->upstream[0]->endpoint[1]->n_idle, 1);
    ck_assert_uint_eq(it->upstream[0]->endpoint[1]->member.weight, 7);
    scene_close(it);
}
END_TEST

START_TEST(an_endpoint_named_no_more_serves_its_last_lease)
{
    struct scene *it = scene_open("a1", "");
    struct trial held, idle;

    take(it, 0, &held);
    take(it, 0, &idle);
    lease_return(&idle.lease);
    set_members(it, "b1");
    ck_assert_uint_eq(it->upstream[0]->n_retired, 1);
    ck_assert(conn_is_open(held.lease.conn));
    ck_assert_str_eq(picks(it, 3), "bbb");
    lease_return(&held.lease);
    ck_assert_uint_eq(it->upstream[0]->n_retired, 0);
    scene_close(it);
}
END_TEST

START_TEST(an_upstream_named_no_more_lives_until_its_last_lease)
{
    struct scene *it = scene_open("a1", "");
    struct trial trial;

    take(it, 0, &trial);
    upstream_unref(&it->upstream[0]);
    ck_assert_ptr_null(it->upstream[0]);
    ck_assert(conn_is_open(trial.lease.conn));
    lease_return(&trial.lease);
    ck_assert_ptr_null(trial.lease.conn);
    scene_close(it);
}
END_TEST

/* -- tunnels ------------------------------------------------------------ */

struct stay {
    struct tenancy tenancy;
    unsigned expired;
};

static void on_expire(struct conn *conn)
{
    struct tenancy *tenancy = tenancy_of(conn);

    list_entry(tenancy, struct stay, tenancy)->expired++;
    tenancy_end(tenancy);
}

static const struct conn_ops stay_ops = {.on_readable = on_event,
                                         .on_hangup = on_error,
                                         .on_drained = on_drained,
                                         .on_progress = on_event,
                                         .on_failed = on_error,
                                         .on_alarm = on_expire,
                                         .on_closed = on_event};

static void end_tunnel(struct lease *lease)
{
    list_entry(lease, struct trial, lease)->ready++;
    lease_discard(lease);
}

/* A leased connection carries a tunnel, which needs the lease no more. */
static void settle(struct scene *it, struct stay *stay)
{
    struct trial trial;

    *stay = (struct stay){0};
    take(it, 0, &trial);
    lease_note_tunnel(&trial.lease, end_tunnel);
    tenancy_begin(&stay->tenancy, &trial.lease, &stay_ops);
    ck_assert_ptr_null(trial.lease.conn);
}

static bool has_expired(void *stay)
{
    return ((struct stay *)stay)->expired > 0;
}

static bool has_ended(void *trial)
{
    return ((struct trial *)trial)->lease.conn == NULL;
}

START_TEST(a_tenancy_holds_its_place_until_it_ends)
{
    struct scene *it = scene_open("a1", "connections: { max: 1 }, requests: { max: 1 }");
    struct endpoint *endpoint = it->upstream[0]->endpoint[0];
    struct trial waits;
    struct stay stay;

    settle(it, &stay);
    ck_assert_ptr_eq(tenancy_endpoint(&stay.tenancy), endpoint);
    ck_assert_uint_eq(counter_get(&endpoint->counters->tunnels), 1);
    ck_assert_uint_eq(endpoint->active, 1);
    trial_init(&waits);
    ck_assert_int_eq(lease(it, 0, &waits), ERR_AGAIN);
    tenancy_end(&stay.tenancy);
    ck_assert_ptr_null(stay.tenancy.conn);
    ck_assert_uint_eq(counter_get(&endpoint->counters->tunnels), 0);
    loop_until(it->loop, is_ready, &waits);
    ck_assert_int_eq(waits.err, OK);
    lease_discard(&waits.lease);
    ck_assert_uint_eq(endpoint->active, 0);
    scene_close(it);
}
END_TEST

START_TEST(tunnels_expire_some_time_after_their_endpoint_has_left)
{
    struct scene *it = scene_open("a1", "timeout: { drain_tunnel: 30ms }");
    struct trial trial;
    struct stay first, second;

    settle(it, &first);
    settle(it, &second);
    take(it, 0, &trial);
    lease_note_tunnel(&trial.lease, end_tunnel);
    set_members(it, "b1");
    ck_assert_uint_eq(first.expired, 0);
    loop_until(it->loop, has_expired, &first);
    loop_until(it->loop, has_expired, &second);
    loop_until(it->loop, has_ended, &trial);
    ck_assert_uint_eq(it->upstream[0]->n_retired, 0);
    scene_close(it);
}
END_TEST

START_TEST(many_tunnels_expire_a_part_in_each_turn)
{
    struct scene *it = scene_open("a1", "timeout: { drain_tunnel: 30ms }");
    static struct stay stay[LEASES];
    unsigned expired = 0;

    for (unsigned i = 0; i < LEASES; i++) {
        settle(it, &stay[i]);
    }
    set_members(it, "b1");
    loop_until(it->loop, has_expired, &stay[0]);
    for (unsigned i = 0; i < LEASES; i++) {
        expired += stay[i].expired;
    }
    ck_assert_uint_lt(expired, LEASES);
    for (unsigned i = 0; i < LEASES; i++) {
        loop_until(it->loop, has_expired, &stay[i]);
        ck_assert_uint_eq(stay[i].expired, 1);
    }
    ck_assert_uint_eq(it->upstream[0]->n_retired, 0);
    scene_close(it);
}
END_TEST

START_TEST(tunnels_expire_some_time_after_their_upstream_was_left)
{
    struct scene *it = scene_open("a1", "timeout: { drain_tunnel: 30ms }");
    struct stay stay;

    settle(it, &stay);
    upstreams_leave_others(it->workers[0], 0);
    loop_turns(it->loop, 20);
    ck_assert(!alarm_is_armed(&it->upstream[0]->endpoint[0]->grace));
    upstreams_leave_others(it->workers[0], 1);
    ck_assert(alarm_is_armed(&it->upstream[0]->endpoint[0]->grace));
    loop_until(it->loop, has_expired, &stay);
    scene_close(it);
}
END_TEST

START_TEST(who_waits_is_served_by_a_new_endpoint)
{
    struct scene *it = scene_open("a1", "connections: { max: 1 }");
    struct trial first, second;

    take(it, 0, &first);
    trial_init(&second);
    ck_assert_int_eq(lease(it, 0, &second), ERR_AGAIN);
    set_members(it, "a1 b1");
    loop_until(it->loop, is_ready, &second);
    ck_assert_int_eq(second.err, OK);
    ck_assert_int_eq(letter(it, &second), 'b');
    ck_assert_uint_eq(second.lease.endpoint->member.share->waiting, 0);
    ck_assert_uint_eq(first.lease.endpoint->member.share->waiting, 0);
    lease_discard(&second.lease);
    lease_discard(&first.lease);
    scene_close(it);
}
END_TEST

UNIT_MAIN("upstream/upstream", weights_are_served_smoothly, equal_weights_take_turns,
          workers_do_not_start_in_step, least_requests_fills_by_weight,
          least_requests_finds_the_only_one_left_to_try, endpoints_already_tried_are_skipped,
          the_freshest_connection_is_used_again, a_dial_whose_lease_has_ended_is_the_next_ones,
          a_dial_that_nobody_waits_for_becomes_an_idle_connection,
          dials_that_nobody_waits_for_are_no_more_than_the_idle_limit,
          a_dial_that_nobody_waits_for_may_fail, a_fresh_connection_is_dialled_on_demand,
          a_connection_that_was_spoilt_while_idle_is_not_used_again,
          no_more_than_the_idle_limit_are_kept, a_connection_ends_after_its_number_of_requests,
          an_idle_connection_is_closed_after_its_time, the_cap_holds_over_all_workers,
          a_free_slot_wakes_a_worker_that_waits_for_one,
          a_full_endpoint_leaves_the_request_to_another,
          who_waited_first_gets_the_returned_connection, the_queue_is_bounded,
          waiting_ends_with_its_time, an_endpoint_that_is_still_named_keeps_its_connections,
          an_endpoint_named_no_more_serves_its_last_lease,
          an_upstream_named_no_more_lives_until_its_last_lease,
          who_waits_is_served_by_a_new_endpoint, a_tenancy_holds_its_place_until_it_ends,
          tunnels_expire_some_time_after_their_endpoint_has_left,
          many_tunnels_expire_a_part_in_each_turn,
          tunnels_expire_some_time_after_their_upstream_was_left)
