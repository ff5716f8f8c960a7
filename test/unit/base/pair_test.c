#include "base/pair.h"

#include "unit.h"

#include <pthread.h>

enum { THREADS = 4, TURNS = 20000 };

START_TEST(both_words_must_be_as_seen)
{
    struct pair pair = {1, 2};

    ck_assert(!pair_swap(&pair, (struct pair){1, 3}, (struct pair){7, 7}));
    ck_assert(!pair_swap(&pair, (struct pair){0, 2}, (struct pair){7, 7}));
    ck_assert_uint_eq(pair.low, 1);
    ck_assert_uint_eq(pair.high, 2);
    ck_assert(pair_swap(&pair, (struct pair){1, 2}, (struct pair){3, 4}));
    ck_assert_uint_eq(pair.low, 3);
    ck_assert_uint_eq(pair.high, 4);
}
END_TEST

static void *climb(void *pair_)
{
    struct pair *pair = pair_;

    for (unsigned i = 0; i < TURNS;) {
        struct pair seen = {__atomic_load_n(&pair->low, __ATOMIC_ACQUIRE),
                            __atomic_load_n(&pair->high, __ATOMIC_ACQUIRE)};

        if (pair_swap(pair, seen, (struct pair){seen.low + 1, seen.high - 1}))
            i++;
    }
    return NULL;
}

START_TEST(words_change_together)
{
    struct pair pair = {0, 0};
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, climb, &pair), 0);
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(pair.low, THREADS * TURNS);
    ck_assert_uint_eq(pair.low + pair.high, 0);
}
END_TEST

UNIT_MAIN("base/pair", both_words_must_be_as_seen, words_change_together)
