/*
 * eject.h - when an endpoint that fails is taken out, and for how long: arithmetic without a clock.
 *
 *   IN ---> OUT: ejection_begin, when a detector accuses it and the cap allows it
 *   OUT --> IN:  ejection_end, when its time is over or detection is turned off
 *
 * The first ejection lasts the base time, each next one so much longer, up to a maximum; every
 * interval that an endpoint stays in takes one back.
 *
 * Threads: the caller's; all is plain memory.
 */
#ifndef UPSTREAM_EJECT_H
#define UPSTREAM_EJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct outlier_conf;

/* What an endpoint is ejected for. X(symbol, metric label) */
#define EJECT_CAUSES(X)                                                                            \
    X(5XX, "consecutive_5xx")                                                                      \
    X(GATEWAY, "consecutive_gateway_failure")                                                      \
    X(LOCAL, "consecutive_local_origin_failure")                                                   \
    X(SUCCESS_RATE, "success_rate")                                                                \
    X(FAILURE_PERCENTAGE, "failure_percentage")

#define EJECT_CAUSE_MEMBER(symbol, text) EJECT_##symbol,
enum eject_cause { EJECT_CAUSES(EJECT_CAUSE_MEMBER) EJECT_CAUSE_COUNT };
#undef EJECT_CAUSE_MEMBER

/* The metric label; a static string. */
const char *eject_cause_text(enum eject_cause cause);

/* Of one endpoint. Zero bytes: never ejected. */
struct ejection {
    uint64_t until_us; /* 0: it is in */
    uint64_t since_us; /* when the last ejection began */
    uint32_t times;    /* ejections that are not taken back yet */
    enum eject_cause cause;
};

/*
 * May one more of n endpoints be ejected, when n_ejected are already and n_well may be picked? One
 * always may, and none may be the last that is left.
 */
bool ejection_is_allowed(const struct outlier_conf *conf, size_t n, size_t n_ejected,
                         size_t n_well);

/* random: any number, the jitter comes from it. Times are microseconds of one clock. */
void ejection_begin(struct ejection *ejection, const struct outlier_conf *conf,
                    enum eject_cause cause, uint64_t now_us, uint64_t random);
void ejection_end(struct ejection *ejection);
bool ejection_is_over(const struct ejection *ejection, uint64_t now_us);

/* An interval has ended. */
void ejection_forgive(struct ejection *ejection);

/* -- compared with the others ---------------------------------------------- */

/* How the tries of an interval on one endpoint ended. */
struct eject_sample {
    uint64_t good, bad;
};

enum { EJECT_NOBODY = -1 };

/*
 * The success rate (0 to 1) below which an endpoint stands out; EJECT_NOBODY when too few had
 * enough requests. eject_has_volume() says whose rates count.
 */
double eject_rate_limit(const struct outlier_conf *conf, const struct eject_sample *sample,
                        size_t n);

/* Does the sample stand out by that limit? */
bool eject_is_low(const struct outlier_conf *conf, const struct eject_sample *sample, double limit);

/* Did so many have enough requests that failure percentages mean something? */
bool eject_looks_at_failures(const struct outlier_conf *conf, const struct eject_sample *sample,
                             size_t n);

/* Did too large a part of its requests fail? */
bool eject_fails_much(const struct outlier_conf *conf, const struct eject_sample *sample);

#endif /* UPSTREAM_EJECT_H */
