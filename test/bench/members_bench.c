/*
 * members_bench.c - what a change of members costs among 1,000, 10,000 and 50,000 endpoints.
 *
 * Control thread: from source_publish() to the set that is told to workers, with comparing, the audit
 * line (to nowhere) and what the rule of balancing prepares. Worker: upstream_set_members(), which
 * is the pause that its requests see. First all endpoints at once, then one more, then one less;
 * the best of some tries.
 *
 * Not a test: it judges nothing. Started by "make bench-parts".
 */
#include "base/check.h"
#include "base/log.h"
#include "base/now.h"
#include "core/loop.h"
#include "upstream/roster.h"
#include "upstream/upstream.h"

#include <stdio.h>

enum { TRIES = 5 };

struct scene {
    struct loop *loop;
    struct rng rng;
    struct tally *tally;
    struct shares *shares;
    struct sources *sources;
    struct roster *roster;
    struct arena arena;
    struct notes *notes;
    struct upstreams *all;
    struct upstream *upstream;
    struct upstream_conf conf;
    struct source *source; /* borrowed from the roster */
    uint64_t worker_us;    /* of the last change */
};

static void on_change(void *it_, const struct roster_news *news)
{
    struct scene *it = it_;
    uint64_t begun_us;

    if (news->cause != ROSTER_FOUND)
        return;
    begun_us = now_us();
    upstreams_set_members(it->all, news->members);
    it->worker_us = now_us() - begun_us;
}

static void bind_conf(struct scene *it, const char *rule)
{
    struct bind bind = {.arena = &it->arena, .notes = it->notes};
    struct items map = {NULL, 0};
    struct tree *tree = NULL;
    struct text yaml;

    text_init(&yaml, 4096);
    text_format(&yaml, "app: { %s, endpoints: [ \"127.0.0.1:9\" ] }", rule);
    CHECK(tree_parse(text_span(&yaml), "bench", &it->arena, it->notes, &tree) == OK);
    CHECK(shape_bind(&bind, &upstream_map_shape, tree, &map) == OK);
    it->conf = *(struct upstream_conf *)map.first;
    text_fini(&yaml);
}

static void scene_open(struct scene *it, const char *rule)
{
    struct upstream_wanted wanted = {.conf = &it->conf};
    struct roster_draft *draft;
    struct roster_row row;

    *it = (struct scene){.loop = loop_new(), .tally = tally_new(1), .notes = notes_new()};
    arena_init(&it->arena, NULL, 0);
    rng_init(&it->rng);
    it->shares = shares_new(it->tally);
    it->sources = sources_new(it->loop);
    it->roster = roster_new(it->sources, it->shares);
    it->all = upstreams_new(it->loop, &it->rng, 0);
    bind_conf(it, rule);
    draft = roster_begin(it->roster);
    wanted.members = roster_plan(draft, &it->conf, it->notes);
    wanted.tally =
        tally_get(it->tally, UPSTREAM_TALLY, SPAN("app"), sizeof(struct upstream_counters));
    it->upstream = upstream_get(it->all, &wanted);
    members_unref(&wanted.members);
    roster_commit(&draft);
    roster_on_change(it->roster, on_change, it);
    CHECK(roster_find(it->roster, SPAN("app"), &row));
    it->source = (struct source *)(uintptr_t)row.source;
}

static void scene_close(struct scene *it)
{
    upstream_unref(&it->upstream);
    upstreams_free(&it->all);
    roster_free(&it->roster);
    sources_free(&it->sources);
    shares_free(&it->shares);
    tally_free(&it->tally);
    notes_free(&it->notes);
    arena_fini(&it->arena);
    loop_free(&it->loop);
}

static struct found *set_of(size_t n)
{
    struct found *found = found_new();

    for (size_t i = 0; i < n; i++) {
        struct found_endpoint *endpoint = found_add(found);

        endpoint->address = arena_format(&found->arena, "10.%zu.%zu.%zu:8080", i >> 16 & 255,
                                         i >> 8 & 255, i & 255);
        endpoint->zone = SPAN("z1");
    }
    found_say_version(found, "of %zu", n);
    return found;
}

/* Milliseconds of a change: of the control thread, of a worker. */
struct cost {
    double control_ms, worker_ms;
};

static void publish(struct scene *it, size_t n, struct cost *least)
{
    struct found *found = set_of(n);
    uint64_t begun_us = now_us();
    double control_ms, worker_ms;

    source_publish(it->source, &found);
    control_ms = (double)(now_us() - begun_us - it->worker_us) / 1000;
    worker_ms = (double)it->worker_us / 1000;
    CHECK(it->upstream->n_endpoints == n);
    if (least->control_ms == 0 || control_ms < least->control_ms)
        least->control_ms = control_ms;
    if (least->worker_ms == 0 || worker_ms < least->worker_ms)
        least->worker_ms = worker_ms;
}

static void measure(const char *rule, size_t n)
{
    struct cost all = {0}, more = {0}, less = {0};

    for (int try = 0; try < TRIES; try++) {
        struct scene it;

        scene_open(&it, rule);
        publish(&it, n, &all);
        publish(&it, n + 1, &more);
        publish(&it, n, &less);
        scene_close(&it);
    }
    printf("  %-34s %6zu %8.1f %8.1f %8.1f %8.1f %8.1f %8.1f\n", rule, n, all.control_ms,
           more.control_ms, less.control_ms, all.worker_ms, more.worker_ms, less.worker_ms);
}

int main(void)
{
    static const char *const rules[] = {"balance: round_robin", "balance: least_requests",
                                        "balance: ring_hash, hash: source",
                                        "balance: maglev, hash: source"};
    static const size_t sizes[] = {1000, 10000, 50000};

    log_set(LOG_ERROR, LOG_TEXT);
    printf("milliseconds%-30s control thread             a worker\n", "");
    printf("  %-34s %6s %8s %8s %8s %8s %8s %8s\n", "", "", "all", "one more", "one less", "all",
           "one more", "one less");
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        for (size_t at = 0; at < sizeof(sizes) / sizeof(sizes[0]); at++) {
            measure(rules[i], sizes[at]);
        }
    }
    return 0;
}
