/*
 * conn_move.h - content from one connection to another, through a pipe of the kernel.
 *
 * It saves copying each byte twice. What is in the pipe is unsent of the connection it goes to, as
 * all that is queued there: whatever asks for that (holds, alarms, ends) finds it so.
 */
#ifndef NET_CONN_MOVE_H
#define NET_CONN_MOVE_H

#include "net/conn.h"

/*
 * Take *n bytes, at least one and at most most, out of from, unseen, and queue them at to for
 * conn_flush(). As conn_read(); and ERR_MISSING: not these two, or not now, read them instead.
 */
CHECKED enum err conn_move(struct conn *from, struct conn *to, size_t most, size_t *n);

/*
 * All that was wanted has been moved: ask the kernel whether the peer has sent or ended more than
 * that. One system call.
 */
void conn_moved_all(struct conn *conn);

#endif /* NET_CONN_MOVE_H */
