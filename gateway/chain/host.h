/*
 * host.h - the inside of the chain: what stands behind the opaque structs of the ABI.
 *
 * Private to chain/: run.c and its neighbours, and the services (host_*.c). Who adds a
 * service reads this page:
 *
 * - A service begins with a call. call->place says which plugin asks and on which worker
 *   (place->worker, place->worker->loop); call->exchange is NULL in the worker's own callbacks.
 * - What takes time embeds a struct chain_pending and adds it with pending_add(). It is then in
 *   the list of its exchange, or of its place when there is no exchange, and is dropped with
 *   it: drop() is called exactly once, and the completion must not be called any more.
 * - When it is done, on the worker's thread and from the loop (never inside the service), it calls
 *   pending_finish(): that enters the exchange, calls the completion with the call it belongs to,
 *   takes its verdict when the exchange waits there, and runs the exchange on. The exchange
 *   may be gone when it returns.
 * - What other threads still do with the plugin's code or conf (offload) holds the place by
 *   place_hold() until they are done: worker_stop, conf_fini and dlclose come after that.
 *
 * Threads: everything here belongs to the worker, but for struct chain_entry, which is immutable.
 */
#ifndef CHAIN_HOST_H
#define CHAIN_HOST_H

#include "abi/sluice_plugin.h"
#include "base/count.h"
#include "base/list.h"
#include "base/log.h"
#include "chain/entry.h"
#include "chain/home.h"
#include "chain/ops.h"
#include "chain/run.h"
#include "chain/times.h"
#include "chain/view.h"
#include "config/note.h"
#include "core/alarm.h"

struct chain_wait;

enum { CHAIN_PENDING_MAX = 64, CHAIN_TICKET_ROWS = 256 };

/* -- counting --------------------------------------------------------------------- */

/* Of one plugin in one phase. */
struct chain_phase_counters {
    struct times times; /* of its callbacks, which it counts */
    struct counter failures, slow;
};

/* Of one plugin, by one worker; survives reloads (observe/tally). */
struct chain_counters {
    struct chain_phase_counters phase[CHAIN_PHASES];
    struct counter waits, wait_timeouts, replies;
    struct counter stale; /* tickets that came too late */
};

/* Of one place, by one worker; survives reloads: what happens rarely. */
struct chain_place_counters {
    struct counter replies, failures, wait_timeouts;
};

/* -- workers and places ------------------------------------------------------------ */

/* What the chain keeps for one worker as long as that lives. */
struct chain_worker {
    void *owner;                 /* borrowed: for ops->wall_us() */
    struct loop *loop;           /* borrowed */
    struct rng *rng;             /* borrowed */
    const struct chain_ops *ops; /* borrowed, static */
    unsigned index, n_workers;
    uint64_t last_number; /* of tickets and of what is under way: never used twice */
    uint64_t ticks_per_us, times_scale;
    uint64_t slow_ticks; /* a callback that takes so long is told */
    struct log_gate slow_gate, fail_gate;
    struct list tickets[CHAIN_TICKET_ROWS]; /* of struct chain_wait, by number */
};

/* A set as one worker serves it. Lives as long as the holder's view. */
struct chain_view {
    struct chain_worker *worker; /* borrowed */
    struct chain_set *set;       /* borrowed: the holder keeps the snapshot */
    struct sluice_place *places; /* owned: one for each entry, by its index */
    unsigned n_places;
    struct chain_holder holder;
};

struct sluice_place {
    const struct chain_entry *entry;  /* borrowed from the set */
    struct chain_view *view;          /* borrowed, owns us */
    struct chain_worker *worker;      /* borrowed */
    struct chain_counters *counters;  /* borrowed: this worker's slot of the plugin */
    struct chain_place_counters *own; /* borrowed: this worker's slot of the place */
    struct sluice_call call;          /* as the worker's own callbacks get it */
    struct list pending;              /* of struct chain_pending that belong to the worker */
    unsigned n_pending;
    struct list doors;   /* of struct sluice_door: for other threads */
    bool is_broken;      /* worker_start failed (each phase answers SLUICE_FAIL), or disabled */
    bool is_ended;       /* worker_stop is next: nothing new begins */
    struct text *report; /* borrowed while somebody asks; else NULL */
};

/* As long as the place may be used from elsewhere; the place's worker. */
void place_hold(struct sluice_place *place);
void place_release(struct sluice_place *place);

/* -- what is under way ------------------------------------------------------------------ */

struct chain_pending;

/*
 * The completion must not be called any more. pending is in no list now and belongs to the service
 * again. Called inside cancel(), or when the exchange or the place ends; begins nothing new.
 */
typedef void chain_drop_fn(struct chain_pending *pending);

struct chain_pending {
    struct list link;
    struct sluice_place *place;
    struct sluice_exchange *exchange; /* NULL: it belongs to the place */
    uint64_t number;                  /* what cancel() knows it by */
    unsigned seat;                    /* of the exchange */
    uint8_t flow;                     /* enum chain_flow: whose verdict it may bring */
    chain_drop_fn *drop;
};

/* Calls the plugin's completion; arg is the service's. */
typedef enum sluice_verdict chain_finish_fn(const struct sluice_call *call, void *arg);

/*
 * Let it belong to the call's exchange, or to its place. Returns its number, or 0 when there are
 * too many or the place is ending; drop is then not called.
 */
uint64_t pending_add(const struct sluice_call *call, struct chain_pending *pending,
                     chain_drop_fn *drop);

/* Take it out without a word: as if it had never been added. */
void pending_remove(struct chain_pending *pending);

/* It is done: see the top of this page. pending is in no list when finish runs. */
void pending_finish(struct chain_pending *pending, chain_finish_fn *finish, void *arg);

/* Run a worker's own callback, as pending_finish() does without an exchange (door/post). */
void place_run(struct sluice_place *place, chain_finish_fn *run, void *arg);

/* Nobody comes in by the doors of this place any more (host_door.c). */
void doors_end(struct sluice_place *place);

/* -- what options point to --------------------------------------------------------- */

struct sluice_upstream {
    struct sluice_span name;
    unsigned index; /* in the snapshot */
};

/* An URL, or a path at an upstream. */
struct sluice_target {
    struct sluice_span text;                /* as written */
    const struct sluice_upstream *upstream; /* of an URL: the set's own for its address */
    bool is_url;
    bool is_tls;                              /* of an URL */
    struct sluice_span authority, host, port; /* of an URL; port as text: "443"; host without [] */
    struct sluice_span path;                  /* with its query, begins with '/' */
    struct mark at;
};

/* -- while a configuration is checked or started -------------------------------------------- */

struct sluice_setup {
    struct chain_home *home;
    struct chain_set *set;
    struct chain_entry *entry;
    struct arena *arena; /* as long as conf */
    struct notes *notes;
    const struct tree *node; /* the plugin's options as written, or NULL */
    struct mark at;          /* of the entry */
    bool is_start;           /* conf_start, not conf_check */
};

/* What every callback is given. */
extern const struct sluice_host host_table;

/* -- services, each in its host_*.c --------------------------------------------------------- */

uint64_t host_timer(const struct sluice_call *call, uint32_t ms, sluice_timer_fn *done, void *arg);
uint64_t host_http_call(const struct sluice_call *call, const struct sluice_http_request *request,
                        sluice_http_fn *done, void *arg);
uint64_t host_redis_call(const struct sluice_call *call, const struct sluice_span *argv, size_t n,
                         uint32_t timeout_ms, sluice_redis_fn *done, void *arg);
uint64_t host_offload(const struct sluice_call *call, sluice_work_fn *work, const void *data,
                      size_t bytes, sluice_work_done_fn *done);
struct sluice_door *host_door(const struct sluice_call *call);
bool host_post(struct sluice_door *door, sluice_message_fn *message, void *arg);
void host_door_close(struct sluice_door *door);

struct sluice_metric *host_metric(struct sluice_setup *setup,
                                  const struct sluice_metric_spec *spec);
void host_metric_add(const struct sluice_call *call, struct sluice_metric *metric,
                     const struct sluice_span *values, double amount);
struct sluice_words *host_words(struct sluice_setup *setup, const struct sluice_shared_spec *spec);
struct sluice_map *host_map(struct sluice_setup *setup, const struct sluice_shared_spec *spec);
uint64_t host_words_get(struct sluice_words *words, struct sluice_span key);
enum sluice_shared host_words_swap(struct sluice_words *words, struct sluice_span key,
                                   uint64_t *expected, uint64_t desired, uint32_t ttl_ms);
enum sluice_shared host_words_add(struct sluice_words *words, struct sluice_span key,
                                  int64_t difference, uint32_t ttl_ms, uint64_t *result);
enum sluice_shared host_map_get(struct sluice_map *map, struct sluice_span key, void *out,
                                size_t cap, size_t *len, uint64_t *serial);
enum sluice_shared host_map_set(struct sluice_map *map, struct sluice_span key,
                                struct sluice_span value, uint32_t ttl_ms);
void host_map_remove(struct sluice_map *map, struct sluice_span key);

#endif /* CHAIN_HOST_H */
