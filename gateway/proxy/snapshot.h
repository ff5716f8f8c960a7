/*
 * snapshot.h - one immutable generation of what workers serve: listeners, routes, upstreams,
 * access log.
 *
 * The control thread builds a whole one beside the old, publishes it to the workers and forgets it;
 * each worker holds one reference for as long as it is the newest or an exchange needs it. When
 * the last reference goes, retire is called, on whichever thread that happens; it must bring the
 * snapshot back to the control thread.
 *
 * Threads: built and freed by the control thread, read by all.
 */
#ifndef PROXY_SNAPSHOT_H
#define PROXY_SNAPSHOT_H

#include "net/redis_conf.h"
#include "observe/access_log.h"
#include "observe/tally.h"
#include "observe/writer.h"
#include "proxy/listener_conf.h"
#include "proxy/splice_conf.h"
#include "route/table.h"
#include "upstream/conf.h"
#include "upstream/roster.h"

struct chain_home;
struct chain_set;
struct origins;
struct snapshot;

typedef void snapshot_retire_fn(void *arg, struct snapshot *snapshot);

/* One upstream of a snapshot. */
struct snapshot_upstream {
    const struct upstream_conf *conf; /* in the arena */
    struct members *members;          /* shared: as they were when it was built */
    struct tls_client *tls;           /* shared; NULL: plain */
    const struct tally_block *tally;  /* struct upstream_counters; as long as the process */
};

struct snapshot {
    unsigned refs; /* atomic */
    uint64_t generation;
    struct arena arena; /* everything bound lives here */
    struct listener_conf *listeners;
    size_t n_listeners;
    struct snapshot_upstream *upstreams;
    size_t n_upstreams;
    struct route_table *routes;
    const struct tally_block **route_tally;   /* struct route_counters, by route->index */
    const struct tally_block *unrouted_tally; /* the same, for requests that match none */
    struct chain_set *chains;                 /* owned; NULL: no plugins */
    struct redis_peer *redis;                 /* shared; NULL: none */
    struct splice_conf splice;
    struct access_log_conf access_log;
    struct writer_file *access_file; /* owned; NULL: no access log */
    struct writer *writer;           /* borrowed, outlives us: whose file that is */
    bool logs_response;              /* the access log wants fields of responses */
    struct origins *origins;         /* in the arena */
    uint64_t files_stamp;            /* snapshot_files() when they were read */
    snapshot_retire_fn *retire;
    void *retire_arg; /* borrowed, outlives us */
};

/* What the control thread keeps over generations and a snapshot is built with. All borrowed. */
struct snapshot_parts {
    struct tally *tally;
    struct roster_draft *draft; /* of the members that it begins with */
    struct writer *writer;
    struct tls_tickets *tickets; /* NULL: nothing will be served */
    struct chain_home *home;
    struct origins *origins; /* of conf, in its arena; may be NULL */
    snapshot_retire_fn *retire;
    void *retire_arg;
};

/*
 * The configuration of a snapshot, bound to memory; the fields of the top level belong to
 * server/.
 */
struct snapshot_conf {
    struct items listeners;     /* of struct listener_conf */
    struct items upstreams;     /* of struct upstream_conf */
    struct items routes;        /* for route_table_new() */
    const struct tree *plugins; /* of the top level; NULL: none */
    struct items plugin_path;   /* of struct sluice_span */
    struct redis_conf redis;
    struct splice_conf splice;
    struct access_log_conf access_log;
};

/*
 * Build from bound parts; takes *arena, in which conf lives. Errors go to notes, and NULL is
 * returned with the arena given back. The caller owns a reference. check_only: do not open the
 * access log.
 */
struct snapshot *snapshot_new(struct arena *arena, const struct snapshot_conf *conf,
                              const struct snapshot_parts *parts, struct notes *notes,
                              bool check_only);

/*
 * A number that changes when a certificate, key or authority that it names changes on disk. The
 * control thread's.
 */
uint64_t snapshot_files(const struct snapshot *snapshot);

struct snapshot *snapshot_ref(struct snapshot *snapshot);

/* Calls retire with the last one. */
void snapshot_unref(struct snapshot **snapshot);

/* Release a snapshot without references. The control thread's. */
void snapshot_free(struct snapshot **snapshot);

#endif /* PROXY_SNAPSHOT_H */
