/*
 * host_metric.c - metrics of plugins, and the page's part about plugins' services.
 */
#include "chain/host.h"
#include "chain/plugin.h"
#include "chain/shared.h"
#include "core/helpers.h"
#include "observe/metrics.h"
#include "observe/series.h"

#include "base/now.h"

#include <string.h>

/* A metric is a family of series; the struct has no members of its own. */
static struct series_family *family_of(struct sluice_metric *metric)
{
    return (struct series_family *)(void *)metric;
}

struct sluice_metric *host_metric(struct sluice_setup *setup, const struct sluice_metric_spec *spec)
{
    static const enum series_kind kinds[] = {
        [SLUICE_COUNTER] = SERIES_COUNTER,
        [SLUICE_GAUGE] = SERIES_GAUGE,
        [SLUICE_HISTOGRAM] = SERIES_HISTOGRAM,
    };
    struct series_spec wanted = {.help = spec->help,
                                 .labels = spec->labels,
                                 .buckets = spec->buckets,
                                 .n_buckets = spec->n_buckets,
                                 .max_series = spec->max_series};
    struct sluice_span name;

    if (!setup->is_start || spec->kind > SLUICE_HISTOGRAM || !spec->name)
        return NULL;
    wanted.kind = kinds[spec->kind];
    name =
        arena_format(setup->arena, "sluice_plugin_%s_%s", setup->entry->plugin->name, spec->name);
    if (wanted.kind == SERIES_COUNTER && !span_ends(name, SPAN("_total")))
        name = arena_format(setup->arena, "%s_total", name.ptr);
    wanted.name = name.ptr;
    return name.ptr ? (struct sluice_metric *)(void *)series_get(setup->home->series, &wanted)
                    : NULL;
}

void host_metric_add(const struct sluice_call *call, struct sluice_metric *metric,
                     const struct sluice_span *values, double amount)
{
    if (metric)
        series_add(family_of(metric), call->place->worker->index, values, amount);
}

static void say(struct page *page, const char *name, enum page_type type, const char *help,
                uint64_t value)
{
    page_family(page, name, type, help);
    page_count(page, NULL, 0, value);
}

static void collect_helpers(struct helpers *helpers, struct page *page)
{
    struct helpers_numbers numbers = helpers_numbers(helpers);

    say(page, "sluice_helpers_threads", PAGE_GAUGE, "Helper threads.", numbers.threads);
    say(page, "sluice_helpers_busy", PAGE_GAUGE, "Helper threads that work.", numbers.busy);
    say(page, "sluice_helpers_queued", PAGE_GAUGE, "Work that waits for a helper thread.",
        numbers.queued);
    say(page, "sluice_helpers_queue_max", PAGE_GAUGE, "Room of that queue.", numbers.queue_max);
    say(page, "sluice_helpers_done_total", PAGE_COUNTER, "Work that helper threads did.",
        numbers.done);
    say(page, "sluice_helpers_refused_total", PAGE_COUNTER,
        "Work refused because the queue was full.", numbers.refused);
}

void home_collect(void *home_, struct page *page)
{
    struct chain_home *home = home_;

    if (list_is_empty(&home->plugins))
        return; /* nobody uses any of it */
    shared_sweep(home->shared, now_coarse_ms());
    collect_helpers(home->helpers, page);
    shared_collect(home->shared, page);
    series_collect(home->series, page);
}
