/*
 * probe.h - one active check of one endpoint, under way.
 *
 * A file a kind: probe_fetch.c (HTTP and gRPC, over net/fetch), probe_tcp.c. Whoever embeds a
 * probe is told its result once, never from inside probe_start().
 *
 * Threads: the control thread's.
 */
#ifndef UPSTREAM_PROBE_H
#define UPSTREAM_PROBE_H

#include "upstream/members.h"
#include "upstream/probe_result.h"

struct fetch;
struct fetcher;
struct loop;
struct tcp_probe;
struct tls_client;

enum { PROBE_BODY_BYTES = 64 * 1024 /* of an answer that are looked at */ };

/* What a probe works with. All borrowed, outlives it. */
struct probe_means {
    struct loop *loop;
    struct fetcher *fetcher;
};

/* What is asked, and of whom. Borrowed for the call of probe_start(), but conf, member and tls. */
struct probe_order {
    const struct upstream_conf *conf; /* borrowed while it runs */
    const struct member *member;      /* the same */
    struct tls_client *tls;           /* the same; NULL: plain */
};

struct probe {
    const struct probe_means *means;
    /* why: what went wrong, in words, "" when nothing did; for the length of the call. */
    void (*done)(struct probe *probe, enum probe_result result, const char *why);
    const struct health_conf *conf; /* borrowed while it runs */
    struct fetch *fetch;            /* owned by the fetcher; NULL: not asking over it */
    struct tcp_probe *tcp;          /* owned; NULL: the same */
};

/* Zero the rest. */
void probe_init(struct probe *probe, const struct probe_means *means,
                void (*done)(struct probe *probe, enum probe_result result, const char *why));

/* Not while it runs. */
void probe_start(struct probe *probe, const struct probe_order *order);

/* done is not called. Safe when it does not run. */
void probe_cancel(struct probe *probe);
bool probe_is_running(const struct probe *probe);

/* Where to ask: the member's address, with the port of the checks if they have one. */
struct addr probe_address(const struct probe_order *order);

/* What is to be said first there, before TLS; empty: nothing. */
struct sluice_span probe_preface(const struct probe_order *order);

/* -- the kinds ---------------------------------------------------------------- */

void probe_fetch_start(struct probe *probe, const struct probe_order *order);
void probe_tcp_start(struct probe *probe, const struct probe_order *order);
void probe_tcp_cancel(struct probe *probe);

#endif /* UPSTREAM_PROBE_H */
