#include "upstream/share.h"

#include "base/alloc.h"
#include "base/map.h"

struct shares {
    struct map *by_key;   /* owned, of owned struct share */
    struct map *by_group; /* owned, of owned struct share_group, by the upstream's name */
    struct tally *tally;  /* borrowed */
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

static void free_all(struct map **map)
{
    struct sluice_span name;
    void *value;
    size_t at = 0;

    while (map_each(*map, &at, &name, &value)) {
        alloc_free(value);
    }
    map_free(map);
}

void shares_free(struct shares **shares)
{
    if (!*shares)
        return;
    free_all(&(*shares)->by_key);
    free_all(&(*shares)->by_group);
    alloc_free(*shares);
    *shares = NULL;
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
