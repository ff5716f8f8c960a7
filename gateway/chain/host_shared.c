/*
 * host_shared.c - words and maps of plugins.
 */
#include "base/now.h"
#include "chain/host.h"
#include "chain/plugin.h"
#include "chain/shared.h"

enum { TTL_PRESET_MS = 3600 * 1000 };

/* Both live in the conf's arena and give their reference back with it. */
struct sluice_words {
    struct shared_state *state;
    struct shared_words *words;
};

struct sluice_map {
    struct shared_state *state;
    struct shared_map *map;
};

static uint64_t ttl_of(uint32_t ttl_ms)
{
    return ttl_ms > 0 ? ttl_ms : TTL_PRESET_MS;
}

static struct shared_id id_of(const struct sluice_setup *setup,
                              const struct sluice_shared_spec *spec)
{
    return (struct shared_id){.plugin = span_of(setup->entry->plugin->name),
                              .name = span_of(spec->name),
                              .key = spec->key,
                              .version = spec->version};
}

static void give_back(void *state)
{
    struct shared_state *its = state;

    shared_unref(&its, now_coarse_ms());
}

struct sluice_words *host_words(struct sluice_setup *setup, const struct sluice_shared_spec *spec)
{
    struct shared_id id = id_of(setup, spec);
    struct shared_size size = {.capacity = spec->capacity};
    struct sluice_words *words;
    struct shared_state *state;

    state =
        setup->is_start ? shared_words_ref(setup->home->shared, &id, size, now_coarse_ms()) : NULL;
    if (!state)
        return NULL;
    words = arena_new(setup->arena, sizeof(*words));
    words->state = state;
    words->words = shared_words_of(state);
    arena_on_fini(setup->arena, give_back, state);
    return words;
}

struct sluice_map *host_map(struct sluice_setup *setup, const struct sluice_shared_spec *spec)
{
    struct shared_id id = id_of(setup, spec);
    struct shared_size size = {.capacity = spec->capacity, .max_value = spec->max_value};
    struct sluice_map *map;
    struct shared_state *state;

    state =
        setup->is_start ? shared_map_ref(setup->home->shared, &id, size, now_coarse_ms()) : NULL;
    if (!state)
        return NULL;
    map = arena_new(setup->arena, sizeof(*map));
    map->state = state;
    map->map = shared_map_of(state);
    arena_on_fini(setup->arena, give_back, state);
    return map;
}

uint64_t host_words_get(struct sluice_words *words, struct sluice_span key)
{
    return words ? shared_words_get(words->words, key, now_coarse_ms()) : 0;
}

static enum sluice_shared shared_of(enum err err)
{
    if (err == OK)
        return SLUICE_SHARED_OK;
    if (err == ERR_MISSING)
        return SLUICE_SHARED_ABSENT;
    return err == ERR_AGAIN ? SLUICE_SHARED_OTHER : SLUICE_SHARED_FULL;
}

enum sluice_shared host_words_swap(struct sluice_words *words, struct sluice_span key,
                                   uint64_t *expected, uint64_t desired, uint32_t ttl_ms)
{
    if (!words)
        return SLUICE_SHARED_FULL;
    return shared_of(
        shared_words_swap(words->words, key, expected, desired, now_coarse_ms(), ttl_of(ttl_ms)));
}

enum sluice_shared host_words_add(struct sluice_words *words, struct sluice_span key,
                                  int64_t difference, uint32_t ttl_ms, uint64_t *result)
{
    uint64_t sum;
    enum err err;

    if (!words)
        return SLUICE_SHARED_FULL;
    err = shared_words_add(words->words, key, difference, now_coarse_ms(), ttl_of(ttl_ms), &sum);

    if (result && err == OK)
        *result = sum;
    return shared_of(err);
}

enum sluice_shared host_map_get(struct sluice_map *map, struct sluice_span key, void *out,
                                size_t cap, size_t *len, uint64_t *serial)
{
    struct shared_map_copy copy = {.out = out, .cap = cap};
    enum err err = map ? shared_map_get(map->map, key, now_coarse_ms(), &copy) : ERR_MISSING;

    if (err == OK && len)
        *len = copy.len;
    if (err == OK && serial)
        *serial = copy.serial;
    return shared_of(err);
}

enum sluice_shared host_map_set(struct sluice_map *map, struct sluice_span key,
                                struct sluice_span value, uint32_t ttl_ms)
{
    if (!map)
        return SLUICE_SHARED_FULL;
    return shared_of(shared_map_set(map->map, key, value, now_coarse_ms(), ttl_of(ttl_ms)));
}

void host_map_remove(struct sluice_map *map, struct sluice_span key)
{
    if (map)
        shared_map_remove(map->map, key);
}
