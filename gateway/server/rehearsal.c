#include "server/rehearsal.h"

#include "base/log.h"
#include "chain/plugin.h"
#include "core/alarm.h"
#include "core/loop.h"
#include "discovery/consul.h"

enum {
    WAIT_MS = 5000, /* for names and registries */
    LOOK_MS = 16,
};

/* Waiting for what sources find. */
struct waiting {
    struct rehearsal *rehearsal;
    struct alarm look;
    unsigned left_ms;
};

static void retire(void *arg, struct snapshot *snapshot)
{
    (void)arg;
    snapshot_free(&snapshot);
}

static void on_look(struct alarm *alarm)
{
    struct waiting *waiting = list_entry(alarm, struct waiting, look);
    struct rehearsal *rehearsal = waiting->rehearsal;
    struct roster_row row;

    if (waiting->left_ms < LOOK_MS || !roster_find_waiting(rehearsal->roster, &row)) {
        loop_stop(rehearsal->loop);
        return;
    }
    waiting->left_ms -= LOOK_MS;
    alarm_arm(rehearsal->loop, alarm, LOOK_MS);
}

static void wait_for_sources(struct rehearsal *rehearsal)
{
    struct waiting waiting = {.rehearsal = rehearsal, .left_ms = WAIT_MS};
    struct roster_row row;

    if (!roster_find_waiting(rehearsal->roster, &row))
        return;
    alarm_init(&waiting.look, on_look);
    alarm_arm(rehearsal->loop, &waiting.look, LOOK_MS);
    loop_run(rehearsal->loop);
    alarm_disarm(&waiting.look);
}

static bool has_host(const struct members *members, struct sluice_span host)
{
    for (size_t i = 0; i < members_count(members); i++) {
        if (span_equal(members->member[i].facts->host, host))
            return true;
    }
    return false;
}

/* Names of a list that have no address; returns how many there are. */
static size_t note_names(const struct upstream_conf *conf, const struct members *members,
                         struct notes *notes)
{
    const struct endpoint_conf *endpoint = conf->source.endpoints.first;
    size_t n = 0;

    for (size_t i = 0; i < conf->source.endpoints.n; i++) {
        struct sluice_span host;
        uint16_t port;

        if (!found_split_name(endpoint[i].address, &host, &port) || has_host(members, host))
            continue;
        notes_warn(notes, endpoint[i].at,
                   "it is asked for again while the gateway runs, and gets requests then",
                   "endpoint '%s' of upstream '%s': the name has no address now",
                   endpoint[i].address.ptr, conf->named.name.ptr);
        n++;
    }
    return n;
}

/* What a source could not find now; it is looked for again while the gateway runs. */
static void note_trouble(const struct upstream_conf *conf, const struct roster_row *row,
                         struct notes *notes)
{
    const struct source_status *status = source_status(row->source);

    if (status->state == SOURCE_FRESH || note_names(conf, row->members, notes) > 0)
        return;
    notes_warn(notes, conf->named.at, "it is tried again while the gateway runs",
               "upstream '%s': %s: %s", conf->named.name.ptr, row->source->title,
               status->why[0] ? status->why : "nothing was found in time");
}

/* What sources have found meanwhile, as a running gateway would have taken it over. */
static void follow_sources(struct rehearsal *rehearsal, struct notes *notes)
{
    struct snapshot *snapshot = rehearsal->snapshot;

    wait_for_sources(rehearsal);
    for (size_t i = 0; i < snapshot->n_upstreams; i++) {
        struct snapshot_upstream *upstream = &snapshot->upstreams[i];
        struct roster_row row;

        if (!roster_find(rehearsal->roster, upstream->conf->named.name, &row))
            continue;
        members_unref(&upstream->members);
        upstream->members = roster_members(rehearsal->roster, upstream->conf->named.name);
        note_trouble(upstream->conf, &row, notes);
    }
}

/* What is kept on disk belongs to the gateway that runs. */
static void ask_consul(struct rehearsal *rehearsal)
{
    struct consul_conf conf = rehearsal->loaded.conf.consul;

    conf.state_dir = SPAN("");
    consul_apply(rehearsal->consul, &conf);
}

static void on_remote(void *rehearsal)
{
    (void)rehearsal; /* it is waited for */
}

static void note_remote(const struct rehearsal *rehearsal, struct notes *notes)
{
    struct sluice_span prefix = consul_kv_prefix(rehearsal->kv);

    if (prefix.len == 0 || consul_kv_newest(rehearsal->kv))
        return;
    notes_warn(notes, (struct mark){0}, "what is under it is checked when the gateway runs",
               "the configuration at '%.*s' of consul cannot be had now", (int)prefix.len,
               prefix.ptr);
}

enum err rehearsal_start(struct rehearsal *rehearsal, const struct gateway_source *source,
                         struct notes *notes)
{
    struct gateway_loaded *loaded = &rehearsal->loaded;
    struct snapshot_parts parts = {.retire = retire};
    enum log_level level = log_level();
    enum err err;

    *rehearsal = (struct rehearsal){.tally = tally_new(1), .loop = loop_new()};
    rehearsal->shares = shares_new(rehearsal->tally);
    rehearsal->sources = sources_new(rehearsal->loop);
    rehearsal->sources->consul = rehearsal->consul = consul_new(rehearsal->loop);
    rehearsal->roster = roster_new(rehearsal->sources, rehearsal->shares);
    rehearsal->home = home_new(rehearsal->tally, 0);
    rehearsal->kv = consul_kv_new(rehearsal->loop, on_remote, rehearsal);
    remote_wait(rehearsal->kv, rehearsal->loop, source, false);
    note_remote(rehearsal, notes);
    err = remote_load(rehearsal->kv, consul_kv_newest(rehearsal->kv), source, notes, loaded);
    if (err)
        return err;
    sources_set_dns(rehearsal->sources, &loaded->conf.dns);
    parts.tally = rehearsal->tally;
    parts.home = rehearsal->home;
    parts.origins = loaded->origins;
    parts.draft = roster_begin(rehearsal->roster);
    rehearsal->snapshot = snapshot_new(&loaded->arena, &loaded->conf.serving, &parts, notes, true);
    if (!rehearsal->snapshot) {
        roster_abandon(&parts.draft);
        return ERR_CONFIG;
    }
    log_set(LOG_ERROR, LOG_TEXT); /* notes say it */
    roster_commit(&parts.draft);
    ask_consul(rehearsal);
    follow_sources(rehearsal, notes);
    log_set(level, LOG_TEXT);
    return OK;
}

void rehearsal_stop(struct rehearsal *rehearsal)
{
    snapshot_unref(&rehearsal->snapshot);
    gateway_unload(&rehearsal->loaded);
    roster_free(&rehearsal->roster);
    sources_free(&rehearsal->sources);
    consul_free(&rehearsal->consul);
    consul_kv_free(&rehearsal->kv);
    home_free(&rehearsal->home);
    shares_free(&rehearsal->shares);
    tally_free(&rehearsal->tally);
    loop_free(&rehearsal->loop);
}
