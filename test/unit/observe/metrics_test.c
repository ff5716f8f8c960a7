#include "observe/metrics.h"

#include "unit.h"

#include <math.h>
#include <string.h>

static struct text print(metrics_collect_fn *collect, void *arg)
{
    struct metrics *metrics = metrics_new();
    struct text out;

    text_init(&out, 1 << 20);
    metrics_add(metrics, collect, arg);
    metrics_print(metrics, &out);
    metrics_free(&metrics);
    ck_assert_ptr_null(metrics);
    ck_assert(!out.cut);
    return out;
}

static void say_samples(void *arg, struct page *page)
{
    struct label labels[] = {{"worker", SPAN("0")}, {"cause", SPAN("limit")}};

    (void)arg;
    page_family(page, "sluice_refused_total", PAGE_COUNTER, "Refused.");
    page_count(page, labels, 2, UINT64_MAX);
    page_count(page, NULL, 0, 0);
    page_family(page, "sluice_ready", PAGE_GAUGE, "1: ready.");
    page_sample(page, labels, 1, 0.25);
    page_sample(page, NULL, 0, 1e9);
}

START_TEST(families_and_samples_have_their_lines)
{
    struct text out = print(say_samples, NULL);

    ck_assert_str_eq(out.ptr, "# HELP sluice_refused_total Refused.\n"
                              "# TYPE sluice_refused_total counter\n"
                              "sluice_refused_total{worker=\"0\",cause=\"limit\"} "
                              "18446744073709551615\n"
                              "sluice_refused_total 0\n"
                              "# HELP sluice_ready 1: ready.\n"
                              "# TYPE sluice_ready gauge\n"
                              "sluice_ready{worker=\"0\"} 0.25\n"
                              "sluice_ready 1000000000\n");
    text_fini(&out);
}
END_TEST

static void say_odd(void *arg, struct page *page)
{
    struct label label = {"route", SPAN("a\"b\\c\nd")};

    (void)arg;
    page_family(page, "x", PAGE_GAUGE, "a \"quoted\" \\ and\na line");
    page_sample(page, &label, 1, NAN);
    page_sample(page, NULL, 0, INFINITY);
    page_sample(page, NULL, 0, -INFINITY);
}

START_TEST(help_labels_and_odd_numbers_are_escaped)
{
    struct text out = print(say_odd, NULL);

    ck_assert_str_eq(out.ptr, "# HELP x a \"quoted\" \\\\ and\\na line\n"
                              "# TYPE x gauge\n"
                              "x{route=\"a\\\"b\\\\c\\nd\"} NaN\n"
                              "x +Inf\n"
                              "x -Inf\n");
    text_fini(&out);
}
END_TEST

struct worker {
    uint64_t before;
    struct histogram histogram;
    char after[40];
};

static void say_histogram(void *arg, struct page *page)
{
    struct worker *workers = arg;
    struct label label = {"route", SPAN("r")};

    page_family(page, "d_seconds", PAGE_HISTOGRAM, "Duration.");
    page_histogram(page, &label, 1, &workers[0].histogram, 2, sizeof *workers);
}

START_TEST(histogram_sums_workers_and_is_cumulative)
{
    struct worker workers[2] = {0};
    struct text out;
    const char *at;
    unsigned n_buckets = 0;

    histogram_add(&workers[0].histogram, 10);
    histogram_add(&workers[1].histogram, 100);
    histogram_add(&workers[1].histogram, 3600ull * 1000 * 1000);
    out = print(say_histogram, workers);
    for (at = out.ptr; (at = strstr(at, "d_seconds_bucket{")); at++)
        n_buckets++;
    ck_assert_uint_eq(n_buckets, HISTOGRAM_BUCKETS);
    ck_assert_ptr_nonnull(strstr(out.ptr, "d_seconds_bucket{route=\"r\",le=\"0.000064\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(out.ptr, "d_seconds_bucket{route=\"r\",le=\"0.000128\"} 2\n"));
    ck_assert_ptr_nonnull(strstr(out.ptr, "d_seconds_bucket{route=\"r\",le=\"268.435456\"} 2\n"));
    ck_assert_ptr_nonnull(strstr(out.ptr, "d_seconds_bucket{route=\"r\",le=\"+Inf\"} 3\n"));
    ck_assert_ptr_nonnull(strstr(out.ptr, "d_seconds_sum{route=\"r\"} 3600.000110\n"));
    ck_assert_ptr_nonnull(strstr(out.ptr, "d_seconds_count{route=\"r\"} 3\n"));
    text_fini(&out);
}
END_TEST

static void say_order(void *arg, struct page *page)
{
    page_family(page, arg, PAGE_GAUGE, "");
}

START_TEST(collectors_are_called_in_order_of_registration)
{
    static char name[40][4];
    struct metrics *metrics = metrics_new();
    struct text out;
    const char *at;

    text_init(&out, 1 << 20);
    for (int i = 0; i < 40; i++) {
        name[i][0] = 'm';
        name[i][1] = (char)('0' + i / 10);
        name[i][2] = (char)('0' + i % 10);
        metrics_add(metrics, say_order, name[i]);
    }
    metrics_print(metrics, &out);
    at = out.ptr;
    for (int i = 0; i < 40; i++) {
        at = strstr(at, name[i]);
        ck_assert_ptr_nonnull(at);
    }
    text_fini(&out);
    metrics_free(&metrics);
}
END_TEST

START_TEST(page_stops_at_its_maximum)
{
    struct metrics *metrics = metrics_new();
    struct text out;

    text_init(&out, 50);
    metrics_add(metrics, say_samples, NULL);
    metrics_print(metrics, &out);
    ck_assert(out.cut);
    ck_assert_uint_le(out.len, 50);
    text_fini(&out);
    metrics_free(&metrics);
}
END_TEST

UNIT_MAIN("observe/metrics", families_and_samples_have_their_lines,
          help_labels_and_odd_numbers_are_escaped, histogram_sums_workers_and_is_cumulative,
          collectors_are_called_in_order_of_registration, page_stops_at_its_maximum)
