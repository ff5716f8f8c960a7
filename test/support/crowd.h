/*
 * crowd.h - an upstream with many endpoints that nobody connects to, for picking from.
 *
 * Endpoint i has the address 10.x.y.z:80 with i in x, y, z. Nothing is leased: who wants an
 * endpoint busy or full sets its numbers.
 */
#ifndef TEST_CROWD_H
#define TEST_CROWD_H

#include "base/alloc.h"
#include "base/check.h"
#include "base/rng.h"
#include "sets.h"
#include "upstream/balance.h"
#include "upstream/upstream.h"

struct crowd {
    struct loop *loop;
    struct rng rng; /* the same numbers in every run */
    struct tally *tally;
    struct shares *shares;
    struct upstreams *all;
    struct upstream *upstream;
    const char *zone; /* of the gateway; NULL: unknown */
};

/* What else is written of an endpoint: "zone: a"; NULL where one is wanted: nothing. */
typedef const char *crowd_facts_fn(size_t i);

/* The weight of an endpoint; NULL where one is wanted: all have 1. */
typedef unsigned crowd_weight_fn(size_t i);

static inline struct members *crowd_members(struct crowd *crowd, const char *more, size_t from,
                                            size_t to, crowd_weight_fn *weight,
                                            crowd_facts_fn *facts, struct upstream_conf *conf_out,
                                            struct arena *arena)
{
    struct notes *notes = notes_new();
    struct bind bind = {.arena = arena, .notes = notes};
    struct items map = {NULL, 0};
    struct tree *tree = NULL;
    struct text yaml;
    struct members *members;

    text_init(&yaml, 4u << 20);
    text_format(&yaml, "app: { %s, endpoints: [ ", more);
    for (size_t i = from; i < to; i++) {
        text_format(&yaml, "{ address: \"10.%zu.%zu.%zu:80\", weight: %u, %s },", i >> 16,
                    i >> 8 & 255, i & 255, weight ? weight(i) : 1, facts ? facts(i) : "");
    }
    text_format(&yaml, " ] }\n");
    CHECK(!yaml.cut);
    CHECK(tree_parse(text_span(&yaml), "crowd", arena, notes, &tree) == OK);
    CHECK(shape_bind(&bind, &upstream_map_shape, tree, &map) == OK);
    *conf_out = *(struct upstream_conf *)map.first;
    members = sets_make(conf_out, crowd->shares, crowd->upstream ? crowd->upstream->members : NULL);
    CHECK(members && members_count(members) == to - from);
    text_fini(&yaml);
    notes_free(&notes);
    return members;
}

/* Endpoints from up to to, as a start or a reload that says more: "balance: random". */
static inline void crowd_set_as(struct crowd *crowd, const char *more, size_t from, size_t to,
                                crowd_weight_fn *weight, crowd_facts_fn *facts)
{
    struct upstream_wanted wanted;
    struct upstream_conf conf;
    struct upstream *before = crowd->upstream;
    struct members *members;
    struct arena arena;

    arena_init(&arena, NULL, 0);
    members = crowd_members(crowd, more, from, to, weight, facts, &conf, &arena);
    conf.zone = crowd->zone ? span_of(crowd->zone) : SPAN("");
    wanted = (struct upstream_wanted){
        .conf = &conf,
        .members = members,
        .tally =
            tally_get(crowd->tally, UPSTREAM_TALLY, SPAN("app"), sizeof(struct upstream_counters)),
    };
    crowd->upstream = upstream_get(crowd->all, &wanted);
    upstream_unref(&before);
    members_unref(&members);
    arena_fini(&arena);
}

static inline void crowd_set(struct crowd *crowd, const char *more, size_t from, size_t to,
                             crowd_weight_fn *weight)
{
    crowd_set_as(crowd, more, from, to, weight, NULL);
}

static inline struct crowd *crowd_open_as(const char *more, size_t n, crowd_weight_fn *weight,
                                          crowd_facts_fn *facts)
{
    struct crowd *crowd = alloc_new(sizeof(*crowd));

    crowd->loop = loop_new();
    crowd->rng = (struct rng){{1, 2, 3, 4}};
    for (unsigned i = 0; i < 32; i++) {
        (void)rng_next(&crowd->rng);
    }
    crowd->tally = tally_new(1);
    crowd->shares = shares_new(crowd->tally);
    crowd->all = upstreams_new(crowd->loop, &crowd->rng, 0);
    crowd_set_as(crowd, more, 0, n, weight, facts);
    return crowd;
}

static inline struct crowd *crowd_open(const char *more, size_t n, crowd_weight_fn *weight)
{
    return crowd_open_as(more, n, weight, NULL);
}

/* All requests are over. */
static inline void crowd_idle(struct crowd *crowd)
{
    for (size_t i = 0; i < crowd->upstream->n_endpoints; i++) {
        crowd->upstream->endpoint[i]->active = 0;
    }
    crowd->upstream->n_active = 0;
}

static inline void crowd_close(struct crowd **crowd)
{
    crowd_idle(*crowd);
    upstream_unref(&(*crowd)->upstream);
    upstreams_free(&(*crowd)->all);
    shares_free(&(*crowd)->shares);
    tally_free(&(*crowd)->tally);
    loop_free(&(*crowd)->loop);
    alloc_free(*crowd);
    *crowd = NULL;
}

/* The endpoint for a lease with a key; key NULL: without one. */
static inline struct endpoint *crowd_pick(struct crowd *crowd, const uint64_t *key)
{
    struct lease lease;

    lease_init(&lease, NULL, NULL);
    lease.has_key = key != NULL;
    lease.key = key ? *key : 0;
    return upstream_pick(crowd->upstream, &lease);
}

/* More requests in flight at an endpoint. */
static inline void crowd_busy(struct endpoint *endpoint, unsigned requests)
{
    endpoint->active += requests;
    endpoint->upstream->n_active += requests;
}

/* Make an endpoint full, where the configuration has a cap. */
static inline void crowd_fill(struct endpoint *endpoint)
{
    endpoint->member.share->used = (uint32_t)endpoint->upstream->limits.max;
}

static inline size_t crowd_index(const struct crowd *crowd, const struct endpoint *endpoint)
{
    size_t i = 0;

    while (crowd->upstream->endpoint[i] != endpoint) {
        i++;
    }
    return i;
}

#endif /* TEST_CROWD_H */
