#include "discovery/consul_pace.h"

/* Doubles each time that patience ends. */
static uint64_t token_ms(const struct consul_pace *pace)
{
    uint64_t ms = CONSUL_PACE_MS;

    for (unsigned n = pace->waits; n >= CONSUL_PACE_PATIENCE && ms < CONSUL_PACE_SLOW_MS;
         n -= CONSUL_PACE_PATIENCE)
        ms *= 2;
    return ms < CONSUL_PACE_SLOW_MS ? ms : CONSUL_PACE_SLOW_MS;
}

/* A bucket as one moment: it is empty when that is BURST tokens away. */
uint64_t consul_pace_take(struct consul_pace *pace, uint64_t now_us)
{
    uint64_t token_us, room_us, wait_us;

    if (pace->full_at_us <= now_us) {
        pace->full_at_us = now_us;
        pace->waits = 0;
    }
    token_us = token_ms(pace) * 1000;
    room_us = (CONSUL_PACE_BURST - 1) * token_us;
    wait_us = pace->full_at_us > now_us + room_us ? pace->full_at_us - now_us - room_us : 0;
    pace->full_at_us += token_us;
    if (wait_us > 0)
        pace->waits++;
    return (wait_us + 999) / 1000;
}

uint64_t consul_pace_backoff(unsigned errors, struct rng *rng)
{
    uint64_t bound_ms = CONSUL_BACKOFF_MS;

    for (unsigned i = 1; i < errors && bound_ms < CONSUL_BACKOFF_MAX_MS; i++)
        bound_ms *= 2;
    if (bound_ms > CONSUL_BACKOFF_MAX_MS)
        bound_ms = CONSUL_BACKOFF_MAX_MS;
    return rng_below(rng, bound_ms) + 1;
}
