/*
 * grpc_timeout.h - the field grpc-timeout: how long a gRPC client will wait.
 *
 * No I/O, no allocation.
 */
#ifndef HTTP_GRPC_TIMEOUT_H
#define HTTP_GRPC_TIMEOUT_H

#include "base/err.h"
#include "base/span.h"

enum { GRPC_TIMEOUT_TEXT = 16 };

/* Is this Content-Type that of a gRPC call? */
bool grpc_is_type(struct sluice_span content_type);

/*
 * One to eight digits and a unit (H M S m u n), nothing else; microseconds, rounded up.
 * ERR_PROTOCOL when it is anything else.
 */
CHECKED enum err grpc_timeout_parse(struct sluice_span text, uint64_t *us);

/* In milliseconds, or in the smallest greater unit that eight digits hold. */
struct sluice_span grpc_timeout_format(uint64_t ms, char room[GRPC_TIMEOUT_TEXT]);

#endif /* HTTP_GRPC_TIMEOUT_H */
