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
 * Beside it: control_apply.c (configurations), control_mail.c (letters from and to other threads),
 * control_admin.c (the admin port). What they share is in control_room.h.
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
#include "net/tls.h"
#include "observe/metrics.h"
#include "observe/process.h"
#include "proxy/collect.h"
#include "server/control_room.h"
#include "server/descriptors.h"
#include "server/options.h"
#include "server/ports.h"
#include "server/remote.h"
#include "upstream/collect.h"
#include "upstream/health.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NOTES_MAX = 1024 * 1024 };

/* -- the phases ------------------------------------------------------------------ */

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
void control_leave(struct control *control)
{
    if (control->phase != DRAINING)
        return;
    control->phase = LEAVING;
    alarm_disarm(&control->deadline);
    if (!consul_register_end(control->registration))
        finish(control);
}

static void be_ready(struct control *control)
{
    control->phase = READY;
    alarm_disarm(&control->deadline);
    alarm_arm(control->loop, &control->watch, CONTROL_WATCH_MS);
    ports_apply(control->ports, &control->opening);
    consul_register_begin(control->registration);
    log_info("ready", F_UINT("workers", control->crew.n_workers),
             F_STR("configuration", control_source(control)));
    control_on_remote(control);
}

/* Not from inside the roster, which tells of changes before it is through with them. */
static void on_settled(struct soon *soon)
{
    struct control *control = list_entry(soon, struct control, settled);
    struct roster_row row;

    if (control->phase == STARTING && !roster_find_waiting(control->roster, &row))
        be_ready(control);
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
        control_leave(control);
        return;
    }
    control->phase = DRAINING;
    (void)consul_register_end(control->registration);
    for (unsigned i = 0; i < control->crew.n_workers; i++) {
        worker_drain(control->crew.worker[i]);
    }
    alarm_arm(control->loop, &control->deadline, control->conf.drain.timeout_ms);
}

void control_begin_drain(void *control_)
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
        control_reload(control);
    } else if (number == SIGUSR1) {
        writer_reopen(control->writer);
        log_info("log files reopened");
    } else if (control->phase == READY) {
        control_begin_drain(control);
    } else {
        log_warn(control->phase == STARTING ? "ending before it was ready"
                                            : "second signal: ending at once");
        finish(control);
    }
}

/* -- up and down ----------------------------------------------------------------- */

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
    alarm_init(&control->watch, control_on_watch);
    soon_init(&control->settled, on_settled);
    control->kv = consul_kv_new(control->loop, control_on_remote, control);
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
    shares_on_accused(control->shares, control_bring_accused, control);
    control->health = health_new(control->loop, control->crew.n_workers);
    control->sources = sources_new(control->loop);
    control->sources->consul = control->consul = consul_new(control->loop);
    control->registration = consul_register_new(
        control->loop, &(struct consul_register_host){control, control_are_workers_alive, on_gone});
    control->roster = roster_new(control->sources, control->shares);
    roster_on_change(control->roster, control_on_members, control);
    control->home = home_new(control->tally, control->crew.n_workers);
    control->ports = ports_new(&control->crew, control->tally);
    control_fill_host(control);
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

/* Everything up to the first accepted connection; returns the exit code when that fails, else 0. */
static int start(struct control *control, struct gateway_loaded *loaded, struct notes **notes)
{
    enum err err;

    control->crew.writer = control->writer;
    control->crew.shed_gate = (struct log_gate){.per_second = 1, .burst = 1};
    control->crew.unshaken_gate = (struct log_gate){.per_second = 1, .burst = 5};
    control->crew.on_drained = control_tell_drained;
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
    err = control_apply_first(control, loaded, notes);
    if (err)
        return err == ERR_CONFIG ? EXIT_REFUSED : EXIT_FAILED;
    return control_open_admin(control, &control->conf.admin) ? EXIT_FAILED : EXIT_FINE;
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
        code = control_load_first(&control, &loaded, &notes) ? EXIT_REFUSED
                                                             : start(&control, &loaded, &notes);
    }
    control_keep_notes(&control, notes, code == EXIT_FINE ? OK : ERR_CONFIG);
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
