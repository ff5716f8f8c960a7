#include "upstream/budget.h"

#include <stddef.h>

enum {
    SLOTS = sizeof(((struct pace *)0)->slot) / sizeof(uint64_t),
    AHEAD_S = 2, /* the clock of another worker's turn may be so much newer than ours */
};

_Static_assert((int)SLOTS > (int)BUDGET_INTERVAL_MAX_S + AHEAD_S,
               "a slot is not used again within an interval");

static uint32_t second_of(uint64_t now_us)
{
    return (uint32_t)(now_us / 1000000);
}

static uint64_t first_of(uint32_t second)
{
    return (uint64_t)second << 32;
}

uint64_t pace_end_us(uint64_t now_us)
{
    return (now_us / 1000000 + 1) * 1000000;
}

uint64_t *pace_note(struct pace *pace, uint64_t now_us)
{
    uint32_t second = second_of(now_us);
    uint64_t *slot = &pace->slot[second % SLOTS];
    uint64_t n = *slot;

    n = (uint32_t)(n >> 32) == second ? n + 1 : first_of(second) + 1;
    __atomic_store_n(slot, n, __ATOMIC_RELAXED);
    return slot;
}

uint64_t pace_sum(const struct pace *pace, uint64_t now_us, uint64_t seconds)
{
    uint32_t newest = second_of(now_us) + AHEAD_S;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < seconds + AHEAD_S && i < SLOTS; i++) {
        uint64_t n = __atomic_load_n(&pace->slot[(newest - i) % SLOTS], __ATOMIC_SEQ_CST);

        if ((uint32_t)(n >> 32) == newest - i)
            sum += (uint32_t)n;
    }
    return sum;
}

uint64_t budget_allowance(const struct budget_rule *rule, uint64_t requests)
{
    uint64_t least = rule->min_per_second * (rule->interval_ms / 1000);
    uint64_t share = (uint64_t)(rule->share * (double)requests);

    return share > least ? share : least;
}

/* Add one to the slot of this second; other threads do the same. */
static void spend(struct pace *spent, uint32_t second)
{
    uint64_t *slot = &spent->slot[second % SLOTS];
    uint64_t seen = __atomic_load_n(slot, __ATOMIC_RELAXED);
    uint64_t next;

    do {
        next = (uint32_t)(seen >> 32) == second ? seen + 1 : first_of(second) + 1;
    } while (
        !__atomic_compare_exchange_n(slot, &seen, next, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
}

/* Take it back, unless the slot has gone on to another second, which has forgotten it. */
static void unspend(struct pace *spent, uint32_t second)
{
    uint64_t *slot = &spent->slot[second % SLOTS];
    uint64_t seen = __atomic_load_n(slot, __ATOMIC_RELAXED);

    while ((uint32_t)(seen >> 32) == second && (uint32_t)seen > 0) {
        if (__atomic_compare_exchange_n(slot, &seen, seen - 1, true, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED))
            return;
    }
}

bool budget_take(struct pace *spent, const struct budget_rule *rule, uint64_t requests,
                 uint64_t now_us)
{
    uint32_t second = second_of(now_us);

    spend(spent, second);
    if (pace_sum(spent, now_us, rule->interval_ms / 1000) <= budget_allowance(rule, requests))
        return true;
    unspend(spent, second);
    return false;
}

/* -- configuration --------------------------------------------------------- */

static const struct shape interval_shape = {.kind = SHAPE_DURATION,
                                            .size = sizeof(uint64_t),
                                            .min = 1000,
                                            .max = UINT64_C(1000) * BUDGET_INTERVAL_MAX_S,
                                            .what = "a duration from 1s to 60s"};
static const struct shape min_shape = {
    .kind = SHAPE_UINT, .size = sizeof(uint64_t), .max = 1000000, .what = "a number up to 1000000"};

static const struct field fields[] = {
    {.name = "share",
     .shape = &shape_ratio,
     .offset = offsetof(struct budget_rule, share),
     .preset = "20%",
     .help = "So many retries and hedges, of the requests of the interval. 100% and a large "
             "min_per_second: as good as no budget."},
    {.name = "min_per_second",
     .shape = &min_shape,
     .offset = offsetof(struct budget_rule, min_per_second),
     .preset = "3",
     .help = "So many for each second of the interval, however few requests there are."},
    {.name = "interval",
     .shape = &interval_shape,
     .offset = offsetof(struct budget_rule, interval_ms),
     .preset = "10s",
     .help = "What is counted: the last so many seconds."},
    {0},
};

static void check(struct bind *bind, const struct tree *node, void *out)
{
    struct budget_rule *rule = out;

    if (rule->interval_ms % 1000 == 0)
        return;
    notes_error(bind->notes, node ? node->at : (struct mark){0}, "write 10s",
                "the interval of a retry budget must be whole seconds");
}

const struct shape budget_shape = {.kind = SHAPE_STRUCT,
                                   .size = sizeof(struct budget_rule),
                                   .fields = fields,
                                   .scalar = "share",
                                   .check = check,
                                   .title = "retry_budget"};
