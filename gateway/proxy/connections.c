/*
 * connections.c - a walk through a worker's sessions, and the best of what it met.
 *
 * The rows that are kept are a heap whose top is the one to be given up next; a row is written
 * when it comes in, because its session may be gone when the walk ends. So memory is bounded by the
 * limit, not by the connections; and a turn by what it may look at and write.
 */
#include "proxy/connections_state.h"

#include "base/alloc.h"
#include "base/now.h"
#include "config/json.h"
#include "net/conn.h"
#include "proxy/worker.h"

#include <stdlib.h>
#include <string.h>

#define HALF_TICKS (UINT32_C(1) << 31) /* those that begin later come last */

enum {
    WAIT_MS = 5000,
    ROW_COST = 16, /* where a glance is 1 */
    STREAM_COST = 4,
    ROW_MAX = 256 * 1024,              /* one with all its streams */
    ROWS_BYTES_MAX = 16 * 1024 * 1024, /* of a worker; then rows come without streams */
};

/* -- on a worker: the rows --------------------------------------------------------------- */

/* Does a come behind b in what is told? Of equals, the older one is told first. */
static bool is_behind(const struct connections_row *a, const struct connections_row *b)
{
    return a->key != b->key ? a->key < b->key : a->id > b->id;
}

static void swap(struct connections_row *a, struct connections_row *b)
{
    struct connections_row old = *a;

    *a = *b;
    *b = old;
}

static void sift_up(struct connections_row *row, unsigned at)
{
    while (at > 0 && is_behind(&row[at], &row[(at - 1) / 2])) {
        swap(&row[at], &row[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

static void sift_down(struct connections_row *row, unsigned n)
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

static void write_row(struct connections_met *met, struct connections_row *row,
                      const struct sight *sight)
{
    unsigned max = met->bytes < ROWS_BYTES_MAX ? CONNECTIONS_STREAMS_MAX : 0;
    struct text text;
    unsigned n;

    text_init(&text, ROW_MAX);
    n = sight->write(sight->from, max, &text);
    if (text.cut) {
        text_reset(&text);
        (void)sight->write(sight->from, 0, &text);
    }
    row->text = text.cut ? NULL : text.ptr;
    row->len = text.cut ? 0 : text.len;
    met->bytes += row->len;
    if (text.cut)
        text_fini(&text);
    met->cost += ROW_COST + n * STREAM_COST;
}

/* An age is one at the moment of the question, else those that are met later would look older. */
static uint64_t key_of(const struct connections_subject *subject, const struct sight *sight)
{
    switch (subject->wanted.sort) {
    case CONNECTIONS_BY_AGE:
        return (uint32_t)(subject->asked - sight->opened + HALF_TICKS);
    case CONNECTIONS_BY_IDLE:
        return sight->idle_ms;
    case CONNECTIONS_BY_REQUESTS:
        return sight->requests;
    }
    return 0;
}

void connections_keep(struct connections_met *met, const struct connections_subject *subject,
                      const struct sight *sight)
{
    struct connections_row row = {.key = key_of(subject, sight), .id = sight->id};

    met->matched++;
    if (met->n == subject->wanted.limit && !is_behind(&met->row[0], &row))
        return;
    write_row(met, &row, sight);
    if (met->n < subject->wanted.limit) {
        met->row[met->n] = row;
        sift_up(met->row, met->n++);
        return;
    }
    met->bytes -= met->row[0].len;
    alloc_free(met->row[0].text);
    met->row[0] = row;
    sift_down(met->row, met->n);
}

/* -- on a worker: connections of clients --------------------------------------------------- */

/* A row to be written. */
struct session_row {
    struct list *link;
    const struct session_look *look;
};

static unsigned write_session(const void *row_, unsigned max_streams, struct text *out)
{
    const struct session_row *row = row_;

    return session_write(row->link, row->look, max_streams, out);
}

static bool is_wanted(const struct connections_wanted *wanted, const struct session_look *look)
{
    return (wanted->id == 0 || look->id == wanted->id) &&
           (wanted->protocol == CONNECTIONS_ANY || (int)look->protocol == wanted->protocol) &&
           (wanted->idle_over_ms == 0 || look->idle_ms > wanted->idle_over_ms) &&
           (!wanted->has_client || addr_range_has(&wanted->client, look->client)) &&
           (wanted->name.len == 0 || span_equal(span_of(look->listener), wanted->name));
}

static void look_at_session(struct connections_met *met, const struct connections_subject *subject,
                            struct list *link)
{
    struct session_look look;
    const struct session_row row = {link, &look};

    session_look(link, &look);
    met->total++;
    met->cost++;
    if (is_wanted(&subject->wanted, &look)) {
        connections_keep(met, subject,
                         &(struct sight){.id = look.id,
                                         .opened = look.opened,
                                         .idle_ms = look.idle_ms,
                                         .requests = look.requests,
                                         .write = write_session,
                                         .from = &row});
    }
}

static bool look_down(const struct connections_subject *subject, struct worker *worker,
                      struct connections_met *met)
{
    while (met->cost < CONNECTIONS_TURN_COST) {
        struct list *link = session_walk_next(&met->walk, worker);

        if (!link)
            return true;
        look_at_session(met, subject, link);
    }
    return false;
}

/* -- on a worker: the walk ------------------------------------------------------------------- */

static void begin(struct connections_met *met, const struct connections_subject *subject,
                  struct worker *worker)
{
    met->has_begun = true;
    met->row = alloc_new((subject->wanted.limit + 1) * sizeof(met->row[0]));
    session_walk_begin(&met->walk, worker);
}

static bool look_at_some(const void *subject_, struct worker *worker, void *met_)
{
    const struct connections_subject *subject = subject_;
    struct connections_met *met = met_;
    bool is_over;

    if (subject->wanted.worker != CONNECTIONS_ANY && subject->wanted.worker != (int)worker->index)
        return true;
    if (!met->has_begun)
        begin(met, subject, worker);
    met->cost = 0;
    is_over = subject->wanted.side == CONNECTIONS_UP ? connections_look_up(subject, worker, met)
                                                     : look_down(subject, worker, met);
    if (is_over)
        session_walk_end(&met->walk);
    return is_over;
}

static void leave(struct worker *worker, void *met_)
{
    struct connections_met *met = met_;

    (void)worker;
    session_walk_end(&met->walk);
}

/* -- on the control thread ----------------------------------------------------------------- */

static void forget(void *met_)
{
    struct connections_met *met = met_;

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
    .answer_bytes = sizeof(struct connections_met),
    .answer = look_at_some,
    .leave = leave,
    .forget = forget,
    .free_subject = free_subject,
};

struct question connections_ask(const struct connections_wanted *wanted)
{
    struct connections_subject *subject = alloc_new(sizeof(*subject));
    size_t len = wanted->name.len;

    subject->wanted = *wanted;
    subject->asked = conn_tick_of(now_us());
    if (len > sizeof(subject->name))
        len = sizeof(subject->name); /* no name is that long */
    if (len > 0)
        memcpy(subject->name, wanted->name.ptr, len);
    subject->wanted.name = span_make(subject->name, len);
    return (struct question){.ops = &look_ops, .subject = subject, .wait_ms = WAIT_MS};
}

static int compare(const void *a_, const void *b_)
{
    const struct connections_row *a = a_, *b = b_;

    if (is_behind(a, b))
        return 1;
    return is_behind(b, a) ? -1 : 0;
}

/* All rows of all workers in one list, in order; the list is the caller's, the texts are not. */
static struct connections_row *gather(const struct inquiry *inquiry, unsigned n_workers, size_t *n)
{
    struct connections_row *all;
    size_t room = 1;

    for (unsigned i = 0; i < n_workers; i++) {
        const struct connections_met *met = inquiry_answer(inquiry, i);

        room += met ? met->n : 0;
    }
    all = alloc_new(room * sizeof(*all));
    *n = 0;
    for (unsigned i = 0; i < n_workers; i++) {
        const struct connections_met *met = inquiry_answer(inquiry, i);

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
    const struct connections_subject *subject = inquiry_subject(inquiry);
    uint64_t total = 0, matched = 0;
    struct connections_row *all;
    size_t n;

    for (unsigned i = 0; i < n_workers; i++) {
        const struct connections_met *met = inquiry_answer(inquiry, i);

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
    for (unsigned i = 0; i < CONNECTIONS_TURN_COST; i++) {
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
