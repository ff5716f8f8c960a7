/*
 * levels.h - how requests are shared out over the priorities of an upstream: arithmetic alone.
 *
 * A level is all endpoints of one priority. It is as healthy as the part of its endpoints that is
 * well, times the overprovisioning: at 140% a level takes all requests until fewer than 1/1.4 (71%)
 * of its endpoints are well; what it cannot take goes to the next level, and so on. When
 * all levels together cannot take everything, each takes its part of what they can, and a
 * level whose well part is below the panic threshold sends requests to all its endpoints.
 *
 * Threads: the caller's; all is plain memory.
 */
#ifndef UPSTREAM_LEVELS_H
#define UPSTREAM_LEVELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LEVELS_MAX = 128,     /* of one upstream; what is beyond belongs to the last */
    LEVELS_WHOLE = 10000, /* all requests */
};

struct levels_rule {
    uint64_t panic_percent;            /* 0: never */
    uint64_t overprovisioning_percent; /* 100 and above */
};

struct level {
    uint32_t priority;
    uint64_t n, n_well; /* endpoints, whoever fails included */
    uint32_t share;     /* of LEVELS_WHOLE; what the functions below say */
    bool panic;
};

/* The level of a priority; the table is in their order and gets a new one when there is none. */
struct level *levels_find(struct level level[LEVELS_MAX], size_t *n_levels, uint32_t priority);

/*
 * Say share and panic of each. The shares add up to LEVELS_WHOLE, or to 0 when nobody may be
 * asked: nobody is well and there is no panic.
 */
void levels_share(const struct levels_rule *rule, struct level *level, size_t n_levels);

/* The weights of a level's endpoints that are well. */
struct zone_weights {
    uint64_t near, all; /* in our own zone, and everywhere */
    uint64_t n_zones;   /* how many different ones there are */
};

/*
 * The part, of LEVELS_WHOLE, of a level's requests that stays in our own zone. Gateways are taken
 * to be spread evenly over the zones: ours may take its own zone's capacity up to one part in
 * n_zones of the whole, and what is beyond goes elsewhere.
 */
uint32_t levels_near_part(const struct zone_weights *weights);

#endif /* UPSTREAM_LEVELS_H */
