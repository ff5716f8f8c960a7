/*
 * options.h - the options of one place, as written and as compiled.
 *
 * Threads: filled on the main thread by options_check() and options_start(), then read-only, but
 * for what the store holds.
 */
#ifndef BASIC_AUTH_OPTIONS_H
#define BASIC_AUTH_OPTIONS_H

#include "kit/consumer.h"
#include "refusal.h"
#include "users.h"

#define OPTIONS_CHECKS_MAX 48

/* One of `users`. */
struct user_option {
    struct sluice_span name, password;
    struct sluice_list groups; /* of struct sluice_span */
};

struct options {
    /* as written */
    struct sluice_list users; /* of struct user_option */
    struct sluice_file file;
    uint64_t file_interval_ms;
    bool is_required;
    struct sluice_span anonymous;
    struct sluice_list groups; /* of struct sluice_span */
    struct consumer consumer;
    struct sluice_span realm;
    bool strips;
    uint64_t cache_ms, cache_size;
    uint64_t max_checks, max_waiting;

    /* as compiled */
    struct users *fixed; /* held: those of users */
    struct store *store; /* owned: those of the file; NULL: no file */
    struct sluice_span challenge;
    struct sluice_metric *requests, *checks, *loads;
};

extern const struct sluice_option options_table[];

void options_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf);
bool options_start(const struct sluice_host *host, struct sluice_setup *setup, void *conf);
void options_fini(const struct sluice_host *host, void *conf);

#endif /* BASIC_AUTH_OPTIONS_H */
