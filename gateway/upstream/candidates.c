/*
 * candidates.c - who may be picked, in bands.
 *
 * Made in three turns over the endpoints: which levels there are and how well they are, how many
 * endpoints each band gets, and who they are.
 *
 * Who fails by the word of the source counts as not well, and may be picked only when its
 * level is in panic and has nobody better.
 */
#include "upstream/candidates.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "upstream/balance.h"
#include "upstream/pool.h"
#include "upstream/upstream.h"

enum { ZONES_MAX = 32 /* told apart; what is beyond counts as one more */ };

/* What is found out of one level. */
struct layer {
    struct zone_weights weights;
    struct sluice_span zone[ZONES_MAX];
    uint64_t near_part; /* of LEVELS_WHOLE; only where zones count */
    bool by_zone;
    uint16_t band[2]; /* near and far; the same where zones do not count */
};

/* Candidates in the making. */
struct plan {
    struct upstream *upstream;
    const struct selection *selection;
    struct level level[LEVELS_MAX];
    size_t n_levels;
    struct layer *layer; /* owned; by level */
    size_t n_failing;
};

bool candidates_are_old(const struct upstream *upstream)
{
    return share_group_version(upstream->members->group) != upstream->version;
}

bool band_has(const struct band *band, const struct endpoint *endpoint)
{
    return band->candidates->band_of[endpoint->index] == band->index;
}

/* Take over what is known of an endpoint. */
static void look_at(struct endpoint *endpoint)
{
    uint32_t before = endpoint->state;

    endpoint->state = share_state(endpoint->member.share);
    if (before != 0 && endpoint->state == 0)
        endpoint_begin_slowly(endpoint);
}

/* -- levels ------------------------------------------------------------------ */

static size_t n_known(const struct plan *plan)
{
    return plan->upstream->n_endpoints + plan->n_failing;
}

static bool is_well(const struct plan *plan, size_t i)
{
    return i < plan->upstream->n_endpoints && plan->upstream->endpoint[i]->state == 0;
}

static struct level *level_of(struct plan *plan, size_t i)
{
    const struct found_endpoint *facts = plan->upstream->endpoint[i]->member.facts;

    if (plan->n_levels == 1 && plan->level[0].priority == facts->priority)
        return &plan->level[0];
    return levels_find(plan->level, &plan->n_levels, facts->priority);
}

/* Is there a level for the endpoint? */
static bool is_chosen(const struct plan *plan, size_t i)
{
    return selection_has(plan->selection, plan->upstream->endpoint[i]->member.facts);
}

static void find_levels(struct plan *plan)
{
    for (size_t i = 0; i < n_known(plan); i++) {
        if (is_chosen(plan, i)) {
            struct level *level = level_of(plan, i);

            level->n++;
            level->n_well += is_well(plan, i);
        }
    }
    levels_share(&plan->upstream->levels, plan->level, plan->n_levels);
}

static uint64_t n_well(const struct plan *plan)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < plan->n_levels; i++) {
        sum += plan->level[i].n_well;
    }
    return sum;
}

/* -- zones ------------------------------------------------------------------- */

static void note_zone(struct layer *layer, struct sluice_span zone)
{
    uint64_t n = layer->weights.n_zones;

    for (size_t i = 0; i < n && i < ZONES_MAX; i++) {
        if (span_equal(layer->zone[i], zone))
            return;
    }
    if (n < ZONES_MAX)
        layer->zone[n] = zone;
    if (n <= ZONES_MAX)
        layer->weights.n_zones++;
}

static bool is_near(const struct plan *plan, size_t i)
{
    return span_equal(plan->upstream->endpoint[i]->member.facts->zone,
                      span_of(plan->upstream->zone));
}

static void find_zones(struct plan *plan)
{
    for (size_t i = 0; i < plan->upstream->n_endpoints; i++) {
        const struct member *member = &plan->upstream->endpoint[i]->member;
        struct layer *layer;

        if (!is_chosen(plan, i))
            continue;
        layer = &plan->layer[level_of(plan, i) - plan->level];
        note_zone(layer, member->facts->zone);
        if (!is_well(plan, i))
            continue;
        layer->weights.all += member->weight;
        if (is_near(plan, i))
            layer->weights.near += member->weight;
    }
    for (size_t i = 0; i < plan->n_levels; i++) {
        const struct level *level = &plan->level[i];
        struct layer *layer = &plan->layer[i];

        layer->near_part = levels_near_part(&layer->weights);
        layer->by_zone = !level->panic && level->n_well >= plan->upstream->zone_min &&
                         layer->weights.near > 0 && layer->weights.near < layer->weights.all;
    }
}

/* -- bands ------------------------------------------------------------------- */

/* The band for an endpoint; BAND_NONE when it may not be picked. */
static uint16_t band_for(struct plan *plan, size_t i)
{
    const struct level *level;
    const struct layer *layer;

    if (!is_chosen(plan, i))
        return BAND_NONE;
    level = level_of(plan, i);
    layer = &plan->layer[level - plan->level];
    if (is_well(plan, i))
        return layer->band[layer->by_zone && !is_near(plan, i)];
    if (!level->panic || (i >= plan->upstream->n_endpoints && level->n_well > 0))
        return BAND_NONE;
    return layer->band[0];
}

static void add_band(const struct plan *plan, struct candidates *candidates, size_t level,
                     uint64_t share)
{
    struct band *band = &candidates->band[candidates->n_bands];

    band->upstream = plan->upstream;
    band->candidates = candidates;
    band->index = (uint16_t)candidates->n_bands++;
    band->share = share;
    band->panic = plan->level[level].panic;
    band->backup = level > 0;
    band->same_weights = true;
}

static void make_bands(const struct plan *plan, struct candidates *candidates)
{
    candidates->band = alloc_new((2 * plan->n_levels + 1) * sizeof(*candidates->band));
    for (size_t i = 0; i < plan->n_levels; i++) {
        struct layer *layer = &plan->layer[i];
        uint64_t share = plan->level[i].share;
        uint64_t near = layer->by_zone ? share * layer->near_part / LEVELS_WHOLE : share;

        layer->band[0] = layer->band[1] = (uint16_t)candidates->n_bands;
        add_band(plan, candidates, i, near);
        if (layer->by_zone) {
            layer->band[1] = (uint16_t)candidates->n_bands;
            add_band(plan, candidates, i, share - near);
            candidates->band[layer->band[1]].far = true;
        }
    }
}

/* Which endpoints go where, and how many. */
static void assign(struct plan *plan, struct candidates *candidates)
{
    size_t n = n_known(plan);

    candidates->band_of =
        alloc_new((plan->upstream->n_endpoints + plan->upstream->n_resting + 1) * sizeof(uint16_t));
    for (size_t i = 0; i < plan->upstream->n_endpoints + plan->upstream->n_resting; i++) {
        candidates->band_of[i] = i < n ? band_for(plan, i) : BAND_NONE;
        if (candidates->band_of[i] != BAND_NONE) {
            candidates->band[candidates->band_of[i]].n++;
            candidates->n++;
        }
    }
}

static void add(struct band *band, struct endpoint *endpoint)
{
    uint32_t weight = endpoint->member.weight;
    size_t i = band->n++;

    band->endpoint[i] = endpoint;
    band->weights += weight;
    band->reach[i] = band->weights;
    band->same_weights &= weight == band->endpoint[0]->member.weight;
}

static void fill(struct candidates *candidates, const struct upstream *upstream)
{
    size_t at = 0;

    candidates->endpoint = alloc_new((candidates->n + 1) * sizeof(struct endpoint *));
    candidates->reach = alloc_new((candidates->n + 1) * sizeof(*candidates->reach));
    for (size_t i = 0; i < candidates->n_bands; i++) {
        struct band *band = &candidates->band[i];

        band->endpoint = candidates->endpoint + at;
        band->reach = candidates->reach + at;
        at += band->n;
        band->n = 0;
    }
    for (size_t i = 0; i < upstream->n_endpoints + upstream->n_resting; i++) {
        if (candidates->band_of[i] != BAND_NONE)
            add(&candidates->band[candidates->band_of[i]], upstream->endpoint[i]);
    }
}

/* Leave out bands without endpoints, say where shares end, and go on in turn where we were. */
static void settle(struct candidates *candidates, const struct candidates *before,
                   size_t first_cursor)
{
    uint16_t number[2 * LEVELS_MAX];
    uint64_t till = 0;
    size_t n = 0;

    for (size_t i = 0; i < candidates->n_bands; i++) {
        struct band *band = &candidates->band[n];

        number[i] = (uint16_t)n;
        *band = candidates->band[i];
        if (band->n == 0)
            continue;
        band->index = (uint16_t)n;
        till += band->share;
        band->till = till;
        band->cursor = (n < before->n_bands ? before->band[n].cursor : first_cursor) % band->n;
        candidates->panic |= band->panic;
        candidates->counts |= band->panic || band->backup || band->upstream->zone;
        n++;
    }
    if (n == candidates->n_bands)
        return;
    candidates->n_bands = n;
    for (size_t i = 0; candidates->n > 0 && i < candidates->n_known; i++) {
        if (candidates->band_of[i] != BAND_NONE)
            candidates->band_of[i] = number[candidates->band_of[i]];
    }
}

static void renew(struct upstream *upstream, struct selection *selection)
{
    struct candidates before = selection->candidates;
    struct candidates *candidates = &selection->candidates;
    struct plan *plan = alloc_new(sizeof(*plan));

    *candidates = (struct candidates){0};
    plan->upstream = upstream;
    plan->selection = selection;
    plan->n_failing = upstream->n_resting < upstream->members->n_failing
                          ? upstream->n_resting
                          : upstream->members->n_failing;
    find_levels(plan);
    if (selection->subset.fallback == SUBSET_ANY && n_well(plan) == 0) {
        plan->selection = &upstream->everything;
        plan->n_levels = 0;
        find_levels(plan);
    }
    plan->layer = alloc_new((plan->n_levels + 1) * sizeof(*plan->layer));
    if (upstream->zone)
        find_zones(plan);
    make_bands(plan, candidates);
    assign(plan, candidates);
    fill(candidates, upstream);
    candidates->n_known = upstream->n_endpoints + upstream->n_resting;
    settle(candidates, &before, upstreams_worker(upstream));
    candidates_fini(&before);
    alloc_free(plan->layer);
    alloc_free(plan);
}

void candidates_renew(struct upstream *upstream)
{
    /* Before the states: what changes meanwhile is seen the next time. */
    upstream->version = share_group_version(upstream->members->group);
    for (size_t i = 0; i < upstream->n_endpoints; i++) {
        look_at(upstream->endpoint[i]);
    }
    renew(upstream, &upstream->everything);
    list_each (node, &upstream->selections) {
        renew(upstream, list_entry(node, struct selection, link));
    }
}

void candidates_fini(struct candidates *candidates)
{
    for (size_t i = 0; i < candidates->n_bands; i++) {
        alloc_free(candidates->band[i].turn);
    }
    alloc_free(candidates->band);
    alloc_free(candidates->band_of);
    alloc_free(candidates->endpoint);
    alloc_free(candidates->reach);
    *candidates = (struct candidates){0};
}

/* -- picking ----------------------------------------------------------------- */

/* A key stays with its band as long as the shares stay, and is drawn apart from its endpoint. */
static uint64_t draw(const struct upstream *upstream, const struct lease *lease)
{
    const uint64_t salt = UINT64_C(0x6c6576656c730001);

    if (lease->has_key && upstream->balance->key == BALANCE_KEY_HASH)
        return balance_mix(lease->key ^ salt) % LEVELS_WHOLE;
    return rng_below(upstream->rng, LEVELS_WHOLE);
}

struct endpoint *candidates_pick(struct candidates *candidates, const struct lease *lease)
{
    struct band *band = candidates->band;
    const struct balance *balance;
    struct endpoint *endpoint;
    size_t n = candidates->n_bands;
    size_t drawn = 0;
    uint64_t at;

    if (n == 0)
        return NULL;
    balance = band->upstream->balance;
    at = draw(band->upstream, lease);
    while (drawn < n - 1 && band[drawn].till <= at) {
        drawn++;
    }
    endpoint = band[drawn].share > 0 ? balance->pick(&band[drawn], lease) : NULL;
    for (size_t i = 0; !endpoint && i < n; i++) {
        /* Who has no share stands in for those who were tried, not for those who are full. */
        if (i != drawn && (band[i].share > 0 || lease->n_tried > 0))
            endpoint = balance->pick(&band[i], lease);
    }
    return endpoint;
}
