/*
 * websocket.h - the handshake of RFC 6455 4, for who speaks it on behalf of somebody else: over
 * HTTP/2 it has neither key nor answer (RFC 8441 5), so whoever joins both versions makes them.
 */
#ifndef HTTP_WEBSOCKET_H
#define HTTP_WEBSOCKET_H

#include "base/span.h"

#include <stdint.h>

enum { WEBSOCKET_KEY = 24, WEBSOCKET_ACCEPT = 28 };

/* Write a Sec-WebSocket-Key of 16 random bytes. */
void websocket_key(const uint64_t random[2], char key[WEBSOCKET_KEY]);

/* Write the Sec-WebSocket-Accept that answers a key. */
void websocket_accept(struct sluice_span key, char accept[WEBSOCKET_ACCEPT]);

#endif /* HTTP_WEBSOCKET_H */
