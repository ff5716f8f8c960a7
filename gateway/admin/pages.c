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
    {"/", ADMIN_GET, TEXT, page_list, "this list", NULL},
    {"/healthz", ADMIN_GET, TEXT, page_health, "200 while the process lives", NULL},
    {"/readyz", ADMIN_GET, TEXT, page_ready, "200 when ready for traffic, 503 before and after",
     NULL},
    {"/metrics", ADMIN_GET, METRICS, page_metrics, "numbers, in Prometheus text format", NULL},
    {"/config", ADMIN_GET, JSON, page_config, "the configuration in force, and the last reload",
     NULL},
    {"/upstreams", ADMIN_GET, JSON, page_upstreams,
     "?upstream=NAME&limit=N&offset=N: upstreams and their endpoints, 1000 rows if not told", NULL},
    {"/certificates", ADMIN_GET, JSON, page_certificates, "what clients of listeners are shown",
     NULL},
    {"/memory", ADMIN_GET, JSON, page_memory, "where the bytes of the process are, by kind", NULL},
    {"/workers", ADMIN_GET, JSON, page_workers, "workers, one by one", NULL},
    {"/connections", ADMIN_GET, JSON, page_connections,
     "?side=downstream|upstream&client=&listener=&upstream=&protocol=&worker=&idle_over=&id="
     "&sort=age|idle|requests&limit=N: connections, of clients or to endpoints, 100 if not told",
     finish_connections},
    {"/connections/", ADMIN_POST, JSON, page_connection,
     "ID/close?now=true: end one when what is under way is over, or now", finish_connection},
    {"/plugins", ADMIN_GET, JSON, page_plugins, "plugins, their places, and what these report",
     finish_plugins},
    {"/plugins/", ADMIN_POST, JSON, page_plugin, "PLACE, with a command for it as content",
     finish_plugin},
    {"/reload", ADMIN_POST, JSON, page_reload, "read the configuration again: 200, 422 if refused",
     NULL},
    {"/drain", ADMIN_POST, JSON, page_drain, "finish what is open, then end", NULL},
    {"/log", ADMIN_PUT, JSON, page_log, "?level=error|warn|info|debug|trace: what is logged", NULL},
    {0},
};

/* Does it stand for all that begins with it? */
static bool is_folder(struct sluice_span path)
{
    return path.len > 1 && path.ptr[path.len - 1] == '/';
}

const struct admin_page *pages_find(struct sluice_span path, struct sluice_span *rest)
{
    *rest = SPAN("");
    for (const struct admin_page *page = admin_pages; page->path; page++) {
        struct sluice_span own = span_of(page->path);

        if (is_folder(own) && span_starts(path, own) && path.len > own.len) {
            *rest = span_make(path.ptr + own.len, path.len - own.len);
            return page;
        }
        if (!is_folder(own) && span_equal(path, own))
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

unsigned answer_silent(struct json *json, const struct inquiry *inquiry, unsigned n_workers)
{
    unsigned n = 0;

    json_open_row(json, "silent_workers", '[');
    for (unsigned i = 0; inquiry && i < n_workers; i++) {
        if (inquiry_answer(inquiry, i))
            continue;
        json_number(json, NULL, i);
        n++;
    }
    json_close(json, ']');
    return n;
}
