#include "circuit.h"

/*
 * Bits of the word, from the lowest: state 2, force 2, trips 6, run or probes and passed 20, at
 * 32.
 */
enum { FORCE_AT = 2, TRIPS_AT = 4, RUN_AT = 10, PASSED_AT = 20, TIME_AT = 32 };
enum { TWO_BITS = 3, SIX_BITS = 63, TEN_BITS = 1023, RUN_BITS = (1 << 20) - 1 };

struct circuit circuit_unpack(uint64_t word)
{
    struct circuit circuit = {.state = (enum circuit_state)(word & TWO_BITS),
                              .force = (enum circuit_force)((word >> FORCE_AT) & TWO_BITS),
                              .trips = (uint32_t)((word >> TRIPS_AT) & SIX_BITS),
                              .at_ms = (uint32_t)(word >> TIME_AT)};

    if (circuit.state == CIRCUIT_HALF_OPEN) {
        circuit.probes = (uint32_t)((word >> RUN_AT) & TEN_BITS);
        circuit.passed = (uint32_t)((word >> PASSED_AT) & TEN_BITS);
    } else {
        circuit.run = (uint32_t)((word >> RUN_AT) & RUN_BITS);
    }
    return circuit;
}

uint64_t circuit_pack(const struct circuit *circuit)
{
    uint64_t word = (uint64_t)circuit->state | (uint64_t)circuit->force << FORCE_AT |
                    (uint64_t)circuit->trips << TRIPS_AT | (uint64_t)circuit->at_ms << TIME_AT;

    if (circuit->state == CIRCUIT_HALF_OPEN)
        return word | (uint64_t)circuit->probes << RUN_AT | (uint64_t)circuit->passed << PASSED_AT;
    return word | (uint64_t)circuit->run << RUN_AT;
}

/* Is that moment over? Also right when the 32 bits have begun anew in between. */
static bool is_over(uint32_t at_ms, uint32_t now_ms)
{
    return (int32_t)(now_ms - at_ms) >= 0;
}

static void begin_probing(struct circuit *circuit, uint32_t now_ms)
{
    circuit->state = CIRCUIT_HALF_OPEN;
    circuit->run = 0;
    circuit->probes = 1;
    circuit->passed = 0;
    circuit->at_ms = now_ms;
}

enum circuit_entry circuit_enter(struct circuit *circuit, const struct circuit_rules *rules,
                                 uint32_t now_ms)
{
    if (circuit->force == CIRCUIT_FORCED_CLOSED)
        return CIRCUIT_PASS;
    if (circuit->force == CIRCUIT_FORCED_OPEN)
        return CIRCUIT_REFUSE;
    switch (circuit->state) {
    case CIRCUIT_CLOSED:
        return CIRCUIT_PASS;
    case CIRCUIT_OPEN:
        if (!is_over(circuit->at_ms, now_ms))
            return CIRCUIT_REFUSE;
        begin_probing(circuit, now_ms);
        return CIRCUIT_PROBE;
    case CIRCUIT_HALF_OPEN:
        /* Never more at once than are still needed: no storm on what has just come back. */
        if (circuit->probes + circuit->passed >= rules->probes) {
            if (circuit->probes == 0 || !is_over(circuit->at_ms + rules->probe_lost_ms, now_ms))
                return CIRCUIT_REFUSE;
            circuit->probes = 0;
        }
        circuit->probes++;
        circuit->at_ms = now_ms;
        return CIRCUIT_PROBE;
    }
    return CIRCUIT_REFUSE;
}

void circuit_trip(struct circuit *circuit, const struct circuit_rules *rules, uint32_t now_ms,
                  uint64_t chance)
{
    uint64_t ms = rules->open_ms;

    for (uint32_t i = 0; i < circuit->trips && ms < rules->open_max_ms; i++) {
        ms *= 2;
    }
    if (ms > rules->open_max_ms)
        ms = rules->open_max_ms;
    ms += chance % (ms / 4 + 1); /* gateways of a fleet shall not come back in step */
    circuit->state = CIRCUIT_OPEN;
    circuit->run = circuit->probes = circuit->passed = 0;
    if (circuit->trips < CIRCUIT_TRIPS_MAX)
        circuit->trips++;
    circuit->at_ms = now_ms + (uint32_t)ms;
}

static void judge_probe(struct circuit *circuit, const struct circuit_rules *rules, bool failed,
                        uint32_t now_ms, uint64_t chance)
{
    if (circuit->state != CIRCUIT_HALF_OPEN || circuit->probes == 0)
        return; /* others have decided, or it was given up for lost */
    if (failed) {
        circuit_trip(circuit, rules, now_ms, chance);
        return;
    }
    circuit->probes--;
    circuit->passed++;
    if (circuit->passed >= rules->probes)
        *circuit = (struct circuit){.force = circuit->force, .at_ms = now_ms};
}

void circuit_judge(struct circuit *circuit, const struct circuit_rules *rules, bool was_probe,
                   bool failed, uint32_t now_ms, uint64_t chance)
{
    if (was_probe) {
        judge_probe(circuit, rules, failed, now_ms, chance);
        return;
    }
    if (circuit->state != CIRCUIT_CLOSED)
        return; /* it began before the circuit opened */
    if (!failed) {
        circuit->run = 0;
    } else if (circuit->run < CIRCUIT_RUN_MAX) {
        circuit->run++;
    }
}

void circuit_give_back(struct circuit *circuit)
{
    if (circuit->state == CIRCUIT_HALF_OPEN && circuit->probes > 0)
        circuit->probes--;
}

uint32_t circuit_wait_ms(const struct circuit *circuit, uint32_t now_ms)
{
    if (circuit->state != CIRCUIT_OPEN || is_over(circuit->at_ms, now_ms))
        return 0;
    return circuit->at_ms - now_ms;
}

const char *circuit_state_name(const struct circuit *circuit)
{
    static const char *const names[] = {"closed", "open", "half_open"};

    if (circuit->force == CIRCUIT_FORCED_OPEN)
        return "forced_open";
    if (circuit->force == CIRCUIT_FORCED_CLOSED)
        return "forced_closed";
    return names[circuit->state];
}
