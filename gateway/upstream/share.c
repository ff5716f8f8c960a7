#include "upstream/share.h"

#include "base/alloc.h"
#include "base/list.h"
#include "base/map.h"

struct shares {
    struct map *by_key;   /* owned, of owned struct share */
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

struct share *shares_get(struct shares *shares, struct share_group *group, struct sluice_span key)
{
    struct share *share = map_find(shares->by_key, key);

    if (!share) {
        share = alloc_new(sizeof(*share));
        share->group = group;
        map_set(shares->by_key, key, share);
    }
    return share;
}

bool share_set(struct share *share, enum share_cause cause, bool on)
{
    uint32_t old = share_state(share);
    uint32_t state = on ? old | (uint32_t)cause : old & ~(uint32_t)cause;

    if (state == old)
        return false;
    __atomic_store_n(&share->state, state, __ATOMIC_RELAXED);
    __atomic_add_fetch(&share->group->version, 1, __ATOMIC_RELEASE);
    return true;
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
