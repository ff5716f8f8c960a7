#include "admin/collect.h"

#include "admin/admin.h"
#include "base/check.h"
#include "net/tls.h"
#include "proxy/snapshot.h"

static const double US_PER_S = 1e6;

static void say_reloads(const struct admin_host *host, struct page *page)
{
    struct label applied = {"result", SPAN("applied")}, refused = {"result", SPAN("refused")};
    struct admin_reload last = {0};
    uint64_t wall_us;

    host->last_reload(host->owner, &last);
    /* The start counts as a success: there is no gateway whose first configuration was refused. */
    wall_us = last.wall_us ? last.wall_us : host->loaded_wall_us(host->owner);
    page_family(page, "sluice_config_last_reload_success", PAGE_GAUGE,
                "1: the last attempt to change the configuration was applied.");
    page_count(page, NULL, 0, last.wall_us == 0 || last.applied);
    page_family(page, "sluice_config_last_reload_timestamp_seconds", PAGE_GAUGE,
                "When that was, seconds since 1970.");
    page_sample(page, NULL, 0, (double)wall_us / US_PER_S);
    page_family(page, "sluice_config_reloads_total", PAGE_COUNTER,
                "Attempts to change the configuration.");
    page_count(page, &applied, 1, last.n_applied);
    page_count(page, &refused, 1, last.n_refused);
    page_family(page, "sluice_config_file_changes_total", PAGE_COUNTER,
                "Of these, because a certificate, a key or another named file changed.");
    page_count(page, NULL, 0, last.n_by_files);
}

/* -- certificates ---------------------------------------------------------- */

struct saying {
    struct page *page;
    struct sluice_span listener;
};

static void say_certificate(void *saying_, const struct tls_certificate_facts *facts)
{
    const struct saying *saying = saying_;
    struct sluice_span rest = facts->names, first = SPAN("");
    struct label labels[] = {
        {"listener", saying->listener}, {"certificate", facts->path}, {.name = "server_name"}};

    (void)span_split(&rest, '\n', &first);
    labels[2].value = first;
    page_sample(saying->page, labels, 3, (double)facts->end_s);
}

static void say_certificates(const struct snapshot *snapshot, struct page *page)
{
    page_family(
        page, "sluice_tls_certificate_expires_timestamp_seconds", PAGE_GAUGE,
        "When a certificate of a listener ends, seconds since 1970; server_name: its first.");
    for (size_t i = 0; snapshot && i < snapshot->n_listeners; i++) {
        struct saying saying = {page, snapshot->listeners[i].name};

        if (snapshot->listeners[i].server)
            tls_server_each(snapshot->listeners[i].server, say_certificate, &saying);
    }
}

void collect_gateway(void *arg, struct page *page)
{
    const struct admin_host *host = arg;
    const struct snapshot *snapshot = host->snapshot(host->owner);
    struct label version = {"version", span_of(host->version)};

    page_family(page, "sluice_bugs_total", PAGE_COUNTER,
                "Contradictions inside the gateway that it went on without; each is logged.");
    page_count(page, NULL, 0, bug_count());
    page_family(page, "sluice_build_info", PAGE_GAUGE, "The version that runs.");
    page_count(page, &version, 1, 1);
    page_family(page, "sluice_ready", PAGE_GAUGE, "1: ready for traffic.");
    page_count(page, NULL, 0, host->readiness(host->owner) == ADMIN_READY);
    page_family(page, "sluice_config_generation", PAGE_GAUGE,
                "Which configuration of this process is in force, counted from 1.");
    page_count(page, NULL, 0, snapshot ? snapshot->generation : 0);
    say_certificates(snapshot, page);
    say_reloads(host, page);
}
