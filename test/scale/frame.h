/* frame.h - the one message of the scale run: "ping", masked with zeros, and back without a mask. */
#ifndef SCALE_FRAME_H
#define SCALE_FRAME_H

#define FRAME_KEY    "dGhlIHNhbXBsZSBub25jZQ==" /* the example of RFC 6455 */
#define FRAME_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define FRAME_PING   "\x81\x84\0\0\0\0ping"
#define FRAME_BACK   "\x81\x04ping"

enum { FRAME_SENT = 10, FRAME_BACK_LEN = 6 };

#endif /* SCALE_FRAME_H */
