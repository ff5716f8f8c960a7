/*
 * writer_file.h - one file that the writer thread writes to. Private to the writer.
 *
 * Lines gather in a buffer and leave it in large writes. What the file does not take stays
 * there; when it takes nothing for a while, lines for it are dropped at once, so that other files
 * go on. A line that was begun is finished before any other byte is written.
 *
 * Threads: opened and named by the control thread, then the writer thread's, but for
 *          the fields said to be the control thread's.
 */
#ifndef OBSERVE_WRITER_FILE_H
#define OBSERVE_WRITER_FILE_H

#include "base/count.h"
#include "base/err.h"
#include "base/list.h"
#include "base/span.h"

/* Where a line came from, in the order of a turn; drops are counted by it. */
enum writer_source { WRITER_SHARED, WRITER_LANES, WRITER_SOURCES };

enum { WRITER_FILE_BYTES = 65536 }; /* of the buffer, so of a line too */

/* How the descriptor is written without blocking on it. */
enum writer_way {
    WRITER_WAY_PLAIN,  /* a disk file, or opened as non-blocking by us */
    WRITER_WAY_SOCKET, /* inherited: asked not to block at each call */
    WRITER_WAY_POLITE, /* inherited pipe or terminal: asked first, then a little at a time */
};

struct writer_file {
    /* The control thread's. */
    struct list link;
    unsigned refs;
    char *path; /* owned, never changes */

    /* The writer thread's. */
    int fd; /* owned unless standard */
    bool standard;
    enum writer_way way;
    char *bytes; /* owned */
    size_t len;
    bool mid_line;                  /* the buffer begins inside a line that is partly written */
    bool blocked;                   /* the last write would have blocked */
    bool stalled;                   /* a whole patience brought nothing: do not wait any more */
    uint64_t lines[WRITER_SOURCES]; /* in the buffer */
    uint64_t waited_us;             /* in this turn */
    uint64_t unsaid;                /* dropped since the last warning */
    uint64_t warned_at;             /* now_us(), 0: never */
    struct counter *dropped;        /* borrowed from the writer: one per source */

    struct writer_file *next_dirty; /* of the writer thread's list */
    bool dirty, closing;
};

/* Open path ("stdout", "stderr", or a file for appending). ERR_SYSTEM with errno set. */
CHECKED enum err writer_file_make(struct writer_file **file, struct sluice_span path,
                                  struct counter *dropped);

/* Close it; what is still in the buffer is counted as dropped. */
void writer_file_free(struct writer_file **file);

/* A new descriptor for the same path, or -1 with errno set. Never for standard ones. */
int writer_file_reopen(const struct writer_file *file);

/* Go on with another descriptor, taking it. */
void writer_file_replace(struct writer_file *file, int fd);

/* Add a line in two parts, or count it as dropped. */
void writer_file_add(struct writer_file *file, const struct sluice_span parts[2],
                     enum writer_source source);

/* Write what the file takes now. */
void writer_file_flush(struct writer_file *file);

/* Flush with patience, then close and free. */
void writer_file_finish(struct writer_file **file);

#endif /* OBSERVE_WRITER_FILE_H */
