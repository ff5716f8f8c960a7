/*
 * writer.c - the writer thread, its sleep, and what the control thread tells it.
 *
 *   lanes (a ring a producer) ----\
 *                                  >-- turn: take all, gather by file, write --> files
 *   shared list (lines, orders) --/
 *
 * A turn takes what is there at its begin. After a turn that found something the writer
 * naps: producers let it, so under load nobody makes a system call to wake it. After an
 * idle turn it sleeps, and the first line wakes it. Whoever changes the word "rest" back
 * to awake is the one that wakes, so there is at most one wake per sleep.
 *
 * The control thread's orders travel in the shared list. An order to close comes after
 * the last line of its file, and a turn empties the lanes after it has read the orders,
 * so no line is left when the file goes.
 */
#include "observe/writer.h"

#include "base/alloc.h"
#include "base/log.h"
#include "base/now.h"
#include "core/thread.h"
#include "observe/writer_file.h"
#include "observe/writer_lane.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    NAP_MS = 5,            /* what a tail -f may lag under load */
    RETRY_MS = 20,         /* how soon a blocked file is tried again */
    LAST_US = 1000 * 1000, /* what the end may take */
    SHARED_BYTES_MAX = 1024 * 1024
};

enum rest { REST_AWAKE, REST_NAP, REST_SLEEP };

enum note_kind { NOTE_LINE, NOTE_CLOSE, NOTE_REOPEN, NOTE_STOP };

struct note {
    struct note *next;
    enum note_kind kind;
    struct writer_file *file; /* borrowed; NOTE_CLOSE gives it away */
    int fd;                   /* NOTE_REOPEN: given away */
    size_t len;
    char line[];
};

struct writer {
    /* Set once. */
    struct thread *thread; /* owned */
    int wake_fd;

    /* The control thread's. */
    struct list files; /* owned, by link */

    /* Written by producers. */
    char shared_line[WRITER_LANE_APART];
    struct note *shared;     /* atomic: newest first, owned */
    uint64_t shared_bytes;   /* atomic: in the list */
    uint64_t shared_refused; /* atomic: lines that did not fit */

    /* Read by producers, seldom written. */
    char rest_line[WRITER_LANE_APART];
    unsigned rest;             /* atomic: enum rest */
    struct writer_lane *lanes; /* atomic: owned, newest first, only grows */

    /* The writer thread's. */
    char thread_line[WRITER_LANE_APART];
    struct writer_file *dirty; /* with something to write or to close, in order of touching */
    struct writer_file **dirty_end;
    bool stopping;
    struct counter dropped[WRITER_SOURCES];
};

/* -- the shared list ---------------------------------------------------- */

/* Wake the writer: from sleep always, from a nap when it is urgent. */
static void wake(struct writer *writer, bool urgent)
{
    unsigned rest = __atomic_load_n(&writer->rest, __ATOMIC_SEQ_CST);
    uint64_t one = 1;

    if (rest == REST_AWAKE || (rest == REST_NAP && !urgent))
        return;
    if (__atomic_exchange_n(&writer->rest, REST_AWAKE, __ATOMIC_SEQ_CST) == REST_AWAKE)
        return; /* somebody else has just done it */
    while (write(writer->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

/* The note is the writer thread's, and may be gone, as soon as it is in the list. */
static void push(struct writer *writer, struct note *note, bool urgent)
{
    note->next = __atomic_load_n(&writer->shared, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&writer->shared, &note->next, note, true, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED))
        ;
    wake(writer, urgent);
}

static void push_order(struct writer *writer, enum note_kind kind, struct writer_file *file, int fd)
{
    struct note *note = alloc_new(sizeof *note);

    note->kind = kind;
    note->file = file;
    note->fd = fd;
    push(writer, note, true);
}

/* All notes, oldest first. */
static struct note *take_notes(struct writer *writer)
{
    struct note *newest = __atomic_exchange_n(&writer->shared, NULL, __ATOMIC_SEQ_CST);
    struct note *oldest = NULL;

    while (newest) {
        struct note *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

/* -- a turn ------------------------------------------------------------- */

static void touch(struct writer *writer, struct writer_file *file)
{
    if (file->dirty)
        return;
    file->dirty = true;
    file->next_dirty = NULL;
    *writer->dirty_end = file;
    writer->dirty_end = &file->next_dirty;
}

static void on_note(struct writer *writer, struct note *note)
{
    struct sluice_span parts[2] = {span_make(note->line, note->len), {NULL, 0}};

    switch (note->kind) {
    case NOTE_LINE:
        __atomic_sub_fetch(&writer->shared_bytes, sizeof *note + note->len, __ATOMIC_RELAXED);
        touch(writer, note->file);
        writer_file_add(note->file, parts, WRITER_SHARED);
        break;
    case NOTE_CLOSE:
        note->file->closing = true;
        touch(writer, note->file);
        break;
    case NOTE_REOPEN:
        writer_file_replace(note->file, note->fd);
        break;
    case NOTE_STOP:
        writer->stopping = true;
        break;
    }
}

static bool drain_notes(struct writer *writer)
{
    struct note *note = take_notes(writer);
    bool found = note != NULL;

    while (note) {
        struct note *next = note->next;

        on_note(writer, note);
        alloc_free(note);
        note = next;
    }
    return found;
}

static bool drain_lane(struct writer *writer, struct writer_lane *lane)
{
    uint64_t until = writer_lane_head(lane);
    struct writer_lane_line line;
    bool found = false;

    while (writer_lane_peek(lane, until, &line)) {
        touch(writer, line.file);
        writer_file_add(line.file, line.parts, WRITER_LANES);
        writer_lane_pop(lane, &line);
        found = true;
    }
    return found;
}

/* Write, close what is to be closed, keep only what is still blocked. */
static void flush_files(struct writer *writer)
{
    struct writer_file *file = writer->dirty;

    writer->dirty = NULL;
    writer->dirty_end = &writer->dirty;
    while (file) {
        struct writer_file *next = file->next_dirty;

        file->dirty = false;
        file->waited_us = 0;
        if (file->closing) {
            writer_file_finish(&file);
        } else {
            writer_file_flush(file);
            if (file->len)
                touch(writer, file);
        }
        file = next;
    }
}

/* True when there was something to do. */
static bool turn(struct writer *writer)
{
    bool found = drain_notes(writer);
    struct writer_lane *lane = __atomic_load_n(&writer->lanes, __ATOMIC_SEQ_CST);

    for (; lane; lane = lane->next) {
        if (drain_lane(writer, lane))
            found = true;
    }
    flush_files(writer);
    return found;
}

/* -- the thread --------------------------------------------------------- */

static bool has_work(struct writer *writer)
{
    struct writer_lane *lane = __atomic_load_n(&writer->lanes, __ATOMIC_SEQ_CST);

    if (__atomic_load_n(&writer->shared, __ATOMIC_SEQ_CST))
        return true;
    for (; lane; lane = lane->next) {
        if (!writer_lane_is_empty(lane))
            return true;
    }
    return false;
}

static void rest(struct writer *writer, enum rest how)
{
    struct pollfd woken = {writer->wake_fd, POLLIN, 0};
    int timeout_ms = writer->dirty ? RETRY_MS : -1;
    uint64_t n;

    if (how == REST_NAP)
        timeout_ms = NAP_MS;
    __atomic_store_n(&writer->rest, how, __ATOMIC_SEQ_CST);
    if (how == REST_NAP || !has_work(writer))
        poll(&woken, 1, timeout_ms);
    __atomic_store_n(&writer->rest, REST_AWAKE, __ATOMIC_SEQ_CST);
    if (woken.revents && read(writer->wake_fd, &n, sizeof n) < 0)
        return; /* nothing in it after all: the next poll is right again */
}

/* Write what is still there, within LAST_US. */
static void finish(struct writer *writer)
{
    uint64_t end = now_us() + LAST_US;

    while ((turn(writer) || writer->dirty) && now_us() < end) {
        if (writer->dirty)
            poll(NULL, 0, RETRY_MS);
    }
}

static void writer_main(void *arg)
{
    struct writer *writer = arg;

    while (!writer->stopping)
        rest(writer, turn(writer) ? REST_NAP : REST_SLEEP);
    finish(writer);
}

/* -- life --------------------------------------------------------------- */

struct writer *writer_new(void)
{
    struct writer *writer = alloc_new(sizeof *writer);
    int failure;

    list_init(&writer->files);
    writer->dirty_end = &writer->dirty;
    writer->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (writer->wake_fd >= 0 &&
        thread_start(&writer->thread, "log-writer", writer_main, writer) == OK)
        return writer;

    failure = errno;
    if (writer->wake_fd >= 0)
        close(writer->wake_fd);
    alloc_free(writer);
    errno = failure;
    return NULL;
}

static void free_notes(struct writer *writer)
{
    struct note *note = take_notes(writer);

    while (note) {
        struct note *next = note->next;

        alloc_free(note);
        note = next;
    }
}

void writer_free(struct writer **writer)
{
    struct writer *old = *writer;

    if (!old)
        return;
    push_order(old, NOTE_STOP, NULL, -1);
    thread_join(&old->thread);
    list_each_safe (link, after, &old->files) {
        struct writer_file *file = list_entry(link, struct writer_file, link);

        list_remove(link);
        writer_file_free(&file);
    }
    free_notes(old); /* last: a file that loses lines says so in the main log, which may be ours */
    while (old->lanes) {
        struct writer_lane *lane = old->lanes;

        old->lanes = lane->next;
        writer_lane_free(&lane);
    }
    close(old->wake_fd);
    alloc_free(old);
    *writer = NULL;
}

/* -- files -------------------------------------------------------------- */

enum err writer_open(struct writer *writer, struct sluice_span path, struct writer_file **file)
{
    enum err err;

    list_each (link, &writer->files) {
        struct writer_file *open = list_entry(link, struct writer_file, link);

        if (!span_equal(span_of(open->path), path))
            continue;
        open->refs++;
        *file = open;
        return OK;
    }
    err = writer_file_make(file, path, writer->dropped);
    if (err)
        return err;
    (*file)->refs = 1;
    list_append(&writer->files, &(*file)->link);
    return OK;
}

void writer_close(struct writer *writer, struct writer_file **file)
{
    struct writer_file *old = *file;

    *file = NULL;
    if (!old || --old->refs)
        return;
    list_remove(&old->link);
    push_order(writer, NOTE_CLOSE, old, -1);
}

void writer_reopen(struct writer *writer)
{
    list_each (link, &writer->files) {
        struct writer_file *file = list_entry(link, struct writer_file, link);
        int fd;

        if (file->standard)
            continue;
        fd = writer_file_reopen(file);
        if (fd < 0) {
            log_warn("log file not reopened, the old one is kept", F_STR("path", file->path),
                     F_STR("cause", strerror(errno)));
            continue;
        }
        push_order(writer, NOTE_REOPEN, file, fd);
    }
}

/* -- lines -------------------------------------------------------------- */

struct writer_lane *writer_lane_new(struct writer *writer, size_t bytes)
{
    struct writer_lane *lane = writer_lane_make(writer, bytes);

    lane->next = writer->lanes;
    __atomic_store_n(&writer->lanes, lane, __ATOMIC_SEQ_CST);
    return lane;
}

bool writer_line(struct writer_lane *lane, struct writer_file *file, struct sluice_span line)
{
    bool queued = line.len <= WRITER_FILE_BYTES && writer_lane_put(lane, file, line);

    if (!queued)
        counter_add(&lane->dropped, 1);
    wake(lane->writer, writer_lane_is_crowded(lane));
    return queued;
}

bool writer_share(struct writer *writer, struct writer_file *file, struct sluice_span line)
{
    size_t bytes = sizeof(struct note) + line.len;
    struct note *note = NULL;

    if (__atomic_add_fetch(&writer->shared_bytes, bytes, __ATOMIC_RELAXED) <= SHARED_BYTES_MAX &&
        line.len <= WRITER_FILE_BYTES)
        note = alloc_try(bytes);
    if (!note) {
        __atomic_sub_fetch(&writer->shared_bytes, bytes, __ATOMIC_RELAXED);
        __atomic_add_fetch(&writer->shared_refused, 1, __ATOMIC_RELAXED);
        return false;
    }
    *note = (struct note){.kind = NOTE_LINE, .file = file, .fd = -1, .len = line.len};
    if (line.len)
        memcpy(note->line, line.ptr, line.len);
    push(writer, note, false);
    return true;
}

/* -- questions ---------------------------------------------------------- */

uint64_t writer_dropped_lanes(const struct writer *writer)
{
    const struct writer_lane *lane = __atomic_load_n(&writer->lanes, __ATOMIC_SEQ_CST);
    uint64_t n = counter_get(&writer->dropped[WRITER_LANES]);

    for (; lane; lane = lane->next)
        n += counter_get(&lane->dropped);
    return n;
}

uint64_t writer_dropped_shared(const struct writer *writer)
{
    return counter_get(&writer->dropped[WRITER_SHARED]) +
           __atomic_load_n(&writer->shared_refused, __ATOMIC_RELAXED);
}
