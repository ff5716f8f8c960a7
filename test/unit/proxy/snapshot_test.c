#include "proxy/snapshot.h"

#include "scene.h"

#define LISTENER "listeners: [ \"127.0.0.1:8080\" ]\n"
#define ROUTE    "routes: [ { name: r, echo: true } ]\n"

static struct text told;

/* True when a snapshot can be made of it; what was noted is in told. */
static bool is_accepted(const char *yaml)
{
    struct tally *tally = tally_new(1);
    struct shares *shares = shares_new(tally);
    struct notes *notes = notes_new();
    struct snapshot *snapshot = scene_snapshot(yaml, tally, shares, notes);
    bool accepted = snapshot != NULL;

    text_reset(&told);
    notes_print(notes, &told);
    snapshot_unref(&snapshot);
    notes_free(&notes);
    shares_free(&shares);
    tally_free(&tally);
    return accepted;
}

START_TEST(what_fits_together_is_accepted)
{
    text_init(&told, 1 << 16);
    ck_assert_msg(is_accepted(LISTENER ROUTE), "%s", told.ptr);
    ck_assert_msg(is_accepted("listeners: [ \"127.0.0.1:0\", { name: b, bind: \"127.0.0.1:0\" } ]\n"
                              "upstreams: { app: { endpoints: [ \"127.0.0.1:1\" ] } }\n"
                              "routes: [ { upstream: app } ]\n"),
                  "%s", told.ptr);
    text_fini(&told);
}
END_TEST

START_TEST(what_does_not_is_refused_and_told)
{
    static const struct {
        const char *yaml, *part;
    } rows[] = {
        {"listeners: [ { name: a, bind: \"127.0.0.1:1\" }, { name: a, bind: \"127.0.0.1:2\" } ]\n",
         "two listeners are called 'a'"},
        {"listeners: [ { name: a, bind: \"127.0.0.1:1\" }, { name: b, bind: \"127.0.0.1:1\" } ]\n",
         "have the same address"},
        {"listeners: [ { name: a, bind: \"unix:/x\" }, { name: b, bind: \"unix:/x\" } ]\n",
         "have the same address"},
        {LISTENER "upstreams: { app: { endpoints: [ \"127.0.0.1:0\" ] } }\n", "127.0.0.1:0"},
        {LISTENER "routes: [ { upstream: nowhere } ]\n", "nowhere"},
        {LISTENER "routes: [ { listeners: [ nobody ], echo: true } ]\n", "nobody"},
    };

    text_init(&told, 1 << 16);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_msg(!is_accepted(rows[i].yaml), "%s", rows[i].yaml);
        ck_assert_msg(strstr(told.ptr, rows[i].part) != NULL, "no '%s' in %s", rows[i].part,
                      told.ptr);
    }
    text_fini(&told);
}
END_TEST

START_TEST(all_errors_are_told_at_once)
{
    text_init(&told, 1 << 16);
    ck_assert(!is_accepted("listeners: [ { name: a, bind: \"127.0.0.1:1\" }, "
                           "{ name: a, bind: \"127.0.0.1:2\" } ]\n"
                           "routes: [ { upstream: nowhere } ]\n"));
    check_has(told.ptr, "two listeners");
    check_has(told.ptr, "nowhere");
    text_fini(&told);
}
END_TEST

static unsigned n_retired;

static void count_retired(void *arg, struct snapshot *snapshot)
{
    ck_assert_ptr_eq(arg, &n_retired);
    n_retired++;
    snapshot_free(&snapshot);
}

START_TEST(the_last_reference_retires_it)
{
    struct tally *tally = tally_new(1);
    struct shares *shares = shares_new(tally);
    struct notes *notes = notes_new();
    struct snapshot *snapshot = scene_snapshot(LISTENER ROUTE, tally, shares, notes);
    struct snapshot *other;

    ck_assert_ptr_nonnull(snapshot);
    snapshot->retire = count_retired;
    snapshot->retire_arg = &n_retired;
    other = snapshot_ref(snapshot);
    snapshot_unref(&snapshot);
    ck_assert_ptr_null(snapshot);
    ck_assert_uint_eq(n_retired, 0);
    snapshot_unref(&other);
    ck_assert_uint_eq(n_retired, 1);
    snapshot_unref(&other); /* NULL is fine */
    notes_free(&notes);
    shares_free(&shares);
    tally_free(&tally);
}
END_TEST

UNIT_MAIN("proxy/snapshot", what_fits_together_is_accepted, what_does_not_is_refused_and_told,
          all_errors_are_told_at_once, the_last_reference_retires_it)
