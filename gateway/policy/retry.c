#include "policy/retry.h"

#define NAME(symbol, name) [RETRY_##symbol] = (name),
const char *retry_cause_name(enum retry_cause cause)
{
    static const char *const names[] = {RETRY_CAUSES(NAME)};

    return names[cause];
}
#undef NAME

bool retry_names_status(const struct retry_rule *rule, unsigned status)
{
    unsigned bit = status - RETRY_STATUS_FIRST;

    return status >= RETRY_STATUS_FIRST && status <= RETRY_STATUS_LAST &&
           (rule->status_bits[bit / 64] >> (bit % 64) & 1) != 0;
}

static bool names(const struct retry_rule *rule, const struct retry_case *it)
{
    if (it->cause == RETRY_GRPC)
        return (rule->grpc_bits >> it->status & 1) != 0;
    return it->cause == RETRY_STATUS ? retry_names_status(rule, it->status)
                                     : (rule->causes >> it->cause & 1) != 0;
}

static bool names_method(const struct retry_rule *rule, enum method method)
{
    return (rule->method_bits >> method & 1) != 0;
}

bool retry_may_resend(const struct retry_rule *rule, enum method method)
{
    return rule->attempts > 0 && names_method(rule, method);
}

/* Not processed, or a status that is only named on purpose, as all calls of gRPC are POST. */
static bool any_method(enum retry_cause cause)
{
    return cause == RETRY_REFUSED || cause == RETRY_GRPC;
}

enum retry_answer retry_decide(const struct retry_rule *rule, const struct retry_case *it)
{
    if (!names(rule, it))
        return RETRY_NOT_NAMED;
    if (it->retries >= rule->attempts)
        return RETRY_NO_ATTEMPT_LEFT;
    if (!it->unsent && !any_method(it->cause) && !names_method(rule, it->method))
        return RETRY_NOT_THE_METHOD;
    if (!it->unsent && !it->whole)
        return RETRY_CONTENT_GONE;
    return RETRY_GO;
}

uint64_t retry_pause_ms(const struct retry_backoff *backoff, unsigned n, uint64_t random)
{
    uint64_t top = backoff->base_ms;

    for (unsigned i = 0; i < n && top < backoff->max_ms; i++) {
        top *= 2;
    }
    if (top > backoff->max_ms)
        top = backoff->max_ms;
    return random % (top + 1);
}

bool retry_after_ms(const struct retry_backoff *backoff, struct sluice_span retry_after,
                    uint64_t *pause_ms)
{
    uint64_t seconds;

    if (span_number(retry_after, backoff->max_ms / 1000, &seconds))
        return false;
    if (*pause_ms < seconds * 1000)
        *pause_ms = seconds * 1000;
    return true;
}

bool retry_pushback_ms(struct sluice_span pushback, uint64_t max_ms, uint64_t *pause_ms)
{
    bool has_zeros = pushback.len > 1 && *pushback.ptr == '0';

    return !has_zeros &&
           span_number(pushback, max_ms < INT32_MAX ? max_ms : INT32_MAX, pause_ms) == OK;
}
