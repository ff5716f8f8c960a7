/*
 * ejector.h - decides which endpoints of one upstream are ejected, once for the process.
 *
 * An accusation by a worker is judged at once; success rates are compared each interval. What is
 * known of an endpoint (its share) outlives the ejector, so an ejection outlives
 * reloads and what the source says.
 *
 * Threads: the control thread's.
 */
#ifndef UPSTREAM_EJECTOR_H
#define UPSTREAM_EJECTOR_H

#include "base/log.h"
#include "core/alarm.h"
#include "upstream/members.h"

struct loop;
struct rng;

/* The fields are private. */
struct ejector {
    struct loop *loop;               /* borrowed */
    struct rng *rng;                 /* borrowed */
    unsigned n_workers;              /* whose counters there are */
    const struct outlier_conf *conf; /* borrowed; NULL: off */
    struct members *members;         /* shared; NULL: off */
    uint64_t interval_ms;            /* as armed */
    struct alarm interval;           /* compares and forgives */
    struct alarm next;               /* the next ejection that is over */
    struct log_gate gate;
};

void ejector_init(struct ejector *ejector, struct loop *loop, struct rng *rng, unsigned n_workers);

/*
 * Judge these members by this configuration from now on; conf (borrowed until the next call) off:
 * nobody is ejected any more.
 */
void ejector_set(struct ejector *ejector, const struct outlier_conf *conf, struct members *members);
void ejector_fini(struct ejector *ejector);

/* Workers accuse it (bits 1 << enum eject_cause). Nothing happens when it is no member. */
void ejector_judge(struct ejector *ejector, struct share *share, uint32_t causes);

/*
 * An active check says that it is well: if the configuration wants that, an ejection ends. The
 * next one lasts longer all the same.
 */
void ejector_absolve(struct ejector *ejector, const struct member *member);

#endif /* UPSTREAM_EJECTOR_H */
