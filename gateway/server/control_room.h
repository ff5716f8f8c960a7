/*
 * control_room.h - the insides of the control thread (private to control*.c).
 *
 * Threads: main's, unless a function says otherwise.
 */
#ifndef SERVER_CONTROL_ROOM_H
#define SERVER_CONTROL_ROOM_H

#include "admin/admin.h"
#include "core/loop.h"
#include "observe/process.h"
#include "proxy/collect.h"
#include "server/gateway_conf.h"
#include "upstream/collect.h"
#include "upstream/roster.h"

struct letter;
struct notes;

enum phase { STARTING, READY, PAUSING, DRAINING, LEAVING, ENDED };

enum { CONTROL_WATCH_MS = 5000 /* how often to look whether certificates have changed */ };

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
    uint64_t n_snapshots, snapshot_bytes; /* of all that somebody holds */
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

/* -- the phases (control.c) ---------------------------------------------------- */

/* All is served: what is registered goes, then the process ends. Only while DRAINING. */
void control_leave(struct control *control);

/* Readiness goes red, and what follows. Only while READY; for admin_host. */
void control_begin_drain(void *control_);

/* -- configurations (control_apply.c) ------------------------------------------- */

/*
 * Read and check the first one, with what Consul says; when that is refused, with what was kept of
 * it: *notes are new then. The caller gives *loaded to control_apply_first().
 */
CHECKED enum err control_load_first(struct control *control, struct gateway_loaded *loaded,
                                    struct notes **notes);

/* Build and publish the first one; takes *loaded, whatever is returned. */
CHECKED enum err control_apply_first(struct control *control, struct gateway_loaded *loaded,
                                     struct notes **notes);

/* Remember what was noted, for who asks how the last try went. */
void control_keep_notes(struct control *control, const struct notes *notes, enum err err);

/* Read the configuration again and apply it; true when it is in force. For admin_host. */
bool control_reload(void *control_);

/* The alarm that looks whether certificates and keys have changed. */
void control_on_watch(struct alarm *alarm);

/* Consul says something else, or nothing for the first time. */
void control_on_remote(void *control_);

/* -- other threads (control_mail.c) ----------------------------------------------- */

/* Any thread: the last use of a snapshot has ended. */
void control_retire(void *control_, struct snapshot *snapshot);

/* A worker: an endpoint is accused, by a letter that lies in its share. */
void control_bring_accused(void *control_, struct letter *letter);

/* A worker: its last connection is gone. */
void control_tell_drained(void *control_, unsigned worker);

/* For who tells a registry of us; names the workers that hang. */
bool control_are_workers_alive(void *control_, struct text *why);

/* Snapshots carry what they begin with; what is found later goes to the workers from here. */
void control_on_members(void *control_, const struct roster_news *news);

/* -- the admin port (control_admin.c) ----------------------------------------------- */

/* What it may ask of us. */
void control_fill_host(struct control *control);

/* ERR_SYSTEM: it cannot be opened, and the log says why. */
CHECKED enum err control_open_admin(struct control *control, const struct admin_conf *conf);

/* Where the configuration comes from, for people. */
const char *control_source(void *control);

#endif /* SERVER_CONTROL_ROOM_H */
