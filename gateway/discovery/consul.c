#include "discovery/consul.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"
#include "base/map.h"
#include "core/loop.h"
#include "discovery/consul_hub.h"

enum {
    SUSPECT_S = 60,         /* an agent that came back may not know all yet */
    SPREAD_MS = 5,          /* first questions: so much apart, on average */
    SPREAD_SHARE = 10,      /* but within this part of a wait */
    REJECTED_PER_SECOND = 1 /* messages */
};

const char *consul_mode_name(enum consul_mode mode)
{
    static const char *const names[] = {
        [CONSUL_WATCH] = "watch",
        [CONSUL_GROUPED] = "grouped",
        [CONSUL_POLL] = "poll",
    };

    return names[mode];
}

void consul_suspect(struct consul *consul)
{
    uint64_t now = loop_now_us(consul->loop);

    if (consul->suspect_till_us < now)
        log_info("consul may be another than before: empty answers are doubted");
    consul->suspect_till_us = now + (uint64_t)SUSPECT_S * 1000000;
}

/* -- which mode, and who asks ---------------------------------------------------- */

static void stop_all(struct consul *consul)
{
    list_each (node, &consul->feeds) {
        struct consul_feed *feed = list_entry(node, struct consul_feed, link);

        consul_group_remove(feed);
        consul_feed_stop(feed);
    }
    consul_group_free_all(consul);
}

static void set_mode(struct consul *consul, uint64_t connections)
{
    uint64_t queries =
        (connections - CONSUL_CONNECTIONS_SPARE) * (consul->shares ? FETCH_STREAMS : 1);
    bool grouped = consul->n_watches > queries;

    if (grouped == consul->grouped)
        return;
    stop_all(consul);
    consul->grouped = grouped;
    log_info(grouped ? "consul: more services than connections, they are watched in groups"
                     : "consul: each service is watched by itself",
             F_UINT("services", consul->n_watches), F_UINT("connections", connections));
}

static void settle(struct consul *consul)
{
    const struct consul_conf *conf = consul_client_conf(consul->client);
    uint64_t spread_ms;

    if (!conf)
        return;
    set_mode(consul, conf->connections);
    spread_ms = consul->n_watches * SPREAD_MS;
    if (spread_ms > conf->wait_ms / SPREAD_SHARE)
        spread_ms = conf->wait_ms / SPREAD_SHARE;
    list_each (node, &consul->feeds) {
        struct consul_feed *feed = list_entry(node, struct consul_feed, link);

        if (feed->step != FEED_STOPPED)
            continue;
        consul_feed_load(feed);
        if (consul_feed_mode(feed) == CONSUL_GROUPED) {
            consul_group_add(consul, feed);
        } else {
            consul_feed_start(feed, rng_below(&consul->rng, spread_ms + 1));
        }
    }
}

static void on_settle(struct soon *soon)
{
    settle(list_entry(soon, struct consul, settle));
}

void consul_settle(struct consul *consul)
{
    loop_soon(consul->loop, &consul->settle);
}

void consul_learn(struct consul *consul, const struct fetch_answer *answer)
{
    if (answer->err || answer->shared == consul->shares)
        return;
    consul->shares = answer->shared;
    consul_settle(consul);
}

/* -- life -------------------------------------------------------------------------- */

struct consul *consul_new(struct loop *loop)
{
    struct consul *consul = alloc_new(sizeof(*consul));

    consul->loop = loop;
    consul->client = consul_client_new(loop);
    rng_init(&consul->rng);
    consul->by_key = map_new();
    list_init(&consul->feeds);
    list_init(&consul->groups);
    soon_init(&consul->settle, on_settle);
    consul->lost_gate.per_second = REJECTED_PER_SECOND;
    consul->lost_gate.burst = 10;
    return consul;
}

void consul_free(struct consul **consul)
{
    struct consul *old = *consul;

    if (!old)
        return;
    CHECK(list_is_empty(&old->feeds));
    *consul = NULL;
    soon_cancel(&old->settle);
    consul_group_free_all(old);
    consul_client_free(&old->client);
    map_free(&old->by_key);
    alloc_free(old);
}

void consul_apply(struct consul *consul, const struct consul_conf *conf)
{
    if (consul_client_is_other(consul->client, conf)) {
        stop_all(consul);
        consul->shares = false;
        if (consul_client_conf(consul->client))
            consul_suspect(consul);
    }
    consul_client_apply(consul->client, conf);
    settle(consul);
}

/* -- questions ----------------------------------------------------------------------- */

void consul_each(const struct consul *consul, consul_each_fn *each, void *arg)
{
    list_each (node, &consul->feeds) {
        const struct consul_feed *feed = list_entry(node, struct consul_feed, link);
        const struct consul_facts facts = {
            .service = feed->spec.query.len ? feed->spec.query.ptr : feed->spec.service.ptr,
            .datacenter = feed->spec.datacenter.len ? feed->spec.datacenter.ptr : "",
            .mode = consul_feed_mode(feed),
            .state = feed->state,
            .why = feed->why,
            .as_of_wall_us = feed->as_of_wall_us,
            .index = feed->index_applied,
            .updates = feed->updates,
            .errors = feed->n_errors,
            .held = feed->n_held,
            .rejected = feed->n_rejected,
            .resets = feed->n_resets,
            .n_endpoints = feed->found ? feed->found->n : 0,
        };

        each(arg, &facts);
    }
}

const struct histogram *consul_handling(const struct consul *consul)
{
    return &consul->handling;
}
