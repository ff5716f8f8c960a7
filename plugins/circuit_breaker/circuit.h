/*
 * circuit.h - the state of one circuit, packed into one shared 64-bit word.
 *
 * Pure: a word and an event give the next word. Who stores it (compare-and-swap over all
 * workers) tries again when another was quicker, so every transition happens once.
 *
 *   CLOSED > OPEN > HALF_OPEN > CLOSED
 *              \_______/
 *
 *   from        to          by
 *   CLOSED      OPEN        circuit_trip
 *   OPEN        HALF_OPEN   circuit_enter, when the open time is over: the first probe
 *   HALF_OPEN   CLOSED      circuit_judge, when enough probes went well
 *   HALF_OPEN   OPEN        circuit_judge, when a probe failed; for longer than before
 *
 * Times are milliseconds of the steady clock, cut to 32 bits; an open time is far shorter than
 * half of that.
 */
#ifndef CIRCUIT_H
#define CIRCUIT_H

#include <stdbool.h>
#include <stdint.h>

enum circuit_state { CIRCUIT_CLOSED, CIRCUIT_OPEN, CIRCUIT_HALF_OPEN };
enum circuit_force { CIRCUIT_AUTO, CIRCUIT_FORCED_OPEN, CIRCUIT_FORCED_CLOSED };

enum { CIRCUIT_PROBES_MAX = 1000, CIRCUIT_RUN_MAX = 1000000, CIRCUIT_TRIPS_MAX = 63 };

/* A word, opened. All zero: closed, nothing known. */
struct circuit {
    enum circuit_state state;
    enum circuit_force force;
    uint32_t trips;  /* how often it opened in a row */
    uint32_t run;    /* CLOSED: failures in a row */
    uint32_t probes; /* HALF_OPEN: let through and not judged yet */
    uint32_t passed; /* HALF_OPEN: judged, and good */
    /* CLOSED: since when (0: ever); OPEN: until when; HALF_OPEN: when the last probe went */
    uint32_t at_ms;
};

/* The rules that a word is read by. */
struct circuit_rules {
    uint32_t probes;        /* at once, and good ones needed to close; at least 1 */
    uint32_t open_ms;       /* of the first time */
    uint32_t open_max_ms;   /* it doubles up to this */
    uint32_t probe_lost_ms; /* a probe that nobody judged for so long is forgotten */
};

struct circuit circuit_unpack(uint64_t word);
uint64_t circuit_pack(const struct circuit *circuit);

enum circuit_entry { CIRCUIT_PASS, CIRCUIT_PROBE, CIRCUIT_REFUSE };

/* May a request go? Changes *circuit when it becomes a probe. */
enum circuit_entry circuit_enter(struct circuit *circuit, const struct circuit_rules *rules,
                                 uint32_t now_ms);

/*
 * What became of a request that was let through: *circuit changes, or stays as it is. chance: 64
 * random bits, for the jitter of the open time.
 */
void circuit_judge(struct circuit *circuit, const struct circuit_rules *rules, bool was_probe,
                   bool failed, uint32_t now_ms, uint64_t chance);

/* A probe ended without saying anything about the upstream: another may go. */
void circuit_give_back(struct circuit *circuit);

/* Open it: too many failures. */
void circuit_trip(struct circuit *circuit, const struct circuit_rules *rules, uint32_t now_ms,
                  uint64_t chance);

/* Milliseconds until a probe may go; 0: now, or it is not open. */
uint32_t circuit_wait_ms(const struct circuit *circuit, uint32_t now_ms);

const char *circuit_state_name(const struct circuit *circuit);

#endif /* CIRCUIT_H */
