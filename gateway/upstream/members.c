/*
 * members.c - what a source has found, made into a set that workers can take over.
 *
 * Made in one go over the endpoints, whatever their number: a table by id tells repeats, and finds
 * in the set before what is known of an address already.
 */
#include "upstream/members.h"

#include "base/alloc.h"
#include "upstream/balance.h"
#include "upstream/endpoint.h"
#include "upstream/selection.h"

#include <string.h>

enum { TEXT_MAX = ADDR_TEXT + 128 };

/* -- the index ------------------------------------------------------------ */

static uint32_t place_of(const struct members *members, uint64_t id, struct sluice_span text)
{
    uint32_t at = (uint32_t)balance_mix(id) & members->index_mask;

    while (members->index[at] != MEMBER_NONE &&
           !span_equal(members->member[members->index[at]].text, text)) {
        at = (at + 1) & members->index_mask;
    }
    return at;
}

/* At most half full, so that a look ends. */
static void index_open(struct members *members, size_t n)
{
    size_t size = 16;

    while (size < 2 * n) {
        size *= 2;
    }
    members->index = arena_new(&members->arena, size * sizeof(*members->index));
    members->index_mask = (uint32_t)(size - 1);
    memset(members->index, 0xff, size * sizeof(*members->index));
}

struct member *members_find(const struct members *members, struct sluice_span text)
{
    uint32_t index = members->index[place_of(members, balance_hash(text), text)];

    return index == MEMBER_NONE ? NULL : &members->member[index];
}

/* -- one member ------------------------------------------------------------- */

/* In rotation first, then who fails, then who drains. */
static unsigned rank(const struct found_endpoint *facts)
{
    if (facts->weight == 0 || facts->state == FOUND_DRAINING)
        return 2;
    return facts->state == FOUND_FAILING ? 1 : 0;
}

static struct sluice_span name_of(const struct found_endpoint *facts, const struct addr *addr)
{
    if (facts->host.len > 0)
        return facts->host;
    return addr_unix_path(addr) ? SPAN("") : upstream_host_alone(facts->address);
}

/* Nothing when there was no memory for the text. */
static char *put(char *at, struct sluice_span text)
{
    if (text.len > 0)
        memcpy(at, text.ptr, text.len);
    return at + text.len;
}

/* "UPSTREAM ADDRESS" */
static struct sluice_span key_of(struct members *members, struct sluice_span text)
{
    size_t len = members->upstream.len + 1 + text.len;
    char *key = arena_new(&members->arena, len);
    char *at = put(key, members->upstream);

    *at++ = ' ';
    (void)put(at, text);
    return span_make(key, len);
}

/* What is known of the address from before, or from nobody yet. */
static void fill_known(struct members *members, const struct members_recipe *recipe,
                       struct member *member)
{
    const struct member *before =
        recipe->before ? members_find(recipe->before, member->text) : NULL;
    struct sluice_span key;

    member->was = MEMBER_NONE;
    if (before) {
        member->was = (uint32_t)(before - recipe->before->member);
        member->share = share_ref(before->share);
        member->tally = before->tally;
        return;
    }
    key = key_of(members, member->text);
    member->share = shares_get(recipe->shares, members->group, key);
    member->tally = tally_get(shares_tally(recipe->shares), ENDPOINT_TALLY, key,
                              sizeof(struct endpoint_counters));
}

/* False when the address cannot be used, or is there already. */
static bool fill(struct members *members, const struct members_recipe *recipe, size_t n,
                 const struct found_endpoint *facts)
{
    struct member *member = &members->member[n];
    char text[TEXT_MAX];
    uint32_t place;

    if (addr_parse(facts->address, &members->arena, &member->addr))
        return false;
    member->text = arena_copy(&members->arena,
                              span_make(text, addr_format(&member->addr, text, sizeof(text))));
    member->id = balance_hash(member->text);
    place = place_of(members, member->id, member->text);
    if (members->index[place] != MEMBER_NONE) {
        members->n_repeats++;
        return false;
    }
    members->index[place] = (uint32_t)n;
    member->facts = facts;
    member->hash = found_hash_endpoint(facts);
    member->weight = facts->weight;
    member->name = name_of(facts, &member->addr);
    fill_known(members, recipe, member);
    return true;
}

/* -- the set ---------------------------------------------------------------- */

static void fill_all(struct members *members, const struct members_recipe *recipe)
{
    const struct found *found = members->found;
    size_t *const counts[] = {&members->n, &members->n_failing, &members->n_draining};
    size_t n = 0;

    for (unsigned turn = 0; turn < 3; turn++) {
        for (size_t i = 0; i < found->n; i++) {
            if (rank(&found->endpoint[i]) == turn &&
                (!recipe->subset || selection_fits(recipe->subset, &found->endpoint[i])) &&
                fill(members, recipe, n, &found->endpoint[i])) {
                *counts[turn] += 1;
                n++;
            }
        }
    }
}

struct members *members_new(const struct members_recipe *recipe)
{
    struct members *members = alloc_new(sizeof(*members));
    size_t n = recipe->found ? recipe->found->n : 0;

    arena_init(&members->arena, NULL, 0);
    members->refs = 1;
    members->upstream = arena_copy(&members->arena, recipe->upstream);
    members->group = shares_group(recipe->shares, members->upstream);
    members->serial = recipe->serial;
    members->after = recipe->before ? recipe->before->serial : 0;
    members->member = arena_new(&members->arena, (n + 1) * sizeof(*members->member));
    index_open(members, n);
    if (recipe->found) {
        members->found = found_ref(recipe->found);
        fill_all(members, recipe);
    }
    balance_prepare(recipe->balance, members);
    return members;
}

struct members *members_ref(struct members *members)
{
    __atomic_add_fetch(&members->refs, 1, __ATOMIC_RELAXED);
    return members;
}

void members_unref(struct members **members)
{
    struct members *old = *members;

    *members = NULL;
    if (!old || __atomic_sub_fetch(&old->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < members_count(old); i++) {
        share_unref(&old->member[i].share);
    }
    found_unref(&old->found);
    arena_fini(&old->arena);
    alloc_free(old);
}
