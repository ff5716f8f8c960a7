/*
 * alloc.h - the only caller of malloc.
 *
 * Sizes that we choose abort when memory is out (there is no good answer).
 * Sizes that a peer chooses go through the _try variant, which may return NULL.
 *
 * Fault injection: SLUICE_FAIL_ALLOC=N in the environment makes the N-th _try
 * allocation of the process fail, and SLUICE_FAIL_ALLOC_EVERY=N each N-th
 * (test builds only: compiled in with -DSLUICE_FAULTS). arena_try() and slab_take()
 * count as _try allocations too, though they seldom reach malloc. When the N-th fails,
 * "fault: ..." goes to stderr, and how many there were when the process ends.
 */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* Return size bytes, zeroed; the caller owns them. Abort when memory is out. */
void *alloc_new(size_t size);

/* Return size bytes, not zeroed, or NULL. */
void *alloc_try(size_t size);

/* As alloc_try, zeroed: pages that nobody touches cost no memory. */
void *alloc_zero_try(size_t size);

/* Resize to size bytes (old may be NULL); NULL when out of memory, old is then untouched. */
void *alloc_resize_try(void *old, size_t size);

/* As alloc_resize_try, but abort when memory is out. */
void *alloc_resize(void *old, size_t size);

/* Return a NUL-terminated copy of len bytes; the caller owns it. Abort when memory is out. */
char *alloc_text(const char *ptr, size_t len);

/* Release what the above returned; NULL is fine. */
void alloc_free(void *memory);

/* -- for the other allocators of base ---------------------------------- */

/*
 * Memory that the system has back as soon as it is freed, at a multiple of bytes, which is a power
 * of two and no less than a page. Not zeroed; NULL when out of memory. Sanitizers get it from
 * malloc(): they look for leaks there, and tell who touches it when it is gone.
 */
void *alloc_region_try(size_t bytes);
void alloc_region_free(void *region, size_t bytes);

#ifdef SLUICE_FAULTS
/* Count one _try allocation; true when it is one that shall fail. */
bool alloc_is_faulty(void);

/* No faults on this thread between the two: here nobody can bear one. They nest. */
void alloc_faults_stop(void);
void alloc_faults_start(void);
#else
static inline bool alloc_is_faulty(void)
{
    return false;
}
static inline void alloc_faults_stop(void)
{
}
static inline void alloc_faults_start(void)
{
}
#endif

#endif /* BASE_ALLOC_H */
