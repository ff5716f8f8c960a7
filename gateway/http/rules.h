/*
 * rules.h - what an intermediary must do to a head before it forwards it (RFC 9110 7.6,
 * RFC 9112 9).
 */
#ifndef HTTP_RULES_H
#define HTTP_RULES_H

#include "http/message.h"

/*
 * Mark dropped what belongs to this hop only: Connection and the fields it names (but never one
 * that the message needs end to end: Host, Content-Length, Cache-Control, Authorization ... stay),
 * Keep-Alive, Proxy-Connection, TE (but one that says trailers is rewritten to just that),
 * Transfer-Encoding and Content-Length (the writer sets framing), Upgrade, Proxy-Authenticate and
 * Proxy-Authorization. Trailer is kept.
 */
void rules_drop_hop_by_hop(struct fields *fields);

/* True when the comma-separated list value has the token (any case). */
bool rules_list_has(struct sluice_span value, struct sluice_span token);

/* May a field of this name stand in a trailer section (RFC 9110 6.5.1)? */
bool rules_may_be_trailer(struct sluice_span name);

#endif /* HTTP_RULES_H */
