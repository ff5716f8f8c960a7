/*
 * writer.h - a thread that writes log lines, so that no worker ever waits for a disk or a pipe.
 *
 * A lane is a bounded ring from one producer thread to the writer. What does not fit is dropped
 * and counted, and so is what a file does not take. Lines of one lane keep their order; a line is
 * written whole or not at all.
 *
 * Threads: writer_line() by the lane's own thread, writer_share() by any thread, the rest by the
 *          control thread.
 */
#ifndef OBSERVE_WRITER_H
#define OBSERVE_WRITER_H

#include "base/err.h"
#include "base/span.h"

struct writer;
struct writer_file;
struct writer_lane;

/* -- life --------------------------------------------------------------- */

/* Start the thread. NULL with errno set when the system refuses a descriptor or the thread. */
struct writer *writer_new(void);

/* Write what is queued (at most about a second is spent on it), close the files, end the thread. */
void writer_free(struct writer **writer);

/* -- files -------------------------------------------------------------- */

/*
 * "stdout", "stderr" or a path, opened for appending. Files are shared by path, counted, and
 * reopened by writer_reopen(). ERR_SYSTEM with errno set when it cannot be opened.
 */
CHECKED enum err writer_open(struct writer *writer, struct sluice_span path,
                             struct writer_file **file);

/* What was queued before is still written. No thread may name the file any more. */
void writer_close(struct writer *writer, struct writer_file **file);

/* Open all files by path again (after log rotation); the old one is kept where that fails. */
void writer_reopen(struct writer *writer);

/* -- lines -------------------------------------------------------------- */

/* A lane for one producer thread; bytes is its capacity, rounded up to a power of two. Lives as
 * long as the writer. */
struct writer_lane *writer_lane_new(struct writer *writer, size_t bytes);

/*
 * Queue a line (it ends in '\n', at most 64 KiB) for a file; false when it was dropped. Never
 * blocks, makes no system call but the one that wakes a sleeping writer.
 */
bool writer_line(struct writer_lane *lane, struct writer_file *file, struct sluice_span line);

/* The same from any thread (a lock-free list, bounded): for the main log. */
bool writer_share(struct writer *writer, struct writer_file *file, struct sluice_span line);

/* -- questions ---------------------------------------------------------- */

/* Lines dropped so far: of all lanes, and of writer_share(). */
uint64_t writer_dropped_lanes(const struct writer *writer);
uint64_t writer_dropped_shared(const struct writer *writer);

#endif /* OBSERVE_WRITER_H */
