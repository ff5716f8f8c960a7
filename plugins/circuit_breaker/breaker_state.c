/*
 * breaker_state.c - what has happened to a circuit, in words that all workers share.
 *
 * A circuit is one word (circuit.h); what was answered lately is counted in one word for each
 * tenth of the window, each forgotten when it is of no use any more.
 */
#include "breaker.h"

#include <string.h>

enum {
    SLICES = 10, /* of the window */
    SWAPS_MAX = 1000,
    /* Moments are told apart within half of 32 bits, 24 days (circuit.h): less, by an open time. */
    STATE_TTL_MS = 20 * 24 * 60 * 60 * 1000,
};

uint32_t breaker_now_ms(const struct sluice_call *call)
{
    return (uint32_t)(call->host->now_us(call) / 1000);
}

static void happen(const struct sluice_call *call, struct event *event, struct circuit *circuit)
{
    const struct breaker_conf *conf = call->conf;
    bool is_late = event->was_probe && circuit->trips != event->trips;

    switch (event->kind) {
    case EVENT_ENTER:
        event->entry = circuit_enter(circuit, &conf->rules, breaker_now_ms(call));
        return;
    case EVENT_JUDGE:
        if (!is_late) {
            circuit_judge(circuit, &conf->rules, event->was_probe, event->failed,
                          breaker_now_ms(call), call->host->random(call));
        }
        return;
    case EVENT_GIVE_BACK:
        if (!is_late)
            circuit_give_back(circuit);
        return;
    case EVENT_TRIP:
        if (circuit->state == CIRCUIT_CLOSED)
            circuit_trip(circuit, &conf->rules, breaker_now_ms(call), call->host->random(call));
        return;
    case EVENT_FORCE:
        circuit->force = event->force;
        return;
    }
}

/* Whoever forces it has the last word. */
static bool keeps_away(const struct circuit *circuit)
{
    if (circuit->force != CIRCUIT_AUTO)
        return circuit->force == CIRCUIT_FORCED_OPEN;
    return circuit->state != CIRCUIT_CLOSED;
}

/* The one who made a transition tells it: so it is counted once. */
static void tell(const struct sluice_call *call, struct sluice_span name,
                 const struct circuit *before, const struct circuit *after)
{
    const struct breaker_conf *conf = call->conf;
    const char *state = circuit_state_name(after);
    const struct sluice_span labels[] = {name, {state, strlen(state)}};
    const struct sluice_pair pairs[] = {{SLUICE_SPAN("circuit"), name},
                                        {SLUICE_SPAN("state"), labels[1]}};
    bool was_shut = keeps_away(before), is_shut = keeps_away(after);

    if (before->state == after->state && before->force == after->force)
        return;
    call->host->metric_add(call, conf->transitions, labels, 1);
    if (was_shut != is_shut)
        call->host->metric_add(call, conf->open, labels, is_shut ? 1 : -1);
    call->host->log(call, is_shut ? SLUICE_LOG_WARN : SLUICE_LOG_INFO, "circuit changed", pairs, 2);
}

/* Let something happen to a circuit. The circuit as it is then. */
struct circuit breaker_change(const struct sluice_call *call, struct sluice_span name,
                              struct event *event)
{
    const struct breaker_conf *conf = call->conf;
    uint64_t old = call->host->words_get(conf->words, name);

    for (unsigned i = 0; i < SWAPS_MAX; i++) {
        struct circuit before = circuit_unpack(old), after = before;
        uint64_t word;
        enum sluice_shared end;

        happen(call, event, &after);
        word = circuit_pack(&after);
        if (word == old)
            return after;
        end = call->host->words_swap(conf->words, name, &old, word, STATE_TTL_MS);
        if (end == SLUICE_SHARED_OK) {
            tell(call, name, &before, &after);
            return after;
        }
        if (end != SLUICE_SHARED_OTHER)
            break;
    }
    call->host->metric_add(call, conf->unkept, NULL, 1);
    return circuit_unpack(old);
}

/* -- the window --------------------------------------------------------------- */

/* Since a circuit closed anew, nothing of before counts: since_ms is in the key. */
static size_t window_key(char *key, char kind, uint32_t since_ms, uint32_t slice,
                         struct sluice_span name)
{
    char *at = key;

    *at++ = kind;
    memcpy(at, &since_ms, sizeof(since_ms));
    at += sizeof(since_ms);
    memcpy(at, &slice, sizeof(slice));
    at += sizeof(slice);
    memcpy(at, name.ptr, name.len);
    return (size_t)(at - key) + name.len;
}

static void count(const struct sluice_call *call, const struct circuit *circuit, char kind,
                  struct sluice_span name)
{
    const struct breaker_conf *conf = call->conf;
    char key[BREAKER_NAME_MAX + 16];
    uint32_t slice = breaker_now_ms(call) / (uint32_t)(conf->window_ms / SLICES);
    size_t len = window_key(key, kind, circuit->at_ms, slice, name);
    uint64_t sum;

    if (call->host->words_add(conf->words, (struct sluice_span){key, len}, 1,
                              (uint32_t)conf->window_ms * 2, &sum) != SLUICE_SHARED_OK)
        call->host->metric_add(call, conf->unkept, NULL, 1);
}

static uint64_t window_sum(const struct sluice_call *call, const struct circuit *circuit, char kind,
                           struct sluice_span name)
{
    const struct breaker_conf *conf = call->conf;
    uint32_t slice = breaker_now_ms(call) / (uint32_t)(conf->window_ms / SLICES);
    uint64_t sum = 0;

    for (uint32_t i = 0; i < SLICES; i++) {
        char key[BREAKER_NAME_MAX + 16];
        size_t len = window_key(key, kind, circuit->at_ms, slice - i, name);

        sum += call->host->words_get(conf->words, (struct sluice_span){key, len});
    }
    return sum;
}

static bool is_too_bad(const struct sluice_call *call, const struct circuit *circuit,
                       struct sluice_span name)
{
    const struct breaker_conf *conf = call->conf;
    double total;

    if (conf->consecutive_failures > 0 && circuit->run >= conf->consecutive_failures)
        return true;
    total = (double)window_sum(call, circuit, 't', name);
    if (total < (double)conf->min_requests)
        return false;
    if (conf->error_ratio > 0 &&
        (double)window_sum(call, circuit, 'f', name) >= conf->error_ratio * total)
        return true;
    return conf->slow_ratio > 0 &&
           (double)window_sum(call, circuit, 's', name) >= conf->slow_ratio * total;
}

void breaker_judge(const struct sluice_call *call, struct sluice_span name, bool failed, bool slow)
{
    struct event event = {.kind = EVENT_JUDGE, .failed = failed};
    struct event trip = {.kind = EVENT_TRIP};
    struct circuit circuit = breaker_change(call, name, &event);

    if (circuit.state != CIRCUIT_CLOSED)
        return;
    count(call, &circuit, 't', name);
    if (failed)
        count(call, &circuit, 'f', name);
    if (slow)
        count(call, &circuit, 's', name);
    if ((failed || slow) && is_too_bad(call, &circuit, name))
        breaker_change(call, name, &trip);
}
