#include "upstream/share.h"

#include "base/alloc.h"
#include "base/list.h"
#include "base/map.h"

enum { UNUSED_MAX = 4096 /* kept at least, when there are few others */ };

struct shares {
    struct map *by_key;   /* owned, of owned struct share */
    size_t sweep_at;      /* so many shares: look which are unused */
    struct map *by_group; /* owned, of owned struct share_group, by the upstream's name */
    struct tally *tally;  /* borrowed */
    share_accused_fn *accused;
    void *accused_arg; /* borrowed, outlives us */
};

const char *share_cause_text(enum share_cause cause)
{
    switch (cause) {
#define SHARE_CAUSE_TEXT(symbol, bit, text)                                                        \
    case SHARE_##symbol:                                                                           \
        return (text);
        SHARE_CAUSES(SHARE_CAUSE_TEXT)
#undef SHARE_CAUSE_TEXT
    }
    return "";
}

struct shares *shares_new(struct tally *tally)
{
    struct shares *shares = alloc_new(sizeof(*shares));

    shares->by_key = map_new();
    shares->by_group = map_new();
    shares->tally = tally;
    shares->sweep_at = UNUSED_MAX;
    return shares;
}

void shares_free(struct shares **shares)
{
    struct sluice_span name;
    void *value;

    if (!*shares)
        return;
    for (size_t at = 0; map_each((*shares)->by_key, &at, &name, &value);) {
        alloc_free(value);
    }
    for (size_t at = 0; map_each((*shares)->by_group, &at, &name, &value);) {
        struct share_group *group = value;

        alloc_free(group->name);
        alloc_free(group);
    }
    map_free(&(*shares)->by_key);
    map_free(&(*shares)->by_group);
    alloc_free(*shares);
    *shares = NULL;
}

void shares_on_accused(struct shares *shares, share_accused_fn *accused, void *arg)
{
    shares->accused = accused;
    shares->accused_arg = arg;
}

struct tally *shares_tally(const struct shares *shares)
{
    return shares->tally;
}

struct share_group *shares_group(struct shares *shares, struct sluice_span upstream)
{
    struct share_group *group = map_find(shares->by_group, upstream);

    if (!group) {
        group = alloc_new(sizeof(*group));
        group->name = alloc_text(upstream.ptr, upstream.len);
        group->all = shares;
        map_set(shares->by_group, upstream, group);
    }
    return group;
}

size_t shares_count(const struct shares *shares)
{
    return map_count(shares->by_key);
}

/* A letter that is under way, and a check, would miss it. */
static bool is_unused(const struct share *share)
{
    return __atomic_load_n(&share->refs, __ATOMIC_ACQUIRE) == 0 &&
           __atomic_load_n(&share->accused, __ATOMIC_ACQUIRE) == 0 && !share->patient;
}

/* Forget what nobody names any more; next time when there are twice as many as are left. */
static void sweep(struct shares *shares)
{
    struct map *kept = map_new();
    struct sluice_span key;
    void *share;

    for (size_t at = 0; map_each(shares->by_key, &at, &key, &share);) {
        if (is_unused(share)) {
            alloc_free(share);
        } else {
            map_set(kept, key, share);
        }
    }
    map_free(&shares->by_key);
    shares->by_key = kept;
    shares->sweep_at = 2 * map_count(kept) + UNUSED_MAX;
}

struct share *shares_get(struct shares *shares, struct share_group *group, struct sluice_span key)
{
    struct share *share = map_find(shares->by_key, key);

    if (!share) {
        if (map_count(shares->by_key) >= shares->sweep_at)
            sweep(shares);
        share = alloc_new(sizeof(*share));
        share->group = group;
        map_set(shares->by_key, key, share);
    }
    __atomic_add_fetch(&share->refs, 1, __ATOMIC_RELAXED);
    return share;
}

struct share *share_ref(struct share *share)
{
    __atomic_add_fetch(&share->refs, 1, __ATOMIC_RELAXED);
    return share;
}

void share_unref(struct share **share)
{
    struct share *old = *share;

    *share = NULL;
    if (old)
        __atomic_sub_fetch(&old->refs, 1, __ATOMIC_RELEASE);
}

bool share_set(struct share *share, enum share_cause cause, bool on)
{
    uint32_t old = share_state(share);
    uint32_t state = on ? old | (uint32_t)cause : old & ~(uint32_t)cause;

    if (state == old)
        return false;
    __atomic_store_n(&share->state, state, __ATOMIC_RELAXED);
    __atomic_add_fetch(&share->group->version, 1, __ATOMIC_RELEASE);
    if (share->group->on_state)
        share->group->on_state(share->group->on_state_arg);
    return true;
}

void share_group_on_state(struct share_group *group, void (*on_state)(void *arg), void *arg)
{
    group->on_state = on_state;
    group->on_state_arg = arg;
}

void share_accuse(struct share *share, enum eject_cause cause)
{
    const struct shares *all = share->group->all;
    uint32_t before = __atomic_fetch_or(&share->accused, 1u << cause, __ATOMIC_ACQ_REL);

    if (before == 0 && all->accused)
        all->accused(all->accused_arg, &share->letter);
}

struct share *share_of_letter(struct letter *letter)
{
    return list_entry(letter, struct share, letter);
}

uint32_t share_take_accused(struct share *share)
{
    return __atomic_exchange_n(&share->accused, 0, __ATOMIC_ACQ_REL);
}
