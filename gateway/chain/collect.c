#include "chain/collect.h"

#include "base/ticks.h"
#include "chain/state.h"
#include "observe/metrics.h"
#include "observe/tally.h"

#include <stddef.h>

/* One number of one plugin, for all workers. */
struct row {
    const char *family, *help;
    size_t offset; /* in struct chain_phase_counters, or in struct chain_counters */
    bool by_phase;
    bool is_time;
};

#define PHASE(member) offsetof(struct chain_phase_counters, member)
#define ALL(member)   offsetof(struct chain_counters, member)

static const struct row rows[] = {
    {"sluice_plugin_calls_total", "Callbacks of plugins that ran.", PHASE(calls), true, false},
    {"sluice_plugin_failures_total", "Phases in which a plugin could not do its work.",
     PHASE(failures), true, false},
    {"sluice_plugin_slow_total", "Callbacks that took more than 5 ms of their worker.", PHASE(slow),
     true, false},
    {"sluice_plugin_seconds_total", "Time spent in callbacks of plugins.", PHASE(ticks), true,
     true},
    {"sluice_plugin_replies_total", "Requests that a plugin has answered.", ALL(replies), false,
     false},
    {"sluice_plugin_waits_total", "Times that a plugin held a request.", ALL(waits), false, false},
    {"sluice_plugin_wait_timeouts_total", "Times that it did so for too long.", ALL(wait_timeouts),
     false, false},
    {"sluice_plugin_stale_total", "Tickets that came too late.", ALL(stale), false, false},
};

struct saying {
    struct page *page;
    const struct chain_home *home;
    const struct row *row;
};

static uint64_t sum(const struct saying *saying, const struct tally_block *block, size_t offset)
{
    uint64_t all = 0;

    for (unsigned i = 0; i < saying->home->n_workers; i++) {
        const char *slot = tally_slot(block, i);

        all += counter_get((const struct counter *)(const void *)(slot + offset));
    }
    return all;
}

static void say(const struct saying *saying, const struct tally_block *block, size_t offset,
                const char *phase)
{
    const struct label labels[] = {{"plugin", block->key}, {"phase", span_of(phase)}};
    uint64_t number = sum(saying, block, offset);
    size_t n = phase ? 2 : 1;

    if (phase && number == 0)
        return; /* most plugins have few phases */
    if (saying->row->is_time) {
        page_sample(saying->page, labels, n,
                    (double)number / 1e6 / (double)saying->home->ticks_per_us);
    } else {
        page_count(saying->page, labels, n, number);
    }
}

static void say_plugin(void *saying_, const struct tally_block *block)
{
    const struct saying *saying = saying_;

    if (!saying->row->by_phase) {
        say(saying, block, saying->row->offset, NULL);
        return;
    }
    for (unsigned i = 0; i < CHAIN_PHASES; i++) {
        size_t phase =
            offsetof(struct chain_counters, phase) + i * sizeof(struct chain_phase_counters);

        say(saying, block, phase + saying->row->offset, run_phase_name((enum sluice_phase)i));
    }
}

void collect_plugins(void *home_, struct page *page)
{
    struct chain_home *home = home_;
    struct saying saying = {.page = page, .home = home};

    if (home->ticks_per_us == 0)
        home->ticks_per_us = ticks_per_us();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        saying.row = &rows[i];
        page_family(page, rows[i].family, PAGE_COUNTER, rows[i].help);
        tally_each(home->tally, "plugin", say_plugin, &saying);
    }
}
