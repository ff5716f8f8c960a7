/*
 * base64.h - strict decoding: what could be written in two ways is refused.
 */
#ifndef JWT_AUTH_BASE64_H
#define JWT_AUTH_BASE64_H

#include "sluice_plugin.h"

/*
 * base64url as RFC 7515 wants it: no padding, no other byte than the alphabet, unused bits zero.
 * *len bytes are written to out; false: malformed, or more than cap bytes.
 */
bool base64_decode_url(struct sluice_span text, unsigned char *out, size_t cap, size_t *len);

/* The classic alphabet, with the padding that belongs there. */
bool base64_decode_padded(struct sluice_span text, unsigned char *out, size_t cap, size_t *len);

/* How many bytes text decodes to at most. */
size_t base64_room(struct sluice_span text);

#endif /* JWT_AUTH_BASE64_H */
