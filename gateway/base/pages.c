#include "base/pages.h"

#include "base/alloc.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGES_REGION = 64 };

void pages_init(struct pages *pages)
{
    *pages = (struct pages){0};
}

void pages_fini(struct pages *pages)
{
    for (size_t i = 0; i < pages->n_regions; i++) {
        if (munmap(pages->region[i], (size_t)PAGES_REGION * PAGE_BYTES) < 0)
            errno = 0; /* it was ours: this cannot fail */
    }
    alloc_free(pages->region);
    alloc_free(pages->spare);
    pages_init(pages);
}

/* Room to remember all pages there will be, so that giving one back cannot fail. */
static bool grow(struct pages *pages)
{
    size_t n = pages->n_regions + 1;
    void **region = alloc_resize_try(pages->region, n * sizeof(*region));
    void **spare;
    char *fresh;

    if (!region)
        return false;
    pages->region = region;
    spare = alloc_resize_try(pages->spare, n * PAGES_REGION * sizeof(*spare));
    if (!spare)
        return false;
    pages->spare = spare;
    fresh = mmap(NULL, (size_t)PAGES_REGION * PAGE_BYTES, PROT_READ | PROT_WRITE,
                 /* cppcheck-suppress invalidFunctionArg ; no file */
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fresh == MAP_FAILED)
        return false;
    pages->region[pages->n_regions++] = fresh;
    for (size_t i = PAGES_REGION; i > 0; i--) {
        pages->spare[pages->n_spare++] = fresh + (i - 1) * PAGE_BYTES;
    }
    return true;
}

void *pages_take(struct pages *pages)
{
    if (alloc_is_faulty() || (pages->n_spare == 0 && !grow(pages)))
        return NULL;
    return pages->spare[--pages->n_spare];
}

void pages_give(struct pages *pages, void *page)
{
    if (!page)
        return;
    if (madvise(page, PAGE_BYTES, MADV_DONTNEED) < 0)
        memset(page, 0, PAGE_BYTES);
    pages->spare[pages->n_spare++] = page;
}

bool pages_rest(void *page)
{
    const char *first = page;

    if (first[0] != 0 || memcmp(first, first + 1, PAGE_BYTES - 1) != 0)
        return false;
    /* When the system does not want it, it stays. */
    if (madvise(page, PAGE_BYTES, MADV_DONTNEED) < 0)
        errno = 0;
    return true;
}
