/*
 * consul_group.c - many services by few connections.
 *
 * Blocking queries for all of them say when something has changed:
 *   /v1/health/state/critical and warning   which services have, when a check begins or ends to be
 *                                           that; short, so this is known soonest
 *   /v1/health/state/any                    which services have, in whatever of their checks; with
 *                                           50,000 endpoints the agent writes 20 MB for each change
 *   /v1/catalog/services                    only that some registration has
 * The services that the first three name are asked at once; the last has all of them asked, one
 * after the other, at most every SWEEP_MS. An answer with the index that is known is not parsed.
 *
 * What has been asked before the first look at the checks could have changed in between, so
 * nothing is asked before that look; and after an error everything is asked again.
 */
#include "base/alloc.h"
#include "base/arena.h"
#include "base/map.h"
#include "core/loop.h"
#include "discovery/consul_hub.h"
#include "discovery/consul_look.h"
#include "discovery/consul_wake.h"

enum {
    SWEEP_MS = 15000,      /* at most one so often */
    SWEEP_SOON_MS = 200,   /* after a registration: more often come together */
    SWEEP_SAFE_MS = 120000 /* one anyway */
};

/* A service that feeds of the group want. */
struct service {
    struct list link;
    char *name; /* owned */
    struct list feeds;
    size_t n_feeds;
};

/* A query for checks: the list as known, and the one that is arriving. */
struct watch {
    struct consul_wake wake;
    struct consul_look *known, *next; /* owned; NULL: none */
};

struct consul_group {
    struct list link;
    struct consul *consul;             /* borrowed */
    struct sluice_span datacenter, ns; /* in the arena */
    struct arena arena;
    struct watch any, critical, warning;
    struct consul_wake names;
    struct map *by_name; /* owned, of struct service */
    struct list services;
    struct list named,
        turns; /* of struct consul_feed; those that are known to have changed first */
    size_t n_asked;
    bool has_looked; /* at all checks, since the last error */
    struct alarm sweep;
    uint64_t swept_us;
    struct soon confirm; /* those that have not changed, after asking those that have */
};

/* -- turns ----------------------------------------------------------------------- */

static void take_turns(struct consul_group *group)
{
    size_t max = consul_client_conf(group->consul->client)->connections - CONSUL_CONNECTIONS_SPARE;

    while (group->n_asked < max) {
        struct list *next = list_is_empty(&group->named) ? &group->turns : &group->named;
        struct consul_feed *feed;

        if (list_is_empty(next))
            return;
        feed = list_entry(next->next, struct consul_feed, turn);

        list_remove(&feed->turn);
        feed->is_asked = true;
        group->n_asked++;
        consul_feed_ask(feed);
    }
}

/* Have it asked in its turn; named: something is known to have changed. */
static void want(struct consul_feed *feed, bool named)
{
    struct consul_group *group = feed->group;

    if (feed->is_asked) {
        feed->wanted_again = true;
        return;
    }
    if (named)
        list_remove(&feed->turn);
    if (list_is_empty(&feed->turn))
        list_append(named ? &group->named : &group->turns, &feed->turn);
    take_turns(group);
}

void consul_group_want(struct consul_feed *feed)
{
    want(feed, false);
}

void consul_group_done(struct consul_feed *feed, bool again)
{
    struct consul_group *group = feed->group;

    if (!feed->is_asked)
        return;
    feed->is_asked = false;
    group->n_asked--;
    if ((again || feed->wanted_again) && list_is_empty(&feed->turn))
        list_append(feed->wanted_again ? &group->named : &group->turns, &feed->turn);
    feed->wanted_again = false;
    take_turns(group);
}

static void want_service(struct service *service, bool named)
{
    list_each (node, &service->feeds) {
        want(list_entry(node, struct consul_feed, in_group), named);
    }
}

static void want_all(struct consul_group *group)
{
    group->swept_us = loop_now_us(group->consul->loop);
    alarm_arm(group->consul->loop, &group->sweep, SWEEP_SAFE_MS);
    list_each (node, &group->services) {
        want_service(list_entry(node, struct service, link), false);
    }
}

static void on_sweep(struct alarm *alarm)
{
    want_all(list_entry(alarm, struct consul_group, sweep));
}

/* Some registration has changed. */
static void sweep_soon(struct consul_group *group)
{
    uint64_t since_ms = (loop_now_us(group->consul->loop) - group->swept_us) / 1000;

    alarm_arm(group->consul->loop, &group->sweep,
              since_ms + SWEEP_SOON_MS < SWEEP_MS ? SWEEP_MS - since_ms : SWEEP_SOON_MS);
}

/* -- the checks -------------------------------------------------------------------- */

static bool wants(void *group_, struct sluice_span service)
{
    const struct consul_group *group = group_;

    return map_find(group->by_name, service) != NULL;
}

static void want_by_name(void *group_, struct sluice_span name)
{
    const struct consul_group *group = group_;
    struct service *service = map_find(group->by_name, name);

    if (service)
        want_service(service, true);
}

/* Those that have no check of their own are as well as their nodes. */
static void want_unchecked(struct consul_group *group, const struct consul_look *look)
{
    list_each (node, &group->services) {
        struct service *service = list_entry(node, struct service, link);

        if (!consul_look_has(look, span_of(service->name)))
            want_service(service, false);
    }
}

static struct watch *watch_of(struct consul_wake *wake)
{
    return (struct watch *)(void *)wake; /* its first member */
}

static void begin_look(struct consul_wake *wake)
{
    struct watch *watch = watch_of(wake);

    consul_look_free(&watch->next);
    watch->next = consul_look_new(wants, wake->owner);
}

static void add_to_look(struct consul_wake *wake, struct sluice_span piece)
{
    consul_look_add(watch_of(wake)->next, piece);
}

/* Takes over what has arrived; *before is the list known until now, to be freed. */
static enum err end_look(struct watch *watch, struct consul_look **before)
{
    enum err err = consul_look_end(watch->next);

    if (err) {
        consul_look_free(&watch->next);
        return err;
    }
    *before = watch->known;
    watch->known = watch->next;
    watch->next = NULL;
    return OK;
}

static void forget_look(struct watch *watch)
{
    consul_look_free(&watch->known);
    consul_look_free(&watch->next);
}

/* -- all of them --- */

/* Who is not about to be asked is as known. */
static void confirm_all(struct consul_group *group)
{
    list_each (node, &group->services) {
        struct service *service = list_entry(node, struct service, link);

        list_each (inner, &service->feeds) {
            struct consul_feed *feed = list_entry(inner, struct consul_feed, in_group);

            if (!feed->is_asked && list_is_empty(&feed->turn) && !feed->reads_again &&
                !alarm_is_armed(&feed->alarm))
                consul_feed_confirm(feed);
        }
    }
}

static void on_confirm(struct soon *soon)
{
    struct consul_group *group = list_entry(soon, struct consul_group, confirm);

    if (group->has_looked)
        confirm_all(group);
}

static void fail_all(struct consul_group *group, const char *why)
{
    list_each (node, &group->services) {
        struct service *service = list_entry(node, struct service, link);

        list_each (inner, &service->feeds) {
            consul_feed_fail(list_entry(inner, struct consul_feed, in_group), why);
        }
    }
}

static enum err any_news(struct consul_wake *wake)
{
    struct consul_group *group = wake->owner;
    struct watch *watch = watch_of(wake);
    struct consul_look *before = NULL;
    enum err err = end_look(watch, &before);

    if (err)
        return err;
    if (!group->has_looked || !before) {
        want_all(group);
    } else {
        consul_look_compare(before, watch->known, want_by_name, group);
        if (consul_look_nodes_differ(before, watch->known))
            want_unchecked(group, watch->known);
    }
    group->has_looked = true;
    consul_look_free(&before);
    loop_soon(group->consul->loop, &group->confirm);
    return OK;
}

static void any_same(struct consul_wake *wake)
{
    struct consul_group *group = wake->owner;

    if (group->has_looked)
        confirm_all(group);
}

static void any_lost(struct consul_wake *wake, const char *why)
{
    struct consul_group *group = wake->owner;

    group->has_looked = false;
    if (why)
        fail_all(group, why);
}

/* -- those that are not well --- */

static enum err unwell_news(struct consul_wake *wake)
{
    struct consul_group *group = wake->owner;
    struct watch *watch = watch_of(wake);
    struct consul_look *before = NULL;
    enum err err = end_look(watch, &before);

    if (err)
        return err;
    /* Without a list before, and before the first look at all: that look has all of them asked. */
    if (group->has_looked && before) {
        consul_look_compare(before, watch->known, want_by_name, group);
        if (group->any.known) {
            consul_look_compare_nodes(before, watch->known, group->any.known, want_by_name, group);
        }
    }
    consul_look_free(&before);
    return OK;
}

static void unwell_lost(struct consul_wake *wake, const char *why)
{
    (void)why; /* the look at all of them sees to it */
    forget_look(watch_of(wake));
}

/* -- the catalog --- */

static enum err names_news(struct consul_wake *wake)
{
    if (wake->knows)
        sweep_soon(wake->owner);
    return OK;
}

/* The kinds of queries. */
static const struct consul_wake_kind any_kind = {.path = "/v1/health/state/any",
                                                 .begin = begin_look,
                                                 .part = add_to_look,
                                                 .news = any_news,
                                                 .same = any_same,
                                                 .lost = any_lost};
static const struct consul_wake_kind critical_kind = {.path = "/v1/health/state/critical",
                                                      .begin = begin_look,
                                                      .part = add_to_look,
                                                      .news = unwell_news,
                                                      .lost = unwell_lost};
static const struct consul_wake_kind warning_kind = {.path = "/v1/health/state/warning",
                                                     .begin = begin_look,
                                                     .part = add_to_look,
                                                     .news = unwell_news,
                                                     .lost = unwell_lost};
static const struct consul_wake_kind names_kind = {.path = "/v1/catalog/services",
                                                   .news = names_news};

/* -- life ------------------------------------------------------------------------------ */

static void start_wake(struct consul_wake *wake, struct consul_group *group,
                       const struct consul_wake_kind *kind)
{
    wake->kind = kind;
    wake->consul = group->consul;
    wake->owner = group;
    wake->datacenter = group->datacenter;
    wake->ns = group->ns;
    consul_wake_start(wake);
}

static void stop_watch(struct watch *watch)
{
    consul_wake_stop(&watch->wake);
    forget_look(watch);
}

static struct sluice_span first_of(struct sluice_span a, struct sluice_span b)
{
    return a.len > 0 ? a : b;
}

static struct consul_group *group_of(struct consul *consul, const struct consul_spec *spec)
{
    const struct consul_conf *conf = consul_client_conf(consul->client);
    struct sluice_span datacenter = first_of(spec->datacenter, conf->datacenter);
    struct sluice_span ns = first_of(spec->ns, conf->ns);
    struct consul_group *group;

    list_each (node, &consul->groups) {
        group = list_entry(node, struct consul_group, link);
        if (span_equal(group->datacenter, datacenter) && span_equal(group->ns, ns))
            return group;
    }
    group = alloc_new(sizeof(*group));
    group->consul = consul;
    arena_init(&group->arena, NULL, 0);
    group->datacenter = arena_copy(&group->arena, datacenter);
    group->ns = arena_copy(&group->arena, ns);
    group->by_name = map_new();
    list_init(&group->link);
    list_init(&group->services);
    list_init(&group->named);
    list_init(&group->turns);
    alarm_init(&group->sweep, on_sweep);
    soon_init(&group->confirm, on_confirm);
    list_append(&consul->groups, &group->link);
    start_wake(&group->any.wake, group, &any_kind);
    start_wake(&group->critical.wake, group, &critical_kind);
    start_wake(&group->warning.wake, group, &warning_kind);
    start_wake(&group->names, group, &names_kind);
    return group;
}

static void group_free(struct consul_group *group)
{
    stop_watch(&group->any);
    stop_watch(&group->critical);
    stop_watch(&group->warning);
    consul_wake_stop(&group->names);
    alarm_disarm(&group->sweep);
    soon_cancel(&group->confirm);
    map_free(&group->by_name);
    list_remove(&group->link);
    arena_fini(&group->arena);
    alloc_free(group);
}

static struct service *service_of(struct consul_group *group, struct sluice_span name)
{
    struct service *service = map_find(group->by_name, name);

    if (service)
        return service;
    service = alloc_new(sizeof(*service));
    service->name = alloc_text(name.ptr, name.len);
    list_init(&service->link);
    list_init(&service->feeds);
    list_append(&group->services, &service->link);
    map_set(group->by_name, name, service);
    return service;
}

void consul_group_add(struct consul *consul, struct consul_feed *feed)
{
    struct consul_group *group = group_of(consul, &feed->spec);
    struct service *service = service_of(group, feed->spec.service);

    feed->group = group;
    feed->step = FEED_RESTING;
    service->n_feeds++;
    list_append(&service->feeds, &feed->in_group);
    if (group->has_looked)
        consul_group_want(feed);
}

void consul_group_remove(struct consul_feed *feed)
{
    struct consul_group *group = feed->group;
    struct service *service;

    if (!group)
        return;
    if (feed->is_asked) {
        feed->is_asked = false;
        group->n_asked--;
    }
    feed->wanted_again = false;
    feed->group = NULL;
    list_remove(&feed->turn);
    list_remove(&feed->in_group);
    service = map_find(group->by_name, feed->spec.service);
    if (--service->n_feeds > 0)
        return;
    map_remove(group->by_name, feed->spec.service);
    list_remove(&service->link);
    alloc_free(service->name);
    alloc_free(service);
}

void consul_group_free_all(struct consul *consul)
{
    list_each_safe (node, after, &consul->groups) {
        group_free(list_entry(node, struct consul_group, link));
    }
}
