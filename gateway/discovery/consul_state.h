/*
 * consul_state.h - what was last known of a service, on disk, so that a start does not need Consul.
 *
 * One file a service, replaced as a whole; a checksum says whether it is what was written. Its time
 * of modification says when its content was last known to be true. It is not flushed to the disk:
 * after a crash of the machine a file may be old or broken, and a broken one is as if it were not
 * there.
 *
 * Threads: the control thread's. Blocks as long as a small file takes.
 */
#ifndef DISCOVERY_CONSUL_STATE_H
#define DISCOVERY_CONSUL_STATE_H

#include "base/text.h"
#include "discovery/found.h"

enum { CONSUL_STATE_PATH = 512, CONSUL_STATE_WHY = 128 };

/*
 * "DIR/web-0123456789abcdef.state": the words of name that a file name may have, and a hash of key.
 */
void consul_state_path(const char *directory, struct sluice_span name, struct sluice_span key,
                       char path[CONSUL_STATE_PATH]);

/* Write a set. why: what went wrong. */
CHECKED enum err consul_state_write(const char *path, const struct found *found, char *why);

/* The content is still true, as of now. */
void consul_state_touch(const char *path);

/*
 * Read a set; the caller owns it. ERR_MISSING: there is none; ERR_PROTOCOL: it is broken. why holds
 * CONSUL_STATE_WHY bytes, and so does that of consul_state_write().
 */
CHECKED enum err consul_state_read(const char *path, struct found **found, char *why);

/* -- anything else that is kept --------------------------------------------- */

/* What a file holds, and since when it is so. */
struct consul_state_body {
    struct sluice_span bytes;
    uint64_t as_of_wall_us;
};

/* The same for a body that the caller writes and reads himself. body points into bytes. */
CHECKED enum err consul_state_save(const char *path, struct sluice_span body, char *why);
CHECKED enum err consul_state_load(const char *path, struct text *bytes,
                                   struct consul_state_body *body, char *why);

/* -- for tests ------------------------------------------------------------ */

/* The same without a file. */
void consul_state_format(const struct found *found, struct text *out);
CHECKED enum err consul_state_parse(struct sluice_span bytes, struct found **found);

#endif /* DISCOVERY_CONSUL_STATE_H */
