/*
 * shared_words.h - 64-bit numbers under keys, which all workers read and change without locks.
 *
 * A number that was never written, or not for its time to live, is 0 and takes no room: 0 and
 * "not there" are the same. Nobody waits for anybody: a thread that is stopped anywhere in here
 * holds up no other. A change is never made to another key's number, however slots are used again
 * meanwhile: each number carries the generation of its slot, and both change in one step.
 *
 * Keys are kept as a keyed hash of 128 bits, so they may be of any length. Memory: 64 bytes a key
 * that is used at one time, and 8 a key of the capacity.
 *
 * Time is the caller's: milliseconds of a clock that never goes back, the same for all threads.
 *
 * Threads: any, but life and shared_words_grow(): the control thread.
 */
#ifndef CHAIN_SHARED_WORDS_H
#define CHAIN_SHARED_WORDS_H

#include "base/span.h"

struct shared_words;

enum { SHARED_WORDS_MAX = 1 << 26 /* keys of one table */ };

/* What happened, since the beginning. */
struct shared_words_numbers {
    uint64_t live;     /* keys now, those not yet noticed to have expired included */
    uint64_t capacity; /* keys */
    uint64_t expired;  /* dropped because their time was over, or they were 0 */
    uint64_t full;     /* changes refused for want of room */
};

/* -- life ------------------------------------------------------------- */

/* At most capacity keys (1 to SHARED_WORDS_MAX). NULL when out of memory. */
struct shared_words *shared_words_new(uint64_t capacity);

/* Nobody may use it any more. */
void shared_words_free(struct shared_words **words);

/* Room for capacity keys, when that is more than before; ERR_MEMORY: nothing has changed. */
CHECKED enum err shared_words_grow(struct shared_words *words, uint64_t capacity);

/* -- actions ---------------------------------------------------------- */

/*
 * Make the number of key desired if it is *expected. OK; ERR_AGAIN: it was something else, see
 * *expected; ERR_LIMIT: the key has none, and no room is left. From now on it lives ttl_ms.
 */
CHECKED enum err shared_words_swap(struct shared_words *words, struct sluice_span key,
                                   uint64_t *expected, uint64_t desired, uint64_t now_ms,
                                   uint64_t ttl_ms);

/* Add to the number of key; the sum, which wraps around, is in *result. OK or ERR_LIMIT. */
CHECKED enum err shared_words_add(struct shared_words *words, struct sluice_span key,
                                  int64_t difference, uint64_t now_ms, uint64_t ttl_ms,
                                  uint64_t *result);

/* -- questions -------------------------------------------------------- */

uint64_t shared_words_get(struct shared_words *words, struct sluice_span key, uint64_t now_ms);

struct shared_words_numbers shared_words_numbers(const struct shared_words *words);

#endif /* CHAIN_SHARED_WORDS_H */
