#include "chain/shared.h"

#include "base/text.h"
#include "observe/metrics.h"

#include "unit.h"

#include <string.h>

static const struct shared_id counts = {.plugin = {"limit", 5}, .name = {"counts", 6}};
static const struct shared_size size = {.capacity = 100, .max_value = 16};

static uint64_t number_of(struct shared_state *state)
{
    return shared_words_get(shared_words_of(state), SPAN("k"), 1);
}

static struct shared_state *with_number(struct shared *shared)
{
    struct shared_state *state = shared_words_ref(shared, &counts, size, 0);
    uint64_t sum;

    ck_assert_int_eq(shared_words_add(shared_words_of(state), SPAN("k"), 3, 1, 1000, &sum), OK);
    return state;
}

START_TEST(the_same_name_gets_the_same_state)
{
    struct shared *shared = shared_new();
    struct shared_state *state = with_number(shared);
    struct shared_state *again = shared_words_ref(shared, &counts, size, 0);

    ck_assert_ptr_eq(again, state);
    ck_assert_uint_eq(shared_count(shared), 1);
    shared_unref(&state, 0);
    shared_unref(&again, 0);
    shared_free(&shared);
    ck_assert_ptr_null(shared);
    shared_free(&shared);
}
END_TEST

START_TEST(each_part_of_the_name_tells_states_apart)
{
    struct shared *shared = shared_new();
    struct shared_state *state = with_number(shared);
    struct shared_id ids[] = {counts, counts, counts, counts};

    ids[0].plugin = SPAN("other");
    ids[1].name = SPAN("other");
    ids[2].key = SPAN("other");
    ids[3].version = 1;
    for (unsigned i = 0; i < 4; i++) {
        struct shared_state *other = shared_words_ref(shared, &ids[i], size, 0);

        ck_assert_uint_eq(number_of(other), 0);
        shared_unref(&other, 0);
    }
    ck_assert_uint_eq(shared_count(shared), 5);
    shared_unref(&state, 0);
    state = shared_map_ref(shared, &counts, size, 0);
    ck_assert_ptr_nonnull(shared_map_of(state));
    ck_assert_uint_eq(shared_count(shared), 6);
    shared_unref(&state, 0);
    shared_free(&shared);
}
END_TEST

START_TEST(state_outlives_who_named_it_for_a_while)
{
    struct shared *shared = shared_new();
    struct shared_state *state = with_number(shared);

    shared_unref(&state, 1000);
    shared_sweep(shared, 1000 + SHARED_KEEP_MS - 1);
    state = shared_words_ref(shared, &counts, size, 1000);
    ck_assert_uint_eq(number_of(state), 3);
    shared_sweep(shared, 1000 + 2 * SHARED_KEEP_MS);
    ck_assert_uint_eq(number_of(state), 3);
    shared_unref(&state, 5000);
    shared_sweep(shared, 5000 + SHARED_KEEP_MS);
    ck_assert_uint_eq(shared_count(shared), 0);
    shared_free(&shared);
}
END_TEST

START_TEST(state_grows_and_never_shrinks)
{
    struct shared *shared = shared_new();
    struct shared_state *state = with_number(shared);
    struct shared_state *other;

    other = shared_words_ref(shared, &counts, (struct shared_size){.capacity = 500}, 0);
    shared_unref(&other, 0);
    other = shared_words_ref(shared, &counts, (struct shared_size){.capacity = 5}, 0);
    ck_assert_uint_eq(shared_words_numbers(shared_words_of(state)).capacity, 500);
    ck_assert_uint_eq(number_of(state), 3);
    shared_unref(&other, 0);
    shared_unref(&state, 0);
    ck_assert_ptr_null(shared_words_ref(shared, &counts, (struct shared_size){UINT64_MAX, 0}, 0));
    shared_free(&shared);
}
END_TEST

static void collect(void *shared, struct page *page)
{
    shared_collect(shared, page);
}

START_TEST(states_say_their_numbers)
{
    struct shared *shared = shared_new();
    struct metrics *metrics = metrics_new();
    struct shared_state *state;
    struct text out;

    text_init(&out, 100000);
    metrics_add(metrics, collect, shared);
    metrics_print(metrics, &out);
    ck_assert_uint_eq(out.len, 0);
    state = with_number(shared);
    metrics_print(metrics, &out);
    ck_assert_ptr_nonnull(
        strstr(out.ptr, "sluice_shared_keys{plugin=\"limit\",state=\"counts\",key=\"\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(
        out.ptr, "sluice_shared_capacity{plugin=\"limit\",state=\"counts\",key=\"\"} 100\n"));
    shared_unref(&state, 0);
    text_fini(&out);
    metrics_free(&metrics);
    shared_free(&shared);
}
END_TEST

UNIT_MAIN("chain/shared", the_same_name_gets_the_same_state,
          each_part_of_the_name_tells_states_apart, state_outlives_who_named_it_for_a_while,
          state_grows_and_never_shrinks, states_say_their_numbers)
