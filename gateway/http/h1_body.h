/*
 * h1_body.h - where a body ends, piece by piece (RFC 9112 6 and 7), without I/O or allocation.
 */
#ifndef HTTP_H1_BODY_H
#define HTTP_H1_BODY_H

#include "http/h1_parse.h"

/* Reads one body. Treat as opaque; copyable. */
struct h1_body {
    uint64_t left;       /* of the body (LENGTH) or of this chunk */
    uint8_t framing;     /* enum framing */
    uint8_t state;       /* inside the chunked coding */
    uint8_t rule;        /* enum h1_rule, when WRONG */
    uint8_t digits;      /* of the chunk size, leading zeros included: at most 16 */
    uint16_t line_bytes; /* of the chunk line so far, extensions included: at most 1024 */
    uint16_t waste;      /* extension bytes not made up for by content */
};

/* framing NONE is done at once. */
void h1_body_init(struct h1_body *body, enum framing framing, int64_t body_bytes);

/*
 * Take the next piece of content from the front of bytes. *used is how many bytes were looked
 * at (framing included), *piece the content among them (may be empty).
 *   AGAIN: call again: with the rest of the bytes if any are left, else when more came.
 *   DONE:  that was the last piece. For CHUNKED the trailer section follows at bytes + *used:
 *          read it with h1_parse_trailers() before the message has ended.
 *   WRONG: body->rule says why.
 * For FRAMING_CLOSE it is never DONE: the end of the connection is the end of the body.
 */
enum h1_result h1_body_next(struct h1_body *body, struct sluice_span bytes, size_t *used,
                            struct sluice_span *piece);

/* How much is left when that is known and of one piece, else 0. */
static inline uint64_t h1_body_left(const struct h1_body *body)
{
    return body->framing == FRAMING_LENGTH ? body->left : 0;
}

/* n bytes of what is left in one piece have come another way. True when that was all. */
static inline bool h1_body_skip(struct h1_body *body, uint64_t n)
{
    body->left -= n;
    return body->left == 0;
}

#endif /* HTTP_H1_BODY_H */
