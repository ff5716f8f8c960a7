#include "limit.h"

enum { NS_PER_MS = 1000000 };

struct limit_bucket limit_bucket(uint64_t amount, uint64_t period_ms, uint64_t burst)
{
    uint64_t interval = period_ms * NS_PER_MS / amount;

    return (struct limit_bucket){.interval_ns = interval ? interval : 1, .burst = burst};
}

struct limit_answer limit_take(const struct limit_bucket *bucket, uint64_t *arrival_ns,
                               uint64_t now_ns, uint64_t cost)
{
    uint64_t room_ns = bucket->burst * bucket->interval_ns;
    uint64_t from = *arrival_ns > now_ns ? *arrival_ns : now_ns;
    uint64_t after = from + cost * bucket->interval_ns;
    struct limit_answer answer = {.passed = after - now_ns <= room_ns};

    if (answer.passed) {
        *arrival_ns = after;
    } else {
        answer.retry_ns = cost <= bucket->burst ? after - now_ns - room_ns : 0;
        after = from;
    }
    answer.reset_ns = after - now_ns;
    /* A rule that was made smaller meanwhile can leave a key beyond its room. */
    if (answer.reset_ns < room_ns)
        answer.remaining = (room_ns - answer.reset_ns) / bucket->interval_ns;
    return answer;
}

struct limit_answer limit_slide(uint64_t amount, uint64_t window_ns, uint64_t now_ns,
                                uint64_t before, uint64_t current, uint64_t cost)
{
    uint64_t into = now_ns % window_ns;
    double share = (double)(window_ns - into) / (double)window_ns;
    double used = (double)before * share + (double)current;
    struct limit_answer answer = {.passed = used + (double)cost <= (double)amount,
                                  .reset_ns = window_ns - into};

    if (answer.passed)
        used += (double)cost;
    if (used < (double)amount)
        answer.remaining = (uint64_t)((double)amount - used);
    if (answer.passed)
        return answer;
    /* The last window's share shrinks evenly; if that is not enough, the next window helps. */
    answer.retry_ns = answer.reset_ns;
    if (before > 0 && (double)current + (double)cost <= (double)amount) {
        double excess = used + (double)cost - (double)amount;

        answer.retry_ns = (uint64_t)(excess / (double)before * (double)window_ns) + 1;
    }
    return answer;
}
