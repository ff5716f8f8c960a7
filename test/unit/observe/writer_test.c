#include "observe/writer.h"

#include "unit.h"

#include "base/log.h"
#include "core/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* -- a folder a test ---------------------------------------------------- */

struct place {
    char folder[64], file[96], other[96];
};

static struct place place_new(void)
{
    struct place place = {.folder = "/tmp/writer_test.XXXXXX"};

    ck_assert_ptr_nonnull(mkdtemp(place.folder));
    snprintf(place.file, sizeof place.file, "%s/a.log", place.folder);
    snprintf(place.other, sizeof place.other, "%s/b.log", place.folder);
    return place;
}

static void place_free(struct place *place)
{
    unlink(place->file);
    unlink(place->other);
    ck_assert_int_eq(rmdir(place->folder), 0);
}

/* All that a file holds, NUL-terminated; the caller frees it. */
static char *content(const char *path, size_t *len)
{
    FILE *file = fopen(path, "r");
    char *text;
    long size;

    ck_assert_ptr_nonnull(file);
    fseek(file, 0, SEEK_END);
    size = ftell(file);
    rewind(file);
    text = malloc((size_t)size + 1);
    *len = fread(text, 1, (size_t)size, file);
    text[*len] = '\0';
    fclose(file);
    return text;
}

/* Count the lines: each is "<producer> <number> xxx...\n", numbers of a producer rise. */
static size_t check_lines(const char *text, size_t len)
{
    long last[4] = {-1, -1, -1, -1};
    size_t n = 0;

    for (const char *at = text; at < text + len; n++) {
        char *rest;
        long producer = strtol(at, &rest, 10);
        long number = strtol(rest, &rest, 10);

        ck_assert_int_ge(producer, 0);
        ck_assert_int_lt(producer, 4);
        ck_assert_int_gt(number, last[producer]);
        last[producer] = number;
        rest += strspn(rest, " x");
        ck_assert_int_eq(*rest, '\n');
        at = rest + 1;
    }
    return n;
}

static size_t lines_of(const char *path)
{
    size_t len, n;
    char *text = content(path, &len);

    n = check_lines(text, len);
    free(text);
    return n;
}

/* A line of a producer, its length varying with the number. */
static struct sluice_span make_line(char room[512], unsigned producer, unsigned number)
{
    int len = snprintf(room, 512, "%u %u ", producer, number);
    unsigned fill = number * 7 % 300;

    memset(room + len, 'x', fill);
    room[(unsigned)len + fill] = '\n';
    return span_make(room, (unsigned)len + fill + 1);
}

static void open_file(struct writer *writer, const char *path, struct writer_file **file)
{
    ck_assert_int_eq(writer_open(writer, span_of(path), file), OK);
}

/* -- lines -------------------------------------------------------------- */

START_TEST(lines_of_a_lane_arrive_whole_and_in_order)
{
    struct place place = place_new();
    struct writer *writer = writer_new();
    struct writer_lane *lane = writer_lane_new(writer, 1 << 20);
    struct writer_file *file;
    char room[512];

    open_file(writer, place.file, &file);
    for (unsigned i = 0; i < 2000; i++)
        ck_assert(writer_line(lane, file, make_line(room, 0, i)));
    ck_assert_uint_eq(writer_dropped_lanes(writer), 0);
    writer_free(&writer);
    ck_assert_ptr_null(writer);
    ck_assert_uint_eq(lines_of(place.file), 2000);
    place_free(&place);
}
END_TEST

START_TEST(lines_are_appended_to_what_was_there)
{
    struct place place = place_new();

    for (unsigned i = 0; i < 3; i++) {
        struct writer *writer = writer_new();
        struct writer_file *file;
        char room[512];

        open_file(writer, place.file, &file);
        ck_assert(writer_share(writer, file, make_line(room, 0, i)));
        writer_free(&writer);
    }
    ck_assert_uint_eq(lines_of(place.file), 3);
    place_free(&place);
}
END_TEST

START_TEST(small_lane_wraps_and_accounts_for_every_line)
{
    struct place place = place_new();
    struct writer *writer = writer_new();
    struct writer_lane *lane = writer_lane_new(writer, 1000);
    struct writer_file *file;
    size_t accepted = 0;
    uint64_t dropped;
    char room[512];

    open_file(writer, place.file, &file);
    for (unsigned i = 0; i < 50000; i++)
        accepted += writer_line(lane, file, make_line(room, 0, i));
    dropped = writer_dropped_lanes(writer);
    writer_free(&writer);
    ck_assert_uint_gt(accepted, 0);
    ck_assert_uint_eq(accepted + dropped, 50000);
    ck_assert_uint_eq(lines_of(place.file), accepted);
    place_free(&place);
}
END_TEST

START_TEST(line_larger_than_its_lane_is_dropped_and_counted)
{
    struct place place = place_new();
    struct writer *writer = writer_new();
    struct writer_lane *lane = writer_lane_new(writer, 1024);
    struct writer_lane *large = writer_lane_new(writer, 1 << 20);
    struct writer_file *file;
    char *line = malloc(65537);

    memset(line, 'x', 65537);
    line[1024] = line[65536] = '\n';
    open_file(writer, place.file, &file);
    ck_assert(!writer_line(lane, file, span_make(line, 1025)));
    ck_assert(!writer_line(large, file, span_make(line, 65537)));
    ck_assert(!writer_share(writer, file, span_make(line, 65537)));
    ck_assert_uint_eq(writer_dropped_lanes(writer), 2);
    ck_assert_uint_eq(writer_dropped_shared(writer), 1);
    ck_assert(writer_line(large, file, span_make(line + 1, 65536)));
    writer_free(&writer);
    free(line);
    place_free(&place);
}
END_TEST

START_TEST(line_wakes_a_sleeping_writer)
{
    struct place place = place_new();
    struct pollfd in = {-1, POLLIN, 0};
    char room[512];

    ck_assert_int_eq(mkfifo(place.file, 0600), 0);
    in.fd = open(place.file, O_RDWR | O_NONBLOCK);
    for (unsigned i = 0; i < 20; i++) { /* a new one is about to sleep or asleep */
        struct writer *writer = writer_new();
        struct writer_lane *lane = writer_lane_new(writer, 1 << 16);
        struct writer_file *file;

        open_file(writer, place.file, &file);
        if (i % 2)
            ck_assert(writer_line(lane, file, make_line(room, 0, i)));
        else
            ck_assert(writer_share(writer, file, make_line(room, 0, i)));
        ck_assert_int_eq(poll(&in, 1, 10000), 1);
        ck_assert_int_gt(read(in.fd, room, sizeof room), 0);
        writer_free(&writer);
    }
    close(in.fd);
    place_free(&place);
}
END_TEST

/* -- many threads ------------------------------------------------------- */

struct producer {
    struct writer *writer;
    struct writer_lane *lane;
    struct writer_file *file;
    unsigned number;
    size_t accepted, shared;
};

enum { PRODUCED = 20000 };

static void produce(void *arg)
{
    struct producer *producer = arg;
    char room[512];

    for (unsigned i = 0; i < PRODUCED; i++) {
        struct sluice_span line = make_line(room, producer->number, i);

        if (i % 100 == 50) /* has no order with the lane's lines: another file */
            producer->shared += writer_share(producer->writer, producer->file, SPAN("3 1\n"));
        else
            producer->accepted += writer_line(producer->lane, producer->file, line);
    }
}

START_TEST(three_producers_lose_nothing_over_a_rotation)
{
    struct place place = place_new();
    struct writer *writer = writer_new();
    struct producer producers[3];
    struct thread *threads[3];
    struct writer_file *file;
    size_t accepted = 0, shared = 0, arrived = 0;
    uint64_t dropped_lanes, dropped_shared;

    open_file(writer, place.file, &file);
    for (unsigned i = 0; i < 3; i++) {
        producers[i] = (struct producer){writer, writer_lane_new(writer, 1 << 16), file, i, 0, 0};
        ck_assert_int_eq(thread_start(&threads[i], "producer", produce, &producers[i]), OK);
    }
    for (unsigned i = 0; i < 50; i++) {
        if (i == 25)
            ck_assert_int_eq(rename(place.file, place.other), 0);
        writer_reopen(writer);
        (void)writer_dropped_lanes(writer);
    }
    for (unsigned i = 0; i < 3; i++) {
        thread_join(&threads[i]);
        accepted += producers[i].accepted;
        shared += producers[i].shared;
    }
    dropped_lanes = writer_dropped_lanes(writer);
    dropped_shared = writer_dropped_shared(writer);
    writer_close(writer, &file);
    ck_assert_ptr_null(file);
    writer_free(&writer);
    for (int i = 0; i < 2; i++) {
        size_t len;
        char *text = content(i ? place.other : place.file, &len);

        for (const char *at = text; (at = strchr(at, '\n')); at++)
            arrived++;
        ck_assert(len == 0 || text[len - 1] == '\n');
        free(text);
    }
    ck_assert_uint_eq(accepted + shared + dropped_lanes + dropped_shared, 3 * PRODUCED);
    ck_assert_uint_eq(arrived, accepted + shared);
    place_free(&place);
}
END_TEST

/* -- files -------------------------------------------------------------- */

START_TEST(same_path_is_the_same_file_until_the_last_close)
{
    struct place place = place_new();
    struct writer *writer = writer_new();
    struct writer_file *file, *again;
    char room[512];

    open_file(writer, place.file, &file);
    open_file(writer, place.file, &again);
    ck_assert_ptr_eq(file, again);
    writer_close(writer, &again);
    ck_assert_ptr_null(again);
    ck_assert(writer_share(writer, file, make_line(room, 0, 0)));
    writer_close(writer, &file);
    writer_close(writer, &file); /* NULL is fine */
    writer_free(&writer);
    ck_assert_uint_eq(lines_of(place.file), 1);
    place_free(&place);
}
END_TEST

START_TEST(lines_queued_before_close_are_written)
{
    struct place place = place_new();
    struct writer *writer = writer_new();
    struct writer_lane *lane = writer_lane_new(writer, 1 << 20);
    char room[512];

    for (unsigned i = 0; i < 200; i++) {
        struct writer_file *file;

        open_file(writer, place.file, &file);
        ck_assert(writer_line(lane, file, make_line(room, 0, i)));
        writer_close(writer, &file);
    }
    writer_free(&writer);
    ck_assert_uint_eq(lines_of(place.file), 200);
    place_free(&place);
}
END_TEST

START_TEST(path_that_cannot_be_opened_is_told_with_errno)
{
    struct writer *writer = writer_new();
    struct writer_file *file = NULL;

    ck_assert_int_eq(writer_open(writer, SPAN("/nonexistent/a.log"), &file), ERR_SYSTEM);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(writer_open(writer, SPAN("/tmp"), &file), ERR_SYSTEM);
    ck_assert_int_eq(errno, EISDIR);
    writer_free(&writer);
}
END_TEST

START_TEST(failed_reopen_keeps_the_old_file)
{
    struct place place = place_new();
    struct writer *writer = writer_new();
    struct writer_file *file;
    char moved[96], room[512];

    open_file(writer, place.file, &file);
    snprintf(moved, sizeof moved, "%s.moved", place.folder);
    ck_assert_int_eq(rename(place.folder, moved), 0);
    writer_reopen(writer);
    ck_assert(writer_share(writer, file, make_line(room, 0, 0)));
    writer_free(&writer);
    ck_assert_int_eq(rename(moved, place.folder), 0);
    ck_assert_uint_eq(lines_of(place.file), 1);
    place_free(&place);
}
END_TEST

START_TEST(stdout_is_written_and_left_open)
{
    struct place place = place_new();
    struct writer *writer;
    struct writer_file *file;
    int pipes[2], before = dup(STDOUT_FILENO);
    char room[512];

    /* A blocking pipe with a reader: more than it holds, so that the writer must ask first. */
    ck_assert_int_eq(pipe(pipes), 0);
    ck_assert_int_eq(dup2(pipes[1], STDOUT_FILENO), STDOUT_FILENO);
    close(pipes[1]);
    writer = writer_new();
    ck_assert_int_eq(writer_open(writer, SPAN("stdout"), &file), OK);
    ck_assert(writer_share(writer, file, make_line(room, 0, 0)));
    writer_reopen(writer);
    ck_assert(writer_share(writer, file, make_line(room, 0, 1)));
    writer_free(&writer);
    ck_assert_int_eq(fcntl(STDOUT_FILENO, F_GETFD), 0);
    dup2(before, STDOUT_FILENO);
    ck_assert_int_eq(read(pipes[0], room, sizeof room), 17);
    ck_assert_mem_eq(room, "0 0 \n0 1 xxxxxxx\n", 17);
    close(pipes[0]);
    place_free(&place);
}
END_TEST

/* -- files that take nothing -------------------------------------------- */

static unsigned n_warnings; /* the sink may be called by the writer thread */

static void count_warning(void *arg, struct sluice_span line)
{
    (void)arg;
    if (span_has(line, SPAN("log lines dropped")))
        __atomic_add_fetch(&n_warnings, 1, __ATOMIC_RELAXED);
}

START_TEST(full_disk_drops_counts_and_warns_once)
{
    struct place place = place_new();
    struct writer *writer = writer_new();
    struct writer_lane *lane = writer_lane_new(writer, 1 << 20);
    struct writer_file *full, *file;
    char room[512];
    size_t n = 0;

    log_set_sink(count_warning, NULL);
    open_file(writer, "/dev/full", &full);
    open_file(writer, place.file, &file);
    for (unsigned i = 0; i < 1000; i++) {
        ck_assert(writer_line(lane, full, make_line(room, 0, i)));
        ck_assert(writer_line(lane, file, make_line(room, 0, i)));
        ck_assert(writer_share(writer, full, make_line(room, 1, i)));
    }
    writer_close(writer, &full);
    while (writer_dropped_lanes(writer) + writer_dropped_shared(writer) < 2000 && n++ < 5000)
        poll(NULL, 0, 2);
    ck_assert_uint_eq(writer_dropped_lanes(writer) + writer_dropped_shared(writer), 2000);
    writer_free(&writer);
    log_set_sink(NULL, NULL);
    ck_assert_uint_eq(n_warnings, 1);
    ck_assert_uint_eq(lines_of(place.file), 1000);
    place_free(&place);
}
END_TEST

START_TEST(line_cut_by_a_full_disk_is_finished_when_there_is_room)
{
    struct place place = place_new();
    struct writer *writer = writer_new();
    struct writer_lane *lane = writer_lane_new(writer, 1 << 20);
    struct rlimit limit, before;
    struct writer_file *file;
    char room[512];
    uint64_t dropped;
    size_t n = 0, n_queued = 0, arrived;

    log_set_sink(count_warning, NULL);
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit fails as a full disk does */
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 100000;
    open_file(writer, place.file, &file);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (unsigned i = 0; i < 2000; i++) {
        n_queued += writer_line(lane, file, make_line(room, 0, i));
        n_queued += writer_share(writer, file, make_line(room, 1, i));
    }
    while ((dropped = writer_dropped_lanes(writer)) == 0 && n++ < 5000)
        poll(NULL, 0, 2);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0); /* Check writes a file, too */
    ck_assert_uint_gt(dropped, 0);
    ck_assert_uint_eq(n_queued, 4000);
    ck_assert(writer_line(lane, file, make_line(room, 0, 2000)));
    writer_close(writer, &file);
    open_file(writer, place.other, &file);
    ck_assert(writer_share(writer, file, make_line(room, 0, 1)));
    for (n = 0; lines_of(place.other) == 0 && n < 5000;
         n++) /* after the order to close the first */
        poll(NULL, 0, 2);
    arrived = lines_of(place.file);
    dropped = writer_dropped_lanes(writer) + writer_dropped_shared(writer);
    ck_assert_uint_eq(arrived + dropped, 4001);
    ck_assert_uint_ge(arrived, 100);
    writer_free(&writer);
    log_set_sink(NULL, NULL);
    place_free(&place);
}
END_TEST

/* Read what a pipe holds until its writers are gone. */
static size_t drain_pipe(int fd, char *room, size_t bytes)
{
    size_t len = 0;
    ssize_t n;

    while ((n = read(fd, room + len, bytes - len)) > 0)
        len += (size_t)n;
    return len;
}

START_TEST(pipe_that_nobody_reads_does_not_stop_other_files)
{
    struct place place = place_new();
    struct writer *writer = writer_new();
    struct writer_lane *lane = writer_lane_new(writer, 4 << 20);
    struct writer_file *stuck, *file;
    char *arrived = malloc(1 << 20);
    char room[512];
    size_t len, n_lines;
    int fd;

    log_set_sink(count_warning, NULL);
    ck_assert_int_eq(mkfifo(place.other, 0600), 0);
    fd = open(place.other, O_RDONLY | O_NONBLOCK);
    open_file(writer, place.other, &stuck);
    open_file(writer, place.file, &file);
    for (unsigned i = 0; i < 3000; i++) {
        ck_assert(writer_line(lane, stuck, make_line(room, 0, i)));
        ck_assert(writer_line(lane, file, make_line(room, 0, i)));
    }
    writer_close(writer, &stuck);
    writer_free(&writer);
    log_set_sink(NULL, NULL);
    ck_assert_uint_ge(n_warnings, 1);
    ck_assert_uint_eq(lines_of(place.file), 3000);

    len = drain_pipe(fd, arrived, 1 << 20); /* what it took before it was full */
    ck_assert_uint_ge(len, 4096);
    while (len && arrived[len - 1] != '\n') /* the line that was begun when all ended */
        len--;
    n_lines = check_lines(arrived, len);
    ck_assert_uint_gt(n_lines, 0);
    ck_assert_uint_lt(n_lines, 3000);
    free(arrived);
    close(fd);
    place_free(&place);
}
END_TEST

struct reader {
    int fd;
    char *room;
    size_t bytes, len;
};

/* Small reads from a pipe until its writers are gone. */
static void read_slowly(void *arg)
{
    struct reader *reader = arg;
    struct pollfd in = {reader->fd, POLLIN, 0};

    while (poll(&in, 1, 10000) == 1) {
        ssize_t n = read(reader->fd, reader->room + reader->len, 700);

        if (n == 0)
            return;
        reader->len += n > 0 ? (size_t)n : 0;
    }
}

START_TEST(slow_pipe_gets_whole_lines_and_drops_are_exact)
{
    struct place place = place_new();
    struct writer *writer = writer_new();
    struct writer_lane *lane = writer_lane_new(writer, 8 << 20);
    struct reader reader = {.bytes = 4 << 20};
    struct thread *thread;
    struct writer_file *file;
    char room[512];

    ck_assert_int_eq(mkfifo(place.file, 0600), 0);
    reader.fd = open(place.file, O_RDONLY | O_NONBLOCK);
    reader.room = malloc(reader.bytes);
    open_file(writer, place.file, &file);
    for (unsigned i = 0; i < 10000; i++)
        ck_assert(writer_line(lane, file, make_line(room, 0, i)));
    ck_assert_int_eq(thread_start(&thread, "reader", read_slowly, &reader), OK);
    writer_close(writer, &file);
    thread_join(&thread); /* the pipe ends once the closed file has been written */
    while (reader.len && reader.room[reader.len - 1] != '\n') /* too slow: its end was cut off */
        reader.len--;
    ck_assert_uint_eq(check_lines(reader.room, reader.len) + writer_dropped_lanes(writer), 10000);
    writer_free(&writer);
    free(reader.room);
    close(reader.fd);
    place_free(&place);
}
END_TEST

START_TEST(reader_that_is_gone_costs_lines_only)
{
    struct place place = place_new();
    struct writer *writer = writer_new();
    struct writer_file *gone, *file;
    char room[512];
    int fd;

    signal(SIGPIPE, SIG_IGN); /* as the process does */
    log_set_sink(count_warning, NULL);
    ck_assert_int_eq(mkfifo(place.other, 0600), 0);
    fd = open(place.other, O_RDONLY | O_NONBLOCK);
    open_file(writer, place.other, &gone);
    open_file(writer, place.file, &file);
    close(fd);
    for (unsigned i = 0; i < 10; i++) {
        ck_assert(writer_share(writer, gone, make_line(room, 0, i)));
        ck_assert(writer_share(writer, file, make_line(room, 0, i)));
    }
    writer_free(&writer);
    log_set_sink(NULL, NULL);
    ck_assert_uint_eq(n_warnings, 1);
    ck_assert_uint_eq(lines_of(place.file), 10);
    place_free(&place);
}
END_TEST

START_TEST(free_accepts_null)
{
    struct writer *writer = NULL;

    writer_free(&writer);
    ck_assert_ptr_null(writer);
}
END_TEST

UNIT_MAIN("observe/writer", lines_of_a_lane_arrive_whole_and_in_order,
          lines_are_appended_to_what_was_there, small_lane_wraps_and_accounts_for_every_line,
          line_larger_than_its_lane_is_dropped_and_counted, line_wakes_a_sleeping_writer,
          three_producers_lose_nothing_over_a_rotation,
          same_path_is_the_same_file_until_the_last_close, lines_queued_before_close_are_written,
          path_that_cannot_be_opened_is_told_with_errno, failed_reopen_keeps_the_old_file,
          stdout_is_written_and_left_open, full_disk_drops_counts_and_warns_once,
          line_cut_by_a_full_disk_is_finished_when_there_is_room,
          pipe_that_nobody_reads_does_not_stop_other_files,
          slow_pipe_gets_whole_lines_and_drops_are_exact, reader_that_is_gone_costs_lines_only,
          free_accepts_null)
