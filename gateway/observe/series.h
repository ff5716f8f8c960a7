/*
 * series.h - metrics with labels whose values are found out while serving, within a cap.
 *
 * A family has a name, a kind and the names of its labels; each new set of label values is
 * a series of it, until there are max_series: what comes then counts in a series with "other" in
 * every label. Families and series live as long as the process, so that a reload resets nothing.
 *
 * Each worker counts in cells of its own and finds them in an index of its own. Only the first
 * time that it meets a set of values does it take a lock, to find or make the series for all.
 *
 * Owns:    all families and series.
 * Threads: series_add(): the worker of that number. The rest: the control thread.
 */
#ifndef OBSERVE_SERIES_H
#define OBSERVE_SERIES_H

#include "base/span.h"

struct page;
struct series; /* all families */
struct series_family;

enum {
    SERIES_FAMILIES_MAX = 1000,
    SERIES_LABELS_MAX = 8,
    SERIES_BUCKETS_MAX = 64,
    SERIES_MAX = 100000,    /* of one family */
    SERIES_VALUE_MAX = 128, /* bytes of a label's value; more are cut */
};

enum series_kind { SERIES_COUNTER, SERIES_GAUGE, SERIES_HISTOGRAM };

/* Everything is copied. */
struct series_spec {
    const char *name; /* letters, digits and '_' */
    const char *help;
    enum series_kind kind;
    const char *const *labels; /* ended by NULL; NULL: none */
    const double *buckets;     /* upper bounds, rising; NULL: 64 us to 4.5 minutes, in seconds */
    size_t n_buckets;
    uint32_t max_series; /* 0: 1000 */
};

/* -- life ------------------------------------------------------------- */

struct series *series_new(unsigned n_workers);
void series_free(struct series **series);

/*
 * The family of that name, made when it is new. NULL: a name or a bound is not allowed, there
 * are too many, or it was made before with another kind, other labels or other buckets.
 */
struct series_family *series_get(struct series *series, const struct series_spec *spec);

/* -- actions ---------------------------------------------------------- */

/*
 * Add to a counter (never less than 0) or gauge, or observe: values has one for each label, in
 * their order. What is no finite number, and what finds no memory, is left out.
 */
void series_add(struct series_family *family, unsigned worker, const struct sluice_span *values,
                double amount);

/* Say all of them. A metrics_collect_fn, arg is the struct series. */
void series_collect(void *series_, struct page *page);

#endif /* OBSERVE_SERIES_H */
