/*
 * fault.h - reads and writes that are short, put off or broken; private to net/, test builds only
 * (compiled in with -DSLUICE_FAULTS; otherwise nothing is left of it).
 *
 * From the environment, counted over the process, so that a run can be repeated:
 *
 *   SLUICE_FAULT_READ=N    a read is given room for N bytes at most
 *   SLUICE_FAULT_WRITE=N   a write takes N bytes at most
 *   SLUICE_FAULT_AGAIN=N   each N-th call (reads and writes) says ERR_AGAIN; N >= 2, or nothing
 *   moves SLUICE_FAULT_RESET=N   at the N-th call (reads and writes) the connection is reset
 *   SLUICE_FAULT_ACCEPT=N  each N-th accept finds no descriptor left (EMFILE) SLUICE_FAULT_DIAL=N
 *   each N-th connect finds no address left (EADDRNOTAVAIL)
 *
 * A fault must be one that a kernel could show, or it tests what cannot happen:
 *
 *   short read   conn.c takes a read that leaves room as "the socket is empty", for which the
 *   kernel
 *                vouches. So conn.c asks fault_left_more() before it believes a read that was cut
 *                by us; a read that really emptied the socket is still seen as such, or no
 *                connection would ever be kept.
 *   AGAIN,       the kernel announces when the descriptor is ready again. With edges that would
 *   short write  never come, for it was ready all along: the event is taken out and put in
 *                again, upon which epoll announces what is ready now. So the owner is called
 *                back in a later turn, and if the descriptor was indeed not ready, when it is.
 *   reset        the socket is disconnected (connect() to AF_UNSPEC), then the call is made: it
 *                fails with ECONNRESET, the peer gets a real RST, unread bytes are lost, later
 *                calls see the end, and epoll announces the error. TCP only.
 *
 * When the N-th call is broken, "fault: ..." goes to stderr: who steps through all N
 * knows by its absence that there was no such call.
 */
#ifndef NET_FAULT_H
#define NET_FAULT_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct conn;
struct iovec;

#ifdef SLUICE_FAULTS

/* Before a read: may lower *room. ERR_AGAIN: do not read. */
CHECKED enum err fault_read(struct conn *conn, size_t *room);

/* After a read that left room: true when only because fault_read() lowered it. */
bool fault_left_more(const struct conn *conn);

/* Before a write: may turn *pieces into *one that is shorter. ERR_AGAIN: do not write. */
CHECKED enum err fault_write(struct conn *conn, struct iovec **pieces, int *n_pieces,
                             struct iovec *one);

/* Before a pipe is emptied into it: may lower *n. ERR_AGAIN: do not write. */
CHECKED enum err fault_drain(struct conn *conn, size_t *n);

/* Instead of accept4() and connect(), when true; errno is set. */
bool fault_accept(void);
bool fault_dial(void);

#else

static inline CHECKED enum err fault_read(struct conn *conn, size_t *room)
{
    (void)conn;
    (void)room;
    return OK;
}
static inline bool fault_left_more(const struct conn *conn)
{
    (void)conn;
    return false;
}
static inline CHECKED enum err fault_write(struct conn *conn, struct iovec **pieces, int *n_pieces,
                                           struct iovec *one)
{
    (void)conn;
    (void)pieces;
    (void)n_pieces;
    (void)one;
    return OK;
}
static inline CHECKED enum err fault_drain(struct conn *conn, size_t *n)
{
    (void)conn;
    (void)n;
    return OK;
}
static inline bool fault_accept(void)
{
    return false;
}
static inline bool fault_dial(void)
{
    return false;
}

#endif

#endif /* NET_FAULT_H */
