/*
 * thread.h - start, name and join threads; the one door to pthread outside base.
 */
#ifndef CORE_THREAD_H
#define CORE_THREAD_H

#include "base/err.h"

#include <stdint.h>

struct thread;

typedef void thread_main_fn(void *arg);

/* Run main(arg) on a new thread called name (at most 15 bytes are kept), all signals blocked. */
CHECKED enum err thread_start(struct thread **thread, const char *name, thread_main_fn *main,
                              void *arg);

/* Wait for its end and release it; *thread becomes NULL. NULL is fine. */
void thread_join(struct thread **thread);

/* Processors this process may use: affinity and cgroup quota (v1 and v2) respected, at least 1. */
unsigned thread_processors(void);

/*
 * Processors that the cgroup quota allows, a broken one counted whole; 0: no quota. root stands
 * before /proc and /sys: "" but in tests.
 */
unsigned thread_quota(const char *root);

#endif /* CORE_THREAD_H */
