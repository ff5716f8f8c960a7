/*
 * writer_file.c - a buffer in front of a descriptor that must not hold us up.
 *
 * Descriptors that we open are non-blocking. The standard ones are shared with other
 * processes, whose mode is not ours to change; they are asked before each small write.
 */
#include "observe/writer_file.h"

#include "base/alloc.h"
#include "base/log.h"
#include "base/now.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILE_MODE = 0640,                /* lines hold addresses of clients */
    PATIENCE_US = 100 * 1000,        /* a turn waits no longer for one file */
    WARN_EVERY_US = 60 * 1000 * 1000 /* a full disk must not fill the main log */
};

/* -- life --------------------------------------------------------------- */

static int open_path(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, FILE_MODE);
}

static enum writer_way find_way(int fd)
{
    struct stat stat;
    int mode = fcntl(fd, F_GETFL);

    if (mode < 0 || (mode & O_NONBLOCK) || fstat(fd, &stat) || S_ISREG(stat.st_mode))
        return WRITER_WAY_PLAIN;
    return S_ISSOCK(stat.st_mode) ? WRITER_WAY_SOCKET : WRITER_WAY_POLITE;
}

enum err writer_file_make(struct writer_file **file, struct sluice_span path,
                          struct counter *dropped)
{
    bool to_stdout = span_equal(path, SPAN("stdout"));
    bool standard = to_stdout || span_equal(path, SPAN("stderr"));
    char *name = alloc_text(path.ptr, path.len);
    struct writer_file *fresh;
    int fd;

    if (standard) {
        fd = to_stdout ? STDOUT_FILENO : STDERR_FILENO;
    } else {
        fd = open_path(name);
        if (fd < 0) {
            int failure = errno;

            alloc_free(name);
            errno = failure;
            return ERR_SYSTEM;
        }
    }
    fresh = alloc_new(sizeof *fresh);
    list_init(&fresh->link);
    fresh->path = name;
    fresh->fd = fd;
    fresh->standard = standard;
    fresh->way = find_way(fd);
    fresh->bytes = alloc_new(WRITER_FILE_BYTES);
    fresh->dropped = dropped;
    *file = fresh;
    return OK;
}

static uint64_t total_lines(const struct writer_file *file)
{
    return file->lines[WRITER_LANES] + file->lines[WRITER_SHARED];
}

/* Where the first line of the buffer is taken to come from: exact unless a file has both. */
static enum writer_source first_source(const struct writer_file *file)
{
    return file->lines[WRITER_SHARED] ? WRITER_SHARED : WRITER_LANES;
}

/* Say that n lines are lost, seldom. The main log goes through the writer too, but only
 * as a line in its list, so this does not come back to us before the next turn. */
static void say_dropped(struct writer_file *file, uint64_t n, const char *cause)
{
    uint64_t now = now_us();

    file->unsaid += n;
    if (file->warned_at && now - file->warned_at < WARN_EVERY_US)
        return;
    file->warned_at = now;
    log_warn("log lines dropped", F_STR("path", file->path), F_STR("cause", cause),
             F_UINT("lines", file->unsaid));
    file->unsaid = 0;
}

/* Forget what is in the buffer; a line that was begun stays if it may still be finished. */
static void discard(struct writer_file *file, bool keep_begun, const char *cause)
{
    const char *end = file->mid_line && keep_begun ? memchr(file->bytes, '\n', file->len) : NULL;
    enum writer_source kept = first_source(file);
    uint64_t lost;

    if (end) {
        file->len = (size_t)(end - file->bytes) + 1;
        file->lines[kept]--;
    } else {
        file->len = 0;
        file->mid_line = false;
    }
    lost = total_lines(file);
    for (int source = 0; source < WRITER_SOURCES; source++) {
        counter_add(&file->dropped[source], file->lines[source]);
        file->lines[source] = 0;
    }
    if (end)
        file->lines[kept] = 1;
    if (lost)
        say_dropped(file, lost, cause);
}

void writer_file_free(struct writer_file **file)
{
    if (!*file)
        return;
    if ((*file)->len)
        discard(*file, false, "closed before it was written");
    if (!(*file)->standard)
        close((*file)->fd);
    alloc_free((*file)->bytes);
    alloc_free((*file)->path);
    alloc_free(*file);
    *file = NULL;
}

/* -- writing ------------------------------------------------------------ */

/* Shared with others: a pipe that is ready takes PIPE_BUF bytes without blocking; end with a line
 * where possible, so that what others write does not fall into ours. */
static ssize_t put_politely(const struct writer_file *file, const char *bytes, size_t len)
{
    struct pollfd out = {file->fd, POLLOUT, 0};
    const char *end;

    if (poll(&out, 1, 0) == 0) {
        errno = EAGAIN;
        return -1;
    }
    if (len > PIPE_BUF) {
        end = memrchr(bytes, '\n', PIPE_BUF);
        len = end ? (size_t)(end - bytes) + 1 : PIPE_BUF;
    }
    return write(file->fd, bytes, len);
}

static ssize_t put(const struct writer_file *file, const char *bytes, size_t len)
{
    switch (file->way) {
    case WRITER_WAY_SOCKET:
        return send(file->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    case WRITER_WAY_POLITE:
        return put_politely(file, bytes, len);
    case WRITER_WAY_PLAIN:
        break;
    }
    return write(file->fd, bytes, len);
}

/* The first sent bytes are out. Lines are counted off in the order of sources. */
static void advance(struct writer_file *file, size_t sent)
{
    uint64_t lines = 0;

    if (sent == 0)
        return;
    file->stalled = false;
    file->mid_line = file->bytes[sent - 1] != '\n';
    if (sent == file->len) {
        file->len = 0;
        file->lines[WRITER_LANES] = file->lines[WRITER_SHARED] = 0;
        return;
    }
    for (const char *at = file->bytes; (at = memchr(at, '\n', file->bytes + sent - at)); at++)
        lines++;
    for (int source = 0; source < WRITER_SOURCES; source++) {
        uint64_t n = lines < file->lines[source] ? lines : file->lines[source];

        file->lines[source] -= n;
        lines -= n;
    }
    memmove(file->bytes, file->bytes + sent, file->len - sent);
    file->len -= sent;
}

void writer_file_flush(struct writer_file *file)
{
    size_t sent = 0;
    int failure = 0;

    file->blocked = false;
    while (sent < file->len) {
        ssize_t n = put(file, file->bytes + sent, file->len - sent);

        if (n > 0) {
            sent += (size_t)n;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        file->blocked = n == 0 || errno == EAGAIN || errno == EWOULDBLOCK;
        failure = file->blocked ? 0 : errno;
        break;
    }
    advance(file, sent);
    if (failure) /* a full disk may get room again; a reader that is gone lost its line anyway */
        discard(file, failure != EPIPE && failure != ECONNRESET, strerror(failure));
}

/* Wait until the file takes something; false when this turn's patience is used up. */
static bool wait_writable(struct writer_file *file)
{
    struct pollfd out = {file->fd, POLLOUT, 0};
    uint64_t began = now_us();
    int n;

    if (file->stalled || file->waited_us >= PATIENCE_US)
        return false;
    n = poll(&out, 1, (int)((PATIENCE_US - file->waited_us) / 1000 + 1));
    file->waited_us += now_us() - began;
    file->stalled = n == 0;
    return n != 0;
}

static bool make_room(struct writer_file *file, size_t len)
{
    if (len <= WRITER_FILE_BYTES - file->len)
        return true;
    writer_file_flush(file);
    while (len > WRITER_FILE_BYTES - file->len && file->blocked && wait_writable(file))
        writer_file_flush(file);
    return len <= WRITER_FILE_BYTES - file->len;
}

void writer_file_add(struct writer_file *file, const struct sluice_span parts[2],
                     enum writer_source source)
{
    if (!make_room(file, parts[0].len + parts[1].len)) {
        counter_add(&file->dropped[source], 1);
        say_dropped(file, 1, "not read fast enough");
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (parts[i].len)
            memcpy(file->bytes + file->len, parts[i].ptr, parts[i].len);
        file->len += parts[i].len;
    }
    file->lines[source]++;
}

void writer_file_finish(struct writer_file **file)
{
    writer_file_flush(*file);
    while ((*file)->blocked && wait_writable(*file))
        writer_file_flush(*file);
    writer_file_free(file);
}

/* -- rotation ----------------------------------------------------------- */

int writer_file_reopen(const struct writer_file *file)
{
    return open_path(file->path);
}

void writer_file_replace(struct writer_file *file, int fd)
{
    const char *end;

    writer_file_flush(file);
    if (file->mid_line && file->len) { /* its begin stays in the old file: the rest is of no use */
        counter_add(&file->dropped[first_source(file)], 1);
        end = memchr(file->bytes, '\n', file->len);
        advance(file, end ? (size_t)(end - file->bytes) + 1 : file->len);
        say_dropped(file, 1, "cut by a rotation");
    }
    close(file->fd);
    file->fd = fd;
    file->way = find_way(fd);
    file->blocked = file->stalled = file->mid_line = false;
}
