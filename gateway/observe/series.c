/*
 * series.c - a family's series stand in a list that only grows, so that the page can be printed
 * while workers count.
 *
 * A worker's index leads from a hash of the values to a series. A miss takes the family's lock
 * and looks among all series, or makes one. Once there are as many as there may be, nothing is
 * ever added: the worker then takes over all of them once, and from then on a miss is known to
 * be "other" without the lock.
 */
#include "observe/series.h"

#include "base/alloc.h"
#include "base/lock.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/text.h"
#include "observe/metrics.h"

#include <math.h>
#include <string.h>

enum {
    SERIES_PRESET = 1000,
    KEY_MAX = SERIES_LABELS_MAX * (SERIES_VALUE_MAX + 1),
    INDEX_FIRST = 16,
    PRESET_BUCKETS = 23,
    LINE = 64,
};

/* A number that one thread adds to and others read. */
struct sum {
    uint64_t bits;
};

/* What one worker counts of one series. */
struct cell {
    struct sum sum;
    struct counter n[]; /* of a histogram: in each bucket, and above them all */
};

struct row {
    struct row *next; /* the one born before; set before others see it */
    uint64_t hash;
    size_t key_len;
    struct cell **cell; /* one for each worker, or NULL; written by that worker */
    char key[];         /* the values, a NUL after each */
};

/* A worker's way to the rows: open addresses. */
struct index {
    struct row **row; /* owned */
    size_t cap, n;    /* at most half of cap; a power of 2, or 0 */
    struct row *last; /* of the rows: most often the next one, too */
    bool is_whole;    /* every row there will ever be is in it */
    char padding[LINE];
};

struct series_family {
    struct series *all; /* borrowed */
    char *name, *help;  /* owned */
    enum series_kind kind;
    char *label[SERIES_LABELS_MAX]; /* owned */
    unsigned n_labels;
    double *bound; /* owned */
    size_t n_bounds, max_rows;
    struct lock lock;    /* for adding rows */
    struct row *rows;    /* owned, newest first; atomic */
    size_t n_rows;       /* with the lock */
    struct row *other;   /* owned, among the rows or NULL; atomic */
    bool is_full;        /* atomic */
    struct index *index; /* owned: one for each worker */
    uint64_t seed;
};

struct series {
    struct map *by_name; /* owned, of owned struct series_family */
    unsigned n_workers;
};

/* -- numbers -------------------------------------------------------------- */

static double sum_get(const struct sum *sum)
{
    uint64_t bits = __atomic_load_n(&sum->bits, __ATOMIC_RELAXED);
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static void sum_add(struct sum *sum, double amount)
{
    double value = sum_get(sum) + amount;
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    __atomic_store_n(&sum->bits, bits, __ATOMIC_RELAXED);
}

static size_t numbers_of(const struct series_family *family)
{
    return family->kind == SERIES_HISTOGRAM ? family->n_bounds + 1 : 0;
}

/* -- rows --------------------------------------------------------------------- */

static struct row *row_new(struct series_family *family, struct sluice_span key, uint64_t hash)
{
    struct row *row = alloc_try(sizeof(*row) + key.len);

    if (!row)
        return NULL;
    row->cell = alloc_zero_try(family->all->n_workers * sizeof(struct cell *));
    if (!row->cell) {
        alloc_free(row);
        return NULL;
    }
    row->hash = hash;
    row->key_len = key.len;
    if (key.len > 0)
        memcpy(row->key, key.ptr, key.len);
    row->next = family->rows;
    __atomic_store_n(&family->rows, row, __ATOMIC_RELEASE);
    return row;
}

static bool is_row(const struct row *row, struct sluice_span key, uint64_t hash)
{
    return row->hash == hash && span_equal(span_make(row->key, row->key_len), key);
}

static struct row *find_row(const struct series_family *family, struct sluice_span key,
                            uint64_t hash)
{
    struct row *row = family->rows;

    while (row && !is_row(row, key, hash))
        row = row->next;
    return row;
}

/* Values may have been just that before; then it is their row. */
static struct row *other_row(struct series_family *family)
{
    char other[KEY_MAX];
    struct sluice_span key = {other, 0};
    struct row *row;

    for (unsigned i = 0; i < family->n_labels; i++, key.len += sizeof("other"))
        memcpy(other + key.len, "other", sizeof("other"));
    row = find_row(family, key, span_hash(key, family->seed));
    return row ? row : row_new(family, key, span_hash(key, family->seed));
}

/* The row of those values, or of "other". With the lock. */
static struct row *row_get(struct series_family *family, struct sluice_span key, uint64_t hash)
{
    struct row *row = find_row(family, key, hash);

    if (row)
        return row;
    if (family->n_rows < family->max_rows) {
        row = row_new(family, key, hash);
        family->n_rows += row != NULL;
        __atomic_store_n(&family->is_full, family->n_rows == family->max_rows, __ATOMIC_RELEASE);
        return row;
    }
    if (!family->other)
        __atomic_store_n(&family->other, other_row(family), __ATOMIC_RELEASE);
    return family->other;
}

/* -- a worker's index ----------------------------------------------------------- */

static struct row **place_of(const struct index *index, struct sluice_span key, uint64_t hash)
{
    size_t at = hash & (index->cap - 1);

    while (index->row[at] && !is_row(index->row[at], key, hash))
        at = (at + 1) & (index->cap - 1);
    return &index->row[at];
}

static bool make_room(struct index *index)
{
    struct index larger = {.cap = index->cap ? index->cap * 2 : INDEX_FIRST, .n = index->n};

    if (index->n * 2 < index->cap)
        return true;
    larger.row = alloc_zero_try(larger.cap * sizeof(struct row *));
    if (!larger.row)
        return false;
    for (size_t i = 0; i < index->cap; i++) {
        struct row *row = index->row[i];

        if (row)
            *place_of(&larger, span_make(row->key, row->key_len), row->hash) = row;
    }
    alloc_free(index->row);
    index->row = larger.row;
    index->cap = larger.cap;
    return true;
}

static bool index_add(struct index *index, struct row *row)
{
    struct row **place;

    if (!make_room(index))
        return false;
    place = place_of(index, span_make(row->key, row->key_len), row->hash);
    index->n += *place == NULL;
    *place = row;
    return true;
}

static void take_all(struct series_family *family, struct index *index)
{
    bool is_whole = true;

    for (struct row *row = __atomic_load_n(&family->rows, __ATOMIC_ACQUIRE); row; row = row->next)
        is_whole = is_whole && index_add(index, row);
    index->is_whole = is_whole;
}

static struct row *meet(struct series_family *family, struct index *index, struct sluice_span key,
                        uint64_t hash)
{
    struct row *row = index->is_whole ? __atomic_load_n(&family->other, __ATOMIC_ACQUIRE) : NULL;

    if (row)
        return row;
    lock_take(&family->lock);
    row = row_get(family, key, hash);
    lock_give(&family->lock);
    if (__atomic_load_n(&family->is_full, __ATOMIC_ACQUIRE)) {
        take_all(family, index);
    } else if (row) {
        index_add(index, row);
    }
    return row;
}

/* -- counting ---------------------------------------------------------------------- */

/* The values one after the other, each cut and ended by NUL, with no bytes a page cannot hold. */
static struct sluice_span key_of(const struct series_family *family,
                                 const struct sluice_span *values, char out[KEY_MAX])
{
    size_t len = 0;

    for (unsigned i = 0; i < family->n_labels; i++) {
        len += text_clean(values[i], out + len, SERIES_VALUE_MAX);
        out[len++] = '\0';
    }
    return span_make(out, len);
}

/*
 * Are these the row's values as they are? They are then clean, as the row's are. A NUL inside
 * one is none of the row's ends: it has one for each label, and all must be met.
 */
static bool has_values(const struct series_family *family, const struct row *row,
                       const struct sluice_span *values)
{
    size_t at = 0;

    for (unsigned i = 0; i < family->n_labels; i++) {
        size_t len = values[i].len;

        if (len >= row->key_len - at || row->key[at + len] != '\0' ||
            (len > 0 && memcmp(row->key + at, values[i].ptr, len) != 0))
            return false;
        at += len + 1;
    }
    return at == row->key_len;
}

static struct row *row_of(struct series_family *family, struct index *index,
                          const struct sluice_span *values)
{
    char bytes[KEY_MAX];
    struct sluice_span key;
    struct row *row = NULL;
    uint64_t hash;

    if (index->last && has_values(family, index->last, values))
        return index->last;
    key = key_of(family, values, bytes);
    hash = span_hash(key, family->seed);
    if (index->cap > 0)
        row = *place_of(index, key, hash);
    if (!row)
        row = meet(family, index, key, hash);
    index->last = row;
    return row;
}

static struct cell *cell_of(struct series_family *family, struct row *row, unsigned worker)
{
    struct cell *cell = row->cell[worker];

    if (cell)
        return cell;
    /* Whole lines, so that no two workers write to one. */
    cell = alloc_zero_try((sizeof(*cell) + numbers_of(family) * sizeof(struct counter) + LINE - 1) /
                          LINE * LINE);
    __atomic_store_n(&row->cell[worker], cell, __ATOMIC_RELEASE);
    return cell;
}

static size_t bucket_of(const struct series_family *family, double amount)
{
    size_t low = 0, high = family->n_bounds;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (amount <= family->bound[middle]) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

void series_add(struct series_family *family, unsigned worker, const struct sluice_span *values,
                double amount)
{
    struct row *row;
    struct cell *cell;

    if (!isfinite(amount) || (family->kind == SERIES_COUNTER && amount < 0))
        return;
    row = row_of(family, &family->index[worker], values);
    cell = row ? cell_of(family, row, worker) : NULL;
    if (!cell)
        return;
    sum_add(&cell->sum, amount);
    if (family->kind == SERIES_HISTOGRAM)
        counter_add(&cell->n[bucket_of(family, amount)], 1);
}

/* -- the page ------------------------------------------------------------------------ */

static void say_row(const struct series_family *family, const struct row *row, struct page *page)
{
    struct label labels[SERIES_LABELS_MAX];
    uint64_t n[SERIES_BUCKETS_MAX + 1] = {0};
    const char *at = row->key;
    double sum = 0;

    for (unsigned i = 0; i < family->n_labels; i++) {
        labels[i] = (struct label){family->label[i], span_of(at)};
        at += labels[i].value.len + 1;
    }
    for (unsigned worker = 0; worker < family->all->n_workers; worker++) {
        const struct cell *cell = __atomic_load_n(&row->cell[worker], __ATOMIC_ACQUIRE);

        sum += cell ? sum_get(&cell->sum) : 0;
        for (size_t i = 0; cell && i < numbers_of(family); i++)
            n[i] += counter_get(&cell->n[i]);
    }
    if (family->kind == SERIES_HISTOGRAM) {
        page_buckets(page, labels, family->n_labels,
                     &(struct page_buckets){family->bound, n, family->n_bounds, sum});
    } else {
        page_sample(page, labels, family->n_labels, sum);
    }
}

void series_collect(void *series_, struct page *page)
{
    static const enum page_type types[] = {
        [SERIES_COUNTER] = PAGE_COUNTER,
        [SERIES_GAUGE] = PAGE_GAUGE,
        [SERIES_HISTOGRAM] = PAGE_HISTOGRAM,
    };
    struct series *series = series_;
    struct sluice_span name;
    void *value;
    size_t at = 0;

    while (map_each(series->by_name, &at, &name, &value)) {
        const struct series_family *family = value;

        page_family(page, family->name, types[family->kind], family->help);
        for (const struct row *row = __atomic_load_n(&family->rows, __ATOMIC_ACQUIRE); row;
             row = row->next)
            say_row(family, row, page);
    }
}

/* -- families --------------------------------------------------------------------------- */

static bool is_name(const char *name)
{
    size_t n = name ? strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   "0123456789_")
                    : 0;

    return n > 0 && n < 128 && name[n] == '\0' && (name[0] < '0' || name[0] > '9');
}

static bool are_labels(const char *const *labels)
{
    unsigned n = 0;

    for (; labels && labels[n]; n++) {
        if (n == SERIES_LABELS_MAX || !is_name(labels[n]) || strcmp(labels[n], "le") == 0 ||
            strncmp(labels[n], "__", 2) == 0)
            return false;
    }
    return true;
}

static bool are_buckets(const struct series_spec *spec)
{
    if (spec->n_buckets > SERIES_BUCKETS_MAX)
        return false;
    for (size_t i = 0; spec->buckets && i < spec->n_buckets; i++) {
        if (!isfinite(spec->buckets[i]) || (i > 0 && spec->buckets[i] <= spec->buckets[i - 1]))
            return false;
    }
    return true;
}

static void set_buckets(struct series_family *family, const struct series_spec *spec)
{
    if (spec->kind != SERIES_HISTOGRAM)
        return;
    family->n_bounds = spec->buckets ? spec->n_buckets : PRESET_BUCKETS;
    family->bound = alloc_new((family->n_bounds + 1) * sizeof(*family->bound));
    for (size_t i = 0; i < family->n_bounds; i++)
        family->bound[i] = spec->buckets ? spec->buckets[i] : ldexp(0.000064, (int)i);
}

static struct series_family *family_new(struct series *series, const struct series_spec *spec)
{
    struct series_family *family = alloc_new(sizeof(*family));
    struct sluice_span help = span_of(spec->help);
    struct rng rng;

    family->all = series;
    family->name = alloc_text(spec->name, strlen(spec->name));
    family->help = alloc_text(help.ptr, help.len);
    family->kind = spec->kind;
    for (; spec->labels && spec->labels[family->n_labels]; family->n_labels++) {
        const char *label = spec->labels[family->n_labels];

        family->label[family->n_labels] = alloc_text(label, strlen(label));
    }
    set_buckets(family, spec);
    family->max_rows = spec->max_series ? spec->max_series : SERIES_PRESET;
    if (family->max_rows > SERIES_MAX)
        family->max_rows = SERIES_MAX;
    lock_init(&family->lock);
    family->index = alloc_new(series->n_workers * sizeof(*family->index));
    rng_init(&rng);
    family->seed = rng_next(&rng);
    return family;
}

static void family_free(struct series_family *family)
{
    while (family->rows) {
        struct row *row = family->rows;

        family->rows = row->next;
        for (unsigned i = 0; i < family->all->n_workers; i++)
            alloc_free(row->cell[i]);
        alloc_free(row->cell);
        alloc_free(row);
    }
    for (unsigned i = 0; i < family->all->n_workers; i++)
        alloc_free(family->index[i].row);
    for (unsigned i = 0; i < family->n_labels; i++)
        alloc_free(family->label[i]);
    alloc_free(family->index);
    alloc_free(family->bound);
    alloc_free(family->name);
    alloc_free(family->help);
    lock_fini(&family->lock);
    alloc_free(family);
}

static bool is_as_before(const struct series_family *family, const struct series_spec *spec)
{
    size_t n_bounds = spec->buckets ? spec->n_buckets : PRESET_BUCKETS;
    unsigned n = 0;

    if (family->kind != spec->kind)
        return false;
    for (; spec->labels && spec->labels[n]; n++) {
        if (n == family->n_labels || strcmp(family->label[n], spec->labels[n]) != 0)
            return false;
    }
    if (n != family->n_labels)
        return false;
    if (family->kind != SERIES_HISTOGRAM)
        return true;
    return family->n_bounds == n_bounds &&
           (!spec->buckets || n_bounds == 0 ||
            memcmp(family->bound, spec->buckets, n_bounds * sizeof(*family->bound)) == 0);
}

struct series_family *series_get(struct series *series, const struct series_spec *spec)
{
    struct series_family *family;

    if (!is_name(spec->name) || !are_labels(spec->labels) || !are_buckets(spec))
        return NULL;
    family = map_find(series->by_name, span_of(spec->name));
    if (family)
        return is_as_before(family, spec) ? family : NULL;
    if (map_count(series->by_name) >= SERIES_FAMILIES_MAX)
        return NULL;
    family = family_new(series, spec);
    map_set(series->by_name, span_of(spec->name), family);
    return family;
}

struct series *series_new(unsigned n_workers)
{
    struct series *series = alloc_new(sizeof(*series));

    series->by_name = map_new();
    series->n_workers = n_workers ? n_workers : 1;
    return series;
}

void series_free(struct series **series)
{
    struct series *old = *series;
    struct sluice_span name;
    void *value;
    size_t at = 0;

    *series = NULL;
    if (!old)
        return;
    while (map_each(old->by_name, &at, &name, &value))
        family_free(value);
    map_free(&old->by_name);
    alloc_free(old);
}
