#include "observe/process.h"

#include "unit.h"

#include "base/now.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static double value(struct process *process, const char *name)
{
    struct metrics *metrics = metrics_new();
    struct text out;
    double number = -1;
    const char *at;

    text_init(&out, 1 << 16);
    metrics_add(metrics, process_collect, process);
    metrics_print(metrics, &out);
    for (at = out.ptr; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, name, strlen(name)) == 0 && at[strlen(name)] == ' ') {
            number = strtod(at + strlen(name), NULL);
            break;
        }
    }
    text_fini(&out);
    metrics_free(&metrics);
    return number;
}

START_TEST(open_descriptors_are_counted)
{
    struct process process;
    double before;
    int fd;

    process_init(&process);
    before = value(&process, "process_open_fds");
    ck_assert(before >= 1);
    fd = open("/dev/null", O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert(value(&process, "process_open_fds") == before + 1);
    close(fd);
}
END_TEST

START_TEST(limit_is_the_soft_one)
{
    struct rlimit limit = {100, 200};
    struct process process;

    process_init(&process);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert(value(&process, "process_max_fds") == 100);
}
END_TEST

START_TEST(start_is_in_the_recent_past_and_never_moves)
{
    struct process process;
    double now = (double)now_wall_us() / 1e6;
    double started;

    process_init(&process);
    started = value(&process, "process_start_time_seconds");
    ck_assert(started <= now + 1);
    ck_assert(started > now - 600);
    ck_assert(value(&process, "process_start_time_seconds") == started);
}
END_TEST

START_TEST(memory_and_time_are_said)
{
    struct process process;

    process_init(&process);
    ck_assert(value(&process, "process_resident_memory_bytes") > 100000);
    ck_assert(value(&process, "process_cpu_seconds_total") > 0);
}
END_TEST

UNIT_MAIN("observe/process", open_descriptors_are_counted, limit_is_the_soft_one,
          start_is_in_the_recent_past_and_never_moves, memory_and_time_are_said)
