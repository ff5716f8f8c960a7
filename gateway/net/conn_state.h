/*
 * conn_state.h - what a connection remembers of its socket; private to conn.c and conn_move.c.
 */
#ifndef NET_CONN_STATE_H
#define NET_CONN_STATE_H

#include "net/conn.h"

/* Bits of conn->state; what they mean is told at the top of conn.c. */
enum conn_state {
    OPEN = 1,
    CONNECTING = 2,
    READABLE = 4,
    SHORT = 8,
    GONE = 16,
    BROKEN = 32,
    SHAKING = 64,
    CROSSED = 128,
    ENDING = 256,
    LATER = 512,
    YIELDED = 1024,
    DIALLED = 2048,
    LINED = 4096,
    SAW_READ = 8192,
    SAW_WRITE = 16384,
};

/* Look at it when this turn ends, whoever stands in line. */
void conn_hurry(struct conn *conn);

#endif /* NET_CONN_STATE_H */
