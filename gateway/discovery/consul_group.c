/*
 * consul_group.c - many services by few connections.
 *
 * Two blocking queries say when something has changed: /v1/health/state/any, whose content tells
 * for which services (by the indexes of their checks and those of their nodes), and
 * /v1/catalog/services, which only tells that some registration has. The first has the
 * services it names asked at once; the second has all of them asked, one after the other, at
 * most every SWEEP_MS. An answer with the index that is known is not even parsed.
 *
 * What has been asked before the first look at the checks could have changed in between, so
 * nothing is asked before that look; and after an error everything is asked again.
 */
#include "base/alloc.h"
#include "base/arena.h"
#include "base/log.h"
#include "base/map.h"
#include "base/now.h"
#include "base/text.h"
#include "core/loop.h"
#include "discovery/consul_hub.h"
#include "discovery/consul_scan.h"

#include <stdio.h>
#include <string.h>

enum {
    PATH_BYTES = 4096,
    SWEEP_MS = 15000,      /* at most one so often */
    SWEEP_SOON_MS = 200,   /* after a registration: more often come together */
    SWEEP_SAFE_MS = 120000 /* one anyway */
};

/* One of the two queries. */
struct wake {
    struct consul_group *group; /* borrowed, around us */
    const char *path;
    struct alarm alarm;
    struct fetch *fetch; /* owned while asking */
    struct consul_index index;
    struct consul_pace pace;
    unsigned errors;
};

/* A service that feeds of the group want, and the last sum over its checks. */
struct service {
    struct list link;
    char *name; /* owned */
    struct list feeds;
    size_t n_feeds;
    uint64_t sum, fresh;
    bool has_checks;
};

struct consul_group {
    struct list link;
    struct consul *consul;             /* borrowed */
    struct sluice_span datacenter, ns; /* in the arena */
    struct arena arena;
    struct wake checks, names;
    struct map *by_name; /* owned, of struct service */
    struct list services;
    struct list turns; /* of struct consul_feed */
    size_t n_asked;
    bool has_looked; /* at the checks, since the last error */
    struct alarm sweep;
    uint64_t swept_us;
    uint64_t nodes_sum;
};

/* -- turns ----------------------------------------------------------------------- */

static void take_turns(struct consul_group *group)
{
    size_t max = consul_client_conf(group->consul->client)->connections - CONSUL_CONNECTIONS_SPARE;

    while (group->n_asked < max && !list_is_empty(&group->turns)) {
        struct consul_feed *feed = list_entry(group->turns.next, struct consul_feed, turn);

        list_remove(&feed->turn);
        feed->is_asked = true;
        group->n_asked++;
        consul_feed_ask(feed);
    }
}

void consul_group_want(struct consul_feed *feed)
{
    if (feed->is_asked) {
        feed->wanted_again = true;
        return;
    }
    if (list_is_empty(&feed->turn))
        list_append(&feed->group->turns, &feed->turn);
    take_turns(feed->group);
}

void consul_group_done(struct consul_feed *feed, bool again)
{
    struct consul_group *group = feed->group;

    if (!feed->is_asked)
        return;
    feed->is_asked = false;
    group->n_asked--;
    if ((again || feed->wanted_again) && list_is_empty(&feed->turn))
        list_append(&group->turns, &feed->turn);
    feed->wanted_again = false;
    take_turns(group);
}

static void want_service(struct service *service)
{
    list_each (node, &service->feeds) {
        consul_group_want(list_entry(node, struct consul_feed, in_group));
    }
}

static void want_all(struct consul_group *group)
{
    group->swept_us = loop_now_us(group->consul->loop);
    alarm_arm(group->consul->loop, &group->sweep, SWEEP_SAFE_MS);
    list_each (node, &group->services) {
        want_service(list_entry(node, struct service, link));
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

/* What a look at the checks gathers; gone with it. */
struct node_sum {
    uint64_t sum;
};

struct pair {
    struct service *service;
    struct node_sum *node;
};

struct look {
    struct consul_group *group;
    struct arena arena;
    struct map *nodes; /* of struct node_sum */
    struct pair *pairs;
    size_t n_pairs, room;
    uint64_t nodes_sum;
};

static uint64_t mix(uint64_t number)
{
    number = (number ^ (number >> 31)) * UINT64_C(0x9e3779b97f4a7c15);
    number = (number ^ (number >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
    return (number ^ (number >> 32)) + 1;
}

static struct node_sum *node_of(struct look *look, struct sluice_span name)
{
    struct node_sum *node = map_find(look->nodes, name);

    if (!node) {
        node = arena_new(&look->arena, sizeof(*node));
        map_set(look->nodes, name, node);
    }
    return node;
}

static void add_pair(struct look *look, struct service *service, struct node_sum *node)
{
    if (look->n_pairs == look->room) {
        look->room = look->room ? look->room * 2 : 1024;
        look->pairs = alloc_resize(look->pairs, look->room * sizeof(*look->pairs));
    }
    look->pairs[look->n_pairs++] = (struct pair){service, node};
}

static void on_check(void *look_, const struct consul_check *check)
{
    struct look *look = look_;
    struct service *service;

    if (check->service.len == 0) {
        node_of(look, check->node)->sum += mix(check->modified);
        look->nodes_sum += mix(check->modified);
        return;
    }
    service = map_find(look->group->by_name, check->service);
    if (!service)
        return;
    service->has_checks = true;
    service->fresh += mix(check->modified);
    add_pair(look, service, node_of(look, check->node));
}

/* Ask those that differ from the look before. */
static void compare(struct consul_group *group, bool nodes_changed)
{
    list_each (node, &group->services) {
        struct service *service = list_entry(node, struct service, link);
        bool changed = service->has_checks ? service->fresh != service->sum
                                           : nodes_changed || service->sum != 0;

        service->sum = service->has_checks ? service->fresh : 0;
        if (changed)
            want_service(service);
    }
}

static enum err look_at(struct consul_group *group, struct sluice_span json)
{
    struct look look = {.group = group, .nodes = map_new()};
    enum err err;

    arena_init(&look.arena, NULL, 0);
    list_each (node, &group->services) {
        struct service *service = list_entry(node, struct service, link);

        service->fresh = 0;
        service->has_checks = false;
    }
    err = consul_scan(json, on_check, &look);
    for (size_t i = 0; i < look.n_pairs; i++)
        look.pairs[i].service->fresh += mix(look.pairs[i].node->sum);
    if (!err) {
        compare(group, look.nodes_sum != group->nodes_sum);
        group->nodes_sum = look.nodes_sum;
    }
    alloc_free(look.pairs);
    map_free(&look.nodes);
    arena_fini(&look.arena);
    return err;
}

/* -- the two queries ------------------------------------------------------------------ */

static void ask(struct wake *wake);

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

static void fail_all(struct consul_group *group, const char *why)
{
    list_each (node, &group->services) {
        struct service *service = list_entry(node, struct service, link);

        list_each (inner, &service->feeds) {
            consul_feed_fail(list_entry(inner, struct consul_feed, in_group), why);
        }
    }
}

static enum err take_checks(struct wake *wake, struct sluice_span json)
{
    struct consul_group *group = wake->group;
    enum err err = look_at(group, json);

    if (err)
        return err;
    if (!group->has_looked)
        want_all(group);
    group->has_looked = true;
    confirm_all(group);
    return OK;
}

static enum err take(struct wake *wake, const struct fetch_answer *answer)
{
    struct consul_group *group = wake->group;
    bool knows = wake->index.at > 0;

    switch (consul_index_take(&wake->index, answer->field[CONSUL_FIELD_INDEX])) {
    case INDEX_SAME:
        if (wake == &group->checks && group->has_looked)
            confirm_all(group);
        return OK;
    case INDEX_REREAD:
        group->has_looked = false;
        return OK;
    case INDEX_NEWS:
        if (wake == &group->checks && take_checks(wake, answer->body))
            return ERR_PROTOCOL;
        if (wake == &group->names && knows)
            sweep_soon(group);
        consul_index_commit(&wake->index);
        return OK;
    }
    return OK;
}

static void take_failure(struct wake *wake, const struct fetch_answer *answer)
{
    struct consul_group *group = wake->group;
    char why[128];

    wake->errors++;
    consul_index_fail(&wake->index);
    if (answer->err) {
        snprintf(why, sizeof(why), "%s", answer->why);
        if (answer->err != ERR_TIMEOUT) {
            consul_index_reset(&wake->index);
            consul_suspect(group->consul);
        }
    } else {
        snprintf(why, sizeof(why), "status %u", answer->status);
        if (answer->status == 403)
            consul_client_refused(group->consul->client);
    }
    log_debug("consul's changes cannot be watched", F_STR("path", wake->path), F_STR("cause", why));
    if (wake == &group->checks) {
        group->has_looked = false;
        fail_all(group, why);
    }
}

static void on_wake_answer(void *wake_, const struct fetch_answer *answer)
{
    struct wake *wake = wake_;
    struct consul *consul = wake->group->consul;
    uint64_t ms, began_us = now_us();

    wake->fetch = NULL;
    consul_learn(consul, answer);
    if (answer->err || answer->status != 200 || take(wake, answer)) {
        take_failure(wake, answer);
        ms = consul_pace_backoff(wake->errors, &consul->rng);
    } else {
        wake->errors = 0;
        ms = consul_pace_take(&wake->pace, loop_now_us(consul->loop));
    }
    histogram_add(&consul->handling, now_us() - began_us);
    if (ms > 0) {
        alarm_arm(consul->loop, &wake->alarm, ms);
    } else {
        ask(wake);
    }
}

static void ask(struct wake *wake)
{
    struct consul_group *group = wake->group;
    const struct consul_conf *conf = consul_client_conf(group->consul->client);
    struct consul_question question = {.done = on_wake_answer, .arg = wake};
    struct text path;

    text_init(&path, PATH_BYTES);
    text_format(&path, "%s?index=%llu", wake->path, (unsigned long long)wake->index.at);
    consul_client_add(&path, "dc", group->datacenter);
    consul_client_add(&path, "ns", group->ns);
    if (conf->read == CONSUL_READ_STALE)
        text_add(&path, SPAN("&stale"));
    if (wake->index.at > 0) {
        question.wait_ms = wake->errors > 0 ? CONSUL_BRIEF_MS : conf->wait_ms;
        text_format(&path, "&wait=%llums", (unsigned long long)question.wait_ms);
    }
    question.path = path.ptr;
    wake->fetch = consul_client_ask(group->consul->client, &question);
    text_fini(&path);
}

static void on_wake(struct alarm *alarm)
{
    ask(list_entry(alarm, struct wake, alarm));
}

/* -- life ------------------------------------------------------------------------------ */

static void wake_init(struct wake *wake, struct consul_group *group, const char *path)
{
    wake->group = group;
    wake->path = path;
    alarm_init(&wake->alarm, on_wake);
    ask(wake);
}

static void wake_fini(struct wake *wake)
{
    fetch_cancel(&wake->fetch);
    alarm_disarm(&wake->alarm);
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
    list_init(&group->turns);
    alarm_init(&group->sweep, on_sweep);
    list_append(&consul->groups, &group->link);
    wake_init(&group->checks, group, "/v1/health/state/any");
    wake_init(&group->names, group, "/v1/catalog/services");
    return group;
}

static void group_free(struct consul_group *group)
{
    wake_fini(&group->checks);
    wake_fini(&group->names);
    alarm_disarm(&group->sweep);
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
    service->sum = 0; /* the next look will have it asked */
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
