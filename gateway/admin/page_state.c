/*
 * page_state.c - is it there, is it ready, what does it count.
 */
#include "admin/pages.h"
#include "observe/metrics.h"

void page_list(const struct ask *ask, struct answer *answer)
{
    text_format(&answer->body, "sluice %s\n\n", ask->host->version);
    for (const struct admin_page *page = admin_pages; page->path; page++) {
        text_format(&answer->body, "%-5s%-12s%s\n", pages_method_name(page->method), page->path,
                    page->help);
    }
}

void page_health(const struct ask *ask, struct answer *answer)
{
    (void)ask;
    text_add(&answer->body, SPAN("ok\n"));
}

void page_ready(const struct ask *ask, struct answer *answer)
{
    static const struct {
        unsigned status;
        const char *word;
    } states[] = {
        [ADMIN_STARTING] = {503, "starting\n"},
        [ADMIN_READY] = {200, "ready\n"},
        [ADMIN_DRAINING] = {503, "draining\n"},
    };
    enum admin_readiness state = ask->host->readiness(ask->host->owner);

    answer->status = states[state].status;
    text_add(&answer->body, span_of(states[state].word));
}

void page_metrics(const struct ask *ask, struct answer *answer)
{
    metrics_print(ask->own, &answer->body);
    metrics_print(ask->host->metrics, &answer->body);
}
