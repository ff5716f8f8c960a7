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
#include "proxy/inquiry.h"

enum { ANSWER_MAX = 64 * 1024 * 1024 /* bytes of a body: metrics of 100,000 names fit */ };

/* What a page function may look at. */
struct ask {
    const struct admin_host *host; /* borrowed */
    const struct metrics *own;     /* borrowed: what admin itself says on the metrics page */
    struct sluice_span query;      /* without '?', as sent */
    struct sluice_span rest;       /* of the path, behind the page's own; decoded */
    struct sluice_span body;       /* what was sent */
};

/* What it fills. The caller has set status 200, the page's content type and an empty body. */
struct answer {
    unsigned status;
    const char *content_type; /* a literal */
    struct text body;
    struct question question; /* for the workers: finish() makes the answer of what they say */
};

typedef void admin_page_fn(const struct ask *ask, struct answer *answer);
/* Only the host and what admin says itself are left in ask; the answer is as fill() found it. */
typedef void admin_finish_fn(const struct ask *ask, const struct inquiry *inquiry,
                             struct answer *answer);

enum admin_method { ADMIN_GET, ADMIN_POST, ADMIN_PUT };

struct admin_page {
    const char *path; /* ends with '/': all that begin with it, and have more */
    enum admin_method method;
    const char *content_type;
    admin_page_fn *fill;
    const char *help;
    admin_finish_fn *finish; /* NULL: it has no questions */
};

/* Ends with a row whose path is NULL. No path stands twice. */
extern const struct admin_page admin_pages[];

/* *rest: what comes behind the path of a page that ends with '/', else empty; as sent. */
const struct admin_page *pages_find(struct sluice_span path, struct sluice_span *rest);
const char *pages_method_name(enum admin_method method);

/* Make it a problem report (RFC 9457); forgets what was there. detail is a sentence. */
void answer_problem(struct answer *answer, unsigned status, const char *detail);

struct json;

/*
 * Add the member silent_workers: those that have not answered in time; returns how many there are.
 * inquiry NULL: nobody was asked.
 */
unsigned answer_silent(struct json *json, const struct inquiry *inquiry, unsigned n_workers);

/* -- the functions, by file ------------------------------------------------ */

admin_page_fn page_certificates;                                /* page_certificates.c */
admin_page_fn page_list, page_health, page_ready, page_metrics; /* page_state.c */
admin_page_fn page_config;                                      /* page_config.c */
admin_page_fn page_upstreams;                                   /* page_upstreams.c */
admin_page_fn page_memory;                                      /* page_memory.c */
admin_page_fn page_connections, page_connection;                /* page_connections.c */
admin_finish_fn finish_connections, finish_connection;
admin_page_fn page_workers;                      /* page_workers.c */
admin_page_fn page_reload, page_drain, page_log; /* page_action.c */
admin_page_fn page_plugins, page_plugin;         /* page_plugins.c */
admin_finish_fn finish_plugins, finish_plugin;

#endif /* ADMIN_PAGES_H */
