/*
 * pages.h - whole pages of zeros, whose memory goes back to the system while they hold nothing.
 *
 * For tables that somebody else's code keeps at a fixed address and that are all but always empty:
 * who knows that nothing has changed calls pages_rest(), and a page of zeros costs no memory until
 * it is written again.
 *
 * Threads: one.
 */
#ifndef BASE_PAGES_H
#define BASE_PAGES_H

#include <stdbool.h>
#include <stddef.h>

enum { PAGE_BYTES = 4096 };

struct pages {
    void **region; /* owned: each of PAGES_REGION pages */
    void **spare;  /* owned: pages that nobody has */
    size_t n_regions, n_spare;
};

/* Takes no memory yet. */
void pages_init(struct pages *pages);

/* Pages that are still used become invalid. */
void pages_fini(struct pages *pages);

/* A page of zeros, aligned to its size; NULL when out of memory. */
void *pages_take(struct pages *pages);

/* Give it back; NULL is fine. */
void pages_give(struct pages *pages, void *page);

/*
 * True when the page holds nothing but zeros: then its memory is the system's until it is
 * written.
 */
bool pages_rest(void *page);

#endif /* BASE_PAGES_H */
