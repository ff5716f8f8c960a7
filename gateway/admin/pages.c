/*
 * pages.c - the one list of pages.
 */
#include "admin/pages.h"

#include "config/json.h"
#include "http/message.h"

#define TEXT    "text/plain; charset=utf-8"
#define JSON    "application/json"
#define METRICS "text/plain; version=0.0.4; charset=utf-8"

const struct admin_page admin_pages[] = {
    {"/", ADMIN_GET, TEXT, page_list, "this list"},
    {"/healthz", ADMIN_GET, TEXT, page_health, "200 while the process lives"},
    {"/readyz", ADMIN_GET, TEXT, page_ready, "200 when ready for traffic, 503 before and after"},
    {"/metrics", ADMIN_GET, METRICS, page_metrics, "numbers, in Prometheus text format"},
    {"/config", ADMIN_GET, JSON, page_config, "the configuration in force, and the last reload"},
    {"/upstreams", ADMIN_GET, JSON, page_upstreams,
     "?upstream=NAME&limit=N&offset=N: upstreams and their endpoints, 1000 rows if not told"},
    {"/workers", ADMIN_GET, JSON, page_workers, "workers, one by one"},
    {"/reload", ADMIN_POST, JSON, page_reload, "read the configuration again: 200, 422 if refused"},
    {"/drain", ADMIN_POST, JSON, page_drain, "finish what is open, then end"},
    {"/log", ADMIN_PUT, JSON, page_log, "?level=error|warn|info|debug|trace: what is logged"},
    {0},
};

const struct admin_page *pages_find(struct sluice_span path)
{
    for (const struct admin_page *page = admin_pages; page->path; page++) {
        if (span_equal(path, span_of(page->path)))
            return page;
    }
    return NULL;
}

const char *pages_method_name(enum admin_method method)
{
    switch (method) {
    case ADMIN_GET:
        return "GET";
    case ADMIN_POST:
        return "POST";
    case ADMIN_PUT:
        return "PUT";
    }
    return "";
}

void answer_problem(struct answer *answer, unsigned status, const char *detail)
{
    struct json json = {.out = &answer->body};

    text_reset(&answer->body);
    answer->status = status;
    answer->content_type = "application/problem+json";
    json_open_row(&json, NULL, '{');
    json_string(&json, "type", SPAN("about:blank"));
    json_string(&json, "title", span_of(status_reason(status)));
    json_number(&json, "status", status);
    json_string(&json, "detail", span_of(detail));
    json_close(&json, '}');
    text_add_char(&answer->body, '\n');
}
