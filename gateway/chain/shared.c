#include "chain/shared.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/list.h"
#include "observe/metrics.h"

struct shared_state {
    struct list link;
    struct shared_id id;
    char *plugin, *name, *key;  /* owned: what the texts of id are in */
    struct shared_words *words; /* owned; one of the two */
    struct shared_map *map;     /* owned */
    unsigned refs;
    uint64_t idle_since_ms; /* when refs became 0 */
};

struct shared {
    struct list states; /* of owned struct shared_state */
    size_t n;
};

/* -- states ------------------------------------------------------------------ */

static struct sluice_span keep(char **text, struct sluice_span span)
{
    *text = alloc_text(span.ptr, span.len);
    return span_make(*text, span.len);
}

static bool is_same(const struct shared_id *a, const struct shared_id *b)
{
    return a->version == b->version && span_equal(a->plugin, b->plugin) &&
           span_equal(a->name, b->name) && span_equal(a->key, b->key);
}

static struct shared_state *find(struct shared *shared, const struct shared_id *id, bool is_map)
{
    list_each (node, &shared->states) {
        struct shared_state *state = list_entry(node, struct shared_state, link);

        if ((state->map != NULL) == is_map && is_same(&state->id, id))
            return state;
    }
    return NULL;
}

static struct shared_state *add(struct shared *shared, const struct shared_id *id)
{
    struct shared_state *state = alloc_new(sizeof(*state));

    state->id.plugin = keep(&state->plugin, id->plugin);
    state->id.name = keep(&state->name, id->name);
    state->id.key = keep(&state->key, id->key);
    state->id.version = id->version;
    list_append(&shared->states, &state->link);
    shared->n++;
    return state;
}

static void state_free(struct shared *shared, struct shared_state *state)
{
    list_remove(&state->link);
    shared->n--;
    shared_words_free(&state->words);
    shared_map_free(&state->map);
    alloc_free(state->plugin);
    alloc_free(state->name);
    alloc_free(state->key);
    alloc_free(state);
}

struct shared_state *shared_words_ref(struct shared *shared, const struct shared_id *id,
                                      struct shared_size size, uint64_t now_ms)
{
    struct shared_state *state;

    shared_sweep(shared, now_ms);
    state = find(shared, id, false);
    if (!state) {
        struct shared_words *words = shared_words_new(size.capacity);

        if (!words)
            return NULL;
        state = add(shared, id);
        state->words = words;
    } else if (shared_words_grow(state->words, size.capacity)) {
        return NULL;
    }
    state->refs++;
    return state;
}

struct shared_state *shared_map_ref(struct shared *shared, const struct shared_id *id,
                                    struct shared_size size, uint64_t now_ms)
{
    struct shared_state *state;

    shared_sweep(shared, now_ms);
    state = find(shared, id, true);
    if (!state) {
        struct shared_map *map = shared_map_new(size.capacity, size.max_value);

        if (!map)
            return NULL;
        state = add(shared, id);
        state->map = map;
    } else {
        shared_map_grow(state->map, size.capacity, size.max_value);
    }
    state->refs++;
    return state;
}

void shared_unref(struct shared_state **state, uint64_t now_ms)
{
    struct shared_state *old = *state;

    *state = NULL;
    if (old && --old->refs == 0)
        old->idle_since_ms = now_ms;
}

void shared_sweep(struct shared *shared, uint64_t now_ms)
{
    list_each_safe (node, after, &shared->states) {
        struct shared_state *state = list_entry(node, struct shared_state, link);

        if (state->refs == 0 && now_ms - state->idle_since_ms >= SHARED_KEEP_MS)
            state_free(shared, state);
    }
}

/* -- questions ------------------------------------------------------------------ */

struct shared_words *shared_words_of(const struct shared_state *state)
{
    return state->words;
}

struct shared_map *shared_map_of(const struct shared_state *state)
{
    return state->map;
}

size_t shared_count(const struct shared *shared)
{
    return shared->n;
}

/* -- numbers ---------------------------------------------------------------------- */

/* Of either kind of table; what a kind does not know is 0. */
struct numbers {
    uint64_t live, capacity, expired, evicted, refused;
};

static struct numbers numbers_of(const struct shared_state *state)
{
    if (state->map) {
        struct shared_map_numbers map = shared_map_numbers(state->map);

        return (struct numbers){map.live, map.capacity, map.expired, map.evicted, map.refused};
    }
    struct shared_words_numbers words = shared_words_numbers(state->words);

    return (struct numbers){words.live, words.capacity, words.expired, 0, words.full};
}

struct family {
    const char *name, *help;
    enum page_type type;
    size_t at; /* in struct numbers */
};

static const struct family families[] = {
    {"sluice_shared_keys", "Keys of shared state, expired ones included until noticed.", PAGE_GAUGE,
     offsetof(struct numbers, live)},
    {"sluice_shared_capacity", "Keys that shared state has room for.", PAGE_GAUGE,
     offsetof(struct numbers, capacity)},
    {"sluice_shared_expired_total", "Keys of shared state dropped after their time.", PAGE_COUNTER,
     offsetof(struct numbers, expired)},
    {"sluice_shared_evicted_total", "Keys of shared maps dropped to make room.", PAGE_COUNTER,
     offsetof(struct numbers, evicted)},
    {"sluice_shared_refused_total", "Changes of shared state refused for want of room.",
     PAGE_COUNTER, offsetof(struct numbers, refused)},
};

void shared_collect(struct shared *shared, struct page *page)
{
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]) && shared->n > 0; i++) {
        page_family(page, families[i].name, families[i].type, families[i].help);
        list_each (node, &shared->states) {
            const struct shared_state *state = list_entry(node, struct shared_state, link);
            struct numbers numbers = numbers_of(state);
            const void *number = (const char *)&numbers + families[i].at;
            const struct label labels[] = {
                {"plugin", state->id.plugin}, {"state", state->id.name}, {"key", state->id.key}};

            page_count(page, labels, sizeof(labels) / sizeof(labels[0]), *(const uint64_t *)number);
        }
    }
}

/* -- life --------------------------------------------------------------------------- */

struct shared *shared_new(void)
{
    struct shared *shared = alloc_new(sizeof(*shared));

    list_init(&shared->states);
    return shared;
}

void shared_free(struct shared **shared)
{
    struct shared *old = *shared;

    *shared = NULL;
    if (!old)
        return;
    list_each_safe (node, after, &old->states) {
        struct shared_state *state = list_entry(node, struct shared_state, link);

        (void)BUG(state->refs > 0);
        state_free(old, state);
    }
    alloc_free(old);
}
