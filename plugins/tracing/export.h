/*
 * export.h - spans on their way to the collector: one exporter a worker.
 *
 * Spans wait in a ring of fixed size, a batch at a time is sent, and what finds no room is dropped
 * and counted: an exchange never waits, and memory does not grow when the collector is away.
 *
 *   idle ──tick with spans, or a full batch──▶ sending ──answer──▶ idle
 *                                                ▲   └─worth another try─▶ pausing ─┐
 *                                                └──────────────────────────────────┘
 */
#ifndef TRACING_EXPORT_H
#define TRACING_EXPORT_H

#include "sluice_plugin.h"

enum {
    EXPORT_BATCH_BYTES = 512 * 1024, /* of spans in one message */
    EXPORT_KEEP_BYTES = 512 * 1024,  /* of spans that are handed over at the end of a worker */
};

/* A name with a value, of the message's resource or a field of the call. */
struct export_word {
    struct sluice_span name, value;
};

struct export_conf {
    const struct sluice_target *endpoint;
    struct sluice_span service;
    struct sluice_list resource; /* of struct export_word */
    struct sluice_list fields;   /* of struct export_word */
    uint64_t batch, interval_ms, queue_bytes, timeout_ms, retries;
    /* made of the above, see export_check() */
    struct sluice_span resource_bytes; /* field 1 of ResourceSpans */
    struct sluice_span scope_bytes;    /* field 1 of ScopeSpans */
    const struct sluice_pair *pairs;   /* fields of the call */
    size_t n_pairs;
    /* made in export_start() */
    struct sluice_map *left;
    struct sluice_metric *exported, *dropped, *calls, *queued;
};

/* Bytes in a ring: records of a length and what is sent. */
struct export_ring {
    char *bytes; /* owned */
    size_t room, begin, used;
    size_t n; /* records */
};

enum export_state { EXPORT_IDLE, EXPORT_SENDING, EXPORT_PAUSING };

struct exporter {
    const struct export_conf *conf; /* borrowed, as long as the place */
    struct export_ring ring;
    char *message; /* owned: the batch under way, kept for another try */
    size_t message_len;
    size_t spans_len; /* at its end: what the collector's own words stand before */
    size_t n_spans;   /* in it */
    uint64_t tries;   /* of it, so far */
    enum export_state state;
    bool is_failing;   /* and it has been told */
    bool has_tick;     /* a timer will look again */
    size_t told_bytes; /* of the ring, to the gauge */
};

/* Compile what every message says; reports what is wrong with names. */
void export_check(const struct sluice_host *host, struct sluice_setup *setup,
                  struct export_conf *conf);
bool export_start(const struct sluice_host *host, struct sluice_setup *setup,
                  struct export_conf *conf);

/* False: no memory. call is the worker's. */
bool exporter_init(struct exporter *exporter, const struct sluice_call *call,
                   const struct export_conf *conf);
/*
 * The gateway ends: send now. WAIT: something has not gone yet. Who fails then is not asked again,
 * so that nobody waits for a collector that is gone.
 */
enum sluice_verdict exporter_drain(struct exporter *exporter, const struct sluice_call *call);
/* Leaves what has not been sent to the worker that comes after us. Accepts what was never begun. */
void exporter_fini(struct exporter *exporter, const struct sluice_call *call);

/* One encoded Span. Any call of the worker's place. Never fails: what finds no room is counted. */
void exporter_add(struct exporter *exporter, const struct sluice_call *call, const char *span,
                  size_t len);
/* What could not even be encoded. */
void exporter_drop(const struct exporter *exporter, const struct sluice_call *call, uint64_t n,
                   struct sluice_span reason);

#endif /* TRACING_EXPORT_H */
