/*
 * metrics.h - who has numbers says them; one page prints them (Prometheus text format 0.0.4).
 *
 * Subsystems register a collector. When the page is asked for, each collector is
 * called and says its families and samples. Nothing is kept between pages, so
 * label sets are bounded by what exists.
 *
 * Threads: the control thread.
 */
#ifndef OBSERVE_METRICS_H
#define OBSERVE_METRICS_H

#include "base/count.h"
#include "base/text.h"

struct metrics; /* the registry */
struct page;    /* one page being printed */

typedef void metrics_collect_fn(void *arg, struct page *page);

struct metrics *metrics_new(void);
void metrics_free(struct metrics **metrics);

/* Call collect(arg) for every page, in order of registration. */
void metrics_add(struct metrics *metrics, metrics_collect_fn *collect, void *arg);

/* Append the whole page. */
void metrics_print(const struct metrics *metrics, struct text *out);

/* -- for collectors ----------------------------------------------------- */

struct label {
    const char *name;
    struct sluice_span value;
};

enum page_type { PAGE_COUNTER, PAGE_GAUGE, PAGE_HISTOGRAM };

/* Begin a family: HELP and TYPE lines. Its samples follow before the next family. */
void page_family(struct page *page, const char *name, enum page_type type, const char *help);

/* One sample of the current family; label values are escaped. */
void page_sample(struct page *page, const struct label *labels, size_t n_labels, double value);
void page_count(struct page *page, const struct label *labels, size_t n_labels,
                uint64_t value); /* exact beyond 2^53 */

/* A histogram with bounds of its own, and not a fixed unit. */
struct page_buckets {
    const double *bounds; /* upper ones, rising */
    const uint64_t *n;    /* in each bucket alone; one more than bounds: what is above them all */
    size_t n_bounds;
    double sum;
};

void page_buckets(struct page *page, const struct label *labels, size_t n_labels,
                  const struct page_buckets *buckets);

/* The sum of n histograms (one per worker, stride bytes apart) as _bucket, _sum and _count; le in
 * seconds. */
void page_histogram(struct page *page, const struct label *labels, size_t n_labels,
                    const struct histogram *first, size_t n, size_t stride);

#endif /* OBSERVE_METRICS_H */
