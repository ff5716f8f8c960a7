/*
 * page_memory.c - where the bytes of the process are.
 *
 * Three views of the same: what the kernel counts, what the allocator has given out, and what we
 * know by kind. What the allocator has given out and no kind knows of is "other": TLS, libevent's
 * tables, members of upstreams, plugins, libraries.
 */
#include "admin/pages.h"
#include "config/json.h"
#include "observe/process.h"
#include "observe/tally.h"
#include "proxy/memory.h"

#include <malloc.h>

/* Kinds being written, and what they take together. */
struct telling {
    struct json *json;
    uint64_t bytes;
    uint64_t mapped; /* of them, not from the allocator */
};

static void add_kind(void *telling_, const struct memory_kind *kind)
{
    struct telling *telling = telling_;
    struct json *json = telling->json;

    telling->bytes += kind->bytes;
    if (kind->mapped)
        telling->mapped += kind->bytes;
    json_open_row(json, NULL, '{');
    json_string(json, "kind", span_of(kind->name));
    json_number(json, "bytes", kind->bytes);
    if (kind->each > 0) {
        json_number(json, "used", kind->used);
        json_number(json, "free", kind->free);
        json_number(json, "each", kind->each);
    }
    if (kind->mapped) {
        json_number(json, "empty_bytes", kind->empty);
    }
    if (kind->kernel > 0)
        json_number(json, "kernel_bytes", kind->kernel);
    json_close(json, '}');
}

/* What the control thread keeps. */
static void add_own(struct telling *telling, const struct admin_host *host)
{
    struct memory_kind counters = {.name = "counters"}, generations = {.name = "configurations"};

    if (host->tally)
        counters.bytes = tally_bytes(host->tally);
    add_kind(telling, &counters);
    if (!host->generations)
        return;
    host->generations(host->owner, &generations.used, &generations.bytes);
    generations.each = generations.used > 0 ? generations.bytes / generations.used : 0;
    add_kind(telling, &generations);
}

static uint64_t add_process(struct json *json)
{
    struct process_memory memory;

    process_memory(&memory);
    json_open_row(json, "process", '{');
    json_number(json, "pss_bytes", memory.pss);
    json_number(json, "rss_bytes", memory.rss);
    json_number(json, "anonymous_bytes", memory.anonymous);
    json_close(json, '}');
    return memory.anonymous;
}

/* Slabs have their memory from the system: it is given out as what the allocator gives is. */
static void add_allocator(struct json *json, const struct telling *telling)
{
    struct mallinfo2 heap = mallinfo2();
    uint64_t given = heap.uordblks + heap.hblkhd + telling->mapped;
    uint64_t known = telling->bytes;

    json_open_row(json, "allocator", '{');
    json_number(json, "in_use_bytes", given);
    json_number(json, "free_bytes", heap.fordblks);
    json_number(json, "mapped_bytes", heap.hblkhd + telling->mapped);
    json_close(json, '}');
    json_number(json, "known_bytes", known);
    json_number(json, "other_bytes", given > known ? given - known : 0);
}

void page_memory(const struct ask *ask, struct answer *answer)
{
    const struct crew *crew = ask->host->crew;
    uint64_t connections = __atomic_load_n(&crew->connections, __ATOMIC_RELAXED);
    struct json json = {.out = &answer->body};
    struct telling telling = {.json = &json};
    uint64_t own;

    json_open(&json, NULL, '{');
    own = add_process(&json);
    json_number(&json, "connections", connections);
    if (connections > 0)
        json_number(&json, "bytes_a_connection", own / connections);
    json_open(&json, "kinds", '[');
    memory_each(crew, add_kind, &telling);
    add_own(&telling, ask->host);
    json_close(&json, ']');
    add_allocator(&json, &telling);
    json_close(&json, '}');
    text_add_char(&answer->body, '\n');
}
