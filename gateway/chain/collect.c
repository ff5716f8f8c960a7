#include "chain/collect.h"

#include "base/ticks.h"
#include "chain/state.h"
#include "observe/metrics.h"
#include "observe/tally.h"

#include <stddef.h>

/* What a number is of. */
enum subject { OF_PLUGIN, OF_PHASE, OF_PLACE };

struct row {
    const char *family, *help;
    size_t offset; /* in the counters of its subject */
    enum subject subject;
};

#define PLUGIN(member) offsetof(struct chain_counters, member), OF_PLUGIN
#define PHASE(member)  offsetof(struct chain_phase_counters, member), OF_PHASE
#define PLACE(member)  offsetof(struct chain_place_counters, member), OF_PLACE

static const struct row rows[] = {
    {"sluice_plugin_failures_total", "Phases in which a plugin could not do its work.",
     PHASE(failures)},
    {"sluice_plugin_slow_total", "Callbacks that took more than 5 ms of their worker.",
     PHASE(slow)},
    {"sluice_plugin_replies_total", "Requests that a plugin has answered.", PLUGIN(replies)},
    {"sluice_plugin_waits_total", "Times that a plugin held a request.", PLUGIN(waits)},
    {"sluice_plugin_wait_timeouts_total", "Times that it did so for too long.",
     PLUGIN(wait_timeouts)},
    {"sluice_plugin_stale_total", "Tickets that came too late.", PLUGIN(stale)},
    {"sluice_plugin_place_replies_total", "Requests that an entry of a chain has answered.",
     PLACE(replies)},
    {"sluice_plugin_place_failures_total", "Phases in which it could not do its work.",
     PLACE(failures)},
    {"sluice_plugin_place_wait_timeouts_total", "Times that it held a request for too long.",
     PLACE(wait_timeouts)},
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

static size_t offset_of(unsigned phase)
{
    return offsetof(struct chain_counters, phase) + phase * sizeof(struct chain_phase_counters);
}

static void say_plugin(void *saying_, const struct tally_block *block)
{
    const struct saying *saying = saying_;
    const struct label labels[] = {{"plugin", block->key}};

    page_count(saying->page, labels, 1, sum(saying, block, saying->row->offset));
}

/* Most plugins have few phases, and most places fail at nothing. */
static void say_phases(void *saying_, const struct tally_block *block)
{
    const struct saying *saying = saying_;

    for (unsigned i = 0; i < CHAIN_PHASES; i++) {
        const struct label labels[] = {{"plugin", block->key},
                                       {"phase", span_of(run_phase_name((enum sluice_phase)i))}};
        uint64_t number = sum(saying, block, offset_of(i) + saying->row->offset);

        if (number > 0)
            page_count(saying->page, labels, 2, number);
    }
}

static void say_place(void *saying_, const struct tally_block *block)
{
    const struct saying *saying = saying_;
    const struct label labels[] = {{"place", block->key}};
    uint64_t number = sum(saying, block, saying->row->offset);

    if (number > 0)
        page_count(saying->page, labels, 1, number);
}

static void say_times(void *saying_, const struct tally_block *block)
{
    const struct saying *saying = saying_;

    for (unsigned i = 0; i < CHAIN_PHASES; i++) {
        const struct label labels[] = {{"plugin", block->key},
                                       {"phase", span_of(run_phase_name((enum sluice_phase)i))}};
        struct times all = {0};

        for (unsigned j = 0; j < saying->home->n_workers; j++) {
            const struct chain_counters *counters = tally_slot(block, j);

            times_sum(&all, &counters->phase[i].times);
        }
        if (times_count(&all) > 0)
            times_say(&all, saying->home->ticks_per_us, saying->page, labels, 2);
    }
}

void collect_plugins(void *home_, struct page *page)
{
    static const struct {
        const char *kind;
        tally_each_fn *say;
    } subjects[] = {
        [OF_PLUGIN] = {"plugin", say_plugin},
        [OF_PHASE] = {"plugin", say_phases},
        [OF_PLACE] = {"plugin place", say_place},
    };
    struct chain_home *home = home_;
    struct saying saying = {.page = page, .home = home};

    if (home->ticks_per_us == 0)
        home->ticks_per_us = ticks_per_us();
    page_family(page, "sluice_plugin_phase_seconds", PAGE_HISTOGRAM,
                "Time that callbacks of plugins took of their worker.");
    tally_each(home->tally, "plugin", say_times, &saying);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        saying.row = &rows[i];
        page_family(page, rows[i].family, PAGE_COUNTER, rows[i].help);
        tally_each(home->tally, subjects[rows[i].subject].kind, subjects[rows[i].subject].say,
                   &saying);
    }
}
