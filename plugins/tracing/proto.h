/*
 * proto.h - writes protobuf's wire format, as far as spans need it.
 *
 * A writer never writes beyond its room: what does not fit makes it short (is_short), and what it
 * holds is then of no use.
 */
#ifndef TRACING_PROTO_H
#define TRACING_PROTO_H

#include "sluice_plugin.h"

enum { PROTO_VARINT_MAX = 10, PROTO_TEXT_MAX = 4096 /* bytes of one string; the rest is cut */ };

struct proto {
    char *out; /* borrowed */
    size_t room, len;
    bool is_short;
};

/* Returns the length. */
size_t proto_varint(uint64_t value, char out[PROTO_VARINT_MAX]);

void proto_uint(struct proto *proto, unsigned field, uint64_t value);
void proto_fixed32(struct proto *proto, unsigned field, uint32_t value);
void proto_fixed64(struct proto *proto, unsigned field, uint64_t value);
/* Bytes, or a message that is there already. */
void proto_bytes(struct proto *proto, unsigned field, const void *bytes, size_t len);
/*
 * A string: what is not UTF-8 becomes '?', since one bad byte of a client would make the receiver
 * refuse the whole message.
 */
void proto_text(struct proto *proto, unsigned field, struct sluice_span text);

/* KeyValue messages with an AnyValue: a string, an integer, an array of one string. */
void proto_pair_text(struct proto *proto, unsigned field, struct sluice_span name,
                     struct sluice_span value);
void proto_pair_int(struct proto *proto, unsigned field, struct sluice_span name, int64_t value);
void proto_pair_list(struct proto *proto, unsigned field, struct sluice_span name,
                     struct sluice_span value);

#endif /* TRACING_PROTO_H */
