/*
 * options.h - the options of one place, as written and as compiled.
 *
 * Threads: filled on the main thread by options_check() and options_start(), then read-only.
 */
#ifndef EXT_AUTH_OPTIONS_H
#define EXT_AUTH_OPTIONS_H

#include "kit/consumer.h"

enum method { METHOD_GET, METHOD_POST, METHOD_ORIGINAL };
enum failure_mode { FAILURE_CLOSED, FAILURE_OPEN };

#define OPTIONS_LISTED_MAX 32 /* elements of one list of fields */

/* One of `attributes`. */
struct attribute_option {
    struct sluice_span name, field;
    uint32_t id; /* as compiled */
};

struct cache_options {
    const struct sluice_template *key; /* NULL: nothing is remembered */
    uint64_t ttl_ms, denied_ttl_ms, size;
    bool heeds_cache_control;
};

/* Attributes of the gateway that a sub-request tells. */
enum told { TOLD_METHOD, TOLD_TARGET, TOLD_HOST, TOLD_SCHEME, TOLD_CLIENT, TOLD_ID, TOLD_COUNT };

struct options {
    /* as written */
    const struct sluice_target *target;
    uint32_t method; /* enum method */
    bool appends_path;
    struct sluice_list fields; /* of struct sluice_span; "*": all */
    uint64_t body;             /* of the request, at most; 0: none is sent */
    uint64_t timeout_ms, max_answer;
    struct sluice_list upstream_fields, client_fields, denied_fields; /* of struct sluice_span */
    struct consumer consumer;
    struct sluice_list attributes; /* of struct attribute_option */
    uint32_t failure_mode;         /* enum failure_mode */
    uint64_t failure_status;
    struct cache_options cache;

    /* as compiled */
    struct sluice_span path; /* of the target, without its query */
    bool sends_all;          /* "*" is among the fields */
    uint32_t told[TOLD_COUNT];
    struct sluice_metric *requests, *calls, *seconds;
};

extern const struct sluice_option options_table[];

void options_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf);
bool options_start(const struct sluice_host *host, struct sluice_setup *setup, void *conf);

#endif /* EXT_AUTH_OPTIONS_H */
