/*
 * control.c - the life of the process.
 *
 *   STARTING > READY > PAUSING > DRAINING > ended
 *
 *   from       to         by
 *   STARTING   READY      be_ready, when the first configuration is applied and every source
 *                         has found something, or on_deadline
 *   READY      PAUSING    begin_drain (SIGTERM, SIGINT, admin): readiness goes red
 *   PAUSING    DRAINING   on_pause_over: no new connections, idle ones are closed
 *   DRAINING   LEAVING    leave: all connections gone, or the timeout
 *   LEAVING    ended      finish, when a registry knows us no more or does not answer in time
 *   any        ended      finish, at a second signal
 *
 * A configuration is applied in one way, at the start and later: read, check, build, open
 * sockets; only when all of that went well is it published.
 */
#include "server/control.h"

#include "admin/admin.h"
#include "base/alloc.h"
#include "base/log.h"
#include "base/now.h"
#include "chain/collect.h"
#include "chain/home.h"
#include "chain/plugin.h"
#include "core/crash.h"
#include "core/library.h"
#include "core/mailbox.h"
#include "core/signals.h"
#include "core/thread.h"
#include "discovery/consul.h"
#include "discovery/consul_register.h"
#include "http/h1_parse.h"
#include "net/listener.h"
#include "net/tls.h"
#include "observe/metrics.h"
#include "observe/process.h"
#include "proxy/collect.h"
#include "server/descriptors.h"
#include "server/log_files.h"
#include "server/options.h"
#include "server/ports.h"
#include "server/remote.h"
#include "upstream/collect.h"
#include "upstream/health.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum phase { STARTING, READY, PAUSING, DRAINING, LEAVING, ENDED };

enum {
    NOTES_MAX = 1024 * 1024,
    WATCH_MS = 5000,    /* how often to look whether certificates have changed */
    HANGS_US = 1000000, /* a worker that is merely busy turns its loop far more often */
};

struct control {
    const struct gateway_source *source; /* borrowed */
    enum phase phase;
    struct loop *loop;
    struct mailbox *mailbox; /* from workers and retired snapshots */
    struct signals *signals;
    struct crew crew;
    struct thread **thread; /* owned, one a worker; NULL before it runs */
    struct ports *ports;
    struct tally *tally;
    struct chain_home *home;
    struct shares *shares;
    struct health *health;
    struct sources *sources;
    struct consul *consul;
    struct consul_register *registration;
    struct consul_kv *kv; /* configuration that lies in Consul */
    struct roster *roster;
    struct tls_tickets *tickets;
    uint64_t tickets_us; /* when their newest key was made */
    struct writer *writer;
    struct writer_file *log_file;
    struct metrics *metrics;
    struct process process;
    struct traffic_numbers traffic;
    struct upstream_numbers upstreams;
    struct admin *admin;
    char *admin_path; /* owned: of a unix socket, to be removed */
    struct admin_host host;

    struct snapshot *snapshot; /* shared: the newest */
    const struct tree *tree;   /* in its arena */
    struct gateway_conf conf;  /* spans in its arena */
    uint64_t generation;
    uint64_t loaded_wall_us;
    struct admin_reload last; /* the notes of the last try are these two texts */
    struct text notes_json, notes_text;

    struct ports_change *opening; /* while starting: to be opened when sources know something */
    unsigned n_drained;
    struct alarm deadline; /* of the phase */
    struct soon settled;   /* while starting: a source has found something */
    struct alarm watch;
    uint64_t files_stamp; /* of certificates and keys, as last tried */
};

/* -- letters from other threads ------------------------------------------- */

struct retire_letter {
    struct letter letter;
    struct snapshot *snapshot;
};

static void on_retire(void *control, struct letter *letter)
{
    struct retire_letter *retire = (struct retire_letter *)(void *)letter;

    (void)control;
    snapshot_free(&retire->snapshot);
    alloc_free(retire);
}

static const char *host_source(void *control);

static void retire(void *control_, struct snapshot *snapshot)
{
    struct control *control = control_;
    struct retire_letter *letter = alloc_new(sizeof(*letter));

    letter->snapshot = snapshot;
    mailbox_post(control->mailbox, &letter->letter, on_retire);
}

static void on_accused(void *control_, struct letter *letter)
{
    struct control *control = control_;

    if (control->health)
        health_judge(control->health, share_of_letter(letter));
}

/* On a worker's thread. */
static void bring_accused(void *control_, struct letter *letter)
{
    struct control *control = control_;

    mailbox_post(control->mailbox, letter, on_accused);
}

static void finish(struct control *control)
{
    if (control->phase == ENDED)
        return;
    control->phase = ENDED;
    alarm_disarm(&control->deadline);
    /* No upstream is looked after any more; what is closed for that goes with this turn. */
    if (control->health) {
        health_begin(control->health);
        health_end(control->health);
    }
    loop_stop(control->loop);
}

static void on_gone(void *control_)
{
    struct control *control = control_;

    if (control->phase == LEAVING)
        finish(control);
}

/* All is served; who was told to send clients here knows by now, or in a moment. */
static void leave(struct control *control)
{
    if (control->phase != DRAINING)
        return;
    control->phase = LEAVING;
    alarm_disarm(&control->deadline);
    if (!consul_register_end(control->registration))
        finish(control);
}

static void on_worker_drained(void *control_, struct letter *letter)
{
    struct control *control = control_;

    alloc_free(letter);
    if (++control->n_drained == control->crew.n_workers)
        leave(control);
}

static void tell_drained(void *control_, unsigned worker)
{
    struct control *control = control_;

    (void)worker;
    mailbox_post(control->mailbox, alloc_new(sizeof(struct letter)), on_worker_drained);
}

/* For who tells a registry of us; names the workers that hang. */
static bool are_workers_alive(void *control_, struct text *why)
{
    const struct crew *crew = &((struct control *)control_)->crew;
    bool alive = true;

    for (unsigned i = 0; i < crew->n_workers; i++) {
        uint64_t silence_us = worker_silence_us(crew->worker[i]);

        if (silence_us < HANGS_US)
            continue;
        text_format(why, "%sworker %u has not turned its loop for %llu.%llu s", alive ? "" : ", ",
                    i, (unsigned long long)(silence_us / 1000000),
                    (unsigned long long)(silence_us / 100000 % 10));
        alive = false;
    }
    return alive;
}

/* -- the log ----------------------------------------------------------------- */

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

/* -- applying a configuration --------------------------------------------- */

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
                                         .retire = retire,
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

static void keep_notes(struct control *control, const struct notes *notes, enum err err)
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
    keep_notes(control, notes, err);
    log_notes(control, notes, err);
    notes_free(&notes);
    return err;
}

static void refuse_late(struct control *control)
{
    struct notes *notes = notes_new();

    notes_error(notes, (struct mark){0}, NULL, "the gateway is %s",
                control->phase == STARTING ? "starting" : "draining");
    keep_notes(control, notes, ERR_CLOSED);
    log_notes(control, notes, ERR_CLOSED);
    notes_free(&notes);
    control->last.n_refused++;
}

static bool reload(void *control_)
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
static void on_watch(struct alarm *alarm)
{
    struct control *control = list_entry(alarm, struct control, watch);
    const uint64_t rotate_us = (uint64_t)TLS_TICKETS_HOURS * 3600 * 1000 * 1000;
    uint64_t stamp;

    alarm_arm(control->loop, &control->watch, WATCH_MS);
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
    control->files_stamp = stamp; /* what is refused is tried again after the next change */
    reload(control);
}

/* Consul says something else, or nothing for the first time. */
static void on_remote(void *control_)
{
    struct control *control = control_;

    if (control->phase != READY || !consul_kv_newest(control->kv) ||
        consul_kv_newest(control->kv) == consul_kv_good(control->kv))
        return;
    log_info("the configuration in consul has changed",
             F_UINT("keys", consul_kv_newest(control->kv)->n));
    reload(control);
}

/* -- members -------------------------------------------------------------- */

static void be_ready(struct control *control)
{
    control->phase = READY;
    alarm_disarm(&control->deadline);
    alarm_arm(control->loop, &control->watch, WATCH_MS);
    ports_apply(control->ports, &control->opening);
    consul_register_begin(control->registration);
    log_info("ready", F_UINT("workers", control->crew.n_workers),
             F_STR("configuration", host_source(control)));
    on_remote(control);
}

/* Not from inside the roster, which tells of changes before it is through with them. */
static void on_settled(struct soon *soon)
{
    struct control *control = list_entry(soon, struct control, settled);
    struct roster_row row;

    if (control->phase == STARTING && !roster_find_waiting(control->roster, &row))
        be_ready(control);
}

/* Snapshots carry what they begin with; what is found later goes to the workers from here. */
static void on_members(void *control_, const struct roster_news *news)
{
    struct control *control = control_;

    if (news->cause != ROSTER_FOUND)
        return;
    health_set_members(control->health, news->members);
    for (unsigned i = 0; i < control->crew.n_workers; i++) {
        worker_set_members(control->crew.worker[i], news->members);
    }
    if (control->phase == STARTING)
        loop_soon(control->loop, &control->settled);
}

/* Sources that still know nothing hold nobody up for ever. */
static void give_up_waiting(struct control *control)
{
    struct roster_row row;
    size_t at = 0;

    while (roster_each(control->roster, &at, &row)) {
        if (source_found(row.source))
            continue;
        log_warn("ready without endpoints: they are looked for further",
                 F_SPAN("upstream", row.upstream), F_STR("source", row.source->title),
                 F_STR("cause", source_status(row.source)->why));
    }
    be_ready(control);
}

/* -- ending ------------------------------------------------------------------ */

static void on_deadline(struct alarm *alarm)
{
    struct control *control = list_entry(alarm, struct control, deadline);

    if (control->phase == STARTING) {
        give_up_waiting(control);
        return;
    }
    if (control->phase == DRAINING) {
        log_warn(
            "drain timeout: connections still open are cut",
            F_UINT("connections", __atomic_load_n(&control->crew.connections, __ATOMIC_RELAXED)));
        leave(control);
        return;
    }
    control->phase = DRAINING;
    (void)consul_register_end(control->registration);
    for (unsigned i = 0; i < control->crew.n_workers; i++) {
        worker_drain(control->crew.worker[i]);
    }
    alarm_arm(control->loop, &control->deadline, control->conf.drain.timeout_ms);
}

static void begin_drain(void *control_)
{
    struct control *control = control_;

    if (control->phase != READY)
        return;
    log_info("draining",
             F_UINT("connections", __atomic_load_n(&control->crew.connections, __ATOMIC_RELAXED)));
    control->phase = PAUSING;
    consul_register_leave(control->registration);
    if (control->conf.drain.pause_ms > 0) {
        alarm_arm(control->loop, &control->deadline, control->conf.drain.pause_ms);
    } else {
        on_deadline(&control->deadline);
    }
}

static void on_signal(void *control_, int number)
{
    struct control *control = control_;

    if (number == SIGHUP) {
        reload(control);
    } else if (number == SIGUSR1) {
        writer_reopen(control->writer);
        log_info("log files reopened");
    } else if (control->phase == READY) {
        begin_drain(control);
    } else {
        log_warn(control->phase == STARTING ? "ending before it was ready"
                                            : "second signal: ending at once");
        finish(control);
    }
}

/* -- what the admin port asks ---------------------------------------------- */

static enum admin_readiness readiness(void *control_)
{
    const struct control *control = control_;

    if (control->phase == STARTING)
        return ADMIN_STARTING;
    return control->phase == READY ? ADMIN_READY : ADMIN_DRAINING;
}

static struct snapshot *host_snapshot(void *control)
{
    return ((struct control *)control)->snapshot;
}

static const struct tree *host_tree(void *control)
{
    return ((struct control *)control)->tree;
}

static const char *host_source(void *control)
{
    const struct gateway_source *source = ((struct control *)control)->source;

    return source->path ? source->path : "built in";
}

static uint64_t host_loaded(void *control)
{
    return ((struct control *)control)->loaded_wall_us;
}

static void host_last(void *control, struct admin_reload *last)
{
    *last = ((struct control *)control)->last;
}

static void fill_host(struct control *control)
{
    control->host = (struct admin_host){
        .owner = control,
        .crew = &control->crew,
        .tally = control->tally,
        .metrics = control->metrics,
        .mailbox = control->mailbox,
        .roster = control->roster,
        .started_wall_us = now_wall_us(),
        .version = SLUICE_VERSION,
        .readiness = readiness,
        .snapshot = host_snapshot,
        .tree = host_tree,
        .source = host_source,
        .loaded_wall_us = host_loaded,
        .last_reload = host_last,
        .reload = reload,
        .drain = begin_drain,
    };
}

/*
 * Whoever reaches it controls the gateway: a unix socket is its owner's alone, from the moment it
 * exists. No other thread makes files, so none is met by the mask.
 */
static enum err bind_admin(const struct addr *wanted, int *fd)
{
    mode_t mask = umask(0177);
    enum err err = listener_bind(wanted, 64, false, fd);
    int number = errno;

    umask(mask);
    errno = number;
    return err;
}

static enum err open_admin(struct control *control, const struct admin_conf *conf)
{
    char text[ADDR_TEXT + 128];
    struct addr addr;
    int fd;

    if (conf->off)
        return OK;
    if (bind_admin(&conf->addr, &fd) || listener_address(fd, &conf->addr, &addr)) {
        log_error("the admin listener cannot be opened", F_SPAN("address", conf->bind),
                  F_STR("cause", strerror(errno)));
        return ERR_SYSTEM;
    }
    if (addr_unix_path(&addr))
        control->admin_path = alloc_text(addr.path, strlen(addr.path));
    addr_format(&addr, text, sizeof(text));
    control->admin = admin_new(control->loop, fd, &control->host);
    log_info("admin listening", F_STR("address", text));
    return OK;
}

/* -- up and down ------------------------------------------------------------ */

/* errno says why; returns err. */
static enum err report_worker(unsigned worker, enum err err)
{
    log_error("cannot start worker", F_UINT("worker", worker), F_STR("cause", strerror(errno)));
    return err;
}

static enum err start_workers(struct control *control, uint64_t wanted)
{
    unsigned n = wanted ? (unsigned)wanted : thread_processors();

    control->crew.worker = alloc_new(n * sizeof(struct worker *));
    control->thread = alloc_new(n * sizeof(struct thread *));
    control->crew.n_workers = n;
    for (unsigned i = 0; i < n; i++) {
        control->crew.worker[i] = worker_new(&control->crew, i);
        if (!control->crew.worker[i])
            return report_worker(i, ERR_SYSTEM);
    }
    return OK;
}

static enum err run_workers(struct control *control)
{
    for (unsigned i = 0; i < control->crew.n_workers; i++) {
        char name[24];
        enum err err;

        snprintf(name, sizeof(name), "worker-%u", i);
        err = thread_start(&control->thread[i], name, worker_main, control->crew.worker[i]);
        if (err)
            return report_worker(i, err);
    }
    return OK;
}

static void stop_workers(struct control *control)
{
    struct crew *crew = &control->crew;

    for (unsigned i = 0; i < crew->n_workers; i++) {
        if (control->thread[i])
            worker_stop(crew->worker[i]);
    }
    for (unsigned i = 0; i < crew->n_workers; i++) {
        thread_join(&control->thread[i]);
    }
    if (control->home)
        home_quiet(control->home);
    for (unsigned i = 0; i < crew->n_workers; i++) {
        worker_free(&crew->worker[i]);
    }
    alloc_free(crew->worker);
    alloc_free(control->thread);
}

static enum err set_up(struct control *control)
{
    static const int numbers[] = {SIGHUP, SIGTERM, SIGINT, SIGUSR1};

    descriptors_raise();
    library_log();
    control->loop = loop_new();
    if (mailbox_new(&control->mailbox, control->loop, control))
        return ERR_SYSTEM;
    control->signals = signals_new(control->loop, numbers, 4, on_signal, control);
    control->writer = writer_new();
    if (!control->writer)
        return ERR_SYSTEM;
    control->metrics = metrics_new();
    text_init(&control->notes_json, NOTES_MAX);
    text_init(&control->notes_text, NOTES_MAX);
    alarm_init(&control->deadline, on_deadline);
    alarm_init(&control->watch, on_watch);
    soon_init(&control->settled, on_settled);
    control->kv = consul_kv_new(control->loop, on_remote, control);
    control->tickets = tls_tickets_new();
    control->tickets_us = now_us();
    process_init(&control->process);
    return OK;
}

/* Once it is known how many workers there are. */
static void set_up_counting(struct control *control)
{
    control->tally = tally_new(control->crew.n_workers);
    control->shares = shares_new(control->tally);
    shares_on_accused(control->shares, bring_accused, control);
    control->health = health_new(control->loop, control->crew.n_workers);
    control->sources = sources_new(control->loop);
    control->sources->consul = control->consul = consul_new(control->loop);
    control->registration = consul_register_new(
        control->loop, &(struct consul_register_host){control, are_workers_alive, on_gone});
    control->roster = roster_new(control->sources, control->shares);
    roster_on_change(control->roster, on_members, control);
    control->home = home_new(control->tally, control->crew.n_workers);
    control->ports = ports_new(&control->crew, control->tally);
    fill_host(control);
    control->traffic = (struct traffic_numbers){.crew = &control->crew, .tally = control->tally};
    control->upstreams =
        (struct upstream_numbers){.tally = control->tally, .n_workers = control->crew.n_workers};
    metrics_add(control->metrics, collect_traffic, &control->traffic);
    metrics_add(control->metrics, collect_upstreams, &control->upstreams);
    metrics_add(control->metrics, collect_members, control->roster);
    metrics_add(control->metrics, health_collect, control->health);
    metrics_add(control->metrics, consul_collect, control->consul);
    metrics_add(control->metrics, collect_redis, &control->crew);
    metrics_add(control->metrics, home_collect, control->home);
    metrics_add(control->metrics, collect_plugins, control->home);
    metrics_add(control->metrics, consul_kv_collect, control->kv);
    metrics_add(control->metrics, consul_register_collect, control->registration);
    metrics_add(control->metrics, process_collect, &control->process);
}

static void tear_down(struct control *control)
{
    admin_free(&control->admin);
    health_free(&control->health); /* what workers still say is not listened to */
    stop_workers(control);
    ports_forget(&control->opening);
    ports_free(&control->ports);
    snapshot_unref(&control->snapshot);
    mailbox_free(&control->mailbox); /* frees retired snapshots */
    soon_cancel(&control->settled);
    roster_free(&control->roster);
    sources_free(&control->sources);
    consul_register_free(&control->registration);
    consul_kv_free(&control->kv);
    consul_free(&control->consul);
    log_info("ended");
    log_set_sink(NULL, NULL);
    metrics_free(&control->metrics);
    shares_free(&control->shares);
    home_free(&control->home);
    tls_tickets_free(&control->tickets);
    tally_free(&control->tally);
    writer_free(&control->writer);
    signals_free(&control->signals);
    text_fini(&control->notes_json);
    text_fini(&control->notes_text);
    if (control->admin_path)
        unlink(control->admin_path);
    alloc_free(control->admin_path);
    loop_free(&control->loop);
}

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

static enum err load_first(struct control *control, struct gateway_loaded *loaded,
                           struct notes **notes)
{
    enum err err =
        remote_load(control->kv, consul_kv_newest(control->kv), control->source, *notes, loaded);
    const struct consul_kv_set *other = err ? fall_back(control, notes) : NULL;

    return other ? remote_load(control->kv, other, control->source, *notes, loaded) : err;
}

static enum err apply_first(struct control *control, struct gateway_loaded *loaded,
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

/* Everything up to the first accepted connection; returns the exit code when that fails, else 0. */
static int start(struct control *control, struct gateway_loaded *loaded, struct notes **notes)
{
    enum err err;

    control->crew.writer = control->writer;
    control->crew.shed_gate = (struct log_gate){.per_second = 1, .burst = 1};
    control->crew.unshaken_gate = (struct log_gate){.per_second = 1, .burst = 5};
    control->crew.on_drained = tell_drained;
    control->crew.on_drained_arg = control;
    if (start_workers(control, loaded->conf.workers)) {
        gateway_unload(loaded);
        return EXIT_FAILED;
    }
    set_up_counting(control);
    if (run_workers(control)) {
        gateway_unload(loaded);
        return EXIT_FAILED;
    }
    err = apply_first(control, loaded, notes);
    if (err)
        return err == ERR_CONFIG ? EXIT_REFUSED : EXIT_FAILED;
    return open_admin(control, &control->conf.admin) ? EXIT_FAILED : EXIT_FINE;
}

static void say_notes(struct control *control)
{
    struct sluice_span text = text_span(&control->notes_text);

    if (text.len > 0)
        fprintf(stderr, "%.*s", (int)text.len, text.ptr);
}

int control_run(const struct gateway_source *source)
{
    struct control control = {.source = source};
    struct gateway_loaded loaded;
    struct notes *notes = notes_new();
    int code;

    if (set_up(&control)) {
        fprintf(stderr, "sluice: cannot start: %s\n", strerror(errno));
        return EXIT_FAILED;
    }
    crash_install();
    h1_scan_choose(NULL);
    remote_wait(control.kv, control.loop, source, true);
    code = EXIT_FINE;
    if (control.phase != ENDED) {
        code =
            load_first(&control, &loaded, &notes) ? EXIT_REFUSED : start(&control, &loaded, &notes);
    }
    keep_notes(&control, notes, code == EXIT_FINE ? OK : ERR_CONFIG);
    notes_free(&notes);
    say_notes(&control);
    if (code == EXIT_FINE && control.phase != ENDED) {
        on_settled(&control.settled);
        if (control.phase == STARTING)
            alarm_arm(control.loop, &control.deadline, control.conf.ready_timeout_ms);
        loop_run(control.loop);
    }
    tear_down(&control);
    return code;
}
