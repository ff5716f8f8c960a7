/*
 * upstreams_reading.h - all of the admin listener's /upstreams, read page by page.
 *
 * Threads: the loop's.
 */
#ifndef SERVER_UPSTREAMS_READING_H
#define SERVER_UPSTREAMS_READING_H

#include "server/admin_call.h"

#include <jansson.h>

struct upstreams_reading;

/* One is over: look at err and so on. May start the next. */
typedef void upstreams_reading_fn(struct upstreams_reading *reading);

/* Zero-initialise; the caller sets the first group. */
struct upstreams_reading {
    struct fetcher *fetcher;         /* borrowed */
    const struct admin_place *place; /* borrowed */
    const char *name;                /* borrowed: the only upstream wanted; NULL: all */
    upstreams_reading_fn *done;
    void *owner; /* borrowed: for done */

    /* What became of it. whole is owned: as the page, with the upstreams of all pages. */
    enum err err;
    unsigned status; /* of the last page */
    char why[256];
    json_t *whole;

    struct fetch *fetch; /* borrowed: under way */
    uint64_t offset;
    unsigned n_pages;
};

/* Not while one is under way. */
void upstreams_reading_start(struct upstreams_reading *reading);

/* Stop, and release what was read. */
void upstreams_reading_fini(struct upstreams_reading *reading);

/*
 * Add the upstreams of a page; an upstream that goes on from the page before becomes one. Returns
 * the offset of the next page, 0 when there is none or this is no page.
 */
uint64_t upstreams_reading_add(json_t *whole, json_t *page);

#endif /* SERVER_UPSTREAMS_READING_H */
