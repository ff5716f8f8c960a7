#include "admin/collect.h"

#include "admin/admin.h"

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
}

void collect_gateway(void *arg, struct page *page)
{
    const struct admin_host *host = arg;
    const struct snapshot *snapshot = host->snapshot(host->owner);
    struct label version = {"version", span_of(host->version)};

    page_family(page, "sluice_build_info", PAGE_GAUGE, "The version that runs.");
    page_count(page, &version, 1, 1);
    page_family(page, "sluice_ready", PAGE_GAUGE, "1: ready for traffic.");
    page_count(page, NULL, 0, host->readiness(host->owner) == ADMIN_READY);
    page_family(page, "sluice_config_generation", PAGE_GAUGE,
                "Which configuration of this process is in force, counted from 1.");
    page_count(page, NULL, 0, snapshot ? snapshot->generation : 0);
    say_reloads(host, page);
}
