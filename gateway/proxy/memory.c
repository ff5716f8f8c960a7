#include "proxy/memory.h"

#include "http/h2.h"
#include "proxy/worker.h"
#include "upstream/upstream.h"

typedef struct slab_look look_fn(const struct worker *worker);

static struct slab_look look_sessions(const struct worker *worker)
{
    return slab_look(&worker->sessions);
}

static struct slab_look look_tunnels(const struct worker *worker)
{
    return slab_look(&worker->tunnels);
}

static struct slab_look look_arenas(const struct worker *worker)
{
    return slab_look(&worker->chunks);
}

static struct slab_look look_pooled(const struct worker *worker)
{
    return worker->upstreams ? upstreams_look(worker->upstreams) : (struct slab_look){0};
}

static struct slab_look look_blocks(const struct worker *worker)
{
    return slab_look(&worker->loop->blocks);
}

static struct slab_look look_large_blocks(const struct worker *worker)
{
    return slab_look(&worker->loop->large_blocks);
}

/* Of clients and of upstreams together. */
static struct slab_look sum(struct slab_look one, const struct slab_look *other)
{
    one.used += other->used;
    one.free += other->free;
    one.bytes += other->bytes;
    one.empty_bytes += other->empty_bytes;
    if (one.object_bytes == 0)
        one.object_bytes = other->object_bytes;
    return one;
}

static struct slab_look look_streams(const struct worker *worker)
{
    struct slab_look own = {0}, streams = {0}, queues;

    if (worker->h2)
        own = h2_bench_streams(worker->h2);
    if (worker->upstreams)
        upstreams_look_h2(worker->upstreams, &streams, &queues);
    return sum(own, &streams);
}

static struct slab_look look_queues(const struct worker *worker)
{
    struct slab_look own = {0}, streams, queues = {0};

    if (worker->h2)
        own = h2_bench_queues(worker->h2);
    if (worker->upstreams)
        upstreams_look_h2(worker->upstreams, &streams, &queues);
    return sum(own, &queues);
}

static const struct {
    const char *name;
    look_fn *look;
} slabs[] = {
    {"sessions", look_sessions},     {"upstream_connections", look_pooled},
    {"tunnels", look_tunnels},       {"arenas", look_arenas},
    {"blocks", look_blocks},         {"large_blocks", look_large_blocks},
    {"http2_streams", look_streams}, {"http2_queues", look_queues},
};

/* What is in them is the kernel's. */
static struct memory_kind look_pipes(const struct crew *crew)
{
    struct memory_kind kind = {.name = "pipes", .each = sizeof(struct block) + sizeof(struct pipe)};

    for (unsigned i = 0; i < crew->n_workers; i++) {
        const struct pipes *pipes = &crew->worker[i]->loop->pipes;

        kind.used += counter_get(&pipes->used);
        kind.free += counter_get(&pipes->spare);
        kind.kernel += counter_get(&pipes->bytes);
    }
    kind.bytes = kind.each * (kind.used + kind.free);
    return kind;
}

void memory_each(const struct crew *crew, memory_each_fn *each, void *arg)
{
    struct memory_kind buffers = {.name = "worker_buffers"}, pipes = look_pipes(crew);

    for (size_t i = 0; i < sizeof(slabs) / sizeof(slabs[0]); i++) {
        struct memory_kind kind = {.name = slabs[i].name, .mapped = true};

        for (unsigned j = 0; j < crew->n_workers; j++) {
            struct slab_look look = slabs[i].look(crew->worker[j]);

            kind.bytes += look.bytes;
            kind.used += look.used;
            kind.free += look.free;
            kind.empty += look.empty_bytes;
            if (look.object_bytes > 0)
                kind.each = look.object_bytes;
        }
        each(arg, &kind);
    }
    each(arg, &pipes);
    /* One piece each, and touched only as far as it was ever needed. */
    buffers.bytes = (uint64_t)crew->n_workers *
                    (LOOP_LENT_BYTES + LANE_BYTES + sizeof(struct field_line) * 2 * WORKER_LINES);
    each(arg, &buffers);
}
