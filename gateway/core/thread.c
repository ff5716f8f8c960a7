/*
 * thread.c - threads by pthread, processors by the kernel's files.
 *
 * A quota is set anywhere between our cgroup and the root of what we see, so
 * the whole way up is read and the smallest counts. A container often sees its
 * own cgroup as the root although /proc names the host's path; the parts that do not exist
 * are skipped, and the root is always read.
 */
#include "core/thread.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/span.h"
#include "core/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    NAME_BYTES = 16,          /* the kernel's maximum, NUL included */
    CPUS_MAX = 65536,         /* ends the search for a large enough mask */
    CGROUP_FILE_BYTES = 8192, /* /proc/self/cgroup: a line a controller */
    LINE_BYTES = 64,
    CGROUP_DEPTH_MAX = 64, /* ends the way up of an odd path */
    MILLI = 1000,
    QUOTA_MAX = CPUS_MAX * MILLI
};

struct thread {
    pthread_t id;
    thread_main_fn *main;
    void *arg; /* borrowed until the thread's end */
    char name[NAME_BYTES];
};

/* -- life --------------------------------------------------------------- */

static void *thread_run(void *arg)
{
    struct thread *thread = arg;
    void *stack;

    pthread_setname_np(pthread_self(), thread->name);
    stack = crash_stack_new();
    thread->main(thread->arg);
    crash_stack_free(&stack);
    return NULL;
}

enum err thread_start(struct thread **thread, const char *name, thread_main_fn *main, void *arg)
{
    struct thread *fresh = alloc_new(sizeof *fresh);
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    sigset_t all, before;
    int failure;

    fresh->main = main;
    fresh->arg = arg;
    snprintf(fresh->name, sizeof fresh->name, "%s", name);

    /* A new thread inherits the mask: no signal can reach it before it has blocked them itself. */
    sigfillset(&all);
    /* But for those that tell of a fault of its own: core/crash.c says whose. */
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failure = pthread_create(&fresh->id, NULL, thread_run, fresh);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure) {
        alloc_free(fresh);
        errno = failure;
        return ERR_SYSTEM;
    }
    *thread = fresh;
    return OK;
}

void thread_join(struct thread **thread)
{
    if (!*thread)
        return;
    CHECK(pthread_join((*thread)->id, NULL) == 0);
    alloc_free(*thread);
    *thread = NULL;
}

/* -- processors --------------------------------------------------------- */

static unsigned affinity_processors(void)
{
    for (int cpus = CPU_SETSIZE; cpus <= CPUS_MAX; cpus *= 2) {
        cpu_set_t *set = alloc_new(CPU_ALLOC_SIZE(cpus));
        int failed = sched_getaffinity(0, CPU_ALLOC_SIZE(cpus), set);
        int n = failed ? 0 : CPU_COUNT_S(CPU_ALLOC_SIZE(cpus), set);

        alloc_free(set);
        if (!failed)
            return (unsigned)n;
        if (errno != EINVAL)
            break;
    }
    return 1;
}

/* Read a small file of a folder; empty when it is not there. */
static struct sluice_span read_small(const char *folder, const char *name, char *room, size_t bytes)
{
    char path[PATH_MAX + NAME_MAX + 2];
    size_t len = 0;
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "%s/%.*s", folder, NAME_MAX, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return span_make(room, 0);
    do {
        n = read(fd, room + len, bytes - len);
        if (n > 0)
            len += (size_t)n;
    } while ((n > 0 && len < bytes) || (n < 0 && errno == EINTR));
    close(fd);
    return span_make(room, len);
}

/* quota/period in thousandths of a processor; 0 when there is none ("max", -1, malformed). */
static uint64_t quota_milli(struct sluice_span quota, struct sluice_span period)
{
    uint64_t q, p;

    if (span_number(quota, INT64_MAX / MILLI, &q) || span_number(period, INT64_MAX, &p) || p == 0)
        return 0;
    q = q * MILLI / p;
    if (q > QUOTA_MAX)
        return 0;
    return q ? q : 1;
}

/* The first line of a small file. */
static struct sluice_span read_line(const char *folder, const char *name, char room[LINE_BYTES])
{
    struct sluice_span line = read_small(folder, name, room, LINE_BYTES);

    return span_make(line.ptr, span_find(line, '\n'));
}

/* The quota that one folder of a cgroup hierarchy sets, 0: none. */
static uint64_t folder_quota(const char *folder, bool v2)
{
    char room[LINE_BYTES], more[LINE_BYTES];
    struct sluice_span quota, period;

    if (v2) {
        period = read_line(folder, "cpu.max", room);
        if (!span_split(&period, ' ', &quota))
            return 0;
        return quota_milli(quota, span_trim(period));
    }
    quota = read_line(folder, "cpu.cfs_quota_us", room);
    period = read_line(folder, "cpu.cfs_period_us", more);
    return quota_milli(quota, period);
}

/* The smallest quota from mount/group up to mount itself, 0: none. */
static uint64_t way_quota(const char *mount, struct sluice_span group, bool v2)
{
    char folder[PATH_MAX];
    uint64_t least = 0;
    int len = snprintf(folder, sizeof folder, "%s%.*s", mount, (int)group.len, group.ptr);

    if (len < 0 || (size_t)len >= sizeof folder)
        return 0;
    for (unsigned depth = 0; depth < CGROUP_DEPTH_MAX; depth++) {
        uint64_t quota = folder_quota(folder, v2);
        char *slash = strrchr(folder, '/');

        if (quota && (!least || quota < least))
            least = quota;
        if (strlen(folder) <= strlen(mount) || !slash)
            break;
        *slash = '\0';
    }
    return least;
}

/* The quota that one line of /proc/self/cgroup ("4:cpu,cpuacct:/path", v2: "0::/path") leads to. */
static uint64_t line_quota(const char *root, struct sluice_span line)
{
    struct sluice_span controllers, controller, rest = line;
    char mount[PATH_MAX];
    size_t colon = span_find(rest, ':');
    uint64_t quota;

    if (colon == rest.len)
        return 0;
    rest = span_make(rest.ptr + colon + 1, rest.len - colon - 1);
    colon = span_find(rest, ':');
    if (colon == rest.len)
        return 0;
    controllers = span_make(rest.ptr, colon);
    rest = span_make(rest.ptr + colon + 1, rest.len - colon - 1);
    if (controllers.len == 0) {
        snprintf(mount, sizeof mount, "%s/sys/fs/cgroup", root);
        quota = way_quota(mount, rest, true);
        if (quota)
            return quota;
        snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/unified", root);
        return way_quota(mount, rest, true);
    }
    while (span_split(&controllers, ',', &controller)) {
        if (!span_equal(controller, SPAN("cpu")))
            continue;
        snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/cpu", root); /* a link where both are one */
        return way_quota(mount, rest, false);
    }
    return 0;
}

unsigned thread_quota(const char *root)
{
    char folder[PATH_MAX], room[CGROUP_FILE_BYTES];
    struct sluice_span lines, line;
    uint64_t least = 0;

    snprintf(folder, sizeof folder, "%s/proc/self", root);
    lines = read_small(folder, "cgroup", room, sizeof room);
    while (span_split(&lines, '\n', &line)) {
        uint64_t quota = line_quota(root, line);

        if (quota && (!least || quota < least))
            least = quota;
    }
    return (unsigned)((least + MILLI - 1) / MILLI);
}

unsigned thread_processors(void)
{
    unsigned n = affinity_processors();
    unsigned quota = thread_quota("");

    if (quota && quota < n)
        n = quota;
    return n ? n : 1;
}
