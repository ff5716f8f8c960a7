/*
 * session_begin.c - when the requests of a downstream HTTP/2 connection begin.
 *
 * A head that has come is taken by an exchange at once, but nothing is done for it before the whole
 * read that brought it was taken: who asks and resets in one breath costs no upstream anything
 * (rapid reset, CVE-2023-44487, and streams that are reset for what comes behind their head). Then
 * so many of a connection begin in each turn of the loop; the others wait in line, the most urgent
 * first (RFC 9218), for turns that do not wait for anything else: one connection cannot keep a
 * worker from its others.
 *
 * Content of a request in line is held by http/h2, within the window of its stream. One request of
 * each read is left free to begin with its content: a connection with one stream at a time pays for
 * no copy of it.
 */
#include "http/h2.h"
#include "proxy/session_h2.h"
#include "proxy/worker.h"

/* In a turn: some 100 us of work, where each needs a connection to its upstream. */
enum { BEGIN_MAX = 8 };

static bool may_begin(struct multiplex *multiplex)
{
    uint64_t turn = loop_turn(multiplex->session->conn.loop);

    if (multiplex->turn != turn) {
        multiplex->turn = turn;
        multiplex->n_begun = 0;
    }
    return multiplex->n_begun < BEGIN_MAX;
}

/* Behind those that are as urgent; as a rule all are. */
static struct list *place_of(const struct stream *stream)
{
    struct multiplex *multiplex = stream->multiplex;
    struct list *before = multiplex->fresh.prev;

    while (before != &multiplex->fresh &&
           list_entry(before, struct stream, link)->stream->urgency > stream->stream->urgency)
        before = before->prev;
    return before;
}

/* May it begin with its content, if that is in the same read? */
static bool may_hurry(const struct stream *stream)
{
    struct multiplex *multiplex = stream->multiplex;

    return !multiplex->hasty && list_is_empty(&multiplex->fresh) && may_begin(multiplex);
}

void stream_line_up(struct stream *stream)
{
    struct multiplex *multiplex = stream->multiplex;

    if (!stream->whole && !stream->connects && may_hurry(stream)) {
        multiplex->hasty = true;
        h2_await_content(stream->stream);
    } else if (!stream->whole) {
        h2_hold(stream->stream); /* one that connects, until it is a tunnel */
    }
    list_insert_after(place_of(stream), &stream->link);
    stream->fresh = true;
    stream->turn = loop_turn(multiplex->session->conn.loop);
}

void stream_begin(struct stream *stream)
{
    struct multiplex *multiplex = stream->multiplex;

    list_remove(&stream->link);
    list_append(&multiplex->streams, &stream->link);
    stream->fresh = false;
    multiplex->n_begun++;
    if (stream->turn != loop_turn(multiplex->session->conn.loop))
        counter_add(&multiplex->session->port->counters->h2_put_off, 1);
    (void)stream_enter(stream);
    if (stream->whole)
        return;
    stream_await_content(stream);
    if (!stream->connects)
        h2_release(stream->stream);
    exchange_begin(stream->ex);
}

void stream_begin_fresh(struct multiplex *multiplex)
{
    bool was_running = multiplex->running;

    multiplex->running = true;
    while (!list_is_empty(&multiplex->fresh) && may_begin(multiplex)) {
        struct stream *stream = list_entry(multiplex->fresh.next, struct stream, link);

        stream_begin(stream);
        if (!stream->whole && stream->stream)
            h2_hand_over(stream->stream);
    }
    multiplex->running = was_running;
    stream_leave(multiplex);
    if (!list_is_empty(&multiplex->fresh))
        multiplex_wake(multiplex);
}
