/*
 * pages.h - the pages of the control port, and what a page function works with (private to admin).
 *
 * A page is a row: path, method, content type, function, one line of help. HEAD is GET without
 * the body, for every page.
 */
#ifndef ADMIN_PAGES_H
#define ADMIN_PAGES_H

#include "admin/admin.h"
#include "base/text.h"

enum { ANSWER_MAX = 64 * 1024 * 1024 /* bytes of a body: metrics of 100,000 names fit */ };

/* What a page function may look at. */
struct ask {
    const struct admin_host *host; /* borrowed */
    const struct metrics *own;     /* borrowed: what admin itself says on the metrics page */
    struct sluice_span query;      /* without '?', as sent */
};

/* What it fills. The caller has set status 200, the page's content type and an empty body. */
struct answer {
    unsigned status;
    const char *content_type; /* a literal */
    struct text body;
};

typedef void admin_page_fn(const struct ask *ask, struct answer *answer);

enum admin_method { ADMIN_GET, ADMIN_POST, ADMIN_PUT };

struct admin_page {
    const char *path;
    enum admin_method method;
    const char *content_type;
    admin_page_fn *fill;
    const char *help;
};

/* Ends with a row whose path is NULL. No path stands twice. */
extern const struct admin_page admin_pages[];

const struct admin_page *pages_find(struct sluice_span path);
const char *pages_method_name(enum admin_method method);

/* Make it a problem report (RFC 9457); forgets what was there. detail is a sentence. */
void answer_problem(struct answer *answer, unsigned status, const char *detail);

/* -- the functions, by file ------------------------------------------------ */

admin_page_fn page_list, page_health, page_ready, page_metrics; /* page_state.c */
admin_page_fn page_config;                                      /* page_config.c */
admin_page_fn page_upstreams;                                   /* page_upstreams.c */
admin_page_fn page_workers;                                     /* page_workers.c */
admin_page_fn page_reload, page_drain, page_log;                /* page_action.c */

#endif /* ADMIN_PAGES_H */
