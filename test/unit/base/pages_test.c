#include "base/pages.h"

#include "unit.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

enum { MANY = 200 };

static bool is_resident(void *page)
{
    unsigned char there = 0;

    ck_assert_int_eq(mincore(page, PAGE_BYTES, &there), 0);
    return (there & 1) != 0;
}

START_TEST(pages_are_aligned_zero_and_apart)
{
    struct pages pages;
    void *page[MANY];

    pages_init(&pages);
    for (unsigned i = 0; i < MANY; i++) {
        page[i] = pages_take(&pages);
        ck_assert_ptr_nonnull(page[i]);
        ck_assert_uint_eq((uintptr_t)page[i] % PAGE_BYTES, 0);
        ck_assert(pages_rest(page[i]));
        memset(page[i], (int)i + 1, PAGE_BYTES);
    }
    for (unsigned i = 0; i < MANY; i++)
        ck_assert_int_eq(((unsigned char *)page[i])[PAGE_BYTES - 1], (i + 1) & 255);
    for (unsigned i = 0; i < MANY; i++)
        pages_give(&pages, page[i]);
    for (unsigned i = 0; i < MANY; i++)
        ck_assert(pages_rest(pages_take(&pages)));
    pages_fini(&pages);
}
END_TEST

START_TEST(pages_rest_only_when_they_are_empty)
{
    struct pages pages;
    char *page;

    pages_init(&pages);
    page = pages_take(&pages);
    page[PAGE_BYTES - 1] = 1;
    ck_assert(!pages_rest(page));
    ck_assert_int_eq(page[PAGE_BYTES - 1], 1);
    page[PAGE_BYTES - 1] = 0;
    ck_assert(is_resident(page));
    ck_assert(pages_rest(page));
    ck_assert(!is_resident(page));
    ck_assert_int_eq(page[0], 0);
    pages_give(&pages, page);
    pages_fini(&pages);
}
END_TEST

UNIT_MAIN("base/pages", pages_are_aligned_zero_and_apart, pages_rest_only_when_they_are_empty)
