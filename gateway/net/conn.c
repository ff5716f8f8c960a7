/*
 * conn.c - reading and writing with as few system calls as the peer allows.
 *
 * The descriptor is registered once, edge-triggered, for read, write and the peer's end. So the
 * state remembers what the edges said:
 *
 *   READABLE  the kernel may hold bytes or the end: set by an edge, cleared by EAGAIN, or in
 *             conn_settle() when the last read was SHORT (did not fill its buffer) and a whole
 *             message is there
 *   GONE      the peer's end was announced: a short read is then not the last one
 *   BROKEN    sending has failed by a reset, which the kernel tells but once: a later end is none
 *             in order
 *   SHAKING   the transport's handshake is not over: the owner knows of nothing yet
 *   CROSSED   reading or writing waits for the other direction to go on, as TLS may need it
 *
 *   CONNECTING > SHAKING > bytes; on_drained tells when both are over, on_failed when one failed
 *   ENDING    our side is to be shut as soon as nothing is unsent
 *   LATER     what is unsent has not been tried yet: that is put off until the turn's end
 *   YIELDED   the owner is to look at what is unread at the turn's end
 *   DIALLED   we have begun it: what comes on it is answers
 *   LINED     it stands in the loop's line ...
 *   SAW_READ, SAW_WRITE  ... with these events
 *
 * On a connection that we have dialled, or whose peer has not yet taken everything, events are
 * dealt with at once. On others, which were accepted, they begin work: those stand in line one
 * behind the other (loop_line_up()), but what the edges said is noted. With many connections that
 * ask at the same time, few requests are then under way at any moment, on few upstream connections,
 * the freshest: all of it is in the processor's caches, sockets included.
 *
 * A reset that arrives together with data is not announced apart, so whoever waits for the
 * rest of a message reads until EAGAIN; whoever has a whole message stops and saves that call.
 *
 * Pieces in the cork may be borrowed from unread bytes in blocks: it is sent before those
 * move or go.
 */
#include "net/conn_state.h"

#include "base/alloc.h"
#include "base/check.h"
#include "net/addr.h"
#include "net/fault.h"
#include "net/transport.h"

#include <event2/event.h>

#include <errno.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    CORK_PIECES = 64,
    CORK_HEAD = 80 * 1024, /* a head of 64 KiB and what is added to it */
    CORK_BYTES = 96 * 1024,
    LATER_BYTES = 8 * 1024, /* more is sent at once: copying it costs more than a call */
    SMALL_PIECE =
        2048, /* copied: one send() of joined bytes is cheaper than a gathering sendmsg() */
};

/*
 * What one connection is about to send. There is one cork a loop: whoever adds to another
 * connection flushes it.
 */
struct cork {
    struct conn *conn; /* borrowed; NULL: empty */
    int n;
    size_t used;  /* of bytes */
    size_t total; /* of all pieces */
    struct iovec piece[CORK_PIECES];
    char bytes[CORK_BYTES];
};

static void on_event(evutil_socket_t fd, short what, void *conn_);
static void shake_on(struct conn *conn);
static void go_on(struct conn *conn, unsigned saw);

/* -- life ------------------------------------------------------------- */

static struct conn *conn_of_soon(struct soon *soon)
{
    return list_entry(soon, struct conn, soon);
}

static enum err send_queue(struct conn *conn, bool *progress);
static void end_if_sent(struct conn *conn);
static enum err broken(struct conn *conn, enum err err);

/* Send what was put off. */
static enum err send_later(struct conn *conn)
{
    bool progress;
    enum err err;

    conn->state &= (uint16_t)~LATER;
    err = send_queue(conn, &progress);
    if (err == OK)
        end_if_sent(conn);
    return err == OK || err == ERR_AGAIN ? err : broken(conn, err);
}

static void run_soon(struct soon *soon)
{
    struct conn *conn = conn_of_soon(soon);
    unsigned saw = conn->state & (SAW_READ | SAW_WRITE);
    enum err err = OK;

    if (!(conn->state & OPEN)) {
        conn->ops->on_closed(conn);
        return;
    }
    conn->state &= (uint16_t) ~(LINED | SAW_READ | SAW_WRITE);
    if (conn->state & LATER)
        err = send_later(conn);
    if (err && err != ERR_AGAIN) {
        conn->ops->on_failed(conn, err);
    } else if ((conn->state & (CONNECTING | SHAKING)) == SHAKING) {
        shake_on(conn);
    } else if (!(conn->state & CONNECTING) && (saw || (conn->state & YIELDED))) {
        go_on(conn, saw);
    }
}

void conn_hurry(struct conn *conn)
{
    if (conn->state & LINED)
        soon_cancel(&conn->soon);
    conn->state &= (uint16_t)~LINED;
    loop_soon(conn->loop, &conn->soon);
}

static void line_up(struct conn *conn)
{
    if (soon_is_set(&conn->soon))
        return;
    conn->state |= LINED;
    loop_line_up(conn->loop, &conn->soon);
}

static void on_ring(struct alarm *alarm)
{
    struct conn *conn = list_entry(alarm, struct conn, alarm);

    conn->ops->on_alarm(conn);
}

static void prepare(struct conn *conn, struct loop *loop, const struct conn_ops *ops)
{
    conn->ops = ops;
    conn->transport = NULL;
    conn->loop = loop;
    conn->in.first = NULL;
    conn->out.first = NULL;
    conn->holds = 0;
    conn->state = 0;
    conn->opened = conn_tick(loop);
    conn->room = CONN_ROOM_FIRST / CONN_ROOM_UNIT;
    alarm_init(&conn->alarm, on_ring);
    soon_init(&conn->soon, run_soon);
    if (!loop->cork)
        loop->cork = alloc_new(sizeof(struct cork));
}

enum err conn_open(struct conn *conn, struct loop *loop, int fd, const struct conn_ops *ops)
{
    prepare(conn, loop, ops);
    if (event_assign(&conn->event, loop->base, fd,
                     EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, on_event, conn) != 0 ||
        event_add(&conn->event, NULL) != 0) {
        close(fd);
        return ERR_SYSTEM;
    }
    conn->state = OPEN;
    return OK;
}

enum err conn_dial(struct conn *conn, struct loop *loop, const struct addr *addr,
                   const struct conn_ops *ops, bool *connected)
{
    struct sockaddr_storage storage;
    struct sockaddr *sockaddr = (struct sockaddr *)&storage;
    socklen_t len = addr_to_sockaddr(addr, sockaddr);
    int fd = socket(addr->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    enum err err;

    if (fd < 0)
        return err_from_errno(errno);
    if (addr->family != AF_UNIX &&
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0) {
        close(fd);
        return ERR_SYSTEM;
    }
    *connected = !fault_dial() && connect(fd, sockaddr, len) == 0;
    if (!*connected && errno != EINPROGRESS) {
        err = err_from_errno(errno);
        close(fd);
        /* A full backlog of a unix socket says EAGAIN; there is nothing to wait for. */
        return err == ERR_AGAIN ? ERR_REFUSED : err;
    }
    err = conn_open(conn, loop, fd, ops);
    if (err)
        return err;
    conn->state |= DIALLED;
    if (!*connected)
        conn->state |= CONNECTING;
    return OK;
}

/* Send what anybody has corked. When that fails, its owner hears of it from the loop. */
static void flush_cork(struct loop *loop)
{
    struct cork *cork = loop->cork;

    if (cork->conn && conn_flush(cork->conn) != OK)
        cork->conn = NULL;
}

void conn_set_transport(struct conn *conn, struct transport *transport)
{
    conn->transport = transport;
    conn->state &= (uint16_t)~SHAKING;
    if (transport_of(conn)->handshake)
        conn->state |= SHAKING;
}

static void close_now(struct conn *conn, bool in_order)
{
    struct loop *loop = conn->loop;
    int fd;

    if (!(conn->state & OPEN))
        return;
    fd = conn_fd(conn);
    if (transport_of(conn)->close)
        transport_of(conn)->close(conn, in_order && bytes_is_empty(&conn->out));
    conn->transport = NULL;
    conn_hurry(conn);
    conn->state = 0;
    if (loop->lent_to == conn)
        loop->lent_to = NULL;
    if (loop->cork->conn == conn)
        loop->cork->conn = NULL;
    if (!bytes_is_empty(&conn->in))
        flush_cork(loop);
    alarm_disarm(&conn->alarm);
    bytes_reset(loop, &conn->in);
    bytes_reset(loop, &conn->out);
    event_del(&conn->event);
    close(fd);
}

void conn_close(struct conn *conn)
{
    close_now(conn, true);
}

void conn_abort(struct conn *conn)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    if (!(conn->state & OPEN))
        return;
    /* A failure only makes the end orderly. */
    if (setsockopt(conn_fd(conn), SOL_SOCKET, SO_LINGER, &now, sizeof(now)) < 0)
        errno = 0;
    close_now(conn, false);
}

void conn_set_ops(struct conn *conn, const struct conn_ops *ops)
{
    conn->ops = ops;
}

/* -- reading ---------------------------------------------------------- */

static bool is_lent(const struct conn *conn)
{
    return conn->loop->lent_to == conn;
}

/* Where the next bytes go: behind what is unread, or into the lent buffer. */
static char *read_room(struct conn *conn, size_t *room)
{
    struct loop *loop = conn->loop;

    if (!bytes_is_empty(&conn->in))
        return bytes_room(loop, &conn->in, room);
    if (!is_lent(conn)) {
        CHECK(loop->lent_to == NULL);
        loop->lent_to = conn;
        loop->lent_at = loop->lent_end = 0;
    } else if (loop->lent_at == loop->lent_end) {
        loop->lent_at = loop->lent_end = 0;
    } else if (loop->lent_end == LOOP_LENT_BYTES) {
        /* Pieces lent from here must be sent before they are moved. */
        flush_cork(loop);
        memmove(loop->lent, loop->lent + loop->lent_at, loop->lent_end - loop->lent_at);
        loop->lent_end -= loop->lent_at;
        loop->lent_at = 0;
    }
    *room = LOOP_LENT_BYTES - loop->lent_end;
    return loop->lent + loop->lent_end;
}

enum err conn_read_most(struct conn *conn, size_t most, struct sluice_span *bytes)
{
    struct loop *loop = conn->loop;
    struct transfer moved = {0};
    size_t room;
    char *into;
    enum err err;

    *bytes = conn_peek(conn);
    if (conn->holds != 0)
        return ERR_AGAIN;
    if (!bytes_is_empty(&conn->in))
        flush_cork(loop);
    /* What was kept in several blocks is put together before the socket is asked for more. */
    if (bytes_gather(loop, &conn->in)) {
        *bytes = conn_peek(conn);
        return OK;
    }
    if (!(conn->state & READABLE))
        return ERR_AGAIN;
    into = read_room(conn, &room);
    if (room == 0)
        return ERR_LIMIT;
    if (room > most)
        room = most;
    err = transport_of(conn)->read(conn, into, room, &moved);
    if (err == ERR_AGAIN)
        conn->state &= (uint16_t) ~(READABLE | SHORT);
    if (moved.crossed)
        conn->state |= CROSSED;
    if (err == ERR_CLOSED && (conn->state & BROKEN))
        return ERR_RESET;
    if (err)
        return err;
    if (is_lent(conn)) {
        loop->lent_end += (uint32_t)moved.n;
    } else {
        bytes_grown(&conn->in, moved.n);
    }
    if (moved.drained && !fault_left_more(conn)) {
        conn->state |= SHORT;
    } else {
        conn->state &= (uint16_t)~SHORT;
    }
    *bytes = conn_peek(conn);
    return OK;
}

enum err conn_read(struct conn *conn, struct sluice_span *bytes)
{
    return conn_read_most(conn, LOOP_LENT_BYTES, bytes);
}

void conn_consume(struct conn *conn, size_t n)
{
    struct loop *loop = conn->loop;

    if (is_lent(conn)) {
        loop->lent_at += (uint32_t)n;
    } else {
        if (conn_gives_back(conn, n))
            flush_cork(loop);
        bytes_skip(loop, &conn->in, n);
    }
}

enum err conn_settle(struct conn *conn, bool awaits_more)
{
    struct loop *loop = conn->loop;
    struct sluice_span rest;
    enum err err = OK;

    if (!awaits_more && (conn->state & (SHORT | GONE)) == SHORT)
        conn->state &= (uint16_t) ~(READABLE | SHORT);
    if (!is_lent(conn))
        return OK;
    rest = conn_peek(conn);
    loop->lent_to = NULL;
    if (rest.len > 0)
        err = bytes_add(loop, &conn->in, rest);
    /* Who looked at a part of a message must find it in one piece again. */
    while (bytes_gather(loop, &conn->in)) {
        rest.len = 0;
    }
    return err;
}

void conn_yield(struct conn *conn)
{
    conn->state |= YIELDED;
    if (conn->state & DIALLED) {
        loop_soon(conn->loop, &conn->soon);
    } else {
        line_up(conn);
    }
}

void conn_look(struct conn *conn)
{
    conn->state |= READABLE;
    conn_yield(conn);
}

bool conn_is_read_out(const struct conn *conn)
{
    if (bytes_is_split(&conn->in))
        return false;
    return (conn->state & (SHORT | GONE)) == SHORT || !(conn->state & READABLE);
}

void conn_hold(struct conn *conn, enum conn_hold why)
{
    conn->holds |= (uint8_t)why;
}

void conn_release(struct conn *conn, enum conn_hold why)
{
    if (!(conn->holds & why))
        return;
    conn->holds &= (uint8_t)~why;
    if (conn->holds == 0 && ((conn->state & READABLE) || conn_peek(conn).len > 0))
        conn_yield(conn);
}

bool conn_is_spoilt(const struct conn *conn)
{
    return (conn->state & (READABLE | GONE)) != 0 || conn_peek(conn).len > 0;
}

/* What the kernel holds against the connection; told once. */
static enum err socket_error(struct conn *conn)
{
    int number = 0;
    socklen_t len = sizeof(number);

    if (getsockopt(conn_fd(conn), SOL_SOCKET, SO_ERROR, &number, &len) < 0)
        number = errno;
    return number == 0 ? OK : err_from_errno(number);
}

bool conn_is_stale(struct conn *conn)
{
    return transport_of(conn)->peek(conn) != ERR_AGAIN;
}

bool conn_is_reset(struct conn *conn)
{
    if (socket_error(conn) != OK)
        conn->state |= BROKEN;
    return (conn->state & BROKEN) != 0;
}

/* -- writing ---------------------------------------------------------- */

/* The loop's cork, holding pieces of this connection only. */
static struct cork *cork_of(struct conn *conn)
{
    struct cork *cork = conn->loop->cork;

    if (cork->conn == conn)
        return cork;
    flush_cork(conn->loop);
    cork->conn = conn;
    cork->n = 0;
    cork->used = cork->total = 0;
    return cork;
}

/* writev() takes pointers to what it only reads; the copy says so without a cast. */
static struct iovec iovec_of(const char *ptr, size_t len)
{
    struct iovec piece = {.iov_len = len};

    memcpy(&piece.iov_base, &ptr, sizeof(ptr));
    return piece;
}

static inline void cork_add(struct cork *cork, const char *ptr, size_t len)
{
    struct iovec *last = cork->n > 0 ? &cork->piece[cork->n - 1] : NULL;

    cork->total += len;
    if (last && (const char *)last->iov_base + last->iov_len == ptr) {
        last->iov_len += len;
        return;
    }
    cork->piece[cork->n++] = iovec_of(ptr, len);
}

/*
 * A full cork is sent before more is added. An error shows again in the next flush of the same
 * connection.
 */
static struct cork *cork_with_room(struct conn *conn, size_t bytes)
{
    struct cork *cork = cork_of(conn);

    if (cork->n < CORK_PIECES - 1 && CORK_BYTES - cork->used >= bytes)
        return cork;
    if (conn_flush(conn) != OK)
        cork->conn = NULL;
    return cork_of(conn);
}

size_t conn_reserve(struct conn *conn, char **out)
{
    struct cork *cork = cork_with_room(conn, CORK_HEAD);

    *out = cork->bytes + cork->used;
    return CORK_BYTES - cork->used;
}

void conn_wrote(struct conn *conn, size_t n)
{
    struct cork *cork = cork_of(conn);

    cork_add(cork, cork->bytes + cork->used, n);
    cork->used += n;
}

void conn_put(struct conn *conn, struct sluice_span bytes)
{
    struct cork *cork = cork_with_room(conn, bytes.len);

    if (bytes.len > CORK_BYTES) {
        conn_lend(conn, bytes);
        return;
    }
    memcpy(cork->bytes + cork->used, bytes.ptr, bytes.len);
    conn_wrote(conn, bytes.len);
}

void conn_lend(struct conn *conn, struct sluice_span bytes)
{
    if (bytes.len <= SMALL_PIECE) {
        conn_put(conn, bytes);
    } else {
        cork_add(cork_with_room(conn, 0), bytes.ptr, bytes.len);
    }
}

/*
 * There is no memory for what is still to be sent. Nothing may follow it, and whoever does not hear
 * of it here must hear it by reading, as when the peer had reset the connection.
 */
static enum err lose_rest(struct conn *conn, enum err err)
{
    conn->state |= BROKEN;
    if (shutdown(conn_fd(conn), SHUT_RD) < 0)
        errno = 0;
    return err;
}

/* Queue all pieces but the first skip bytes. */
static enum err queue_rest(struct conn *conn, struct cork *cork, size_t skip)
{
    for (int i = 0; i < cork->n; i++) {
        struct sluice_span piece = span_make(cork->piece[i].iov_base, cork->piece[i].iov_len);
        enum err err;

        if (skip >= piece.len) {
            skip -= piece.len;
            continue;
        }
        err = bytes_add(conn->loop, &conn->out, span_make(piece.ptr + skip, piece.len - skip));
        if (err)
            return lose_rest(conn, err);
        skip = 0;
    }
    return ERR_AGAIN;
}

/* Sending has failed. After the peer's end in order (ERR_CLOSED), what it sent is whole. */
static enum err broken(struct conn *conn, enum err err)
{
    if (err != ERR_CLOSED)
        conn->state |= BROKEN;
    return err;
}

static enum err write_out(struct conn *conn, struct iovec *pieces, int n_pieces, size_t *n)
{
    struct transfer moved = {0};
    enum err err = transport_of(conn)->write(conn, pieces, n_pieces, &moved);

    *n = moved.n;
    if (moved.crossed)
        conn->state |= CROSSED;
    return err;
}

/* Shut our side, if that is wanted and everything has been sent. */
static void end_if_sent(struct conn *conn)
{
    const struct cork *cork = conn->loop->cork;

    if (!(conn->state & ENDING) || conn_has_unsent(conn) || (cork->conn == conn && cork->n > 0))
        return;
    conn->state &= (uint16_t)~ENDING;
    if (transport_of(conn)->shut_write)
        transport_of(conn)->shut_write(conn);
    /* When it fails the connection is gone, and reading will tell. */
    if (shutdown(conn_fd(conn), SHUT_WR) < 0)
        errno = 0;
}

static inline void spend_room(struct conn *conn, size_t n)
{
    size_t units = (n + CONN_ROOM_UNIT - 1) / CONN_ROOM_UNIT;

    conn->room = units < conn->room ? (uint8_t)(conn->room - units) : 0;
}

enum err conn_flush(struct conn *conn)
{
    struct cork *cork = conn->loop->cork;
    enum err err = OK;
    size_t n = 0;

    if (!(conn->state & OPEN))
        return ERR_CLOSED;
    if (conn->state & BROKEN)
        return ERR_RESET;
    if (cork->conn != conn || cork->n == 0) {
        if (conn->state & LATER)
            return send_later(conn);
        return bytes_is_empty(&conn->out) ? OK : ERR_AGAIN;
    }
    cork->conn = NULL;
    if (conn->state & LATER) {
        err = queue_rest(conn, cork, 0);
        return err == ERR_AGAIN ? send_later(conn) : err;
    }
    if (bytes_is_empty(&conn->out) && !(conn->state & (CONNECTING | SHAKING)))
        err = write_out(conn, cork->piece, cork->n, &n);
    if (err && err != ERR_AGAIN)
        return broken(conn, err);
    if (n != cork->total) {
        conn->room = 0;
        return queue_rest(conn, cork, n);
    }
    spend_room(conn, n);
    end_if_sent(conn);
    return OK;
}

enum err conn_flush_later(struct conn *conn)
{
    struct cork *cork = conn->loop->cork;
    enum err err;

    if (cork->conn != conn || cork->n == 0)
        return conn->state & LATER ? OK : conn_flush(conn);
    if (cork->total > LATER_BYTES || (conn->state & (BROKEN | CONNECTING | SHAKING)) ||
        (!bytes_is_empty(&conn->out) && !(conn->state & LATER)))
        return conn_flush(conn);
    cork->conn = NULL;
    err = queue_rest(conn, cork, 0);
    if (err != ERR_AGAIN)
        return err;
    conn->state |= LATER;
    conn_hurry(conn);
    return OK;
}

bool conn_has_unsent(const struct conn *conn)
{
    return !bytes_is_empty(&conn->out);
}

/*
 * Half of what is free: the kernel counts what it keeps beside bytes as well. A socket that does
 * not tell is trusted.
 */
static size_t ask_room(const struct conn *conn)
{
    uint32_t said[SK_MEMINFO_VARS] = {0};
    socklen_t len = sizeof(said);
    uint32_t used;

    if (getsockopt(conn_fd(conn), SOL_SOCKET, SO_MEMINFO, said, &len) < 0)
        return CONN_ROOM_FIRST;
    used = said[SK_MEMINFO_WMEM_QUEUED];
    if (used < said[SK_MEMINFO_WMEM_ALLOC])
        used = said[SK_MEMINFO_WMEM_ALLOC];
    return used < said[SK_MEMINFO_SNDBUF] ? (said[SK_MEMINFO_SNDBUF] - used) / 2 : 0;
}

size_t conn_room_asked(struct conn *conn)
{
    size_t bytes;

    if (!bytes_is_empty(&conn->out) && !(conn->state & LATER))
        return 0;
    bytes = ask_room(conn);
    conn->room = (uint8_t)(bytes / CONN_ROOM_UNIT < UINT8_MAX ? bytes / CONN_ROOM_UNIT : UINT8_MAX);
    return bytes;
}

uint32_t conn_untaken_bytes(const struct conn *conn)
{
    int n = 0;

    return ioctl(conn_fd(conn), SIOCOUTQ, &n) < 0 || n < 0 ? 0 : (uint32_t)n;
}

void conn_shut_write(struct conn *conn)
{
    conn->state |= ENDING;
    end_if_sent(conn);
}

/* What lies together at the front, in a pipe or in memory. */
static enum err send_front(struct conn *conn, size_t *n)
{
    struct transfer moved = {0};
    struct sluice_span front;
    struct iovec piece;
    enum err err;
    int pipe;

    *n = pipe_front(&conn->out, &pipe);
    if (*n > 0) {
        err = transport_of(conn)->drain(conn, pipe, *n, &moved);
        *n = moved.n;
        return err;
    }
    front = bytes_front(&conn->out);
    piece = iovec_of(front.ptr, front.len);
    return write_out(conn, &piece, 1, n);
}

/* *moved: whether any byte went. */
static enum err send_queue(struct conn *conn, bool *progress)
{
    *progress = false;
    while (!bytes_is_empty(&conn->out)) {
        size_t n;
        enum err err = send_front(conn, &n);

        if (err)
            return err;
        bytes_skip(conn->loop, &conn->out, n);
        *progress |= n > 0;
    }
    return OK;
}

/* -- events ----------------------------------------------------------- */

/* Connecting and shaking hands: true when the owner may read and write from now on. */
static bool set_up(struct conn *conn, short what)
{
    enum err err = OK;

    if (conn->state & CONNECTING) {
        if (!(what & EV_WRITE))
            return false;
        err = socket_error(conn);
        conn->state &= (uint16_t)~CONNECTING;
    }
    if (err == OK && (conn->state & SHAKING))
        err = transport_of(conn)->handshake(conn);
    if (err == ERR_AGAIN)
        return false;
    if (conn->state & SHAKING)
        conn->state |= READABLE; /* bytes may have come with the end of the handshake */
    conn->state &= (uint16_t)~SHAKING;
    if (err) {
        conn->ops->on_failed(conn, err);
    } else {
        conn->ops->on_drained(conn);
    }
    return err == OK;
}

static void on_writable(struct conn *conn)
{
    bool progress;
    enum err err = send_queue(conn, &progress);

    if (err == OK) {
        end_if_sent(conn);
        conn->ops->on_drained(conn);
    } else if (err == ERR_AGAIN) {
        if (progress)
            conn->ops->on_progress(conn);
    } else {
        conn->ops->on_failed(conn, broken(conn, err));
    }
}

/* Nobody reads now, but the owner wants to know when there is nobody left at the other end. */
void conn_look_held(struct conn *conn)
{
    enum err err = OK;

    if (conn->holds & CONN_HOLD_TURN)
        err = transport_of(conn)->peek(conn);
    if (err == OK) {
        /* Something waits unread, and behind it only a reset can be told. */
        err = socket_error(conn);
        if (err)
            conn->state |= BROKEN;
    }
    if (err == ERR_AGAIN) {
        conn->state &= (uint16_t)~READABLE;
    } else if (err) {
        conn->ops->on_hangup(conn, err);
    }
}

/* Remember what the edges said; true when something may be sent now. */
static bool note_edges(struct conn *conn, short what)
{
    bool may_write = (what & EV_WRITE) || (conn->state & CROSSED);

    if (what & EV_CLOSED)
        conn->state |= GONE;
    if ((what & (EV_READ | EV_CLOSED)) || (conn->state & CROSSED))
        conn->state = (uint16_t)((conn->state | READABLE) & ~(SHORT | CROSSED));
    return may_write;
}

/* The handshake had put itself off. */
static void shake_on(struct conn *conn)
{
    if (set_up(conn, 0) && (conn->state & OPEN) && (conn->state & READABLE) && conn->holds == 0)
        conn->ops->on_readable(conn);
}

/* Send and read; saw: what the edges have said since the last time. */
static void go_on(struct conn *conn, unsigned saw)
{
    if ((saw & SAW_WRITE) && !bytes_is_empty(&conn->out))
        on_writable(conn);
    if (!(conn->state & OPEN) || !(conn->state & (READABLE | YIELDED)))
        return;
    if (conn->holds == 0) {
        conn->state &= (uint16_t)~YIELDED;
        conn->ops->on_readable(conn);
    } else if ((saw & SAW_READ) && (conn->state & READABLE)) {
        conn_look_held(conn);
    }
}

static void on_event(evutil_socket_t fd, short what, void *conn_)
{
    struct conn *conn = conn_;
    unsigned saw = note_edges(conn, what) ? SAW_WRITE : 0;

    (void)fd;
    if (what & (EV_READ | EV_CLOSED))
        saw |= SAW_READ;
    if (!(conn->state & DIALLED) && bytes_is_empty(&conn->out)) {
        conn->state |= (uint16_t)saw;
        line_up(conn);
        return;
    }
    loop_note_answer(conn->loop);
    if (conn->state & (CONNECTING | SHAKING)) {
        if (!set_up(conn, what))
            return;
        saw &= ~(unsigned)SAW_WRITE;
    }
    go_on(conn, saw);
}

/* -- time and questions ------------------------------------------------ */

void conn_set_alarm(struct conn *conn, uint64_t ms)
{
    if (ms == 0) {
        alarm_disarm(&conn->alarm);
    } else {
        alarm_arm(conn->loop, &conn->alarm, ms);
    }
}

void conn_local_address(const struct conn *conn, struct addr *addr)
{
    struct sockaddr_storage storage;
    struct sockaddr *sockaddr = (struct sockaddr *)&storage;
    socklen_t len = sizeof(storage);

    *addr = (struct addr){.family = 0};
    if (getsockname(conn_fd(conn), sockaddr, &len) == 0)
        addr_from_sockaddr(sockaddr, addr);
}

bool conn_is_dialling(const struct conn *conn)
{
    return (conn->state & (CONNECTING | SHAKING)) != 0;
}

bool conn_is_open(const struct conn *conn)
{
    return (conn->state & OPEN) != 0;
}
