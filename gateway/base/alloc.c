#include "base/alloc.h"

#include "base/check.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#ifdef SLUICE_FAULTS
#include <stdio.h>
#include <unistd.h>
#endif

#ifdef SLUICE_FAULTS
/*
 * Process-wide on purpose: the N-th allocation is counted over everything. Read from the
 * environment once, by whoever comes first; two that come together read the same.
 */
static bool faults_read;
static unsigned long fault_at, fault_every, tries;
static _Thread_local unsigned faults_stopped;

static unsigned long number_of(const char *name)
{
    const char *text = getenv(name);

    return text ? strtoul(text, NULL, 10) : 0;
}

static void read_faults(void)
{
    __atomic_store_n(&fault_at, number_of("SLUICE_FAIL_ALLOC"), __ATOMIC_RELAXED);
    __atomic_store_n(&fault_every, number_of("SLUICE_FAIL_ALLOC_EVERY"), __ATOMIC_RELAXED);
    __atomic_store_n(&faults_read, true, __ATOMIC_RELEASE);
}

bool alloc_is_faulty(void)
{
    unsigned long at, every, n;

    if (faults_stopped > 0)
        return false;
    if (!__atomic_load_n(&faults_read, __ATOMIC_ACQUIRE))
        read_faults();
    at = __atomic_load_n(&fault_at, __ATOMIC_RELAXED);
    every = __atomic_load_n(&fault_every, __ATOMIC_RELAXED);
    if (at == 0 && every == 0)
        return false;
    n = __atomic_add_fetch(&tries, 1, __ATOMIC_RELAXED);
    if (n == at)
        dprintf(STDERR_FILENO, "fault: allocation %lu fails\n", n);
    return n == at || (every > 0 && n % every == 0);
}

/* Who wants to fail each of them has to know how many there are. */
__attribute__((destructor)) static void tell_tries(void)
{
    if (fault_at > 0)
        dprintf(STDERR_FILENO, "faults: %lu allocations\n", tries);
}

void alloc_faults_stop(void)
{
    faults_stopped++;
}

void alloc_faults_start(void)
{
    faults_stopped--;
}
#endif /* SLUICE_FAULTS */

/* malloc(0) may return NULL, which here would mean "out of memory". */
static size_t at_least_one(size_t size)
{
    return size > 0 ? size : 1;
}

void *alloc_new(size_t size)
{
    void *memory = calloc(1, at_least_one(size));

    CHECK(memory != NULL);
    return memory;
}

void *alloc_try(size_t size)
{
    return alloc_is_faulty() ? NULL : malloc(at_least_one(size));
}

void *alloc_zero_try(size_t size)
{
    return alloc_is_faulty() ? NULL : calloc(1, at_least_one(size));
}

void *alloc_resize_try(void *old, size_t size)
{
    return alloc_is_faulty() ? NULL : realloc(old, at_least_one(size));
}

void *alloc_resize(void *old, size_t size)
{
    void *memory = realloc(old, at_least_one(size));

    CHECK(memory != NULL);
    return memory;
}

char *alloc_text(const char *ptr, size_t len)
{
    char *text;

    CHECK(len < SIZE_MAX);
    text = alloc_resize(NULL, len + 1);
    if (len > 0)
        memcpy(text, ptr, len);
    text[len] = '\0';
    return text;
}

#ifdef SLUICE_DEBUG
void *alloc_region_try(size_t bytes)
{
    return alloc_is_faulty() ? NULL : aligned_alloc(bytes, bytes);
}

void alloc_region_free(void *region, size_t bytes)
{
    (void)bytes;
    free(region);
}
#else
static char *map(size_t bytes)
{
    /* cppcheck-suppress invalidFunctionArg ; no file */
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return NULL;
    return memory;
}

/* What cannot be unmapped, for too many pieces, at least holds nothing. */
static void unmap(char *memory, size_t bytes)
{
    if (bytes > 0 && munmap(memory, bytes) < 0 && madvise(memory, bytes, MADV_DONTNEED) < 0)
        errno = 0;
}

void *alloc_region_try(size_t bytes)
{
    char *memory = map(bytes);
    size_t before;

    /* Mostly it comes to lie before the one that was made last, and fits. */
    if (!memory || ((uintptr_t)memory & (bytes - 1)) == 0)
        return memory;
    unmap(memory, bytes);
    memory = map(2 * bytes);
    if (!memory)
        return NULL;
    before = bytes - ((uintptr_t)memory & (bytes - 1));
    unmap(memory, before);
    unmap(memory + before + bytes, bytes - before);
    return memory + before;
}

void alloc_region_free(void *region, size_t bytes)
{
    unmap(region, bytes);
}
#endif

void alloc_free(void *memory)
{
    free(memory);
}
