/*
 * consul_wake.h - a blocking query for something that concerns many services, asked for ever.
 *
 * It keeps the rules of the index, the pace and the backoff, and passes on what is news as it
 * arrives. Threads: the control thread's.
 */
#ifndef DISCOVERY_CONSUL_WAKE_H
#define DISCOVERY_CONSUL_WAKE_H

#include "core/alarm.h"
#include "discovery/consul_index.h"
#include "discovery/consul_pace.h"
#include "net/fetch.h"

struct consul;
struct consul_wake;

/* What a kind of query does with its answers; callbacks that are NULL are not called. */
struct consul_wake_kind {
    const char *path;
    /* An answer with news begins; what the one before left unfinished is forgotten. */
    void (*begin)(struct consul_wake *wake);
    void (*part)(struct consul_wake *wake, struct sluice_span piece);
    /* It is whole: its index counts when this is OK. */
    enum err (*news)(struct consul_wake *wake);
    /* All is as it was. */
    void (*same)(struct consul_wake *wake);
    /* What is known may have changed unseen: the index went back, or nobody answers (why). */
    void (*lost)(struct consul_wake *wake, const char *why);
};

struct consul_wake {
    const struct consul_wake_kind *kind;
    struct consul *consul;             /* borrowed */
    void *owner;                       /* borrowed: for the callbacks */
    struct sluice_span datacenter, ns; /* borrowed */
    struct alarm alarm;
    struct fetch *fetch; /* owned while asking */
    struct consul_index index;
    struct consul_pace pace;
    unsigned errors;
    bool is_judged; /* the index of the answer that arrives is */
    enum consul_index_verdict verdict;
    bool knows; /* there was an answer before, to compare with */
};

/* Ask, from now on; what is set in wake is kind, consul, owner, datacenter and ns. */
void consul_wake_start(struct consul_wake *wake);
void consul_wake_stop(struct consul_wake *wake);

#endif /* DISCOVERY_CONSUL_WAKE_H */
