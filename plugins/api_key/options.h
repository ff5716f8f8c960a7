/*
 * options.h - the options of one place, as written and as compiled.
 *
 * Threads: filled on the main thread by options_check() and options_start(), then read-only, but
 * for what the store holds.
 */
#ifndef API_KEY_OPTIONS_H
#define API_KEY_OPTIONS_H

#include "keyfile.h"
#include "kit/consumer.h"
#include "refusal.h"

enum strip { STRIP_NONE, STRIP_QUERY, STRIP_ALL };

#define OPTIONS_FIELDS_MAX 8
#define OPTIONS_KEY_MAX    4096 /* longer ones are refused unread */

/* One of a consumer's `keys`. */
struct key_option {
    struct sluice_span key;
    struct sluice_span from, until;
};

/* One of `consumers`. */
struct consumer_option {
    struct sluice_span name;
    struct sluice_list groups; /* of struct sluice_span */
    struct sluice_list keys;   /* of struct key_option */
};

struct options {
    /* as written */
    struct sluice_list consumers; /* of struct consumer_option */
    struct sluice_file file;
    uint64_t file_interval_ms;
    struct sluice_list fields; /* of struct sluice_span */
    struct sluice_span scheme, query, cookie;
    uint32_t strip; /* enum strip */
    bool is_required;
    struct sluice_span anonymous;
    struct sluice_list groups; /* of struct sluice_span */
    struct consumer consumer;
    struct sluice_span realm;
    bool is_dry_run;

    /* as compiled */
    struct keys *fixed;  /* held: those of consumers */
    struct store *store; /* owned: those of the file; NULL: no file */
    struct sluice_span challenge;
    uint32_t path_id, query_id; /* attributes */
    struct sluice_metric *requests, *loads;
};

extern const struct sluice_option options_table[];

void options_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf);
bool options_start(const struct sluice_host *host, struct sluice_setup *setup, void *conf);
void options_fini(const struct sluice_host *host, void *conf);

#endif /* API_KEY_OPTIONS_H */
