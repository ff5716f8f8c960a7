#include "upstream/levels.h"

#include <string.h>

struct level *levels_find(struct level level[LEVELS_MAX], size_t *n_levels, uint32_t priority)
{
    size_t low = 0;
    size_t high = *n_levels;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (level[middle].priority >= priority) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    if (low < *n_levels && level[low].priority == priority)
        return &level[low];
    if (*n_levels == LEVELS_MAX)
        return &level[low < LEVELS_MAX ? low : LEVELS_MAX - 1];
    memmove(&level[low + 1], &level[low], (*n_levels - low) * sizeof(*level));
    level[low] = (struct level){.priority = priority};
    (*n_levels)++;
    return &level[low];
}

/* The part of all requests that a level can take, of LEVELS_WHOLE. */
static uint64_t capacity_of(const struct levels_rule *rule, const struct level *level)
{
    uint64_t capacity;

    if (level->n == 0)
        return 0;
    capacity = level->n_well * rule->overprovisioning_percent * (LEVELS_WHOLE / 100) / level->n;
    if (capacity == 0 && level->n_well > 0)
        return 1; /* one of very many */
    return capacity < LEVELS_WHOLE ? capacity : LEVELS_WHOLE;
}

static bool is_below_threshold(const struct levels_rule *rule, const struct level *level)
{
    return level->n_well * 100 < rule->panic_percent * level->n;
}

/* By capacity, the first as much as it can take. */
static void share_by_capacity(const struct levels_rule *rule, struct level *level, size_t n_levels,
                              uint64_t sum)
{
    uint64_t left = LEVELS_WHOLE;
    struct level *first = NULL;

    for (size_t i = 0; i < n_levels; i++) {
        uint64_t share = capacity_of(rule, &level[i]) * LEVELS_WHOLE / sum;

        if (share > left)
            share = left;
        level[i].share = (uint32_t)share;
        left -= share;
        if (!first && share > 0)
            first = &level[i];
    }
    if (first)
        first->share += (uint32_t)left; /* what rounding has left over */
}

/* All are in panic: nobody knows better than that each endpoint is as good as the others. */
static void share_by_size(struct level *level, size_t n_levels)
{
    uint64_t n = 0;
    uint64_t left = LEVELS_WHOLE;

    for (size_t i = 0; i < n_levels; i++) {
        n += level[i].n;
    }
    for (size_t i = 0; n > 0 && i < n_levels; i++) {
        level[i].share = (uint32_t)(level[i].n * LEVELS_WHOLE / n);
        left -= level[i].share;
    }
    if (n > 0)
        level[0].share += (uint32_t)left;
}

void levels_share(const struct levels_rule *rule, struct level *level, size_t n_levels)
{
    uint64_t sum = 0;
    size_t n_panic = 0;

    for (size_t i = 0; i < n_levels; i++) {
        level[i].share = 0;
        sum += capacity_of(rule, &level[i]);
    }
    if (sum > LEVELS_WHOLE)
        sum = LEVELS_WHOLE;
    for (size_t i = 0; i < n_levels; i++) {
        level[i].panic = sum < LEVELS_WHOLE && is_below_threshold(rule, &level[i]);
        n_panic += level[i].panic;
    }
    if (n_panic > 0 && n_panic == n_levels) {
        share_by_size(level, n_levels);
    } else if (sum > 0) {
        share_by_capacity(rule, level, n_levels, sum);
    }
}

uint32_t levels_near_part(const struct zone_weights *weights)
{
    uint64_t part;

    if (weights->all == 0)
        return 0;
    part = weights->near * weights->n_zones * LEVELS_WHOLE / weights->all;
    return part < LEVELS_WHOLE ? (uint32_t)part : LEVELS_WHOLE;
}
