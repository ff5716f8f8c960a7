#include "upstream/ejector.h"

#include "base/alloc.h"
#include "base/now.h"
#include "base/rng.h"
#include "core/loop.h"
#include "upstream/collect.h"
#include "upstream/endpoint.h"

#include <stddef.h>

static void on_interval(struct alarm *alarm);
static void on_next(struct alarm *alarm);

void ejector_init(struct ejector *ejector, struct loop *loop, struct rng *rng, unsigned n_workers)
{
    *ejector = (struct ejector){
        .loop = loop, .rng = rng, .n_workers = n_workers, .gate = {.per_second = 10, .burst = 100}};
    alarm_init(&ejector->interval, on_interval);
    alarm_init(&ejector->next, on_next);
}

void ejector_fini(struct ejector *ejector)
{
    alarm_disarm(&ejector->interval);
    alarm_disarm(&ejector->next);
    members_unref(&ejector->members);
    ejector->conf = NULL;
}

/* -- out and in ---------------------------------------------------------------- */

static bool is_out(const struct share *share)
{
    return (share_state(share) & SHARE_EJECTED) != 0;
}

/* Ring when the first ejection is over. */
static void arm_next(struct ejector *ejector)
{
    uint64_t now = now_us();
    uint64_t first = UINT64_MAX;

    for (size_t i = 0; i < ejector->members->n; i++) {
        const struct share *share = ejector->members->member[i].share;

        if (is_out(share) && share->ejection.until_us < first)
            first = share->ejection.until_us;
    }
    if (first == UINT64_MAX) {
        alarm_disarm(&ejector->next);
    } else {
        alarm_arm(ejector->loop, &ejector->next, first > now ? (first - now) / 1000 + 1 : 1);
    }
}

/* What tries ended until now counts no more. */
static void begin_anew(const struct ejector *ejector, struct share *share,
                       const struct tally_block *tally)
{
    __atomic_store_n(&share->row_5xx.n, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&share->row_gateway.n, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&share->row_local.n, 0, __ATOMIC_RELAXED);
    share->seen = (struct eject_sample){
        collect_sum(tally, ejector->n_workers, offsetof(struct endpoint_counters, good)),
        collect_sum(tally, ejector->n_workers, offsetof(struct endpoint_counters, bad))};
}

static void take_in(struct ejector *ejector, const struct member *member, const char *why)
{
    struct share *share = member->share;

    ejection_end(&share->ejection);
    begin_anew(ejector, share, member->tally);
    share_set(share, SHARE_EJECTED, false);
    if (!log_gate_pass(&ejector->gate))
        return;
    log_info("endpoint no longer ejected", F_STR("upstream", share->group->name),
             F_SPAN("endpoint", member->text), F_STR("why", why));
}

struct standing {
    size_t n_ejected, n_well;
};

static struct standing look(const struct members *members)
{
    struct standing standing = {0, 0};

    for (size_t i = 0; i < members->n; i++) {
        uint32_t state = share_state(members->member[i].share);

        standing.n_ejected += (state & SHARE_EJECTED) != 0;
        standing.n_well += state == 0;
    }
    return standing;
}

/* Take it out, unless the cap forbids. An endpoint that is out for another reason takes no place
 * among those that are well. */
static void eject(struct ejector *ejector, const struct member *member, enum eject_cause cause)
{
    const struct members *members = ejector->members;
    struct share *share = member->share;
    struct standing standing = look(members);
    uint64_t now = now_us();

    if (is_out(share))
        return;
    if (share_state(share) != 0)
        standing.n_well++;
    if (!ejection_is_allowed(ejector->conf, members->n, standing.n_ejected, standing.n_well)) {
        share->group->n_ejected_not++;
        log_debug("ejection prevented by its cap", F_STR("upstream", share->group->name),
                  F_SPAN("endpoint", member->text), F_STR("cause", eject_cause_text(cause)));
        return;
    }
    ejection_begin(&share->ejection, ejector->conf, cause, now, rng_next(ejector->rng));
    share->n_ejected[cause]++;
    share_set(share, SHARE_EJECTED, true);
    arm_next(ejector);
    if (!log_gate_pass(&ejector->gate))
        return;
    log_warn("endpoint ejected", F_STR("upstream", share->group->name),
             F_SPAN("endpoint", member->text), F_STR("cause", eject_cause_text(cause)),
             F_UINT("for_ms", (share->ejection.until_us - now) / 1000),
             F_UINT("ejected", standing.n_ejected + 1), F_UINT("endpoints", members->n));
}

static void on_next(struct alarm *alarm)
{
    struct ejector *ejector = list_entry(alarm, struct ejector, next);
    uint64_t now = now_us();

    for (size_t i = 0; i < ejector->members->n; i++) {
        const struct member *member = &ejector->members->member[i];

        if (is_out(member->share) && ejection_is_over(&member->share->ejection, now))
            take_in(ejector, member, "its time is over");
    }
    arm_next(ejector);
}

void ejector_judge(struct ejector *ejector, struct share *share, uint32_t causes)
{
    if (!ejector->members)
        return;
    for (size_t i = 0; i < ejector->members->n; i++) {
        const struct member *member = &ejector->members->member[i];

        for (int cause = 0; member->share == share && cause < EJECT_CAUSE_COUNT; cause++) {
            if (causes & (1u << cause)) {
                eject(ejector, member, (enum eject_cause)cause);
                return;
            }
        }
    }
}

void ejector_absolve(struct ejector *ejector, const struct member *member)
{
    if (!ejector->members || !ejector->conf->ends_on_check || !is_out(member->share))
        return;
    take_in(ejector, member, "it passes its checks");
    arm_next(ejector);
}

/* -- each interval ------------------------------------------------------------------ */

/* How tries ended in this interval; of who is out, none count. */
static struct eject_sample sample_of(const struct ejector *ejector, const struct member *member)
{
    struct share *share = member->share;
    struct eject_sample before = share->seen;
    struct eject_sample sample;

    share->seen.good =
        collect_sum(member->tally, ejector->n_workers, offsetof(struct endpoint_counters, good));
    share->seen.bad =
        collect_sum(member->tally, ejector->n_workers, offsetof(struct endpoint_counters, bad));
    sample = (struct eject_sample){share->seen.good - before.good, share->seen.bad - before.bad};
    return is_out(share) ? (struct eject_sample){0, 0} : sample;
}

static void compare(struct ejector *ejector)
{
    const struct members *members = ejector->members;
    struct eject_sample *sample = alloc_new((members->n + 1) * sizeof(*sample));
    double limit;
    bool looks;

    for (size_t i = 0; i < members->n; i++) {
        sample[i] = sample_of(ejector, &members->member[i]);
    }
    limit = eject_rate_limit(ejector->conf, sample, members->n);
    looks = eject_looks_at_failures(ejector->conf, sample, members->n);
    for (size_t i = 0; i < members->n; i++) {
        const struct member *member = &members->member[i];

        if (eject_is_low(ejector->conf, &sample[i], limit)) {
            eject(ejector, member, EJECT_SUCCESS_RATE);
        } else if (looks && eject_fails_much(ejector->conf, &sample[i])) {
            eject(ejector, member, EJECT_FAILURE_PERCENTAGE);
        } else {
            ejection_forgive(&member->share->ejection);
        }
    }
    alloc_free(sample);
}

static void on_interval(struct alarm *alarm)
{
    struct ejector *ejector = list_entry(alarm, struct ejector, interval);

    compare(ejector);
    alarm_arm(ejector->loop, &ejector->interval, ejector->interval_ms);
}

/* -- other members, another configuration ------------------------------------------- */

static void mark(const struct members *members, bool marked)
{
    for (size_t i = 0; members && i < members->n; i++) {
        members->member[i].share->marked = marked;
    }
}

/* Who was no member lately: old counts say nothing now, old ejections may be over. */
static void begin_with(struct ejector *ejector, const struct member *member)
{
    struct share *share = member->share;

    if (is_out(share) && ejection_is_over(&share->ejection, now_us())) {
        take_in(ejector, member, "its time is over");
    } else {
        begin_anew(ejector, share, member->tally);
    }
}

static void begin(struct ejector *ejector, struct members *before)
{
    const struct members *members = ejector->members;

    mark(before, true);
    for (size_t i = 0; i < members->n; i++) {
        if (!members->member[i].share->marked)
            begin_with(ejector, &members->member[i]);
    }
    mark(before, false);
    if (!alarm_is_armed(&ejector->interval) || ejector->interval_ms != ejector->conf->interval_ms)
        alarm_arm(ejector->loop, &ejector->interval, ejector->conf->interval_ms);
    ejector->interval_ms = ejector->conf->interval_ms;
    arm_next(ejector);
}

static void stop(struct ejector *ejector, const struct members *members)
{
    alarm_disarm(&ejector->interval);
    alarm_disarm(&ejector->next);
    for (size_t i = 0; i < members->n; i++) {
        if (is_out(members->member[i].share))
            take_in(ejector, &members->member[i], "outlier_detection is off");
    }
}

void ejector_set(struct ejector *ejector, const struct outlier_conf *conf, struct members *members)
{
    struct members *before = ejector->members;
    bool on = outlier_conf_is_on(conf);

    ejector->conf = conf;
    ejector->members = on ? members_ref(members) : NULL;
    if (on) {
        begin(ejector, before);
    } else {
        stop(ejector, members);
    }
    members_unref(&before);
}
