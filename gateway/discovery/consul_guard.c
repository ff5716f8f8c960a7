#include "discovery/consul_guard.h"

enum { DELAY_MIN_MS = 1000, DELAY_SPREAD_MS = 2000, DELAY_MAX_MS = 30000 };

static enum consul_guard_verdict hold(struct consul_guard *guard, uint64_t now_us,
                                      enum consul_guard_verdict why)
{
    if (guard->held_us == 0)
        guard->held_us = now_us;
    guard->reads++;
    return why;
}

static double share_lost(const struct consul_guard_question *question)
{
    if (question->n_new >= question->n_known)
        return 0;
    return 1 - (double)question->n_new / (double)question->n_known;
}

/* Has a second read, and all the time that is to be given, said the same? */
static bool is_certain(const struct consul_guard *guard, const struct consul_guard_rules *rules,
                       const struct consul_guard_question *question)
{
    if (!question->confirms || guard->held_us == 0)
        return false;
    if (share_lost(question) > 0.5 && question->now_us < guard->held_us + rules->grace_ms * 1000)
        return false;
    return question->n_new > 0 || question->now_us >= question->suspect_till_us;
}

enum consul_guard_verdict consul_guard_judge(struct consul_guard *guard,
                                             const struct consul_guard_rules *rules,
                                             const struct consul_guard_question *question)
{
    bool empty = question->n_new == 0;
    bool small = share_lost(question) > rules->shrink || (empty && question->n_known > 0);

    if (question->hidden && (small || empty))
        return hold(guard, question->now_us, GUARD_HIDDEN);
    if (small && empty && rules->on_empty == CONSUL_EMPTY_KEEP)
        return hold(guard, question->now_us, GUARD_EMPTY);
    if (small && empty && rules->on_empty == CONSUL_EMPTY_ACCEPT)
        small = false;
    if (small && !is_certain(guard, rules, question))
        return hold(guard, question->now_us, empty ? GUARD_EMPTY : GUARD_SHRUNK);
    *guard = (struct consul_guard){0};
    return GUARD_PASS;
}

uint64_t consul_guard_delay(const struct consul_guard *guard, struct rng *rng)
{
    uint64_t ms = DELAY_MIN_MS + rng_below(rng, DELAY_SPREAD_MS + 1);

    for (unsigned i = 4; i < guard->reads && ms < DELAY_MAX_MS; i++)
        ms *= 2;
    return ms < DELAY_MAX_MS ? ms : DELAY_MAX_MS;
}

const char *consul_guard_name(enum consul_guard_verdict verdict)
{
    static const char *const names[] = {
        [GUARD_PASS] = "none",
        [GUARD_EMPTY] = "empty",
        [GUARD_SHRUNK] = "shrunk",
        [GUARD_HIDDEN] = "hidden",
    };

    return names[verdict];
}
