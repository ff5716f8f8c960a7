#include "discovery/consul_look.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/map.h"
#include "discovery/consul_scan.h"

struct node {
    struct sluice_span name; /* in the arena */
    uint64_t sum;            /* over its own checks; 0: it has none */
};

struct service {
    struct sluice_span name; /* in the arena */
    uint64_t sum;
};

/* A check of a service, which is as well as its node. */
struct pair {
    struct service *service;
    struct node *node;
};

struct consul_look {
    struct arena arena; /* of nodes and services */
    struct consul_scan scan;
    consul_look_wants_fn *wants;
    void *arg; /* the caller's */
    struct map *nodes, *services;
    struct pair *pairs; /* owned */
    size_t n_pairs, room;
    uint64_t nodes_sum;
};

static uint64_t mix(uint64_t number)
{
    number = (number ^ (number >> 31)) * UINT64_C(0x9e3779b97f4a7c15);
    number = (number ^ (number >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
    return (number ^ (number >> 32)) + 1;
}

static struct node *node_of(struct consul_look *look, struct sluice_span name)
{
    struct node *node = map_find(look->nodes, name);

    if (!node) {
        node = arena_new(&look->arena, sizeof(*node));
        node->name = arena_copy(&look->arena, name);
        map_set(look->nodes, name, node);
    }
    return node;
}

static struct service *service_of(struct consul_look *look, struct sluice_span name)
{
    struct service *service = map_find(look->services, name);

    if (!service) {
        service = arena_new(&look->arena, sizeof(*service));
        service->name = arena_copy(&look->arena, name);
        map_set(look->services, name, service);
    }
    return service;
}

static void add_pair(struct consul_look *look, struct service *service, struct node *node)
{
    if (look->n_pairs == look->room) {
        look->room = look->room ? look->room * 2 : 64;
        look->pairs = alloc_resize(look->pairs, look->room * sizeof(*look->pairs));
    }
    look->pairs[look->n_pairs++] = (struct pair){service, node};
}

static void on_check(void *look_, const struct consul_check *check)
{
    struct consul_look *look = look_;
    struct service *service;

    if (check->service.len == 0) {
        node_of(look, check->node)->sum += mix(check->modified);
        look->nodes_sum += mix(check->modified);
        return;
    }
    if (!look->wants(look->arg, check->service))
        return;
    service = service_of(look, check->service);
    service->sum += mix(check->modified);
    add_pair(look, service, node_of(look, check->node));
}

struct consul_look *consul_look_new(consul_look_wants_fn *wants, void *arg)
{
    struct consul_look *look = alloc_new(sizeof(*look));

    arena_init(&look->arena, NULL, 0);
    consul_scan_init(&look->scan, on_check, look);
    look->wants = wants;
    look->arg = arg;
    look->nodes = map_new();
    look->services = map_new();
    return look;
}

void consul_look_free(struct consul_look **look)
{
    struct consul_look *old = *look;

    if (!old)
        return;
    *look = NULL;
    consul_scan_fini(&old->scan);
    map_free(&old->nodes);
    map_free(&old->services);
    alloc_free(old->pairs);
    arena_fini(&old->arena);
    alloc_free(old);
}

void consul_look_add(struct consul_look *look, struct sluice_span piece)
{
    consul_scan_add(&look->scan, piece);
}

enum err consul_look_end(struct consul_look *look)
{
    enum err err = consul_scan_end(&look->scan);

    if (err)
        return err;
    for (size_t i = 0; i < look->n_pairs; i++)
        look->pairs[i].service->sum += mix(look->pairs[i].node->sum);
    return OK;
}

bool consul_look_has(const struct consul_look *look, struct sluice_span service)
{
    return map_find(look->services, service) != NULL;
}

void consul_look_compare(const struct consul_look *before, const struct consul_look *after,
                         consul_look_tell_fn *tell, void *arg)
{
    struct sluice_span name;
    void *value;

    for (size_t at = 0; map_each(after->services, &at, &name, &value);) {
        const struct service *now = value, *then = map_find(before->services, name);

        if (!then || then->sum != now->sum)
            tell(arg, name);
    }
    for (size_t at = 0; map_each(before->services, &at, &name, &value);) {
        if (!consul_look_has(after, name))
            tell(arg, name);
    }
}

bool consul_look_nodes_differ(const struct consul_look *before, const struct consul_look *after)
{
    return before->nodes_sum != after->nodes_sum;
}

static uint64_t node_sum(const struct consul_look *look, struct sluice_span name)
{
    const struct node *node = map_find(look->nodes, name);

    return node ? node->sum : 0;
}

void consul_look_compare_nodes(const struct consul_look *before, const struct consul_look *after,
                               const struct consul_look *where, consul_look_tell_fn *tell,
                               void *arg)
{
    if (!consul_look_nodes_differ(before, after))
        return;
    for (size_t i = 0; i < where->n_pairs; i++) {
        struct sluice_span node = where->pairs[i].node->name;

        if (node_sum(before, node) != node_sum(after, node))
            tell(arg, where->pairs[i].service->name);
    }
}
