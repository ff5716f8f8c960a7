#include "http/grpc_frames.h"

enum { PREFIX = 5 };

/* An octet of a prefix; the first are its flags. */
static void take_prefix(struct grpc_frames *frames, unsigned char octet)
{
    if (frames->n_begun++ > 0)
        frames->left = frames->left << 8 | octet;
    if (frames->n_begun == PREFIX)
        frames->n_begun = 0;
}

void grpc_frames_pass(struct grpc_frames *frames, struct sluice_span piece)
{
    size_t at = 0;

    while (at < piece.len) {
        if (frames->left == 0 || frames->n_begun > 0) {
            take_prefix(frames, (unsigned char)piece.ptr[at++]);
        } else {
            size_t part = piece.len - at < frames->left ? piece.len - at : frames->left;

            frames->left -= (uint32_t)part;
            at += part;
        }
    }
}
