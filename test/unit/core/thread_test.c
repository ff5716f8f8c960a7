#include "core/thread.h"

#include "unit.h"

#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* -- threads ------------------------------------------------------------ */

struct seen {
    char name[16];
    bool term_blocked, ran;
};

static void look(void *arg)
{
    struct seen *seen = arg;
    sigset_t mask;

    pthread_getname_np(pthread_self(), seen->name, sizeof seen->name);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    seen->term_blocked = sigismember(&mask, SIGTERM) == 1;
    seen->ran = true;
}

START_TEST(thread_runs_named_with_signals_blocked)
{
    struct thread *thread = NULL;
    struct seen seen = {0};

    ck_assert_int_eq(thread_start(&thread, "log writer", look, &seen), OK);
    ck_assert_ptr_nonnull(thread);
    thread_join(&thread);
    ck_assert_ptr_null(thread);
    ck_assert(seen.ran);
    ck_assert(seen.term_blocked);
    ck_assert_str_eq(seen.name, "log writer");
}
END_TEST

START_TEST(thread_name_is_cut_at_fifteen_bytes)
{
    struct thread *thread = NULL;
    struct seen seen = {0};

    ck_assert_int_eq(thread_start(&thread, "0123456789abcdefgh", look, &seen), OK);
    thread_join(&thread);
    ck_assert_str_eq(seen.name, "0123456789abcde");
}
END_TEST

START_TEST(thread_start_leaves_the_callers_mask)
{
    struct thread *thread = NULL;
    struct seen seen = {0};
    sigset_t mask;

    ck_assert_int_eq(thread_start(&thread, "x", look, &seen), OK);
    thread_join(&thread);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    ck_assert_int_eq(sigismember(&mask, SIGTERM), 0);
}
END_TEST

START_TEST(thread_join_accepts_null)
{
    struct thread *thread = NULL;

    thread_join(&thread);
    ck_assert_ptr_null(thread);
}
END_TEST

/* -- processors --------------------------------------------------------- */

START_TEST(processors_follow_affinity)
{
    cpu_set_t all, one;
    unsigned n_all = thread_processors();

    ck_assert_int_eq(sched_getaffinity(0, sizeof all, &all), 0);
    ck_assert_uint_ge(n_all, 1);
    ck_assert_uint_le(n_all, (unsigned)CPU_COUNT(&all));
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && CPU_COUNT(&one) == 0)
            CPU_SET(cpu, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    ck_assert_uint_eq(thread_processors(), 1);
}
END_TEST

/* A root with the files that a test names; folders are made as needed. */
static char root[64];

static void put(const char *path, const char *content)
{
    char full[256];
    FILE *file;

    if (!root[0]) {
        strcpy(root, "/tmp/thread_test.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(root));
    }
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *at = full + strlen(root) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        mkdir(full, 0700);
        *at = '/';
    }
    file = fopen(full, "w");
    ck_assert_ptr_nonnull(file);
    fputs(content, file);
    fclose(file);
}

static int forget(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat, (void)type, (void)ftw;
    return remove(path);
}

static void forget_root(void)
{
    nftw(root, forget, 8, FTW_DEPTH | FTW_PHYS);
    root[0] = '\0';
}

START_TEST(no_cgroup_files_mean_no_quota)
{
    ck_assert_uint_eq(thread_quota("/nonexistent"), 0);
}
END_TEST

START_TEST(v2_quota_is_rounded_up)
{
    put("/proc/self/cgroup", "0::/app\n");
    put("/sys/fs/cgroup/app/cpu.max", "150000 100000\n");
    ck_assert_uint_eq(thread_quota(root), 2);
    put("/sys/fs/cgroup/app/cpu.max", "20000 100000\n");
    ck_assert_uint_eq(thread_quota(root), 1);
    forget_root();
}
END_TEST

START_TEST(v2_smallest_quota_of_the_way_up_counts)
{
    put("/proc/self/cgroup", "0::/pod/app\n");
    put("/sys/fs/cgroup/pod/app/cpu.max", "max 100000\n");
    ck_assert_uint_eq(thread_quota(root), 0);
    put("/sys/fs/cgroup/pod/cpu.max", "300000 100000\n");
    ck_assert_uint_eq(thread_quota(root), 3);
    put("/sys/fs/cgroup/pod/app/cpu.max", "800000 100000\n");
    ck_assert_uint_eq(thread_quota(root), 3);
    forget_root();
}
END_TEST

START_TEST(path_of_the_host_falls_back_to_the_visible_root)
{
    put("/proc/self/cgroup", "0::/system.slice/docker-1234.scope\n");
    put("/sys/fs/cgroup/cpu.max", "400000 100000\n");
    ck_assert_uint_eq(thread_quota(root), 4);
    forget_root();
}
END_TEST

START_TEST(v1_quota_is_read)
{
    put("/proc/self/cgroup", "5:memory:/app\n4:cpu,cpuacct:/app\n0::/\n");
    put("/sys/fs/cgroup/cpu/app/cpu.cfs_quota_us", "500000\n");
    put("/sys/fs/cgroup/cpu/app/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    ck_assert_uint_eq(thread_quota(root), 5);
    forget_root();
}
END_TEST

START_TEST(malformed_quota_is_none)
{
    static const char *const wrong[] = {"", "\n", "100000\n", "100000 0\n", "x y\n", "-5 100000\n"};

    put("/proc/self/cgroup", "nonsense\n0\n0::/app\n");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        put("/sys/fs/cgroup/app/cpu.max", wrong[i]);
        ck_assert_uint_eq(thread_quota(root), 0);
    }
    forget_root();
}
END_TEST

UNIT_MAIN("core/thread", thread_runs_named_with_signals_blocked,
          thread_name_is_cut_at_fifteen_bytes, thread_start_leaves_the_callers_mask,
          thread_join_accepts_null, processors_follow_affinity, no_cgroup_files_mean_no_quota,
          v2_quota_is_rounded_up, v2_smallest_quota_of_the_way_up_counts,
          path_of_the_host_falls_back_to_the_visible_root, v1_quota_is_read,
          malformed_quota_is_none)
