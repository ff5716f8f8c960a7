/*
 * shared.h - state that all workers share, by name, and that outlives reloads.
 *
 * It is known by plugin, name, key and version: who asks with the same gets the same. When the
 * last configuration that named it has ended, it is kept for ten minutes more, so that an entry
 * that was taken out by mistake finds its state again.
 *
 * Owns:    the tables.
 * Threads: the control thread; the tables themselves are for all.
 */
#ifndef CHAIN_SHARED_H
#define CHAIN_SHARED_H

#include "chain/shared_map.h"
#include "chain/shared_words.h"

struct page;
struct shared;
struct shared_state; /* one table with its name; counted */

enum { SHARED_KEEP_MS = 10 * 60 * 1000 };

struct shared_id {
    struct sluice_span plugin, name, key;
    uint32_t version;
};

/* What a table must hold at least. */
struct shared_size {
    uint64_t capacity; /* keys */
    size_t max_value;  /* of a map; bytes */
};

/* -- life ------------------------------------------------------------- */

struct shared *shared_new(void);

/* Nobody may use any of it any more; all states must have been given back. */
void shared_free(struct shared **shared);

/* -- actions ---------------------------------------------------------- */

/*
 * The state of that name, made when there is none, grown when it is too small, one reference
 * more. A table of words and a map of one name are different states. NULL when out of memory or
 * of bounds.
 */
struct shared_state *shared_words_ref(struct shared *shared, const struct shared_id *id,
                                      struct shared_size size, uint64_t now_ms);
struct shared_state *shared_map_ref(struct shared *shared, const struct shared_id *id,
                                    struct shared_size size, uint64_t now_ms);

/* One reference less. NULL is fine. */
void shared_unref(struct shared_state **state, uint64_t now_ms);

/* Forget what nobody has named for SHARED_KEEP_MS. */
void shared_sweep(struct shared *shared, uint64_t now_ms);

/* Say the numbers of all states. */
void shared_collect(struct shared *shared, struct page *page);

/* -- questions -------------------------------------------------------- */

struct shared_words *shared_words_of(const struct shared_state *state);
struct shared_map *shared_map_of(const struct shared_state *state);

/* How many there are. */
size_t shared_count(const struct shared *shared);

#endif /* CHAIN_SHARED_H */
