/*
 * breaker.h - what the files of circuit_breaker share: its options, and what happens to a circuit.
 */
#ifndef BREAKER_H
#define BREAKER_H

#include "circuit.h"
#include "sluice_plugin.h"

enum { BREAKER_NAME_MAX = 200 /* bytes of a circuit's name; longer ones are not watched */ };

enum breaker_key { BY_UPSTREAM, BY_ROUTE };

struct breaker_fallback {
    uint64_t status;
    struct sluice_span body, content_type;
    const struct sluice_upstream *upstream;
    bool retry_after;
};

struct breaker_conf {
    uint32_t key; /* enum breaker_key */
    uint64_t consecutive_failures;
    double error_ratio, slow_ratio;
    uint64_t slow_ms, window_ms, min_requests;
    struct sluice_list statuses; /* of uint64_t */
    uint64_t open_ms, open_max_ms, probes;
    struct breaker_fallback fallback;
    struct circuit_rules rules;
    uint32_t name; /* attribute */
    struct sluice_words *words;
    struct sluice_metric *transitions, *refused, *probed, *open, *unkept;
};

extern const struct sluice_option breaker_options[];

void breaker_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf_);
bool breaker_start(const struct sluice_host *host, struct sluice_setup *setup, void *conf_);

enum event_kind { EVENT_ENTER, EVENT_JUDGE, EVENT_GIVE_BACK, EVENT_TRIP, EVENT_FORCE };

struct event {
    enum event_kind kind;
    bool was_probe, failed;
    uint32_t trips; /* was_probe: of the circuit when it was let through */
    enum circuit_force force;
    enum circuit_entry entry; /* out, of EVENT_ENTER */
};

/* Let something happen to a circuit, once over all workers. The circuit as it is then. */
struct circuit breaker_change(const struct sluice_call *call, struct sluice_span name,
                              struct event *event);

/* Count what became of a request, and open the circuit when that was too much. */
void breaker_judge(const struct sluice_call *call, struct sluice_span name, bool failed, bool slow);

/* The steady clock as circuits know it. */
uint32_t breaker_now_ms(const struct sluice_call *call);

#endif /* BREAKER_H */
