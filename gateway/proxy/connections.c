/*
 * connections.c - a walk through a worker's sessions, and the best of what it met.
 *
 * The rows that are kept are a heap whose top is the one to be given up next; a row is written
 * when it comes in, because its session may be gone when the walk ends. So memory is bounded by the
 * limit, not by the connections; and a turn by what it may look at and write.
 */
#include "proxy/connections.h"

#include "base/alloc.h"
#include "base/now.h"
#include "config/json.h"
#include "net/conn.h"
#include "proxy/session.h"
#include "proxy/worker.h"

#include <stdlib.h>
#include <string.h>

#define HALF_TICKS (UINT32_C(1) << 31) /* those that begin later come last */

enum {
    WAIT_MS = 5000,
    TURN_COST = 512, /* some 0.3 ms of a worker: a glance is 1 ... */
    ROW_COST = 16,
    STREAM_COST = 4,
    ROW_MAX = 256 * 1024,              /* one with all its streams */
    ROWS_BYTES_MAX = 16 * 1024 * 1024, /* of a worker; then rows come without streams */
};

/* One that was met: what it is sorted by, and what there is to be said of it. */
struct row {
    uint64_t key, id;
    char *text; /* owned */
    size_t len;
};

struct subject {
    struct connections_wanted wanted;
    char listener[CONNECTIONS_NAME_MAX];
    uint32_t asked; /* when, as conn_tick() */
};

/* What a worker has met so far. */
struct met {
    struct session_walk walk;
    struct row *row; /* owned: a heap, the least on top; wanted.limit of them */
    unsigned n;
    size_t bytes; /* of all texts */
    uint64_t total, matched;
    bool has_begun;
};

/* -- on a worker: the rows --------------------------------------------------------------- */

/* Does a come behind b in what is told? Of equals, the older one is told first. */
static bool is_behind(const struct row *a, const struct row *b)
{
    return a->key != b->key ? a->key < b->key : a->id > b->id;
}

static void swap(struct row *a, struct row *b)
{
    struct row old = *a;

    *a = *b;
    *b = old;
}

static void sift_up(struct row *row, unsigned at)
{
    while (at > 0 && is_behind(&row[at], &row[(at - 1) / 2])) {
        swap(&row[at], &row[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

static void sift_down(struct row *row, unsigned n)
{
    unsigned at = 0;

    for (;;) {
        unsigned least = at;

        for (unsigned child = 2 * at + 1; child <= 2 * at + 2 && child < n; child++) {
            if (is_behind(&row[child], &row[least]))
                least = child;
        }
        if (least == at)
            return;
        swap(&row[at], &row[least]);
        at = least;
    }
}

/* Returns what writing it has cost. */
static unsigned write_row(struct met *met, struct row *row, struct list *link,
                          const struct session_look *look)
{
    unsigned max = met->bytes < ROWS_BYTES_MAX ? CONNECTIONS_STREAMS_MAX : 0;
    struct text text;
    unsigned n;

    text_init(&text, ROW_MAX);
    n = session_write(link, look, max, &text);
    if (text.cut) {
        text_reset(&text);
        (void)session_write(link, look, 0, &text);
    }
    row->text = text.cut ? NULL : text.ptr;
    row->len = text.cut ? 0 : text.len;
    met->bytes += row->len;
    if (text.cut)
        text_fini(&text);
    return ROW_COST + n * STREAM_COST;
}

/* An age is one at the moment of the question, else those that are met later would look older. */
static uint64_t key_of(const struct subject *subject, const struct session_look *look)
{
    switch (subject->wanted.sort) {
    case CONNECTIONS_BY_AGE:
        return (uint32_t)(subject->asked - look->opened + HALF_TICKS);
    case CONNECTIONS_BY_IDLE:
        return look->idle_ms;
    case CONNECTIONS_BY_REQUESTS:
        return look->requests;
    }
    return 0;
}

/* Keep it if it is among the first so far; returns what that has cost. */
static unsigned keep(struct met *met, const struct subject *subject, struct list *link,
                     const struct session_look *look)
{
    struct row row = {.key = key_of(subject, look), .id = look->id};
    unsigned cost;

    if (met->n == subject->wanted.limit && !is_behind(&met->row[0], &row))
        return 1;
    cost = write_row(met, &row, link, look);
    if (met->n < subject->wanted.limit) {
        met->row[met->n] = row;
        sift_up(met->row, met->n++);
        return cost;
    }
    met->bytes -= met->row[0].len;
    alloc_free(met->row[0].text);
    met->row[0] = row;
    sift_down(met->row, met->n);
    return cost;
}

/* -- on a worker: the walk ---------------------------------------------------------------- */

static bool is_wanted(const struct subject *subject, const struct session_look *look)
{
    const struct connections_wanted *wanted = &subject->wanted;

    return (wanted->id == 0 || look->id == wanted->id) &&
           (wanted->protocol == CONNECTIONS_ANY || (int)look->protocol == wanted->protocol) &&
           (wanted->idle_over_ms == 0 || look->idle_ms > wanted->idle_over_ms) &&
           (!wanted->has_client || addr_range_has(&wanted->client, look->client)) &&
           (wanted->listener.len == 0 || span_equal(span_of(look->listener), wanted->listener));
}

static void begin(struct met *met, const struct subject *subject, struct worker *worker)
{
    met->has_begun = true;
    met->row = alloc_new((subject->wanted.limit + 1) * sizeof(met->row[0]));
    session_walk_begin(&met->walk, worker);
}

static bool look_at_some(const void *subject_, struct worker *worker, void *met_)
{
    const struct subject *subject = subject_;
    struct met *met = met_;
    unsigned cost = 0;

    if (subject->wanted.worker != CONNECTIONS_ANY && subject->wanted.worker != (int)worker->index)
        return true;
    if (!met->has_begun)
        begin(met, subject, worker);
    while (cost < TURN_COST) {
        struct list *link = session_walk_next(&met->walk, worker);
        struct session_look look;

        if (!link) {
            session_walk_end(&met->walk);
            return true;
        }
        session_look(link, &look);
        met->total++;
        cost++;
        if (is_wanted(subject, &look)) {
            met->matched++;
            cost += keep(met, subject, link, &look);
        }
    }
    return false;
}

static void leave(struct worker *worker, void *met_)
{
    struct met *met = met_;

    (void)worker;
    session_walk_end(&met->walk);
}

/* -- on the control thread ----------------------------------------------------------------- */

static void forget(void *met_)
{
    struct met *met = met_;

    for (unsigned i = 0; i < met->n; i++)
        alloc_free(met->row[i].text);
    alloc_free(met->row);
}

static void free_subject(void **subject)
{
    alloc_free(*subject);
    *subject = NULL;
}

static const struct inquiry_ops look_ops = {
    .answer_bytes = sizeof(struct met),
    .answer = look_at_some,
    .leave = leave,
    .forget = forget,
    .free_subject = free_subject,
};

struct question connections_ask(const struct connections_wanted *wanted)
{
    struct subject *subject = alloc_new(sizeof(*subject));
    size_t len = wanted->listener.len;

    subject->wanted = *wanted;
    subject->asked = conn_tick_of(now_us());
    if (len > sizeof(subject->listener))
        len = sizeof(subject->listener); /* no listener's name is that long */
    if (len > 0)
        memcpy(subject->listener, wanted->listener.ptr, len);
    subject->wanted.listener = span_make(subject->listener, len);
    return (struct question){.ops = &look_ops, .subject = subject, .wait_ms = WAIT_MS};
}

static int compare(const void *a_, const void *b_)
{
    const struct row *a = a_, *b = b_;

    if (is_behind(a, b))
        return 1;
    return is_behind(b, a) ? -1 : 0;
}

/* All rows of all workers in one list, in order; the list is the caller's, the texts are not. */
static struct row *gather(const struct inquiry *inquiry, unsigned n_workers, size_t *n)
{
    struct row *all;
    size_t room = 1;

    for (unsigned i = 0; i < n_workers; i++) {
        const struct met *met = inquiry_answer(inquiry, i);

        room += met ? met->n : 0;
    }
    all = alloc_new(room * sizeof(*all));
    *n = 0;
    for (unsigned i = 0; i < n_workers; i++) {
        const struct met *met = inquiry_answer(inquiry, i);

        for (unsigned at = 0; met && at < met->n; at++) {
            if (met->row[at].text) /* there was memory for it */
                all[(*n)++] = met->row[at];
        }
    }
    qsort(all, *n, sizeof(*all), compare);
    return all;
}

void connections_write(const struct inquiry *inquiry, unsigned n_workers, struct json *json)
{
    const struct subject *subject = inquiry_subject(inquiry);
    uint64_t total = 0, matched = 0;
    struct row *all;
    size_t n;

    for (unsigned i = 0; i < n_workers; i++) {
        const struct met *met = inquiry_answer(inquiry, i);

        total += met ? met->total : 0;
        matched += met ? met->matched : 0;
    }
    all = gather(inquiry, n_workers, &n);
    if (n > subject->wanted.limit)
        n = subject->wanted.limit;
    json_number(json, "total", total);
    json_number(json, "matched", matched);
    json_number(json, "shown", n);
    json_open(json, "connections", '[');
    for (size_t i = 0; i < n; i++)
        json_literal(json, NULL, span_make(all[i].text, all[i].len));
    json_close(json, ']');
    alloc_free(all);
}

/* -- the end of one --------------------------------------------------------------------------- */

struct ending {
    uint64_t id;
    bool now;
};

struct sought {
    struct session_walk walk;
    enum connections_end end;
    bool has_begun;
};

static enum connections_end end_of(enum session_close close)
{
    switch (close) {
    case SESSION_CLOSE_NOW:
        return CONNECTIONS_ENDED;
    case SESSION_CLOSE_SOON:
        return CONNECTIONS_ENDS;
    case SESSION_CLOSE_TUNNEL:
        return CONNECTIONS_TALKS;
    }
    return CONNECTIONS_NONE;
}

/* Ids grow from the oldest to the newest. */
static bool seek(const void *ending_, struct worker *worker, void *sought_)
{
    const struct ending *ending = ending_;
    struct sought *sought = sought_;

    if ((ending->id - 1) % worker->crew->n_workers != worker->index)
        return true;
    if (!sought->has_begun)
        session_walk_begin(&sought->walk, worker);
    sought->has_begun = true;
    for (unsigned i = 0; i < TURN_COST; i++) {
        struct list *link = session_walk_next(&sought->walk, worker);
        uint64_t id = link ? session_id(link) : UINT64_MAX;

        if (id < ending->id)
            continue;
        session_walk_end(&sought->walk);
        if (id == ending->id)
            sought->end = end_of(session_close(link, ending->now));
        return true;
    }
    return false;
}

static void stop_seeking(struct worker *worker, void *sought_)
{
    struct sought *sought = sought_;

    (void)worker;
    session_walk_end(&sought->walk);
}

static const struct inquiry_ops close_ops = {
    .answer_bytes = sizeof(struct sought),
    .answer = seek,
    .leave = stop_seeking,
    .free_subject = free_subject,
};

struct question connections_close(uint64_t id, bool now)
{
    struct ending *ending = alloc_new(sizeof(*ending));

    *ending = (struct ending){id, now};
    return (struct question){.ops = &close_ops, .subject = ending, .wait_ms = WAIT_MS};
}

enum connections_end connections_ended(const struct inquiry *inquiry, unsigned n_workers)
{
    for (unsigned i = 0; i < n_workers; i++) {
        const struct sought *sought = inquiry_answer(inquiry, i);

        if (sought && sought->end != CONNECTIONS_NONE)
            return sought->end;
    }
    return CONNECTIONS_NONE;
}
