/*
 * process.c - /proc and a few system calls.
 *
 * Half a million descriptors must not make a page slow: a kernel since 6.2 tells
 * their number as the size of /proc/self/fd, older ones make us count the entries.
 */
#include "observe/process.h"

#include "base/now.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PROC_BYTES = 1024 };

static const double NS_PER_S = 1e9, US_PER_S = 1e6;

/* Read the start of a file under /proc; empty when it cannot be. */
static struct sluice_span read_proc(const char *path, char room[PROC_BYTES])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return span_make(room, 0);
    do {
        n = read(fd, room, PROC_BYTES);
    } while (n < 0 && errno == EINTR);
    close(fd);
    return span_make(room, n > 0 ? (size_t)n : 0);
}

/* The number in the column (from 0) of blank-separated text; false when there is none. */
static bool column(struct sluice_span text, unsigned index, uint64_t *number)
{
    struct sluice_span piece = {NULL, 0};

    for (unsigned i = 0; i <= index; i++) {
        if (!span_split(&text, ' ', &piece))
            return false;
    }
    return span_number(piece, UINT64_MAX, number) == OK;
}

static double seconds(clockid_t clock)
{
    struct timespec time;

    if (clock_gettime(clock, &time))
        return 0;
    return (double)time.tv_sec + (double)time.tv_nsec / NS_PER_S;
}

/* -- start -------------------------------------------------------------- */

void process_init(struct process *process)
{
    char room[PROC_BYTES];
    struct sluice_span text = read_proc("/proc/self/stat", room);
    const char *name_end = text.len ? memrchr(text.ptr, ')', text.len) : NULL;
    long ticks_per_s = sysconf(_SC_CLK_TCK);
    uint64_t ticks;

    process->started_at = (double)now_wall_us() / US_PER_S;
    if (!name_end || ticks_per_s <= 0)
        return;
    /* Field 22 of proc(5), starttime since boot; the blank after the name begins column 0. */
    text = span_make(name_end + 1, (size_t)(text.ptr + text.len - (name_end + 1)));
    if (column(text, 20, &ticks))
        process->started_at -= seconds(CLOCK_BOOTTIME) - (double)ticks / (double)ticks_per_s;
}

/* -- the page ----------------------------------------------------------- */

static bool resident_bytes(uint64_t *bytes)
{
    char room[PROC_BYTES];
    long page_bytes = sysconf(_SC_PAGESIZE);

    if (page_bytes <= 0 || !column(read_proc("/proc/self/statm", room), 1, bytes))
        return false;
    *bytes *= (uint64_t)page_bytes;
    return true;
}

static bool open_descriptors(uint64_t *n)
{
    struct stat folder;
    DIR *entries;

    if (stat("/proc/self/fd", &folder) == 0 && folder.st_size > 0) {
        *n = (uint64_t)folder.st_size;
        return true;
    }
    entries = opendir("/proc/self/fd");
    if (!entries)
        return false;
    for (*n = 0; readdir(entries);)
        ++*n;
    closedir(entries);
    *n -= *n >= 3 ? 3 : *n; /* ".", ".." and the folder's own descriptor */
    return true;
}

void process_collect(void *arg, struct page *page)
{
    const struct process *process = arg;
    struct rlimit descriptors;
    uint64_t n;

    if (resident_bytes(&n)) {
        page_family(page, "process_resident_memory_bytes", PAGE_GAUGE, "Resident memory.");
        page_count(page, NULL, 0, n);
    }
    if (open_descriptors(&n)) {
        page_family(page, "process_open_fds", PAGE_GAUGE, "Open file descriptors.");
        page_count(page, NULL, 0, n);
    }
    if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0) {
        page_family(page, "process_max_fds", PAGE_GAUGE, "Limit of open file descriptors.");
        page_count(page, NULL, 0, descriptors.rlim_cur);
    }
    page_family(page, "process_cpu_seconds_total", PAGE_COUNTER, "Processor time used.");
    page_sample(page, NULL, 0, seconds(CLOCK_PROCESS_CPUTIME_ID));
    page_family(page, "process_start_time_seconds", PAGE_GAUGE, "Start, seconds since 1970.");
    page_sample(page, NULL, 0, process->started_at);
}

/* -- memory ------------------------------------------------------------- */

/* The number behind "Name:" in a file of lines such as "Pss:     123 kB". */
static uint64_t kib_of(struct sluice_span text, struct sluice_span name)
{
    struct sluice_span line, word;
    uint64_t kib;

    while (span_split(&text, '\n', &line)) {
        if (!span_starts(line, name))
            continue;
        line = span_trim(span_make(line.ptr + name.len, line.len - name.len));
        if (span_split(&line, ' ', &word) && span_number(word, UINT64_MAX >> 10, &kib) == OK)
            return kib * 1024;
    }
    return 0;
}

void process_memory(struct process_memory *memory)
{
    char room[PROC_BYTES];
    struct sluice_span text = read_proc("/proc/self/smaps_rollup", room);

    memory->pss = kib_of(text, SPAN("Pss:"));
    memory->rss = kib_of(text, SPAN("Rss:"));
    memory->anonymous = kib_of(text, SPAN("Anonymous:"));
}
