/*
 * conn.h - one connection: a descriptor registered once, what is unread, what is unsent.
 *
 * Reading goes into memory that the loop lends for the length of one callback;
 * only bytes that stay unread afterwards get a block. Writing gathers pieces
 * until conn_flush() and sends them with one system call; only what the socket does not take is
 * copied. So an idle connection owns no buffer at all.
 *
 * The owner embeds struct conn, fills the callbacks and frees itself in on_closed.
 *
 * Owns:    the descriptor, its event, both queues.
 * Threads: the loop's.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include "base/err.h"
#include "base/span.h"
#include "core/alarm.h"
#include "core/bytes.h"
#include "core/loop.h"

#include <event2/event_struct.h>

#include <stdbool.h>

struct addr;
struct conn;
struct transport;

/*
 * What the owner is told, by the loop and never from inside a conn_ function, but
 * conn_look_held(). Each may call conn_close().
 */
struct conn_ops {
    /* Bytes, the end or an error may be there: conn_read() tells. Not while held. */
    void (*on_readable)(struct conn *conn);
    /*
     * The peer has reset the connection (ERR_RESET ...) or, while held for CONN_HOLD_TURN, ended
     * its side (ERR_CLOSED). Held only: else on_readable finds out.
     */
    void (*on_hangup)(struct conn *conn, enum err err);
    /* All that was queued has been sent; or connecting has ended well. */
    void (*on_drained)(struct conn *conn);
    /* Some of what was queued has been sent. */
    void (*on_progress)(struct conn *conn);
    /* Sending or connecting failed. */
    void (*on_failed)(struct conn *conn, enum err err);
    void (*on_alarm)(struct conn *conn);
    /* At the end of the turn of conn_close(): free the owner. */
    void (*on_closed)(struct conn *conn);
};

/* Reasons to stop reading, a bit each; reading goes on when none is left. */
enum conn_hold {
    CONN_HOLD_PEER = 1, /* the other side's queue is not empty */
    CONN_HOLD_TURN = 2, /* it is somebody else's turn: pipelined bytes wait */
};

enum {
    CONN_ROOM_FIRST = 72 * 1024, /* a body of 64 KiB with its head */
    CONN_ROOM_LOW = 16 * 1024,
    CONN_ROOM_UNIT = 4096,
};

/* Private to net/conn.c, but for its size. */
struct conn {
    struct event event;
    const struct conn_ops *ops;  /* borrowed, static */
    struct transport *transport; /* owned by its ops; NULL: transport_plain */
    struct loop *loop;           /* borrowed, outlives us */
    struct bytes in, out;
    struct alarm alarm;
    struct soon soon;
    uint8_t holds;   /* enum conn_hold bits */
    uint8_t room;    /* CONN_ROOM_UNITs that it surely takes yet: see conn_room() */
    uint16_t state;  /* private bits */
    uint32_t opened; /* when, as conn_tick() */
};

/* -- life ------------------------------------------------------------- */

/* Take over fd (non-blocking) and register it. The descriptor is closed when that fails. */
CHECKED enum err conn_open(struct conn *conn, struct loop *loop, int fd,
                           const struct conn_ops *ops);

/*
 * Begin connecting to addr; on_drained or on_failed tells how it ended, or *connected when that
 * is known at once.
 */
CHECKED enum err conn_dial(struct conn *conn, struct loop *loop, const struct addr *addr,
                           const struct conn_ops *ops, bool *connected);

/*
 * Move bytes by this transport from now on, plainly when it is NULL. One with a handshake is as a
 * connection being dialled: on_drained or on_failed tells how that ended, nothing else is called
 * before. Only while nothing has been read or written.
 */
void conn_set_transport(struct conn *conn, struct transport *transport);

/*
 * Unregister, close, give the queues back; on_closed follows at the end of the turn. Safe when
 * already closed.
 */
void conn_close(struct conn *conn);

/* The same, and the peer sees a reset: for a message that cannot be ended in order. */
void conn_abort(struct conn *conn);

/* Hand over to another owner. Unread and unsent bytes stay. */
void conn_set_ops(struct conn *conn, const struct conn_ops *ops);

/* -- reading ---------------------------------------------------------- */

/*
 * Get more bytes; *bytes is all that is unread, in one piece, valid until the callback returns.
 * OK when there is more than before, ERR_AGAIN when nothing new is there (reading is
 * on_readable's again), ERR_LIMIT when unread bytes fill a large block, else the end: ERR_CLOSED
 * (in order), ERR_RESET ...
 */
CHECKED enum err conn_read(struct conn *conn, struct sluice_span *bytes);

/*
 * The same, but of the peer's bytes at most so many (at least 1) more than are unread: for who
 * passes them on to a connection that may not take them.
 */
CHECKED enum err conn_read_most(struct conn *conn, size_t most, struct sluice_span *bytes);

/* The unread bytes without asking the socket. */
static inline struct sluice_span conn_peek(const struct conn *conn)
{
    const struct loop *loop = conn->loop;

    if (loop->lent_to == conn)
        return span_make(loop->lent + loop->lent_at, loop->lent_end - loop->lent_at);
    return bytes_front(&conn->in);
}

/*
 * Does conn_consume(n) give back the memory that those bytes lie in? What was lent to a connection
 * is sent or kept by then; whoever else was lent a piece must have taken it before.
 */
static inline bool conn_gives_back(const struct conn *conn, size_t n)
{
    return conn->loop->lent_to != conn && n > 0 && n == bytes_front(&conn->in).len;
}

/* n unread bytes were dealt with. */
void conn_consume(struct conn *conn, size_t n);

/*
 * Call before on_readable returns: what is still unread moves to blocks of our own. ERR_MEMORY
 * loses it. Unless the rest of a message is awaited, a read that did not fill its buffer counts as
 * the last one; who awaits more is called again even if its end came together with those bytes.
 */
CHECKED enum err conn_settle(struct conn *conn, bool awaits_more);

/* Come back to on_readable in the next turn: others are to be served meanwhile. */
void conn_yield(struct conn *conn);

/*
 * The same, and ask the socket again even if no event came: sending has failed, and reading tells
 * why.
 */
void conn_look(struct conn *conn);

/*
 * The same of a connection that is held, without reading: on_hangup is called, from here, when the
 * peer has gone. A reset that came together with bytes has no event of its own, so whoever has
 * taken them and waits for something else asks once. One or two system calls.
 */
void conn_look_held(struct conn *conn);

/*
 * Nothing more can be there now: the last read did not fill its buffer, and no end was announced.
 * Who awaits the rest of a message reads on all the same: a reset that came together with data is
 * not announced.
 */
bool conn_is_read_out(const struct conn *conn);

/* Stop and go on reading for a reason. Going on may call on_readable at the end of this turn. */
void conn_hold(struct conn *conn, enum conn_hold why);
void conn_release(struct conn *conn, enum conn_hold why);

/*
 * True when the peer has ended its side or bytes are waiting that nobody asked for: not to be
 * used again.
 */
bool conn_is_spoilt(const struct conn *conn);

/*
 * Ask the kernel: true when the peer has closed or sent something. One system call; nothing is
 * consumed.
 */
bool conn_is_stale(struct conn *conn);

/*
 * Ask the kernel: true when the peer has reset the connection, which reading does not tell once
 * the peer has ended its side. The kernel tells it once.
 */
bool conn_is_reset(struct conn *conn);

/* -- writing ---------------------------------------------------------- */

/*
 * Room for a head (80 KiB or more): write up to the returned length at *out, then say with
 * conn_wrote() how much.
 */
size_t conn_reserve(struct conn *conn, char **out);
void conn_wrote(struct conn *conn, size_t n);

/* Add a copy of a few bytes. */
void conn_put(struct conn *conn, struct sluice_span bytes);

/* Add bytes that stay valid until conn_flush(). */
void conn_lend(struct conn *conn, struct sluice_span bytes);

/* Send what was added. OK: all is with the kernel; ERR_AGAIN: some is queued, on_drained follows;
 * else the connection cannot send any more (nothing is called back). */
CHECKED enum err conn_flush(struct conn *conn);

/*
 * The same, but a few bytes are copied and leave at the end of this turn, in one piece with what
 * else is added until then. OK: they are on their way.
 */
CHECKED enum err conn_flush_later(struct conn *conn);

bool conn_has_unsent(const struct conn *conn);

/*
 * How many bytes the kernel is likely to take now, 0 when some are queued already. Little is asked
 * of it: what it said last is used up first.
 */
size_t conn_room_asked(struct conn *conn);
static inline size_t conn_room(struct conn *conn)
{
    size_t bytes = conn->room * (size_t)CONN_ROOM_UNIT;

    return bytes >= CONN_ROOM_LOW ? bytes : conn_room_asked(conn);
}

/* A new message: one of CONN_ROOM_FIRST bytes goes without asking how much there is room for. */
static inline void conn_make_room(struct conn *conn)
{
    if (conn->room < CONN_ROOM_FIRST / CONN_ROOM_UNIT)
        conn->room = CONN_ROOM_FIRST / CONN_ROOM_UNIT;
}

/*
 * Bytes that the kernel holds for the peer, sent or not, until it has taken them. Shows a slow
 * peer's progress before the kernel announces room, which it does late.
 */
uint32_t conn_untaken_bytes(const struct conn *conn);

/*
 * End our side in order: the peer reads the end after all that was added before, also what is
 * still queued.
 */
void conn_shut_write(struct conn *conn);

/* -- time -------------------------------------------------------------- */

/* Ring on_alarm after ms; 0 disarms. */
void conn_set_alarm(struct conn *conn, uint64_t ms);

/* -- questions ---------------------------------------------------------- */

static inline int conn_fd(const struct conn *conn)
{
    return conn->event.ev_fd;
}

/* The clock in parts of 16 ms; two of them tell how long something took, up to 2 years. */
static inline uint32_t conn_tick_of(uint64_t now_us)
{
    return (uint32_t)(now_us >> 14);
}

static inline uint32_t conn_tick(struct loop *loop)
{
    return conn_tick_of(loop_now_us(loop));
}

static inline uint64_t conn_ticks_ms(uint32_t ticks)
{
    return ((uint64_t)ticks << 14) / 1000;
}

/* Since it was opened, or dialled. */
static inline uint64_t conn_age_ms(const struct conn *conn)
{
    return conn_ticks_ms(conn_tick(conn->loop) - conn->opened);
}

/* What the kernel has counted. */
struct conn_traffic {
    uint64_t bytes_in, bytes_out; /* what TLS adds is in them; what was sent again is not */
    uint64_t quiet_ms;            /* since the last byte, either way */
    uint32_t rtt_us;
};

/* One system call. False: it counts nothing for this kind of socket. */
bool conn_traffic(const struct conn *conn, struct conn_traffic *traffic);

/* Of our own side; family 0 when it has none. One system call. */
void conn_local_address(const struct conn *conn, struct addr *addr);
bool conn_is_open(const struct conn *conn);

/* Is it still being set up: connecting, or shaking hands? */
bool conn_is_dialling(const struct conn *conn);

#endif /* NET_CONN_H */
