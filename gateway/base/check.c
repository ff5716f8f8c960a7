/*
 * check.c - what happens when something that must hold does not.
 *
 * A failed CHECK trusts nothing any more: it writes with write(2) and formats into the stack.
 */
#include "base/check.h"

#include "base/count.h"
#include "base/log.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FRAMES_MAX = 64 };

/* Process-wide on purpose: a bug is a fact about the program, whoever met it. */
static uint64_t bugs;
static struct log_gate bug_gate = {.per_second = 1, .burst = 10};

void check_failed(const char *what, const char *file, int line)
{
    void *frames[FRAMES_MAX];
    int n;

    dprintf(STDERR_FILENO, "sluice: %s:%d: this must hold and does not: %s\n", file, line, what);
    n = backtrace(frames, FRAMES_MAX);
    backtrace_symbols_fd(frames, n, STDERR_FILENO);
    abort();
}

bool bug_seen(const char *what, const char *file, int line)
{
#ifdef SLUICE_DEBUG
    check_failed(what, file, line);
#endif
    __atomic_add_fetch(&bugs, 1, __ATOMIC_RELAXED);
    if (log_gate_pass(&bug_gate)) {
        log_error("bug in sluice, going on without", F_STR("what", what), F_STR("file", file),
                  F_INT("line", line));
    }
    return true;
}

uint64_t bug_count(void)
{
    return __atomic_load_n(&bugs, __ATOMIC_RELAXED);
}
