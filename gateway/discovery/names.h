/*
 * names.h - host names that are asked for as long as somebody wants to know, and what is known
 * of them.
 *
 * A name is asked for again when its answer's life ends (within bounds), and soon after a failure,
 * later each time. What was known stays until there is another answer: a failure takes nothing
 * back, and neither does "there is none".
 *
 * Threads: the loop's.
 */
#ifndef DISCOVERY_NAMES_H
#define DISCOVERY_NAMES_H

#include "base/list.h"
#include "discovery/conf.h"
#include "discovery/resolver.h"

struct loop;
struct name;
struct names;
struct rng;

struct names *names_new(struct loop *loop, struct rng *rng);

/* No name may be wanted any more. */
void names_free(struct names **names);

/* Somebody who wants to know a name; embedded. */
struct name_watch {
    struct list link;
    /* Known, otherwise than before or not, or could not be. Not from inside name_watch_start(). */
    void (*on_news)(struct name_watch *watch);
    struct name *name; /* shared; NULL while not watching */
};

void name_watch_init(struct name_watch *watch, void (*on_news)(struct name_watch *watch));

/* srv: SRV records, else addresses. */
void name_watch_start(struct name_watch *watch, struct names *names, const struct dns_conf *conf,
                      struct sluice_span name, bool srv);

/* Safe when not watching. Not from inside on_news of another watch of the same name. */
void name_watch_stop(struct name_watch *watch);

/* What is known; everything is borrowed until the next event of the loop. */
struct name_news {
    const struct record *record; /* in a fixed order, without repeats */
    size_t n;                    /* 0: nothing is known (yet) */
    uint32_t ttl_s;              /* of the answer */
    uint64_t as_of_wall_us;      /* when that was last true; 0: never */
    bool asked;                  /* there was an answer or a failure */
    const char *why;             /* what the last try failed for; "" when it did not */
};

void name_news(const struct name_watch *watch, struct name_news *news);

#endif /* DISCOVERY_NAMES_H */
