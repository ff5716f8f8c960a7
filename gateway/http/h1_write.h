/*
 * h1_write.h - HTTP/1 heads and chunk frames into bytes the caller lends.
 *
 * Each function writes at out (room bytes) and returns how many bytes it wrote,
 * or 0 when they do not fit. Lines marked FIELD_DROPPED are left out; framing fields are
 * written from the arguments, never copied from the table; Upgrade from the head's upgrade.
 */
#ifndef HTTP_H1_WRITE_H
#define HTTP_H1_WRITE_H

#include "http/message.h"

enum h1_connection {
    H1_CONNECTION_NONE, /* no Connection field: the version's default holds */
    H1_CONNECTION_CLOSE,
    H1_CONNECTION_KEEP_ALIVE, /* for HTTP/1.0 peers */
};

/*
 * "METHOD target HTTP/1.1", Host first (host, when not empty; else the table's), fields,
 * Content-Length or Transfer-Encoding by framing, Connection (which names TE and Upgrade when there
 * are any), Upgrade.
 * target is written as given (path and query already rewritten).
 */
size_t h1_write_request(char *out, size_t room, const struct request *request,
                        struct sluice_span target, struct sluice_span host, enum framing framing,
                        int64_t body_bytes, enum h1_connection connection);

/*
 * "HTTP/1.1 status reason" (the standard reason when there is none), fields, Content-Length or
 * Transfer-Encoding by framing, Connection and Upgrade.
 * FRAMING_NONE writes neither field, FRAMING_CLOSE neither (and the caller asks for close).
 * A response to HEAD or a 304 keeps its Content-Length: pass keep_length >= 0 to write that number.
 */
size_t h1_write_response(char *out, size_t room, const struct response *response,
                         enum framing framing, int64_t body_bytes, int64_t keep_length,
                         enum h1_connection connection);

/* "5dc\r\n"; at most 18 bytes. */
size_t h1_write_chunk_head(char *out, size_t room, uint64_t bytes);

/* "0\r\n", trailers, "\r\n". */
size_t h1_write_last_chunk(char *out, size_t room, const struct fields *trailers);

#endif /* HTTP_H1_WRITE_H */
