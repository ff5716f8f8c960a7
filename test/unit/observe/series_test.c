#include "observe/series.h"

#include "base/text.h"
#include "observe/metrics.h"

#include "unit.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const char *const two[] = {"who", "what", NULL};

struct desk {
    struct series *series;
    struct metrics *metrics;
    struct text out;
};

static void desk_open(struct desk *desk, unsigned n_workers)
{
    desk->series = series_new(n_workers);
    desk->metrics = metrics_new();
    metrics_add(desk->metrics, series_collect, desk->series);
    text_init(&desk->out, 1000000);
}

static void desk_close(struct desk *desk)
{
    text_fini(&desk->out);
    metrics_free(&desk->metrics);
    series_free(&desk->series);
    ck_assert_ptr_null(desk->series);
    series_free(&desk->series);
}

static const char *page(struct desk *desk)
{
    text_reset(&desk->out);
    text_add(&desk->out, SPAN("\n"));
    metrics_print(desk->metrics, &desk->out);
    return desk->out.ptr;
}

#define SAYS(desk, line) ck_assert_msg(strstr(page(desk), "\n" line "\n"), "%s", page(desk))

static void add(struct series_family *family, unsigned worker, const char *who, const char *what,
                double amount)
{
    struct sluice_span values[] = {span_of(who), span_of(what)};

    series_add(family, worker, values, amount);
}

START_TEST(workers_count_alone_and_are_added_up)
{
    struct desk desk;
    struct series_family *family;

    desk_open(&desk, 3);
    family = series_get(desk.series, &(struct series_spec){.name = "seen_total", .labels = two});
    ck_assert_ptr_nonnull(family);
    for (unsigned worker = 0; worker < 3; worker++)
        add(family, worker, "a", "b", worker + 0.5);
    add(family, 0, "ab", "", 1);
    add(family, 0, "a", "b", -1);
    add(family, 0, "a", "b", NAN);
    add(family, 0, "a", "b", INFINITY);
    SAYS(&desk, "# TYPE seen_total counter");
    SAYS(&desk, "seen_total{who=\"a\",what=\"b\"} 4.5");
    SAYS(&desk, "seen_total{who=\"ab\",what=\"\"} 1");
    desk_close(&desk);
}
END_TEST

START_TEST(a_family_without_labels_has_one_series)
{
    struct desk desk;
    struct series_family *family;

    desk_open(&desk, 1);
    family = series_get(desk.series,
                        &(struct series_spec){.name = "now", .kind = SERIES_GAUGE, .help = "Now."});
    series_add(family, 0, NULL, 3);
    series_add(family, 0, NULL, -5);
    SAYS(&desk, "# HELP now Now.");
    SAYS(&desk, "now -2");
    desk_close(&desk);
}
END_TEST

START_TEST(histograms_have_their_own_bounds_or_the_usual)
{
    static const double bounds[] = {1, 2.5};
    struct desk desk;
    struct series_family *family;

    desk_open(&desk, 2);
    family = series_get(desk.series, &(struct series_spec){.name = "size",
                                                           .kind = SERIES_HISTOGRAM,
                                                           .buckets = bounds,
                                                           .n_buckets = 2});
    series_add(family, 0, NULL, 1);
    series_add(family, 0, NULL, 2);
    series_add(family, 1, NULL, 3);
    SAYS(&desk, "size_bucket{le=\"1\"} 1");
    SAYS(&desk, "size_bucket{le=\"2.5\"} 2");
    SAYS(&desk, "size_bucket{le=\"+Inf\"} 3");
    SAYS(&desk, "size_sum 6");
    SAYS(&desk, "size_count 3");
    family = series_get(desk.series,
                        &(struct series_spec){.name = "took_seconds", .kind = SERIES_HISTOGRAM});
    series_add(family, 0, NULL, 0.0001);
    SAYS(&desk, "took_seconds_bucket{le=\"6.4e-05\"} 0");
    SAYS(&desk, "took_seconds_bucket{le=\"0.000128\"} 1");
    desk_close(&desk);
}
END_TEST

START_TEST(beyond_the_cap_all_count_as_other)
{
    struct desk desk;
    struct series_family *family;
    char who[32];

    desk_open(&desk, 2);
    family = series_get(desk.series,
                        &(struct series_spec){.name = "n_total", .labels = two, .max_series = 50});
    for (unsigned i = 0; i < 500; i++) {
        snprintf(who, sizeof(who), "w%u", i);
        add(family, i % 2, who, "x", 1);
    }
    add(family, 0, "w1", "x", 1); /* made by the other worker */
    add(family, 1, "w2", "x", 1);
    SAYS(&desk, "n_total{who=\"other\",what=\"other\"} 450");
    SAYS(&desk, "n_total{who=\"w1\",what=\"x\"} 2");
    SAYS(&desk, "n_total{who=\"w2\",what=\"x\"} 2");
    SAYS(&desk, "n_total{who=\"w49\",what=\"x\"} 1");
    ck_assert_ptr_null(strstr(page(&desk), "w50"));
    add(family, 0, "other", "other", 1);
    SAYS(&desk, "n_total{who=\"other\",what=\"other\"} 451");
    desk_close(&desk);
}
END_TEST

START_TEST(values_named_other_are_the_others)
{
    struct desk desk;
    struct series_family *family;

    desk_open(&desk, 1);
    family = series_get(desk.series,
                        &(struct series_spec){.name = "n_total", .labels = two, .max_series = 1});
    add(family, 0, "other", "other", 1);
    add(family, 0, "a", "b", 1);
    SAYS(&desk, "n_total{who=\"other\",what=\"other\"} 2");
    desk_close(&desk);
}
END_TEST

START_TEST(values_are_cut_and_cleaned)
{
    struct desk desk;
    struct series_family *family;
    char longer[1000];

    memset(longer, 'x', sizeof(longer));
    longer[999] = '\0';
    desk_open(&desk, 1);
    family = series_get(desk.series, &(struct series_spec){.name = "n_total", .labels = two});
    add(family, 0, "a\n\x01\xff\"", "\xc3\xa4", 1);
    SAYS(&desk, "n_total{who=\"a???\\\"\",what=\"\xc3\xa4\"} 1");
    add(family, 0, longer, "", 1);
    longer[SERIES_VALUE_MAX] = '\0';
    ck_assert_ptr_nonnull(strstr(page(&desk), longer));
    longer[SERIES_VALUE_MAX] = 'x';
    longer[SERIES_VALUE_MAX + 1] = '\0';
    ck_assert_ptr_null(strstr(page(&desk), longer));
    desk_close(&desk);
}
END_TEST

START_TEST(a_family_is_what_it_was_first)
{
    static const char *const one[] = {"who", NULL};
    static const double bounds[] = {1, 2}, others[] = {1, 3};
    struct series_spec spec = {.name = "n", .kind = SERIES_HISTOGRAM, .labels = two};
    struct series *series = series_new(1);
    struct series_family *family;

    spec.buckets = bounds;
    spec.n_buckets = 2;
    family = series_get(series, &spec);
    ck_assert_ptr_nonnull(family);
    ck_assert_ptr_eq(series_get(series, &spec), family);
    spec.buckets = others;
    ck_assert_ptr_null(series_get(series, &spec));
    spec.buckets = bounds;
    spec.labels = one;
    ck_assert_ptr_null(series_get(series, &spec));
    spec.labels = two;
    spec.kind = SERIES_GAUGE;
    ck_assert_ptr_null(series_get(series, &spec));
    series_free(&series);
}
END_TEST

START_TEST(what_a_page_cannot_say_is_refused)
{
    static const char *const bad[][2] = {{"a-b", NULL}, {"", NULL}, {"le", NULL}, {"__x", NULL}};
    static const char *const many[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", NULL};
    static const double falling[] = {2, 1};
    struct series *series = series_new(1);

    ck_assert_ptr_null(series_get(series, &(struct series_spec){.name = NULL}));
    ck_assert_ptr_null(series_get(series, &(struct series_spec){.name = "a b"}));
    ck_assert_ptr_null(series_get(series, &(struct series_spec){.name = "1a"}));
    for (unsigned i = 0; i < 4; i++)
        ck_assert_ptr_null(
            series_get(series, &(struct series_spec){.name = "a", .labels = bad[i]}));
    ck_assert_ptr_null(series_get(series, &(struct series_spec){.name = "a", .labels = many}));
    ck_assert_ptr_null(series_get(
        series, &(struct series_spec){
                    .name = "a", .kind = SERIES_HISTOGRAM, .buckets = falling, .n_buckets = 2}));
    series_free(&series);
}
END_TEST

enum { WORKERS = 3, TURNS = 20000 };

struct crowd {
    struct series_family *family;
    unsigned worker;
};

static void *count(void *crowd_)
{
    struct crowd *crowd = crowd_;
    char who[16];

    for (unsigned i = 0; i < TURNS; i++) {
        snprintf(who, sizeof(who), "%u", i * 31 % 200);
        add(crowd->family, crowd->worker, who, "x", 1);
    }
    return NULL;
}

START_TEST(pages_are_printed_while_workers_count)
{
    struct crowd crowd[WORKERS];
    pthread_t threads[WORKERS];
    struct desk desk;
    const char *at;
    double sum = 0;

    desk_open(&desk, WORKERS);
    for (unsigned i = 0; i < WORKERS; i++) {
        crowd[i].family = series_get(
            desk.series, &(struct series_spec){.name = "n", .labels = two, .max_series = 100});
        crowd[i].worker = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count, &crowd[i]), 0);
    }
    for (unsigned i = 0; i < 50; i++)
        page(&desk);
    for (unsigned i = 0; i < WORKERS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    for (at = strstr(page(&desk), "\nn{"); at; at = strstr(at + 1, "\nn{"))
        sum += strtod(strchr(at, '}') + 1, NULL);
    ck_assert_double_eq(sum, WORKERS * TURNS);
    desk_close(&desk);
}
END_TEST

UNIT_MAIN("observe/series", workers_count_alone_and_are_added_up,
          a_family_without_labels_has_one_series, histograms_have_their_own_bounds_or_the_usual,
          beyond_the_cap_all_count_as_other, values_named_other_are_the_others,
          values_are_cut_and_cleaned, a_family_is_what_it_was_first,
          what_a_page_cannot_say_is_refused, pages_are_printed_while_workers_count)
