#include "chain/describe.h"

#include "base/ticks.h"
#include "chain/plugin.h"
#include "chain/set.h"
#include "chain/state.h"
#include "observe/tally.h"

/* -- places ------------------------------------------------------------------------ */

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static void sum_own(const struct tally_block *own, struct chain_place *place)
{
    for (unsigned i = 0; own && i < own->n; i++) {
        const struct chain_place_counters *counters = tally_slot(own, i);

        place->replies += counter_get(&counters->replies);
        place->failures += counter_get(&counters->failures);
        place->wait_timeouts += counter_get(&counters->wait_timeouts);
    }
}

static void describe(const struct chain_entry *entry, struct chain_place *place)
{
    *place = (struct chain_place){.index = entry->index,
                                  .id = entry->id,
                                  .name = entry->name,
                                  .label = entry->place,
                                  .plugin = entry->plugin->name,
                                  .version = or_empty(entry->about->version),
                                  .at = entry->at,
                                  .fails_open = entry->written->on_error == ENTRY_OPEN,
                                  .is_disabled = entry->written->disabled,
                                  .reports = entry->about->on_report != NULL,
                                  .obeys = entry->about->on_command != NULL,
                                  .wait_ms = entry->written->wait_ms};
    sum_own(entry->own, place);
}

unsigned chain_set_places(const struct chain_set *set)
{
    return set ? set->n : 0;
}

void chain_set_place(const struct chain_set *set, unsigned i, struct chain_place *place)
{
    describe(set->entry[i], place);
}

unsigned chain_places(const struct chain *chain)
{
    return chain ? chain->n : 0;
}

void chain_place(const struct chain *chain, unsigned i, struct chain_place *place)
{
    describe(chain->entry[i], place);
}

enum chain_when chain_place_when(const struct chain *chain, unsigned i,
                                 const struct request *request)
{
    const struct chain_entry *entry = chain->entry[i];

    if (!entry->has_when)
        return CHAIN_ALWAYS;
    return when_holds(&entry->written->when, request) ? CHAIN_HOLDS : CHAIN_HOLDS_NOT;
}

static unsigned count_named(const struct chain_set *set, struct sluice_span word, unsigned *index)
{
    unsigned n = 0;

    for (unsigned i = 0; i < set->n; i++) {
        if (span_equal(set->entry[i]->name, word)) {
            *index = i;
            n++;
        }
    }
    return n;
}

unsigned chain_set_find(const struct chain_set *set, struct sluice_span word, unsigned *index)
{
    unsigned n = 0;

    if (!set)
        return 0;
    for (unsigned i = 0; i < set->n; i++) {
        if (span_equal(set->entry[i]->place, word)) {
            *index = i;
            return 1;
        }
        if (span_equal(set->entry[i]->id, word)) {
            *index = i;
            n++;
        }
    }
    return n > 0 ? n : count_named(set, word, index);
}

/* -- files --------------------------------------------------------------------------- */

unsigned chain_set_n_files(const struct chain_set *set)
{
    return set ? set->n_plugins : 0;
}

void chain_set_file(const struct chain_set *set, unsigned i, struct chain_file *file)
{
    const struct plugin *plugin = set->plugins[i];

    *file = (struct chain_file){.name = plugin->name,
                                .version = or_empty(plugin->about.version),
                                .summary = or_empty(plugin->about.summary),
                                .path = plugin->path,
                                .content = plugin->id};
}

/* The counters of a plugin, worker by worker. */
static const struct tally_block *block_of(const struct chain_set *set, unsigned i)
{
    return tally_get(set->home->tally, "plugin", span_of(set->plugins[i]->name),
                     sizeof(struct chain_counters));
}

void chain_set_numbers(const struct chain_set *set, unsigned i, struct chain_file_numbers *numbers)
{
    const struct tally_block *block = block_of(set, i);

    *numbers = (struct chain_file_numbers){.replies = 0};
    for (unsigned worker = 0; worker < set->home->n_workers; worker++) {
        const struct chain_counters *counters = tally_slot(block, worker);

        numbers->replies += counter_get(&counters->replies);
        numbers->waits += counter_get(&counters->waits);
        numbers->wait_timeouts += counter_get(&counters->wait_timeouts);
        numbers->stale += counter_get(&counters->stale);
    }
}

bool chain_set_phase(const struct chain_set *set, unsigned i, unsigned phase,
                     struct chain_phase_numbers *numbers)
{
    struct chain_home *home = set->home;
    const struct tally_block *block;
    struct times times = {0};

    if (phase >= CHAIN_PHASES)
        return false;
    if (home->ticks_per_us == 0)
        home->ticks_per_us = ticks_per_us();
    block = block_of(set, i);
    *numbers = (struct chain_phase_numbers){.phase = run_phase_name((enum sluice_phase)phase)};
    for (unsigned worker = 0; worker < home->n_workers; worker++) {
        const struct chain_counters *all = tally_slot(block, worker);
        const struct chain_phase_counters *counters = &all->phase[phase];

        times_sum(&times, &counters->times);
        numbers->failures += counter_get(&counters->failures);
        numbers->slow += counter_get(&counters->slow);
    }
    numbers->calls = times_count(&times);
    numbers->seconds = times_seconds(&times, home->ticks_per_us);
    return true;
}

/* -- asking ----------------------------------------------------------------------------- */

static enum sluice_verdict ask(const struct sluice_call *call, void *command_)
{
    const struct sluice_span *command = command_;
    const struct sluice_plugin *about = call->place->entry->about;

    if (command->ptr) {
        about->on_command(call, *command);
    } else {
        about->on_report(call);
    }
    return SLUICE_NEXT;
}

void chain_view_ask(struct chain_view *view, unsigned i, struct sluice_span command,
                    struct text *out)
{
    struct sluice_place *place = &view->places[i];
    const struct sluice_plugin *about = place->entry->about;

    if (place->is_broken || (command.ptr ? !about->on_command : !about->on_report))
        return;
    place->report = out;
    place_run(place, ask, &command);
    place->report = NULL;
}
