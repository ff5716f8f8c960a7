#include "server/rehearsal.h"

static void retire(void *arg, struct snapshot *snapshot)
{
    (void)arg;
    snapshot_free(&snapshot);
}

enum err rehearsal_start(struct rehearsal *rehearsal, const struct gateway_source *source,
                         struct notes *notes)
{
    struct gateway_loaded *loaded = &rehearsal->loaded;
    struct snapshot_parts parts = {.retire = retire};
    enum err err;

    *rehearsal = (struct rehearsal){.tally = tally_new(1)};
    rehearsal->shares = shares_new(rehearsal->tally);
    parts.tally = rehearsal->tally;
    parts.shares = rehearsal->shares;
    err = gateway_load(source, notes, loaded);
    if (err)
        return err;
    rehearsal->snapshot = snapshot_new(&loaded->arena, &loaded->conf.serving, &parts, notes, true);
    if (!rehearsal->snapshot)
        return ERR_CONFIG;
    rehearsal->snapshot->origins = loaded->origins;
    return OK;
}

void rehearsal_stop(struct rehearsal *rehearsal)
{
    snapshot_unref(&rehearsal->snapshot);
    gateway_unload(&rehearsal->loaded);
    shares_free(&rehearsal->shares);
    tally_free(&rehearsal->tally);
}
