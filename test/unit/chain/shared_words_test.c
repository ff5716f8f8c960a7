#include "chain/shared_words.h"

#include "base/now.h"

#include "unit.h"

#include <pthread.h>
#include <stdio.h>

enum { HOUR_MS = 3600 * 1000, THREADS = 4, KEYS = 48 };

static struct sluice_span key_of(unsigned n, char text[24])
{
    return span_make(text, (size_t)snprintf(text, 24, "key-%u", n));
}

static uint64_t get(struct shared_words *words, unsigned key, uint64_t now_ms)
{
    char text[24];

    return shared_words_get(words, key_of(key, text), now_ms);
}

static enum err set(struct shared_words *words, unsigned key, uint64_t from, uint64_t to,
                    uint64_t now_ms)
{
    char text[24];

    return shared_words_swap(words, key_of(key, text), &from, to, now_ms, HOUR_MS);
}

static uint64_t add(struct shared_words *words, unsigned key, int64_t difference, uint64_t now_ms)
{
    char text[24];
    uint64_t sum = 0;

    ck_assert_int_eq(shared_words_add(words, key_of(key, text), difference, now_ms, HOUR_MS, &sum),
                     OK);
    return sum;
}

START_TEST(absent_keys_are_zero)
{
    struct shared_words *words = shared_words_new(10);

    ck_assert_uint_eq(get(words, 1, 1), 0);
    ck_assert_uint_eq(shared_words_get(words, SPAN(""), 1), 0);
    ck_assert_uint_eq(shared_words_numbers(words).live, 0);
    shared_words_free(&words);
    ck_assert_ptr_null(words);
    shared_words_free(&words);
}
END_TEST

START_TEST(swap_needs_what_is_expected)
{
    struct shared_words *words = shared_words_new(10);
    uint64_t expected = 5;

    ck_assert_int_eq(shared_words_swap(words, SPAN("a"), &expected, 7, 1, HOUR_MS), ERR_AGAIN);
    ck_assert_uint_eq(expected, 0);
    ck_assert_int_eq(shared_words_swap(words, SPAN("a"), &expected, 7, 1, HOUR_MS), OK);
    ck_assert_int_eq(shared_words_swap(words, SPAN("a"), &expected, 8, 1, HOUR_MS), ERR_AGAIN);
    ck_assert_uint_eq(expected, 7);
    ck_assert_int_eq(shared_words_swap(words, SPAN("a"), &expected, UINT64_MAX, 1, HOUR_MS), OK);
    ck_assert_uint_eq(shared_words_get(words, SPAN("a"), 1), UINT64_MAX);
    ck_assert_uint_eq(shared_words_get(words, SPAN("b"), 1), 0);
    shared_words_free(&words);
}
END_TEST

START_TEST(add_counts_and_wraps)
{
    struct shared_words *words = shared_words_new(10);

    ck_assert_uint_eq(add(words, 1, 3, 1), 3);
    ck_assert_uint_eq(add(words, 1, -1, 1), 2);
    ck_assert_uint_eq(add(words, 2, -1, 1), UINT64_MAX);
    ck_assert_uint_eq(add(words, 2, 1, 1), 0);
    shared_words_free(&words);
}
END_TEST

START_TEST(numbers_are_forgotten_after_their_time)
{
    struct shared_words *words = shared_words_new(10);
    uint64_t expected = 0;

    ck_assert_int_eq(shared_words_swap(words, SPAN("a"), &expected, 7, 1000, 50), OK);
    ck_assert_uint_eq(shared_words_get(words, SPAN("a"), 1049), 7);
    ck_assert_uint_eq(shared_words_get(words, SPAN("a"), 1050), 0);
    /* Written again, it begins from nothing and lives anew. */
    expected = 7;
    ck_assert_int_eq(shared_words_swap(words, SPAN("a"), &expected, 8, 1050, 50), ERR_AGAIN);
    ck_assert_int_eq(shared_words_swap(words, SPAN("a"), &expected, 8, 1050, 50), OK);
    ck_assert_uint_eq(shared_words_get(words, SPAN("a"), 1099), 8);
    ck_assert_uint_eq(shared_words_numbers(words).live, 1);
    shared_words_free(&words);
}
END_TEST

START_TEST(writing_keeps_a_number_alive)
{
    struct shared_words *words = shared_words_new(10);
    uint64_t sum = 0;

    for (uint64_t now_ms = 0; now_ms < 1000; now_ms += 40)
        ck_assert_int_eq(shared_words_add(words, SPAN("a"), 1, now_ms, 50, &sum), OK);
    ck_assert_uint_eq(sum, 25);
    shared_words_free(&words);
}
END_TEST

START_TEST(a_full_table_refuses_and_keeps_what_it_has)
{
    struct shared_words *words = shared_words_new(20);

    for (unsigned i = 0; i < 20; i++)
        ck_assert_int_eq(set(words, i, 0, i + 1, 1), OK);
    for (unsigned i = 20; i < 30; i++)
        ck_assert_int_eq(set(words, i, 0, 1, 1), ERR_LIMIT);
    for (unsigned i = 0; i < 20; i++)
        ck_assert_uint_eq(get(words, i, 1), i + 1);
    ck_assert_uint_eq(shared_words_numbers(words).full, 10);
    /* What is there can still be changed, and asked for what is not. */
    ck_assert_int_eq(set(words, 3, 4, 99, 1), OK);
    ck_assert_uint_eq(get(words, 25, 1), 0);
    shared_words_free(&words);
}
END_TEST

START_TEST(room_comes_back_from_what_expired_or_is_zero)
{
    struct shared_words *words = shared_words_new(20);

    for (unsigned i = 0; i < 20; i++)
        ck_assert_int_eq(set(words, i, 0, 1, 1), OK);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_int_eq(set(words, i, 1, 0, 1), OK);
    for (unsigned i = 100; i < 110; i++)
        ck_assert_int_eq(set(words, i, 0, i, 1), OK);
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_int_eq(set(words, 1000 + i, 0, i + 1, (i / 10 + 1) * (uint64_t)HOUR_MS + 1), OK);
    ck_assert_uint_le(shared_words_numbers(words).live, 20);
    shared_words_free(&words);
}
END_TEST

START_TEST(a_table_grows_and_keeps_its_numbers)
{
    struct shared_words *words = shared_words_new(10);

    for (unsigned i = 0; i < 10; i++)
        ck_assert_int_eq(set(words, i, 0, i + 1, 1), OK);
    ck_assert_int_eq(shared_words_grow(words, 5), OK);
    ck_assert_uint_eq(shared_words_numbers(words).capacity, 10);
    ck_assert_int_eq(shared_words_grow(words, 500), OK);
    for (unsigned i = 10; i < 500; i++)
        ck_assert_int_eq(set(words, i, 0, i + 1, 1), OK);
    ck_assert_int_eq(set(words, 501, 0, 1, 1), ERR_LIMIT);
    for (unsigned i = 0; i < 500; i++)
        ck_assert_uint_eq(get(words, i, 1), i + 1);
    ck_assert_int_eq(shared_words_grow(words, (uint64_t)SHARED_WORDS_MAX + 1), ERR_LIMIT);
    shared_words_free(&words);
}
END_TEST

START_TEST(sizes_beyond_reason_are_refused)
{
    ck_assert_ptr_null(shared_words_new(0));
    ck_assert_ptr_null(shared_words_new((uint64_t)SHARED_WORDS_MAX + 1));
}
END_TEST

/* -- many threads ------------------------------------------------------------- */

struct crowd {
    struct shared_words *words;
    unsigned number;
    uint64_t until_us;
    uint64_t turns, full, foreign;
    int64_t added[KEYS]; /* by this thread */
    uint64_t highest;
};

static void run(struct crowd crowd[THREADS], struct shared_words *words, unsigned ms,
                void *(*thread)(void *crowd))
{
    pthread_t threads[THREADS];
    uint64_t until_us = now_us() + ms * 1000ULL;

    for (unsigned i = 0; i < THREADS; i++) {
        crowd[i] = (struct crowd){.words = words, .number = i, .until_us = until_us};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, thread, &crowd[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

/*
 * Far more keys than slots, and lives of a few milliseconds of a clock that runs a thousand times
 * as fast: slots change owners all the time. The low byte of a number says whose it is.
 */
static void *steal(void *crowd_)
{
    struct crowd *crowd = crowd_;
    uint64_t random = crowd->number + 1;

    while (now_us() < crowd->until_us) {
        for (unsigned i = 0; i < 100; i++, crowd->turns++) {
            uint64_t expected, seen, now_ms = now_us();
            unsigned key;
            char text[24];
            enum err err;

            random = random * 6364136223846793005 + 1442695040888963407;
            key = (unsigned)(random >> 40) % KEYS;
            expected = seen = get(crowd->words, key, now_ms);
            if (seen != 0 && (seen & 0xff) != key + 1)
                crowd->foreign++;
            err = shared_words_swap(crowd->words, key_of(key, text), &expected,
                                    (random >> 8 << 8) | (key + 1), now_ms, 1 + (random >> 60));
            if (err == ERR_AGAIN && expected != 0 && (expected & 0xff) != key + 1)
                crowd->foreign++;
            crowd->full += err == ERR_LIMIT;
        }
    }
    return NULL;
}

START_TEST(no_change_ever_hits_another_key)
{
    struct shared_words *words = shared_words_new(8);
    struct crowd crowd[THREADS];
    uint64_t turns = 0;

    run(crowd, words, 1500, steal);
    for (unsigned i = 0; i < THREADS; i++) {
        ck_assert_uint_eq(crowd[i].foreign, 0);
        turns += crowd[i].turns;
    }
    ck_assert_uint_gt(shared_words_numbers(words).expired, 1000);
    ck_assert_uint_le(shared_words_numbers(words).live, 8);
    ck_assert_uint_gt(turns, 1000);
    /* No slot was lost: when all have expired, all can be had again. */
    for (unsigned i = 0; i < 8; i++)
        ck_assert_int_eq(set(words, 1000 + i, 0, 1, now_us() + HOUR_MS), OK);
    shared_words_free(&words);
}
END_TEST

/* Up and down: numbers come, are 0 and go, and no step may be lost or done twice. */
static void *climb(void *crowd_)
{
    struct crowd *crowd = crowd_;
    uint64_t random = crowd->number + 1;

    while (now_us() < crowd->until_us) {
        for (unsigned i = 0; i < 100; i++, crowd->turns++) {
            uint64_t up = 0, down = 0;
            unsigned key;
            char text[24];

            random = random * 6364136223846793005 + 1442695040888963407;
            key = (unsigned)(random >> 40) % KEYS;
            if (shared_words_add(crowd->words, key_of(key, text), 1, 1, HOUR_MS, &up) != OK) {
                crowd->full++;
                continue;
            }
            if (up > crowd->highest)
                crowd->highest = up;
            if (random >> 57 == 0) {
                crowd->added[key]++;
            } else if (shared_words_add(crowd->words, key_of(key, text), -1, 1, HOUR_MS, &down)) {
                crowd->foreign++; /* the number cannot have gone away */
            }
            if (up == 0 || down + 1 > UINT64_MAX / 2)
                crowd->foreign++;
        }
    }
    return NULL;
}

START_TEST(no_change_is_lost_or_done_twice)
{
    struct shared_words *words = shared_words_new(2 * KEYS);
    struct crowd crowd[THREADS];

    run(crowd, words, 1500, climb);
    for (unsigned key = 0; key < KEYS; key++) {
        int64_t sum = 0;

        for (unsigned i = 0; i < THREADS; i++)
            sum += crowd[i].added[key];
        ck_assert_uint_eq(get(words, key, 1), (uint64_t)sum);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        ck_assert_uint_eq(crowd[i].foreign, 0);
        ck_assert_uint_eq(crowd[i].full, 0);
    }
    shared_words_free(&words);
}
END_TEST

/* Two for the same key would both count from nothing: each must see all that hold it. */
static void *hold(void *crowd_)
{
    struct crowd *crowd = crowd_;

    while (now_us() < crowd->until_us) {
        for (unsigned i = 0; i < 100; i++, crowd->turns++) {
            unsigned key = (unsigned)(crowd->turns / 16 % 6);
            uint64_t held = 0;
            char text[24];

            if (shared_words_add(crowd->words, key_of(key, text), 1, 1, HOUR_MS, &held) != OK) {
                crowd->full++;
                continue;
            }
            if (held > THREADS || held == 0)
                crowd->foreign++;
            if (shared_words_add(crowd->words, key_of(key, text), -1, 1, HOUR_MS, &held) != OK ||
                held >= THREADS)
                crowd->foreign++;
        }
    }
    return NULL;
}

START_TEST(a_key_has_one_number)
{
    struct shared_words *words = shared_words_new(4);
    struct crowd crowd[THREADS];

    run(crowd, words, 1500, hold);
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_uint_eq(crowd[i].foreign, 0);
    for (unsigned key = 0; key < 6; key++)
        ck_assert_uint_eq(get(words, key, 1), 0);
    ck_assert_uint_gt(shared_words_numbers(words).expired, 100);
    shared_words_free(&words);
}
END_TEST

UNIT_MAIN("chain/shared_words", absent_keys_are_zero, swap_needs_what_is_expected,
          add_counts_and_wraps, numbers_are_forgotten_after_their_time,
          writing_keeps_a_number_alive, a_full_table_refuses_and_keeps_what_it_has,
          room_comes_back_from_what_expired_or_is_zero, a_table_grows_and_keeps_its_numbers,
          sizes_beyond_reason_are_refused, no_change_ever_hits_another_key,
          no_change_is_lost_or_done_twice, a_key_has_one_number)
