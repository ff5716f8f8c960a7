/*
 * describe.h - a set as operators see it: its places in order, the files behind them, numbers.
 *
 * Threads: the control thread's, but for chain_view_ask().
 */
#ifndef CHAIN_DESCRIBE_H
#define CHAIN_DESCRIBE_H

#include "chain/chain.h"

struct chain_view;
struct request;

/* An entry as it was written. Borrowed from the set. */
struct chain_place {
    unsigned index;           /* in the set */
    struct sluice_span id;    /* "route.orders.circuit_breaker": a list's name and the entry's */
    struct sluice_span name;  /* its own, or the plugin's */
    struct sluice_span label; /* where it stands: "route orders, plugins[1]" */
    const char *plugin;       /* the plugin's name */
    const char *version;      /* the plugin's own; never NULL */
    struct mark at;
    bool fails_open;     /* on_error: open */
    bool is_disabled;    /* it only takes one further out away */
    bool reports, obeys; /* there is on_report, on_command */
    uint64_t wait_ms;
    uint64_t replies, failures, wait_timeouts; /* on all workers together */
};

/* A loaded file. Borrowed from the set. */
struct chain_file {
    const char *name, *version, *summary; /* never NULL */
    const char *path;                     /* where it was found */
    const char *content;                  /* what it is known by: 16 hexadecimal digits */
};

/* What a plugin did in one phase, on all workers together. */
struct chain_phase_numbers {
    const char *phase; /* "request_head" */
    uint64_t calls, failures, slow;
    double seconds;
};

/* What a plugin did altogether. */
struct chain_file_numbers {
    uint64_t replies, waits, wait_timeouts, stale;
};

/* All entries, in the order in which they were read. set may be NULL: none. */
unsigned chain_set_places(const struct chain_set *set);
void chain_set_place(const struct chain_set *set, unsigned i, struct chain_place *place);

/* The entries of one chain, in the order of the request. chain may be NULL: none. */
unsigned chain_places(const struct chain *chain);
void chain_place(const struct chain *chain, unsigned i, struct chain_place *place);

/* Does the entry look at this request, as its head came? */
enum chain_when { CHAIN_ALWAYS, CHAIN_HOLDS, CHAIN_HOLDS_NOT };
enum chain_when chain_place_when(const struct chain *chain, unsigned i,
                                 const struct request *request);

/* An option in force. */
struct chain_option {
    struct sluice_span name;  /* "fallback.status" */
    struct sluice_span value; /* on one line; "***": it is, or may be, a secret */
    struct mark at;           /* line 0: a preset */
};

/* Tell each option of an entry that is written or has a preset, as the plugin lists them. */
typedef void chain_option_fn(void *arg, const struct chain_option *option);
void chain_place_options(const struct chain *chain, unsigned i, chain_option_fn *tell_one,
                         void *arg);

/*
 * The place that a word means: its id, its label, or its name when only one place has it. Returns
 * how many it may mean; *index is right when that is 1.
 */
unsigned chain_set_find(const struct chain_set *set, struct sluice_span word, unsigned *index);

/* The files, by name as they were first used. set may be NULL: none. */
unsigned chain_set_n_files(const struct chain_set *set);
void chain_set_file(const struct chain_set *set, unsigned i, struct chain_file *file);
void chain_set_numbers(const struct chain_set *set, unsigned i, struct chain_file_numbers *numbers);

/* Phase number phase, from 0; false: there are no more. */
bool chain_set_phase(const struct chain_set *set, unsigned i, unsigned phase,
                     struct chain_phase_numbers *numbers);

/*
 * On the view's worker: have place i report, or carry out a command (ptr NULL: none). What it says
 * is appended to out, and is empty when it says nothing.
 */
void chain_view_ask(struct chain_view *view, unsigned i, struct sluice_span command,
                    struct text *out);

#endif /* CHAIN_DESCRIBE_H */
