/*
 * grpc_frames.h - where the messages of a gRPC call end, in the content that carries them: one
 * octet of flags and four of a length before each.
 *
 * No I/O, no allocation.
 */
#ifndef HTTP_GRPC_FRAMES_H
#define HTTP_GRPC_FRAMES_H

#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

/* All zero: nothing has passed yet. */
struct grpc_frames {
    uint32_t left; /* bytes of the message that are still to come; of its length, as far as read */
    uint8_t n_begun; /* octets of a prefix that have passed; 0: in a message, or between two */
};

/* The next piece of the content. */
void grpc_frames_pass(struct grpc_frames *frames, struct sluice_span piece);

/* Is no message cut if this is the end? */
static inline bool grpc_frames_are_whole(const struct grpc_frames *frames)
{
    return frames->left == 0 && frames->n_begun == 0;
}

#endif /* HTTP_GRPC_FRAMES_H */
