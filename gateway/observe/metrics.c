/*
 * metrics.c - collectors in a row, and the text format 0.0.4.
 */
#include "observe/metrics.h"

#include "base/alloc.h"
#include "base/check.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { COLLECTORS_STEP = 16, US_PER_S = 1000000 };

struct collector {
    metrics_collect_fn *collect;
    void *arg; /* borrowed, outlives the registry */
};

struct metrics {
    struct collector *collectors; /* owned */
    size_t n, cap;
};

struct page {
    struct text *out;   /* borrowed for the page */
    const char *family; /* borrowed from the collector, a literal */
    enum page_type type;
};

/* -- the registry ------------------------------------------------------- */

struct metrics *metrics_new(void)
{
    return alloc_new(sizeof(struct metrics));
}

void metrics_free(struct metrics **metrics)
{
    if (!*metrics)
        return;
    alloc_free((*metrics)->collectors);
    alloc_free(*metrics);
    *metrics = NULL;
}

void metrics_add(struct metrics *metrics, metrics_collect_fn *collect, void *arg)
{
    if (metrics->n == metrics->cap) {
        metrics->cap += COLLECTORS_STEP;
        metrics->collectors =
            alloc_resize(metrics->collectors, metrics->cap * sizeof *metrics->collectors);
    }
    metrics->collectors[metrics->n++] = (struct collector){collect, arg};
}

void metrics_print(const struct metrics *metrics, struct text *out)
{
    for (size_t i = 0; i < metrics->n; i++) {
        struct page page = {out, NULL,
                            PAGE_GAUGE}; /* a fresh one: a family ends with its collector */

        metrics->collectors[i].collect(metrics->collectors[i].arg, &page);
    }
}

/* -- families ----------------------------------------------------------- */

static bool is_name(const char *name)
{
    if (!name || !*name || (*name >= '0' && *name <= '9'))
        return false;
    for (; *name; name++) {
        char lower = (char)(*name | 0x20);

        if ((lower < 'a' || lower > 'z') && (*name < '0' || *name > '9') && *name != '_')
            return false;
    }
    return true;
}

static const char *type_text(enum page_type type)
{
    switch (type) {
    case PAGE_COUNTER:
        return "counter";
    case PAGE_GAUGE:
        return "gauge";
    case PAGE_HISTOGRAM:
        return "histogram";
    }
    return "untyped";
}

/* Help texts escape backslash and newline, label values the quote as well. */
static void add_escaped(struct text *out, struct sluice_span bytes, bool quoted)
{
    size_t done = 0;

    for (size_t i = 0; i < bytes.len; i++) {
        char c = bytes.ptr[i];

        if (c != '\\' && c != '\n' && (c != '"' || !quoted))
            continue;
        text_add(out, span_make(bytes.ptr + done, i - done));
        text_add_char(out, '\\');
        text_add_char(out, (char)(c == '\n' ? 'n' : c));
        done = i + 1;
    }
    text_add(out, span_make(bytes.ptr + done, bytes.len - done));
}

void page_family(struct page *page, const char *name, enum page_type type, const char *help)
{
    struct text *out = page->out;

    page->family = NULL;
    if (BUG(!is_name(name)))
        return;
    page->family = name;
    page->type = type;
    text_add(out, SPAN("# HELP "));
    text_add(out, span_of(name));
    text_add_char(out, ' ');
    add_escaped(out, span_of(help), false);
    text_add(out, SPAN("\n# TYPE "));
    text_add(out, span_of(name));
    text_add_char(out, ' ');
    text_add(out, span_of(type_text(type)));
    text_add_char(out, '\n');
}

/* -- samples ------------------------------------------------------------ */

static void add_label(struct text *out, const struct label *label, char before)
{
    if (BUG(!is_name(label->name)))
        return;
    text_add_char(out, before);
    text_add(out, span_of(label->name));
    text_add(out, SPAN("=\""));
    add_escaped(out, label->value, true);
    text_add_char(out, '"');
}

/* "family_bucket{a="b",le="0.1"} "; le may be NULL. False when no family was begun. */
static bool begin_sample(struct page *page, const char *suffix, const struct label *labels,
                         size_t n_labels, const struct label *le)
{
    char before = '{';

    if (BUG(!page->family))
        return false;
    text_add(page->out, span_of(page->family));
    text_add(page->out, span_of(suffix));
    for (size_t i = 0; i < n_labels; i++, before = ',')
        add_label(page->out, &labels[i], before);
    if (le) {
        add_label(page->out, le, before);
        before = ',';
    }
    if (before == ',')
        text_add_char(page->out, '}');
    text_add_char(page->out, ' ');
    return true;
}

static void sample(struct page *page, const char *suffix, const struct label *labels,
                   size_t n_labels, double value)
{
    if (!begin_sample(page, suffix, labels, n_labels, NULL))
        return;
    if (isnan(value)) {
        text_add(page->out, SPAN("NaN"));
    } else if (isinf(value)) {
        text_add(page->out, value > 0 ? SPAN("+Inf") : SPAN("-Inf"));
    } else {
        text_format(page->out, "%.15g", value);
    }
    text_add_char(page->out, '\n');
}

void page_sample(struct page *page, const struct label *labels, size_t n_labels, double value)
{
    sample(page, "", labels, n_labels, value);
}

static void count_sample(struct page *page, const char *suffix, const struct label *labels,
                         size_t n_labels, uint64_t value)
{
    if (!begin_sample(page, suffix, labels, n_labels, NULL))
        return;
    text_add_number(page->out, value);
    text_add_char(page->out, '\n');
}

void page_count(struct page *page, const struct label *labels, size_t n_labels, uint64_t value)
{
    count_sample(page, "", labels, n_labels, value);
}

/* -- histograms --------------------------------------------------------- */

/* Microseconds as seconds, exactly: "0.000064", "4.194304". */
static void format_seconds(uint64_t us, struct text *out)
{
    text_format(out, "%" PRIu64 ".%06" PRIu64, us / US_PER_S, us % US_PER_S);
}

static void bucket_sample(struct page *page, const struct label *labels, size_t n_labels,
                          size_t bucket, uint64_t value)
{
    struct label le = {"le", SPAN("+Inf")};
    struct text bound;

    text_init(&bound, 32);
    if (bucket + 1 < HISTOGRAM_BUCKETS) {
        format_seconds((uint64_t)HISTOGRAM_FIRST_US << bucket, &bound);
        le.value = text_span(&bound);
    }
    if (begin_sample(page, "_bucket", labels, n_labels, &le)) {
        text_add_number(page->out, value);
        text_add_char(page->out, '\n');
    }
    text_fini(&bound);
}

void page_histogram(struct page *page, const struct label *labels, size_t n_labels,
                    const struct histogram *first, size_t n, size_t stride)
{
    uint64_t below = 0, sum_us = 0;
    const char *at = (const char *)first;

    if (BUG(page->type != PAGE_HISTOGRAM))
        return;
    for (size_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        for (size_t i = 0; i < n; i++) {
            const void *one = at + i * stride;
            const struct histogram *histogram = one;

            below += counter_get(&histogram->bucket[bucket]);
        }
        bucket_sample(page, labels, n_labels, bucket, below);
    }
    for (size_t i = 0; i < n; i++) {
        const void *one = at + i * stride;
        const struct histogram *histogram = one;

        sum_us += counter_get(&histogram->sum_us);
    }
    if (begin_sample(page, "_sum", labels, n_labels, NULL)) {
        format_seconds(sum_us, page->out);
        text_add_char(page->out, '\n');
    }
    count_sample(page, "_count", labels, n_labels, below);
}

void page_buckets(struct page *page, const struct label *labels, size_t n_labels,
                  const struct page_buckets *buckets)
{
    uint64_t below = 0;

    if (BUG(page->type != PAGE_HISTOGRAM))
        return;
    for (size_t i = 0; i <= buckets->n_bounds; i++) {
        char bound[32] = "+Inf";
        struct label le = {"le", SPAN("")};

        if (i < buckets->n_bounds)
            snprintf(bound, sizeof(bound), "%.15g", buckets->bounds[i]);
        le.value = span_of(bound);
        below += buckets->n[i];
        if (begin_sample(page, "_bucket", labels, n_labels, &le)) {
            text_add_number(page->out, below);
            text_add_char(page->out, '\n');
        }
    }
    sample(page, "_sum", labels, n_labels, buckets->sum);
    count_sample(page, "_count", labels, n_labels, below);
}
