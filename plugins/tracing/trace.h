/*
 * trace.h - what the files of tracing share.
 */
#ifndef TRACING_TRACE_H
#define TRACING_TRACE_H

#include "context.h"
#include "export.h"
#include "sluice_plugin.h"

enum {
    TRACE_ATTEMPTS_MAX = 32, /* spans of tries of one exchange */
    TRACE_ITEMS_MAX = 96,    /* attributes of one span */
    TRACE_SPAN_MAX = 64 * 1024,
};

enum trace_b3 { TRACE_B3_OFF, TRACE_B3_SINGLE, TRACE_B3_MULTI, TRACE_B3_BOTH };
enum trace_parent { TRACE_PARENT_FOLLOW, TRACE_PARENT_IGNORE };
enum trace_baggage { TRACE_BAGGAGE_PASS, TRACE_BAGGAGE_STRIP };

/* An attribute of every span of exchanges. */
struct trace_extra {
    struct sluice_span name;
    const struct sluice_template *value;
};

/* A field that becomes an attribute. */
struct trace_capture {
    struct sluice_span field, attribute;
};

/* So many in such a time, all workers together. */
struct trace_budget {
    struct sluice_span key;
    uint64_t interval_us; /* what one costs */
    uint64_t window_us;   /* what may be saved up */
};

struct trace_sample {
    double ratio;
    uint32_t parent; /* enum trace_parent */
    struct sluice_rate rate, errors;
};

struct trace_conf {
    struct export_conf export;
    struct trace_sample sample;
    uint32_t b3;              /* enum trace_b3 */
    uint32_t baggage;         /* enum trace_baggage */
    struct sluice_list trust; /* of struct sluice_network */
    struct sluice_span response_field;
    bool query;
    struct sluice_list request_fields, response_fields; /* of struct sluice_span */
    struct sluice_list attributes;                      /* of struct trace_extra */
    uint64_t value_size;
    /* made of the above */
    uint64_t bound; /* a trace whose id is below it is sampled */
    struct trace_budget rate, errors;
    bool has_rate, has_errors;
    struct trace_capture *request_capture, *response_capture;
    struct sluice_words *words;
    /* attributes of the gateway, by number */
    uint32_t method, path, query_text, host, scheme, protocol, client, peer, route, upstream,
        endpoint, reason, trace_id, span_id;
    struct sluice_metric *sampled, *limited, *malformed;
};

/* One try, and the span that tells of it. */
struct trace_attempt {
    struct trace_attempt *next; /* in the exchange's memory */
    uint8_t span[CONTEXT_SPAN_BYTES];
    uint32_t number;
    int32_t status;
    uint64_t begun_us, duration_us;
    struct sluice_span endpoint, upstream, failure; /* in the exchange's memory, or empty */
    bool is_done;
};

struct trace_ctx {
    struct context self;   /* the trace, and our server span in it */
    struct context parent; /* who called; without ids: nobody that we believe */
    bool is_sampled;
    bool is_recorded;               /* sampled, or it may be kept when it fails */
    bool has_state;                 /* there is a tracestate */
    struct sluice_span path, query; /* as the client sent them */
    struct trace_attempt first, *last;
    uint32_t n_attempts; /* recorded */
};

struct trace_worker {
    struct exporter exporter;
    uint64_t rate_shut_us, errors_shut_us; /* before this there is none left, by now_us() */
    char *span;                            /* TRACE_SPAN_MAX bytes; owned */
};

/* -- trace_conf.c ------------------------------------------------------------- */

extern const struct sluice_option trace_options[];
void trace_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf_);
bool trace_start(const struct sluice_host *host, struct sluice_setup *setup, void *conf_);

/* -- trace_fields.c: what comes in, and what goes on ----------------------------- */

/* Fills in ctx->parent and cleans the request of what must not go on. */
void trace_read(const struct sluice_call *call);
/* Tell the context to that side: span is the parent of what happens there. */
void trace_write(const struct sluice_call *call, enum sluice_side side,
                 const uint8_t span[CONTEXT_SPAN_BYTES]);

/* -- trace_sample.c ----------------------------------------------------------------- */

/* Is this exchange sampled? ctx->self.trace and ctx->parent are known. */
bool trace_decide(const struct sluice_call *call);
/* Is there something left for one more error? */
bool trace_keeps_error(const struct sluice_call *call);

/* -- trace_span.c ------------------------------------------------------------------- */

/* In on_done: did it go wrong on our side or behind us? */
bool trace_has_failed(const struct sluice_call *call);
/* In on_done: give the exporter all spans of the exchange. */
void trace_tell(const struct sluice_call *call);

#endif /* TRACING_TRACE_H */
