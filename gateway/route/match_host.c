#include "route/match_host.h"

#include "base/rng.h"
#include "http/target.h"

#include <string.h>

static struct sluice_span without_brackets(struct sluice_span host)
{
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        return span_make(host.ptr + 1, host.len - 2);
    return host;
}

/* "*.example.com" is kept as ".example.com": no host begins with a dot. */
static struct sluice_span key_of(struct sluice_span host)
{
    if (host.len && host.ptr[0] == '*')
        return span_make(host.ptr + 1, host.len - 1);
    return without_brackets(host);
}

/* -- the table ------------------------------------------------------------ */

void hosts_init(struct hosts *hosts, size_t max, struct arena *arena)
{
    struct rng rng;
    size_t slots = 4;

    while (slots < 2 * max)
        slots *= 2;
    rng_init(&rng);
    *hosts = (struct hosts){
        .entry = max ? arena_new(arena, max * sizeof(struct host_entry)) : NULL,
        .slot = arena_new(arena, slots * sizeof(uint32_t)),
        .mask = slots - 1,
        .seed = rng_next(&rng),
    };
}

/*
 * The slot of a key, or the free one where it belongs. Never full: twice as many slots as
 * entries.
 */
static uint32_t *slot_for(const struct hosts *hosts, struct sluice_span key, uint64_t hash)
{
    size_t at = hash & hosts->mask;

    while (hosts->slot[at]) {
        const struct host_entry *entry = &hosts->entry[hosts->slot[at] - 1];

        if (entry->hash == hash && span_equal(entry->key, key))
            break;
        at = (at + 1) & hosts->mask;
    }
    return &hosts->slot[at];
}

struct paths *hosts_add(struct hosts *hosts, struct sluice_span host)
{
    struct sluice_span key = key_of(host);
    uint64_t hash = span_hash(key, hosts->seed);
    uint32_t *slot = slot_for(hosts, key, hash);

    if (!*slot) {
        hosts->entry[hosts->n] = (struct host_entry){.key = key, .hash = hash};
        *slot = (uint32_t)++hosts->n;
        if (key.ptr[0] == '.' && key.len > hosts->wildcard_max)
            hosts->wildcard_max = key.len;
    }
    return &hosts->entry[*slot - 1].paths;
}

static const struct paths *find(const struct hosts *hosts, struct sluice_span key)
{
    uint32_t place = *slot_for(hosts, key, span_hash(key, hosts->seed));

    return place ? &hosts->entry[place - 1].paths : NULL;
}

/* *from: 0 before the exact name, then the position behind the last dot looked at. */
const struct paths *hosts_next(const struct hosts *hosts, struct sluice_span host, size_t *from)
{
    const struct paths *paths;

    if (!host.len)
        return NULL;
    if (*from == 0) {
        *from = 1;
        if (host.len > hosts->wildcard_max && hosts->wildcard_max)
            *from = host.len - hosts->wildcard_max;
        paths = find(hosts, host);
        if (paths)
            return paths;
    }
    while (hosts->wildcard_max && *from < host.len) {
        size_t at = (*from)++;

        if (host.ptr[at] != '.')
            continue;
        paths = find(hosts, span_make(host.ptr + at, host.len - at));
        if (paths)
            return paths;
    }
    return NULL;
}

/* -- hosts of requests ------------------------------------------------------ */

struct sluice_span host_of(const struct request *request, char bytes[HOST_BYTES])
{
    struct sluice_span host;
    uint16_t port;

    if (!request->authority.len || target_authority(request->authority, &host, &port))
        return SPAN("");
    host = without_brackets(host);
    if (host.len > HOST_BYTES)
        return SPAN("");
    for (size_t i = 0; i < host.len; i++) {
        bytes[i] = host.ptr[i];
        if (bytes[i] >= 'A' && bytes[i] <= 'Z')
            bytes[i] = (char)(bytes[i] + ('a' - 'A'));
    }
    return span_make(bytes, host.len);
}

size_t host_rank(struct sluice_span pattern, struct sluice_span host)
{
    struct sluice_span key = key_of(pattern);

    if (!key.len)
        return 1; /* "*" */
    if (key.ptr[0] == '.')
        return host.len > key.len && span_ends(host, key) ? 1 + key.len : 0;
    return host.len && span_equal(key, host) ? SIZE_MAX : 0;
}
