#include "upstream/health.h"

#include "base/alloc.h"
#include "base/map.h"
#include "base/rng.h"
#include "net/tls.h"
#include "upstream/ejector.h"
#include "upstream/levels_watch.h"
#include "upstream/prober.h"

/* One upstream as it is watched. */
struct ward {
    const struct upstream_conf *conf; /* borrowed until the next configuration */
    struct members *members;          /* shared */
    struct tls_client *tls;           /* shared; NULL: plain */
    struct ejector ejector;
    struct prober prober;
    struct levels_watch levels;
    bool is_named; /* by the configuration being told of */
};

struct health {
    struct loop *loop;   /* borrowed */
    struct map *by_name; /* owned, of owned struct ward */
    struct rng rng;
    unsigned n_workers;
    struct probe_floor floor;
};

struct health *health_new(struct loop *loop, unsigned n_workers)
{
    struct health *health = alloc_new(sizeof(*health));

    health->loop = loop;
    health->by_name = map_new();
    health->n_workers = n_workers;
    rng_init(&health->rng);
    probe_floor_init(&health->floor, loop, &health->rng, n_workers);
    return health;
}

static void ward_free(struct ward **ward)
{
    levels_watch_fini(&(*ward)->levels);
    prober_fini(&(*ward)->prober);
    ejector_fini(&(*ward)->ejector);
    tls_client_unref(&(*ward)->tls);
    members_unref(&(*ward)->members);
    alloc_free(*ward);
    *ward = NULL;
}

void health_free(struct health **health)
{
    struct sluice_span name;
    void *value;

    if (!*health)
        return;
    for (size_t at = 0; map_each((*health)->by_name, &at, &name, &value);) {
        struct ward *ward = value;

        ward_free(&ward);
    }
    map_free(&(*health)->by_name);
    probe_floor_fini(&(*health)->floor);
    alloc_free(*health);
    *health = NULL;
}

/* -- what there is --------------------------------------------------------------- */

static void on_passed(void *ward_, const struct member *member)
{
    struct ward *ward = ward_;

    ejector_absolve(&ward->ejector, member);
}

static void take_over(struct ward *ward, struct members *members)
{
    struct members *before = ward->members;

    ward->members = members_ref(members);
    prober_set(&ward->prober, ward->conf, members, ward->tls);
    ejector_set(&ward->ejector, &ward->conf->outlier, members);
    levels_watch_set(&ward->levels, &ward->conf->levels, members);
    members_unref(&before);
}

void health_begin(struct health *health)
{
    struct sluice_span name;
    void *value;

    for (size_t at = 0; map_each(health->by_name, &at, &name, &value);) {
        ((struct ward *)value)->is_named = false;
    }
}

void health_set(struct health *health, const struct upstream_conf *conf, struct members *members,
                struct tls_client *tls)
{
    struct tls_client *before;
    struct ward *ward = map_find(health->by_name, conf->named.name);

    if (!ward) {
        ward = alloc_new(sizeof(*ward));
        ejector_init(&ward->ejector, health->loop, &health->rng, health->n_workers);
        prober_init(&ward->prober, &health->floor, on_passed, ward);
        levels_watch_init(&ward->levels, health->loop);
        map_set(health->by_name, conf->named.name, ward);
    }
    before = ward->tls;
    ward->tls = tls ? tls_client_ref(tls) : NULL;
    ward->conf = conf;
    ward->is_named = true;
    take_over(ward, members);
    tls_client_unref(&before);
}

void health_end(struct health *health)
{
    struct sluice_span name;
    void *value;
    struct map *kept = map_new();

    for (size_t at = 0; map_each(health->by_name, &at, &name, &value);) {
        struct ward *ward = value;

        if (ward->is_named) {
            map_set(kept, name, ward);
        } else {
            ward_free(&ward);
        }
    }
    map_free(&health->by_name);
    health->by_name = kept;
}

void health_set_members(struct health *health, struct members *members)
{
    struct ward *ward = map_find(health->by_name, members->upstream);

    if (ward)
        take_over(ward, members);
}

void health_judge(struct health *health, struct share *share)
{
    struct ward *ward = map_find(health->by_name, span_of(share->group->name));
    uint32_t causes = share_take_accused(share);

    if (ward)
        ejector_judge(&ward->ejector, share, causes);
}

/* -- numbers ------------------------------------------------------------------------- */

void health_each(const struct health *health, health_each_fn *each, void *arg)
{
    struct sluice_span name;
    void *value;

    for (size_t at = 0; map_each(health->by_name, &at, &name, &value);) {
        const struct ward *ward = value;

        for (size_t i = 0; i < ward->members->n; i++) {
            each(arg, name, &ward->members->member[i]);
        }
    }
}

typedef void say_fn(struct page *page, const struct member *member, struct label labels[3]);

struct saying {
    struct page *page;
    say_fn *say;
};

static void say_each(void *saying_, struct sluice_span upstream, const struct member *member)
{
    const struct saying *saying = saying_;
    struct label labels[3] = {{"upstream", upstream}, {"endpoint", member->text}, {.name = NULL}};

    saying->say(saying->page, member, labels);
}

static void say_all(const struct health *health, struct page *page, say_fn *say)
{
    struct saying saying = {page, say};

    health_each(health, say_each, &saying);
}

static void say_well(struct page *page, const struct member *member, struct label labels[3])
{
    page_count(page, labels, 2, share_state(member->share) == 0);
}

static void say_ejected(struct page *page, const struct member *member, struct label labels[3])
{
    page_count(page, labels, 2, (share_state(member->share) & SHARE_EJECTED) != 0);
}

static void say_ejections(struct page *page, const struct member *member, struct label labels[3])
{
    labels[2].name = "cause";
    for (int cause = 0; cause < EJECT_CAUSE_COUNT; cause++) {
        labels[2].value = span_of(eject_cause_text((enum eject_cause)cause));
        if (member->share->n_ejected[cause] > 0)
            page_count(page, labels, 3, member->share->n_ejected[cause]);
    }
}

static void say_prevented(const struct health *health, struct page *page)
{
    struct sluice_span name;
    void *value;

    for (size_t at = 0; map_each(health->by_name, &at, &name, &value);) {
        const struct ward *ward = value;
        const struct label label = {"upstream", name};

        page_count(page, &label, 1, ward->members->group->n_ejected_not);
    }
}

static void say_checks(struct page *page, const struct member *member, struct label labels[3])
{
    labels[2].name = "result";
    for (int result = 0; result < PROBE_RESULT_COUNT; result++) {
        labels[2].value = span_of(probe_result_text((enum probe_result)result));
        if (member->share->n_checks[result] > 0)
            page_count(page, labels, 3, member->share->n_checks[result]);
    }
}

static void say_floor(const struct probe_floor *floor, struct page *page)
{
    const struct label running = {"state", SPAN("running")};
    const struct label waiting = {"state", SPAN("waiting")};

    page_family(page, "sluice_health_checks", PAGE_GAUGE,
                "Active checks under way, and due ones that wait until others have ended.");
    page_count(page, &running, 1, floor->n_running);
    page_count(page, &waiting, 1, floor->n_waiting);
}

static void say_levels(const struct health *health, struct page *page,
                       void (*say)(const struct levels_watch *watch, struct page *page))
{
    struct sluice_span name;
    void *value;

    for (size_t at = 0; map_each(health->by_name, &at, &name, &value);) {
        say(&((const struct ward *)value)->levels, page);
    }
}

void health_collect(void *arg, struct page *page)
{
    const struct health *health = arg;

    page_family(page, "sluice_upstream_healthy", PAGE_GAUGE,
                "Whether an endpoint is to be picked, as far as is known of its health.");
    say_all(health, page, say_well);
    page_family(page, "sluice_upstream_priority_share", PAGE_GAUGE,
                "The part of an upstream's requests that a priority takes, 0 to 1.");
    say_levels(health, page, levels_watch_say_shares);
    page_family(page, "sluice_upstream_panic", PAGE_GAUGE,
                "Whether so few endpoints of a priority are well that all of them are asked.");
    say_levels(health, page, levels_watch_say_panic);
    page_family(page, "sluice_upstream_checks_total", PAGE_COUNTER,
                "Active checks of an endpoint.");
    say_all(health, page, say_checks);
    say_floor(&health->floor, page);
    page_family(page, "sluice_upstream_ejected", PAGE_GAUGE, "Whether an endpoint is ejected.");
    say_all(health, page, say_ejected);
    page_family(page, "sluice_upstream_ejections_total", PAGE_COUNTER, "Ejections of an endpoint.");
    say_all(health, page, say_ejections);
    page_family(page, "sluice_upstream_ejections_prevented_total", PAGE_COUNTER,
                "Ejections that max_ejection_percent has prevented.");
    say_prevented(health, page);
}
