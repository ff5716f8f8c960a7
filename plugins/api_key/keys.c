/*
 * keys.c - entries in the order of their coming, an index by digest with open addressing, and one
 * run of text for names. 44 bytes a key, and 6 to 11 of index.
 */
#include "keys.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    unsigned char digest[KEYS_DIGEST];
    struct keys_span span;
    uint32_t consumer;
};

struct consumer {
    uint32_t at; /* of the name in text; the groups follow */
    uint16_t name_len, groups_len;
};

struct keys {
    atomic_uint holders;
    size_t n, room;
    size_t n_slots; /* a power of two, or 0 */
    size_t n_consumers, consumer_room;
    size_t text_len, text_room;
    struct entry *entries;      /* owned */
    uint32_t *slots;            /* owned: number of an entry + 1; 0: free */
    struct consumer *consumers; /* owned */
    char *text;                 /* owned */
};

/* -- life ---------------------------------------------------------------------- */

struct keys *keys_new(void)
{
    struct keys *keys = calloc(1, sizeof(*keys));

    if (keys)
        atomic_init(&keys->holders, 1);
    return keys;
}

struct keys *keys_hold(struct keys *keys)
{
    if (keys)
        atomic_fetch_add_explicit(&keys->holders, 1, memory_order_relaxed);
    return keys;
}

void keys_free(struct keys **keys)
{
    struct keys *gone = *keys;

    *keys = NULL;
    if (!gone || atomic_fetch_sub_explicit(&gone->holders, 1, memory_order_acq_rel) > 1)
        return;
    free(gone->entries);
    free(gone->slots);
    free(gone->consumers);
    free(gone->text);
    free(gone);
}

/* Room for one more of that size, half as many again when it is used up. */
static bool grow(void **list, size_t *room, size_t wanted, size_t size)
{
    size_t more = *room + *room / 2 + 16;
    void *grown;

    if (wanted <= *room)
        return true;
    if (more < wanted)
        more = wanted;
    if (more > UINT32_MAX)
        return false;
    grown = realloc(*list, more * size);
    if (!grown)
        return false;
    *list = grown;
    *room = more;
    return true;
}

/* -- making -------------------------------------------------------------------- */

static bool is_current(const struct keys *keys, struct sluice_span name, struct sluice_span groups)
{
    const struct consumer *last;

    if (keys->n_consumers == 0)
        return false;
    last = &keys->consumers[keys->n_consumers - 1];
    return last->name_len == name.len && last->groups_len == groups.len &&
           memcmp(keys->text + last->at, name.ptr, name.len) == 0 &&
           (groups.len == 0 ||
            memcmp(keys->text + last->at + name.len, groups.ptr, groups.len) == 0);
}

enum keys_result keys_consumer(struct keys *keys, struct sluice_span name,
                               struct sluice_span groups)
{
    void *text = keys->text, *consumers = keys->consumers;

    if (name.len == 0 || name.len > KEYS_NAME_MAX || groups.len > KEYS_NAME_MAX)
        return KEYS_TOO_LONG;
    if (is_current(keys, name, groups))
        return KEYS_OK;
    if (!grow(&text, &keys->text_room, keys->text_len + name.len + groups.len, 1))
        return KEYS_NO_MEMORY;
    keys->text = text;
    if (!grow(&consumers, &keys->consumer_room, keys->n_consumers + 1, sizeof(struct consumer)))
        return KEYS_NO_MEMORY;
    keys->consumers = consumers;
    keys->consumers[keys->n_consumers++] =
        (struct consumer){(uint32_t)keys->text_len, (uint16_t)name.len, (uint16_t)groups.len};
    memcpy(keys->text + keys->text_len, name.ptr, name.len);
    if (groups.len > 0)
        memcpy(keys->text + keys->text_len + name.len, groups.ptr, groups.len);
    keys->text_len += name.len + groups.len;
    return KEYS_OK;
}

/* Digests are as good as random: their first bytes are the hash. */
static size_t home_of(const struct keys *keys, const unsigned char *digest)
{
    uint64_t word;

    memcpy(&word, digest, sizeof(word));
    return (size_t)word & (keys->n_slots - 1);
}

static bool is_same(const unsigned char *a, const unsigned char *b)
{
    unsigned differs = 0;

    for (size_t i = 0; i < KEYS_DIGEST; i++)
        differs |= (unsigned)(a[i] ^ b[i]);
    return differs == 0;
}

/* The slot of that digest, or the free one where it would be. There always is a free one. */
static size_t slot_of(const struct keys *keys, const unsigned char *digest)
{
    size_t at = home_of(keys, digest);

    while (keys->slots[at] != 0 && !is_same(keys->entries[keys->slots[at] - 1].digest, digest))
        at = (at + 1) & (keys->n_slots - 1);
    return at;
}

/* At most two thirds of the slots are taken. */
static bool make_slots(struct keys *keys)
{
    size_t n_slots = keys->n_slots;
    uint32_t *slots;

    if ((keys->n + 1) * 3 <= n_slots * 2)
        return true;
    n_slots = n_slots == 0 ? 16 : n_slots * 2;
    slots = calloc(n_slots, sizeof(*slots));
    if (!slots)
        return false;
    free(keys->slots);
    keys->slots = slots;
    keys->n_slots = n_slots;
    for (size_t i = 0; i < keys->n; i++)
        keys->slots[slot_of(keys, keys->entries[i].digest)] = (uint32_t)i + 1;
    return true;
}

enum keys_result keys_add(struct keys *keys, const unsigned char digest[KEYS_DIGEST],
                          struct keys_span span)
{
    void *entries = keys->entries;
    struct entry *entry;
    size_t slot;

    if (!make_slots(keys) || !grow(&entries, &keys->room, keys->n + 1, sizeof(struct entry)))
        return KEYS_NO_MEMORY;
    keys->entries = entries;
    slot = slot_of(keys, digest);
    if (keys->slots[slot] != 0)
        return KEYS_DUPLICATE;
    entry = &keys->entries[keys->n++];
    memcpy(entry->digest, digest, KEYS_DIGEST);
    entry->span = span;
    entry->consumer = (uint32_t)keys->n_consumers - 1;
    keys->slots[slot] = (uint32_t)keys->n;
    return KEYS_OK;
}

/* -- asking -------------------------------------------------------------------- */

bool keys_find(const struct keys *keys, const unsigned char digest[KEYS_DIGEST],
               struct keys_hit *hit)
{
    const struct consumer *consumer;
    const struct entry *entry;
    size_t slot;

    if (!keys || keys->n == 0)
        return false;
    slot = slot_of(keys, digest);
    if (keys->slots[slot] == 0)
        return false;
    entry = &keys->entries[keys->slots[slot] - 1];
    consumer = &keys->consumers[entry->consumer];
    hit->name = (struct sluice_span){keys->text + consumer->at, consumer->name_len};
    hit->groups = (struct sluice_span){hit->name.ptr + consumer->name_len, consumer->groups_len};
    hit->span = entry->span;
    return true;
}

size_t keys_count(const struct keys *keys)
{
    return keys ? keys->n : 0;
}
