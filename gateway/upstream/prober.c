/*
 * prober.c - a patient is an endpoint that is checked:
 *
 *   RESTING > (WAITING >) RUNNING > RESTING
 *
 *   from      to        by
 *   RESTING   RUNNING   on_due, when there is a place
 *   RESTING   WAITING   on_due, when there is none
 *   WAITING   RUNNING   next_turn, when a check has ended
 *   RUNNING   RESTING   on_result; or cut, when the configuration is another
 */
#include "upstream/prober.h"

#include "base/alloc.h"
#include "base/now.h"
#include "base/rng.h"
#include "core/loop.h"
#include "net/fetch.h"
#include "net/tls.h"
#include "upstream/collect.h"
#include "upstream/endpoint.h"

#include <stddef.h>
#include <stdio.h>

enum {
    RUNNING_MAX = 256, /* checks at the same time, of all upstreams */
    KEPT_MAX = 1024,   /* connections, between checks too; those unused for longest go first */
    FIRST_MS = 100,    /* a new endpoint is first asked within this time */
};

struct patient {
    struct list link; /* the prober's */
    struct list turn; /* the floor's, while waiting */
    struct prober *prober;
    const struct member *member; /* borrowed: of the prober's members */
    struct probe probe;
    struct alarm due;
    uint64_t requests; /* it had until its last check */
    bool is_member;    /* of the set being taken over */
};

static void on_due(struct alarm *alarm);
static void on_result(struct probe *probe, enum probe_result result, const char *why);

/* -- the floor --------------------------------------------------------------------- */

void probe_floor_init(struct probe_floor *floor, struct loop *loop, struct rng *rng,
                      unsigned n_workers)
{
    *floor = (struct probe_floor){
        .means = {.loop = loop, .fetcher = fetcher_new(loop, KEPT_MAX)},
        .rng = rng,
        .max = RUNNING_MAX,
        .n_workers = n_workers,
        .gate = {.per_second = 10, .burst = 100},
    };
    list_init(&floor->waiting);
}

void probe_floor_fini(struct probe_floor *floor)
{
    fetcher_free(&floor->means.fetcher);
}

static void run(struct patient *patient)
{
    const struct prober *prober = patient->prober;
    const struct probe_order order = {.conf = prober->conf,
                                      .member = patient->member,
                                      .tls = prober->conf->health.plain ? NULL : prober->tls};

    prober->floor->n_running++;
    probe_start(&patient->probe, &order);
}

static void leave_line(struct patient *patient)
{
    if (list_is_empty(&patient->turn))
        return;
    list_remove(&patient->turn);
    patient->prober->floor->n_waiting--;
}

static void next_turn(struct probe_floor *floor)
{
    while (floor->n_running < floor->max && !list_is_empty(&floor->waiting)) {
        struct patient *patient = list_entry(floor->waiting.next, struct patient, turn);

        leave_line(patient);
        run(patient);
    }
}

static void cut(struct patient *patient)
{
    if (!probe_is_running(&patient->probe))
        return;
    probe_cancel(&patient->probe);
    patient->prober->floor->n_running--;
}

/* -- one endpoint -------------------------------------------------------------------- */

static uint64_t requests_of(const struct patient *patient)
{
    return collect_sum(patient->member->tally, patient->prober->floor->n_workers,
                       offsetof(struct endpoint_counters, requests));
}

static uint64_t or_else(uint64_t ms, uint64_t otherwise)
{
    return ms > 0 ? ms : otherwise;
}

static uint64_t pause_ms(struct patient *patient)
{
    const struct health_conf *conf = &patient->prober->conf->health;
    uint64_t requests = requests_of(patient);
    uint64_t ms = conf->interval_ms;

    if (patient->member->share->condition.state == CONDITION_UNWELL) {
        ms = or_else(conf->unhealthy_ms, conf->interval_ms);
    } else if (requests == patient->requests) {
        ms = or_else(conf->idle_ms, conf->interval_ms);
    }
    patient->requests = requests;
    return ms + rng_below(patient->prober->floor->rng, (uint64_t)((double)ms * conf->jitter) + 1);
}

static void say_change(const struct patient *patient, bool well, const char *why)
{
    struct prober *prober = patient->prober;

    if (!log_gate_pass(&prober->floor->gate))
        return;
    if (well) {
        log_info("endpoint passes its checks", F_SPAN("upstream", prober->conf->named.name),
                 F_SPAN("endpoint", patient->member->text));
    } else {
        log_warn("endpoint fails its checks", F_SPAN("upstream", prober->conf->named.name),
                 F_SPAN("endpoint", patient->member->text), F_STR("why", why));
    }
}

static void on_result(struct probe *probe, enum probe_result result, const char *why)
{
    struct patient *patient = list_entry(probe, struct patient, probe);
    struct prober *prober = patient->prober;
    const struct health_conf *conf = &prober->conf->health;
    struct share *share = patient->member->share;
    bool passed = result == PROBE_PASSED;

    prober->floor->n_running--;
    share->n_checks[result]++;
    share->checked = (struct share_check){.at_us = now_us(), .result = result};
    snprintf(share->checked.why, sizeof(share->checked.why), "%s", why);
    if (condition_note(&share->condition, passed, conf->rise, conf->fall)) {
        bool changed = share_set(share, SHARE_CHECK_FAILED, !passed);

        if (changed)
            say_change(patient, passed, why);
    }
    if (passed && share->condition.state != CONDITION_UNWELL)
        prober->passed(prober->arg, patient->member);
    alarm_arm(prober->floor->means.loop, &patient->due, pause_ms(patient));
    next_turn(prober->floor);
}

static void on_due(struct alarm *alarm)
{
    struct patient *patient = list_entry(alarm, struct patient, due);
    struct probe_floor *floor = patient->prober->floor;

    list_append(&floor->waiting, &patient->turn);
    floor->n_waiting++;
    next_turn(floor);
}

static void arm_soon(struct patient *patient)
{
    struct probe_floor *floor = patient->prober->floor;
    uint64_t most = patient->prober->conf->health.interval_ms;

    if (most > FIRST_MS)
        most = FIRST_MS;
    leave_line(patient);
    alarm_arm(floor->means.loop, &patient->due, rng_below(floor->rng, most) + 1);
}

static struct patient *patient_new(struct prober *prober, const struct member *member)
{
    struct patient *patient = alloc_new(sizeof(*patient));

    list_init(&patient->turn);
    list_append(&prober->patients, &patient->link);
    patient->prober = prober;
    patient->member = member;
    alarm_init(&patient->due, on_due);
    probe_init(&patient->probe, &prober->floor->means, on_result);
    member->share->patient = patient;
    arm_soon(patient);
    return patient;
}

static void patient_free(struct patient **patient)
{
    struct patient *old = *patient;

    *patient = NULL;
    cut(old);
    leave_line(old);
    alarm_disarm(&old->due);
    list_remove(&old->link);
    old->member->share->patient = NULL;
    alloc_free(old);
}

/* -- other members, another configuration ---------------------------------------------- */

void prober_init(struct prober *prober, struct probe_floor *floor, prober_passed_fn *passed,
                 void *arg)
{
    *prober = (struct prober){.floor = floor, .passed = passed, .arg = arg};
    list_init(&prober->patients);
}

static void free_patients(struct prober *prober, bool all)
{
    list_each_safe (node, after, &prober->patients) {
        struct patient *patient = list_entry(node, struct patient, link);

        if (all || !patient->is_member) {
            patient_free(&patient);
        } else {
            patient->is_member = false;
        }
    }
}

static void stop(struct prober *prober, const struct members *members)
{
    free_patients(prober, true);
    for (size_t i = 0; i < members->n; i++) {
        struct share *share = members->member[i].share;

        share->condition = (struct condition){.state = CONDITION_UNKNOWN};
        share_set(share, SHARE_CHECK_FAILED, false);
    }
}

/* What runs knows the old configuration: it is asked again, soon. */
static void renew(struct patient *patient, bool is_other, bool is_sooner)
{
    bool was_running = probe_is_running(&patient->probe);

    if (is_other)
        cut(patient);
    if ((is_other && was_running) || is_sooner)
        arm_soon(patient);
}

static void check_all(struct prober *prober, bool is_other)
{
    const struct members *members = prober->members;
    bool is_sooner = prober->conf->health.interval_ms < prober->interval_ms;

    for (size_t i = 0; i < members->n; i++) {
        const struct member *member = &members->member[i];
        struct patient *patient = member->share->patient;

        if (patient) {
            renew(patient, is_other, is_sooner);
            patient->member = member;
        } else {
            patient = patient_new(prober, member);
        }
        patient->is_member = true;
    }
    free_patients(prober, false);
    prober->interval_ms = prober->conf->health.interval_ms;
    next_turn(prober->floor);
}

void prober_set(struct prober *prober, const struct upstream_conf *conf, struct members *members,
                struct tls_client *tls)
{
    struct members *before = prober->members;
    struct tls_client *tls_before = prober->tls;
    bool is_other = prober->conf != conf || tls_before != tls;
    bool on = health_conf_is_on(&conf->health);

    prober->conf = conf;
    prober->members = on ? members_ref(members) : NULL;
    prober->tls = on && tls ? tls_client_ref(tls) : NULL;
    if (on) {
        check_all(prober, is_other);
    } else {
        stop(prober, members);
    }
    members_unref(&before);
    tls_client_unref(&tls_before);
}

void prober_fini(struct prober *prober)
{
    free_patients(prober, true);
    members_unref(&prober->members);
    tls_client_unref(&prober->tls);
    prober->conf = NULL;
}
