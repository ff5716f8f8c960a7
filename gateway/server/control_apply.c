/*
 * control_apply.c - a configuration is applied in one way, at the start and later: read, check,
 * build, open sockets; only when all of that went well is it published.
 */
#include "server/control_room.h"

#include "base/log.h"
#include "base/now.h"
#include "chain/home.h"
#include "discovery/consul.h"
#include "discovery/consul_register.h"
#include "net/tls.h"
#include "server/descriptors.h"
#include "server/log_files.h"
#include "server/ports.h"
#include "server/remote.h"
#include "upstream/health.h"

#include <string.h>

/* -- the log --------------------------------------------------------------------- */

static void log_sink(void *control_, struct sluice_span line)
{
    struct control *control = control_;

    /* What does not fit is dropped and counted: sluice_log_dropped_total. */
    writer_share(control->writer, control->log_file, line);
}

/* Takes the file when the log moves there. */
static void apply_log(struct control *control, const struct log_conf *conf,
                      struct writer_file **file)
{
    log_set(conf->level, conf->form);
    if (control->log_file && span_equal(conf->path, control->conf.log.path))
        return;
    control->log_file = *file;
    *file = NULL;
    log_set_sink(log_sink, control);
    /* Another thread may still be writing a line to the old file: it is closed with the writer. */
}

/* -- a configuration ------------------------------------------------------------- */

/* What can only be changed by a restart is told, not ignored. */
static void warn_of_fixed(const struct control *control, const struct gateway_conf *conf,
                          struct notes *notes)
{
    const struct mark nowhere = {0};

    if (control->phase == STARTING)
        return;
    if (conf->workers != control->conf.workers) {
        notes_warn(notes, nowhere, "restart the gateway",
                   "workers: a change takes effect at the next start");
    }
    if (!span_equal(conf->admin.bind, control->conf.admin.bind)) {
        notes_warn(notes, nowhere, "restart the gateway",
                   "admin.bind: a change takes effect at the next start");
    }
}

/* Tell who looks after endpoints what upstreams and members there are now. */
static void watch_members(struct control *control, const struct snapshot *snapshot)
{
    health_begin(control->health);
    for (size_t i = 0; i < snapshot->n_upstreams; i++) {
        const struct snapshot_upstream *upstream = &snapshot->upstreams[i];

        health_set(control->health, upstream->conf, upstream->members, upstream->tls);
    }
    health_end(control->health);
}

static void publish(struct control *control, struct snapshot *snapshot,
                    const struct gateway_loaded *loaded)
{
    struct snapshot *old = control->snapshot;

    control->snapshot = snapshot;
    control->conf = loaded->conf;
    control->upstreams.endpoints = loaded->conf.admin.endpoint_metrics;
    control->tree = loaded->tree;
    control->loaded_wall_us = now_wall_us();
    __atomic_store_n(&control->crew.max_connections, descriptors_connections(&loaded->conf.limits),
                     __ATOMIC_RELAXED);
    __atomic_store_n(&control->crew.drain_idle_ms, loaded->conf.drain.idle_ms, __ATOMIC_RELAXED);
    __atomic_store_n(&control->crew.drain_flush_ms, loaded->conf.drain.flush_ms, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < control->crew.n_workers; i++) {
        worker_publish(control->crew.worker[i], snapshot);
    }
    watch_members(control, snapshot);
    snapshot_unref(&old);
}

static struct roster_draft *begin_roster(struct control *control,
                                         const struct gateway_loaded *loaded)
{
    sources_set_dns(control->sources, &loaded->conf.dns);
    return roster_begin(control->roster);
}

/* The configuration is refused: what was said before holds on. */
static void end_roster(struct control *control, struct roster_draft **draft)
{
    roster_abandon(draft);
    if (control->phase != STARTING)
        sources_set_dns(control->sources, &control->conf.dns);
}

/* Build and publish what was loaded; takes it. */
static enum err apply(struct control *control, struct gateway_loaded *loaded, struct notes *notes)
{
    struct roster_draft *draft = begin_roster(control, loaded);
    const struct snapshot_parts parts = {.tally = control->tally,
                                         .draft = draft,
                                         .home = control->home,
                                         .origins = loaded->origins,
                                         .writer = control->writer,
                                         .tickets = control->tickets,
                                         .retire = control_retire,
                                         .retire_arg = control};
    struct log_files files;
    enum err err = log_files_open(&files, control->writer, loaded, notes);
    size_t errors = notes_errors(notes);
    struct snapshot *snapshot =
        snapshot_new(&loaded->arena, &loaded->conf.serving, &parts, notes, false);
    struct ports_change *change;

    if (!snapshot) {
        end_roster(control, &draft);
        log_files_close(&files, control->writer);
        return notes_errors(notes) == errors ? err : ERR_CONFIG;
    }
    control->n_snapshots++;
    control->snapshot_bytes += snapshot->arena.bytes;
    snapshot->generation = control->generation + 1;
    control->files_stamp = snapshot->files_stamp;
    if (ports_prepare(control->ports, snapshot, notes, &change)) {
        end_roster(control, &draft);
        snapshot_unref(&snapshot);
        log_files_close(&files, control->writer);
        return ERR_SYSTEM;
    }
    warn_of_fixed(control, &loaded->conf, notes);
    control->generation++;
    apply_log(control, &loaded->conf.log, &files.log);
    log_files_close(&files, control->writer); /* what is in use is held by its users */
    if (snapshot->chains) {
        home_set_helpers(control->home, (unsigned)loaded->conf.helpers.threads,
                         loaded->conf.helpers.queue);
    }
    publish(control, snapshot, loaded);
    roster_commit(&draft);
    consul_apply(control->consul, &control->conf.consul);
    consul_register_apply(control->registration, &control->conf.consul);
    consul_kv_apply(control->kv, &control->conf.consul);
    if (control->phase == STARTING) {
        control->opening = change;
    } else {
        ports_apply(control->ports, &change);
    }
    return OK;
}

/* -- its notes, and applying it later -------------------------------------------- */

void control_keep_notes(struct control *control, const struct notes *notes, enum err err)
{
    text_reset(&control->notes_json);
    text_reset(&control->notes_text);
    notes_print_json(notes, &control->notes_json);
    if (notes_errors(notes) + notes_warnings(notes) > 0)
        notes_print(notes, &control->notes_text);
    control->last.wall_us = now_wall_us();
    control->last.applied = err == OK;
    control->last.notes_json = &control->notes_json;
    control->last.notes_text = &control->notes_text;
}

static void log_note(void *control, const struct notes_entry *entry)
{
    (void)control;
    log_at(entry->warning ? LOG_WARN : LOG_ERROR, "configuration note", F_SPAN("file", entry->file),
           F_UINT("line", entry->line), F_UINT("column", entry->column),
           F_STR("note", entry->message), F_STR("hint", entry->hint));
}

/* Notes go into the log as well: whoever sent SIGHUP has nowhere else to look. */
static void log_notes(struct control *control, const struct notes *notes, enum err err)
{
    notes_each(notes, log_note, control);
    if (err) {
        log_error("configuration refused, the one before stays",
                  F_UINT("generation", control->generation));
    } else {
        log_info("configuration applied", F_UINT("generation", control->generation));
    }
}

static enum err load_with(struct control *control, const struct consul_kv_set *set,
                          struct notes *notes)
{
    struct gateway_loaded loaded;
    enum err err = remote_load(control->kv, set, control->source, notes, &loaded);

    if (err)
        return err;
    err = apply(control, &loaded, notes);
    if (err)
        gateway_unload(&loaded);
    return err;
}

/* What Consul says is tried first; when that is refused by itself, a new file still counts. */
static enum err load_and_apply(struct control *control)
{
    struct notes *notes = notes_new();
    bool was_refused = consul_kv_is_refused(control->kv);
    enum err err = load_with(control, consul_kv_newest(control->kv), notes);

    consul_kv_judge(control->kv, err == OK);
    if (err && was_refused) {
        notes_free(&notes);
        notes = notes_new();
        err = load_with(control, consul_kv_good(control->kv), notes);
    }
    control_keep_notes(control, notes, err);
    log_notes(control, notes, err);
    notes_free(&notes);
    return err;
}

static void refuse_late(struct control *control)
{
    struct notes *notes = notes_new();

    notes_error(notes, (struct mark){0}, NULL, "the gateway is %s",
                control->phase == STARTING ? "starting" : "draining");
    control_keep_notes(control, notes, ERR_CLOSED);
    log_notes(control, notes, ERR_CLOSED);
    notes_free(&notes);
    control->last.n_refused++;
}

bool control_reload(void *control_)
{
    struct control *control = control_;
    enum err err;

    if (control->phase != READY) {
        refuse_late(control);
        return false;
    }
    err = load_and_apply(control);
    if (err) {
        control->last.n_refused++;
    } else {
        control->last.n_applied++;
    }
    return err == OK;
}

/* Certificates are renewed by somebody who does not know of us; tickets' keys by ourselves. */
void control_on_watch(struct alarm *alarm)
{
    struct control *control = list_entry(alarm, struct control, watch);
    const uint64_t rotate_us = (uint64_t)TLS_TICKETS_HOURS * 3600 * 1000 * 1000;
    uint64_t stamp;

    alarm_arm(control->loop, &control->watch, CONTROL_WATCH_MS);
    if (now_us() - control->tickets_us >= rotate_us) {
        tls_tickets_rotate(control->tickets);
        control->tickets_us = now_us();
    }
    if (control->phase != READY)
        return;
    stamp = snapshot_files(control->snapshot);
    if (stamp == control->files_stamp)
        return;
    log_info("certificates or keys have changed");
    control->last.n_by_files++;
    control->files_stamp = stamp; /* what is refused is tried again after the next change */
    control_reload(control);
}

/* Consul says something else, or nothing for the first time. */
void control_on_remote(void *control_)
{
    struct control *control = control_;

    if (control->phase != READY || !consul_kv_newest(control->kv) ||
        consul_kv_newest(control->kv) == consul_kv_good(control->kv))
        return;
    log_info("the configuration in consul has changed",
             F_UINT("keys", consul_kv_newest(control->kv)->n));
    control_reload(control);
}

/* -- applying the first ---------------------------------------------------------- */

/*
 * What Consul says is refused: begin with what was last applied, if that is kept. What was noted is
 * logged, and *notes are new.
 */
static const struct consul_kv_set *fall_back(struct control *control, struct notes **notes)
{
    const struct consul_kv_set *other = remote_other(control->kv);

    if (!other || consul_kv_is_refused(control->kv))
        return NULL;
    consul_kv_judge(control->kv, false);
    notes_each(*notes, log_note, control);
    log_error("the configuration in consul is refused, the one kept from before is used");
    notes_free(notes);
    *notes = notes_new();
    return other;
}

enum err control_load_first(struct control *control, struct gateway_loaded *loaded,
                            struct notes **notes)
{
    enum err err =
        remote_load(control->kv, consul_kv_newest(control->kv), control->source, *notes, loaded);
    const struct consul_kv_set *other = err ? fall_back(control, notes) : NULL;

    return other ? remote_load(control->kv, other, control->source, *notes, loaded) : err;
}

enum err control_apply_first(struct control *control, struct gateway_loaded *loaded,
                             struct notes **notes)
{
    enum err err = apply(control, loaded, *notes);
    const struct consul_kv_set *other;

    if (!err && !consul_kv_is_refused(control->kv))
        consul_kv_judge(control->kv, true);
    if (!err)
        return OK;
    gateway_unload(loaded);
    other = fall_back(control, notes);
    return other ? load_with(control, other, *notes) : err;
}
