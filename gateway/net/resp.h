/*
 * resp.h - commands and replies of Redis (RESP2) as bytes, without I/O or allocation.
 *
 * A reply is first scanned until it is there whole, whatever pieces it comes in, and then made a
 * tree over its bytes. Everything is bounded: bytes, elements, depth.
 */
#ifndef NET_RESP_H
#define NET_RESP_H

#include "base/span.h"

enum {
    RESP_DEPTH = 7,       /* lists in lists */
    RESP_ELEMENTS = 1024, /* of one reply, lists counted */
    RESP_LINE = 4096,     /* bytes of a status, an error or a number */
};

/* Zero it before the first byte of a reply. */
struct resp_scan {
    size_t at; /* bytes looked at: where the next element begins */
    unsigned n, level;
    uint32_t left[RESP_DEPTH + 1]; /* elements awaited at each level */
};

/*
 * bytes is all of the reply that has come, from its first byte on. OK: it is whole and has
 * *length bytes. ERR_AGAIN: more must come. ERR_PROTOCOL: that is no reply. ERR_LIMIT: too deep,
 * or too many elements.
 */
CHECKED enum err resp_scan(struct resp_scan *scan, struct sluice_span bytes, size_t *length);

/* Make a scanned reply a tree: its root is element[0]; its texts lie in bytes. */
void resp_build(struct sluice_span bytes, struct sluice_redis_reply element[RESP_ELEMENTS]);

/* Bytes that a command takes. */
size_t resp_command_bytes(const struct sluice_span *argv, size_t n);

/* Write it there. */
void resp_write_command(const struct sluice_span *argv, size_t n, char *out);

#endif /* NET_RESP_H */
