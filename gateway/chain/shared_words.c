/*
 * shared_words.c - a hash table of lock-free lists over slots that are never given back.
 *
 *   bucket > slot > slot > ...      lists by the hash of a key; new slots come in front
 *   free   > slot > ...             a stack of slots without a key
 *
 * The lists are Michael's ("High performance dynamic lock-free hash tables and list-based sets",
 * 2002, the variant with tags): a link holds the number of a slot, a mark and a tag that grows with
 * each change. A slot leaves its list in two steps: first its own link is marked, then the link to
 * it is moved on; whoever comes by may do the second. A reader looks at a slot, and then whether
 * the link by which it came is still the same; so what it saw belonged to that place.
 *
 * Two things are new here:
 *
 * 1. A key is in its list once. It comes in front only if the head of the list is what it was when
 *    the search for the key began, and every key that comes changes the head.
 * 2. A number belongs to a generation of its slot. Beside each number stand the moment when it
 *    expires, the generation, and whether it is dead: one word, which changes together with the
 *    number (pair_swap). A slot dies in one such step, and only while the number is 0 or its time
 *    is over; after that no change made by somebody who had found it earlier can succeed. A dead
 *    slot gets the next generation before anything else of it is written.
 *
 * Slots that have expired are found by a hand that moves on with each new key.
 */
#include "chain/shared_words.h"

#include "base/alloc.h"
#include "base/pair.h"
#include "base/sip.h"

enum {
    LINE = 64,
    SEGMENTS = 30, /* the first one, and one for each time it grew */
    OFFSET_BITS = 26,
    BUCKETS_MIN = 64,
    SWEEP_EACH = 4,  /* slots looked at for each key that comes: faster than they can fill up */
    SWEEP_FULL = 64, /* and when there is no room: some microseconds */
};

/* A link: tag (32 bits), mark (1), number of a slot (31; 0: none). */
#define LINK_MARK ((uint64_t)1 << 31)
#define LINK_SLOT (LINK_MARK - 1)
#define LINK_TAG  ((uint64_t)1 << 32)

/* What stands beside a number: when it expires (40 bits), generation (23), dead (1). */
#define STATE_DEAD       ((uint64_t)1)
#define STATE_GENERATION ((uint64_t)0xfffffe)
#define STATE_EXPIRES    24

struct slot {
    struct pair number; /* low: the number, high: its state */
    uint64_t key[2];
    uint64_t next; /* link; its tag grows as long as the table lives */
    uint32_t free_next;
    uint32_t padding[5];
};
_Static_assert(sizeof(struct slot) == LINE, "a slot is a cache line");

struct segment {
    void *memory; /* owned */
    struct slot *slot;
    uint32_t n;
    uint32_t fresh; /* slots that have been taken at least once, from the first on */
};

struct shared_words {
    struct sip_key key;
    uint64_t *bucket; /* owned: links */
    uint64_t mask;
    struct segment segment[SEGMENTS]; /* those from n_segments on are not to be looked at */
    uint32_t n_segments;
    uint64_t capacity;
    char padding[LINE]; /* what follows is written often */
    uint64_t free;      /* link, without mark */
    uint64_t hand, live, expired, full;
};

static uint64_t load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the builtin writes */
static void store(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* NOLINTNEXTLINE(readability-non-const-parameter) */
static bool swap(uint64_t *word, uint64_t seen, uint64_t wanted)
{
    return __atomic_compare_exchange_n(word, &seen, wanted, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

/* NOLINTNEXTLINE(readability-non-const-parameter) */
static void count(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* A link to that slot in place of one that was seen there. */
static uint64_t link_after(uint64_t seen, uint64_t slot)
{
    return ((seen & ~(LINK_MARK | LINK_SLOT)) + LINK_TAG) | slot;
}

static struct slot *slot_of(struct shared_words *words, uint64_t link)
{
    uint64_t at = (link & LINK_SLOT) - 1;

    return &words->segment[at >> OFFSET_BITS].slot[at & (((uint64_t)1 << OFFSET_BITS) - 1)];
}

static uint64_t number_of_slot(unsigned segment, uint64_t offset)
{
    return ((uint64_t)segment << OFFSET_BITS | offset) + 1;
}

static bool is_over(struct pair number, uint64_t now_ms)
{
    return number.low == 0 || number.high >> STATE_EXPIRES <= now_ms;
}

static uint64_t state_of(uint64_t generation, uint64_t now_ms, uint64_t ttl_ms)
{
    return (now_ms + ttl_ms) << STATE_EXPIRES | (generation & STATE_GENERATION);
}

/* A number that was there while its state was this one. */
static struct pair read_number(const struct slot *slot)
{
    struct pair number;
    uint64_t again = load(&slot->number.high);

    do {
        number.high = again;
        number.low = load(&slot->number.low);
        again = load(&slot->number.high);
    } while (again != number.high);
    return number;
}

/* -- slots without a key ------------------------------------------------- */

static void give_slot(struct shared_words *words, uint64_t slot)
{
    uint64_t top = load(&words->free);

    do {
        __atomic_store_n(&slot_of(words, slot)->free_next, (uint32_t)(top & LINK_SLOT),
                         __ATOMIC_RELAXED);
    } while (!__atomic_compare_exchange_n(&words->free, &top, link_after(top, slot), true,
                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
}

static uint64_t take_fresh(struct segment *segment, unsigned number)
{
    uint32_t fresh = __atomic_load_n(&segment->fresh, __ATOMIC_RELAXED);

    while (fresh < segment->n) {
        if (__atomic_compare_exchange_n(&segment->fresh, &fresh, fresh + 1, true, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED))
            return number_of_slot(number, fresh);
    }
    return 0;
}

static uint64_t take_slot(struct shared_words *words)
{
    uint64_t top = load(&words->free), slot = 0;
    unsigned n = __atomic_load_n(&words->n_segments, __ATOMIC_ACQUIRE);

    while (top & LINK_SLOT) {
        uint32_t next = __atomic_load_n(&slot_of(words, top)->free_next, __ATOMIC_RELAXED);

        if (__atomic_compare_exchange_n(&words->free, &top, link_after(top, next), true,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return top & LINK_SLOT;
    }
    for (unsigned i = 0; i < n && slot == 0; i++)
        slot = take_fresh(&words->segment[i], i);
    return slot;
}

/* -- lists ---------------------------------------------------------------- */

/* Mark the link of a dead slot, unless it has begun another life. */
static void mark(struct slot *slot, uint64_t dead)
{
    uint64_t next;

    do {
        next = load(&slot->next);
        if ((next & LINK_MARK) || load(&slot->number.high) != dead)
            return;
    } while (!swap(&slot->next, next, link_after(next, next & LINK_SLOT) | LINK_MARK));
}

static bool has_key(const struct slot *slot, const struct sip_hash *key)
{
    return load(&slot->key[0]) == key->word[0] && load(&slot->key[1]) == key->word[1];
}

/* How far a search has come. */
struct search {
    uint64_t *bucket;
    uint64_t head;     /* what it began with */
    uint64_t *way;     /* where the link that follows was read */
    uint64_t link;     /* to the slot that is looked at */
    struct slot *slot; /* NULL: the key is not there */
    struct pair number;
};

static void search_begin(struct search *search)
{
    search->way = search->bucket;
    search->link = search->head = load(search->bucket);
}

/* Take the marked slot out of its list; false when something else has changed there. */
static bool unlink_slot(struct shared_words *words, struct search *search, uint64_t next)
{
    uint64_t slot = search->link & LINK_SLOT;
    uint64_t link = link_after(search->link, next & LINK_SLOT);

    if (!swap(search->way, search->link, link))
        return false;
    if (search->way == search->bucket)
        search->head = link; /* our own change brought no key */
    search->link = link;
    give_slot(words, slot);
    count(&words->live, (uint64_t)-1);
    count(&words->expired, 1);
    return true;
}

/*
 * Find the live slot of a key, and clean up on the way. Each turn but the last was because
 * somebody else has changed the list meanwhile.
 */
static void search_key(struct shared_words *words, struct search *search,
                       const struct sip_hash *key)
{
    search->bucket = &words->bucket[key->word[0] & words->mask];
    search_begin(search);
    while (search->link & LINK_SLOT) {
        struct slot *slot = slot_of(words, search->link);
        uint64_t next = load(&slot->next);
        bool is_wanted = has_key(slot, key);

        search->number = read_number(slot);
        if (load(search->way) != search->link) {
            search_begin(search);
        } else if (next & LINK_MARK) {
            if (!unlink_slot(words, search, next))
                search_begin(search);
        } else if (is_wanted && (search->number.high & STATE_DEAD)) {
            mark(slot, search->number.high);
            search_begin(search);
        } else if (is_wanted) {
            search->slot = slot;
            return;
        } else {
            search->way = &slot->next;
            search->link = next;
        }
    }
    search->slot = NULL;
}

/* -- what has expired ------------------------------------------------------- */

static void drop_if_over(struct shared_words *words, struct slot *slot, uint64_t now_ms)
{
    struct pair number = read_number(slot), dead;
    struct sip_hash key = {{load(&slot->key[0]), load(&slot->key[1])}};
    struct search search;

    if ((number.high & STATE_DEAD) || number.high == 0 || !is_over(number, now_ms))
        return;
    dead.low = 0;
    dead.high = (number.high & STATE_GENERATION) | STATE_DEAD;
    if (!pair_swap(&slot->number, number, dead))
        return;
    /* It was of that generation before and after its key was read, so the key was its own. */
    mark(slot, dead.high);
    search_key(words, &search, &key);
}

/* Look at the next n slots, in a circle. */
static void sweep(struct shared_words *words, uint64_t n, uint64_t now_ms)
{
    unsigned n_segments = __atomic_load_n(&words->n_segments, __ATOMIC_ACQUIRE);
    uint64_t capacity = load(&words->capacity);
    uint64_t at = __atomic_fetch_add(&words->hand, n, __ATOMIC_RELAXED);

    for (; n > 0; n--, at++) {
        uint64_t offset = at % capacity;
        unsigned i = 0;

        while (i < n_segments && offset >= words->segment[i].n)
            offset -= words->segment[i++].n;
        if (i < n_segments && offset < __atomic_load_n(&words->segment[i].fresh, __ATOMIC_ACQUIRE))
            drop_if_over(words, &words->segment[i].slot[offset], now_ms);
    }
}

/* -- new keys --------------------------------------------------------------- */

/* Nobody else can reach the slot, but some may remember it from an earlier life. */
static void fill(struct slot *slot, const struct sip_hash *key, uint64_t number, uint64_t now_ms,
                 uint64_t ttl_ms)
{
    uint64_t generation = (load(&slot->number.high) & STATE_GENERATION) + 2;

    store(&slot->number.high, (generation & STATE_GENERATION) | STATE_DEAD);
    store(&slot->key[0], key->word[0]);
    store(&slot->key[1], key->word[1]);
    store(&slot->number.low, number);
    store(&slot->number.high, state_of(generation, now_ms, ttl_ms));
}

/* ERR_AGAIN: somebody was quicker, search again. */
static enum err insert(struct shared_words *words, const struct search *search,
                       const struct sip_hash *key, uint64_t number, uint64_t now_ms,
                       uint64_t ttl_ms)
{
    uint64_t slot = take_slot(words);
    struct slot *new;

    if (slot == 0) {
        sweep(words, SWEEP_FULL, now_ms);
        slot = take_slot(words);
    }
    if (slot == 0) {
        count(&words->full, 1);
        return ERR_LIMIT;
    }
    new = slot_of(words, slot);
    fill(new, key, number, now_ms, ttl_ms);
    store(&new->next, link_after(load(&new->next), search->head & LINK_SLOT));
    if (!swap(search->bucket, search->head, link_after(search->head, slot))) {
        store(&new->number.high, (load(&new->number.high) & STATE_GENERATION) | STATE_DEAD);
        give_slot(words, slot);
        return ERR_AGAIN;
    }
    count(&words->live, 1);
    sweep(words, SWEEP_EACH, now_ms);
    return OK;
}

/* Put wanted in place of what the search has found. */
static enum err change(struct shared_words *words, const struct search *search,
                       const struct sip_hash *key, uint64_t wanted, uint64_t now_ms,
                       uint64_t ttl_ms)
{
    if (search->slot) {
        struct pair number = {wanted, state_of(search->number.high, now_ms, ttl_ms)};

        return pair_swap(&search->slot->number, search->number, number) ? OK : ERR_AGAIN;
    }
    return wanted == 0 ? OK : insert(words, search, key, wanted, now_ms, ttl_ms);
}

static uint64_t found_number(const struct search *search, uint64_t now_ms)
{
    return search->slot && !is_over(search->number, now_ms) ? search->number.low : 0;
}

/* -- actions ------------------------------------------------------------------ */

enum err shared_words_swap(struct shared_words *words, struct sluice_span key, uint64_t *expected,
                           uint64_t desired, uint64_t now_ms, uint64_t ttl_ms)
{
    struct sip_hash hash = sip_hash(&words->key, key);
    struct search search;
    enum err err;

    do { /* again only when another thread has got on meanwhile */
        uint64_t number;

        search_key(words, &search, &hash);
        number = found_number(&search, now_ms);
        if (number != *expected) {
            *expected = number;
            return ERR_AGAIN;
        }
        err = change(words, &search, &hash, desired, now_ms, ttl_ms);
    } while (err == ERR_AGAIN);
    return err;
}

enum err shared_words_add(struct shared_words *words, struct sluice_span key, int64_t difference,
                          uint64_t now_ms, uint64_t ttl_ms, uint64_t *result)
{
    struct sip_hash hash = sip_hash(&words->key, key);
    struct search search;
    uint64_t sum;
    enum err err;

    do {
        search_key(words, &search, &hash);
        sum = found_number(&search, now_ms) + (uint64_t)difference;
        err = change(words, &search, &hash, sum, now_ms, ttl_ms);
    } while (err == ERR_AGAIN);
    *result = sum;
    return err;
}

/* -- questions ------------------------------------------------------------------ */

uint64_t shared_words_get(struct shared_words *words, struct sluice_span key, uint64_t now_ms)
{
    struct sip_hash hash = sip_hash(&words->key, key);
    struct search search;

    search_key(words, &search, &hash);
    return found_number(&search, now_ms);
}

struct shared_words_numbers shared_words_numbers(const struct shared_words *words)
{
    return (struct shared_words_numbers){.live = load(&words->live),
                                         .capacity = load(&words->capacity),
                                         .expired = load(&words->expired),
                                         .full = load(&words->full)};
}

/* -- life ----------------------------------------------------------------------- */

static enum err add_segment(struct shared_words *words, uint64_t n)
{
    struct segment *segment = &words->segment[words->n_segments];

    if (words->n_segments == SEGMENTS)
        return ERR_LIMIT;
    segment->memory = alloc_zero_try((n + 1) * LINE);
    if (!segment->memory)
        return ERR_MEMORY;
    segment->slot = (void *)((char *)segment->memory + (LINE - (uintptr_t)segment->memory % LINE));
    segment->n = (uint32_t)n;
    segment->fresh = 0;
    __atomic_store_n(&words->n_segments, words->n_segments + 1, __ATOMIC_RELEASE);
    count(&words->capacity, n);
    return OK;
}

struct shared_words *shared_words_new(uint64_t capacity)
{
    struct shared_words *words = alloc_zero_try(sizeof(*words));
    uint64_t buckets = BUCKETS_MIN;

    if (!words || capacity == 0 || capacity > SHARED_WORDS_MAX) {
        alloc_free(words);
        return NULL;
    }
    while (buckets < capacity)
        buckets *= 2;
    sip_key_init(&words->key);
    words->mask = buckets - 1;
    words->bucket = alloc_zero_try(buckets * sizeof(*words->bucket));
    if (!words->bucket || add_segment(words, capacity))
        shared_words_free(&words);
    return words;
}

void shared_words_free(struct shared_words **words)
{
    struct shared_words *old = *words;

    *words = NULL;
    if (!old)
        return;
    for (unsigned i = 0; i < old->n_segments; i++)
        alloc_free(old->segment[i].memory);
    alloc_free(old->bucket);
    alloc_free(old);
}

enum err shared_words_grow(struct shared_words *words, uint64_t capacity)
{
    uint64_t before = words->capacity;

    if (capacity <= before)
        return OK;
    return capacity > SHARED_WORDS_MAX ? ERR_LIMIT : add_segment(words, capacity - before);
}
