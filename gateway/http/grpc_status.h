/*
 * grpc_status.h - how a gRPC call ended: its number, and what stands for it in HTTP.
 *
 * No I/O, no allocation but by struct text.
 */
#ifndef HTTP_GRPC_STATUS_H
#define HTTP_GRPC_STATUS_H

#include "base/text.h"
#include "http/message.h"

/* X(symbol, number, name, the HTTP status that says the same) */
#define GRPC_STATUSES(X)                                                                           \
    X(OK, 0, "ok", 200)                                                                            \
    X(CANCELLED, 1, "cancelled", 499)                                                              \
    X(UNKNOWN, 2, "unknown", 500)                                                                  \
    X(INVALID_ARGUMENT, 3, "invalid_argument", 400)                                                \
    X(DEADLINE_EXCEEDED, 4, "deadline_exceeded", 504)                                              \
    X(NOT_FOUND, 5, "not_found", 404)                                                              \
    X(ALREADY_EXISTS, 6, "already_exists", 409)                                                    \
    X(PERMISSION_DENIED, 7, "permission_denied", 403)                                              \
    X(RESOURCE_EXHAUSTED, 8, "resource_exhausted", 429)                                            \
    X(FAILED_PRECONDITION, 9, "failed_precondition", 400)                                          \
    X(ABORTED, 10, "aborted", 409)                                                                 \
    X(OUT_OF_RANGE, 11, "out_of_range", 400)                                                       \
    X(UNIMPLEMENTED, 12, "unimplemented", 501)                                                     \
    X(INTERNAL, 13, "internal", 500)                                                               \
    X(UNAVAILABLE, 14, "unavailable", 503)                                                         \
    X(DATA_LOSS, 15, "data_loss", 500)                                                             \
    X(UNAUTHENTICATED, 16, "unauthenticated", 401)

#define GRPC_STATUS_MEMBER(symbol, number, name, http) GRPC_##symbol = (number),
enum grpc_status { GRPC_STATUSES(GRPC_STATUS_MEMBER) GRPC_STATUS_COUNT };
#undef GRPC_STATUS_MEMBER

/* "deadline_exceeded"; a static string. */
const char *grpc_status_name(enum grpc_status status);

/* What a client must take a response for that has no grpc-status (and was not 200). */
enum grpc_status grpc_status_of_http(unsigned http);

/* What a client must take a stream for that was reset with this error code of HTTP/2. */
enum grpc_status grpc_status_of_reset(uint32_t code);

/* The HTTP status that says the same of an endpoint. */
unsigned grpc_status_http(enum grpc_status status);

/*
 * What the field grpc-status says. ERR_MISSING when there is none; ERR_PROTOCOL when it is no
 * status, or stands there twice.
 */
CHECKED enum err grpc_status_find(const struct fields *fields, enum grpc_status *status);

/* A grpc-message: bytes that may not stand in it as %XX. */
void grpc_message_write(struct sluice_span message, struct text *out);

#endif /* HTTP_GRPC_STATUS_H */
