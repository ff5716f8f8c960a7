/*
 * consul_client.h - how to ask the agent: where, with which token, over how many connections.
 *
 * Threads: the control thread's.
 */
#ifndef DISCOVERY_CONSUL_CLIENT_H
#define DISCOVERY_CONSUL_CLIENT_H

#include "discovery/consul_conf.h"
#include "net/fetch.h"

struct consul_client;
struct loop;

/* The fields of an answer, as fetch_answer.field has them. */
enum consul_field { CONSUL_FIELD_INDEX, CONSUL_FIELD_HIDDEN, CONSUL_FIELD_AGE, CONSUL_FIELD_COUNT };

enum {
    CONSUL_BODY_MAX = 64 * 1024 * 1024,
    CONSUL_PARTS_MAX = 1024 * 1024 * 1024, /* of an answer that is not kept */
    CONSUL_BRIEF_MS = 10, /* the wait after an error: to know at once that all is as it was */
};

struct consul_question {
    const char *path;   /* "/v1/...", with its query */
    const char *method; /* NULL: GET */
    struct sluice_span body;
    uint64_t wait_ms;    /* how long the agent may hold it; 0: not at all */
    fetch_part_fn *part; /* NULL: the answer is told whole */
    fetch_done_fn *done;
    void *arg;
};

struct consul_client *consul_client_new(struct loop *loop);

/* Cancels what is under way. */
void consul_client_free(struct consul_client **client);

/* Is conf another agent than the one asked so far, or other connections to it? */
bool consul_client_is_other(const struct consul_client *client, const struct consul_conf *conf);

/* Ask there from now on; conf is copied. When it is another, nothing may be under way. */
void consul_client_apply(struct consul_client *client, const struct consul_conf *conf);

/* NULL before the first consul_client_apply(). Texts end with a NUL. */
const struct consul_conf *consul_client_conf(const struct consul_client *client);

/* Never tells done from inside; see fetch.h. Not before the first consul_client_apply(). */
struct fetch *consul_client_ask(struct consul_client *client,
                                const struct consul_question *question);

/*
 * The agent refused the token: read its file again. True when it is another one now, so that it
 * is worth asking again at once.
 */
bool consul_client_refused(struct consul_client *client);

/* Another number for each token that was read; what was done with an older one may be undone. */
unsigned consul_client_token(const struct consul_client *client);

/* Add "name=value" to a query, percent-encoded; nothing when value is empty. */
void consul_client_add(struct text *path, const char *name, struct sluice_span value);

/* Append text percent-encoded, as a piece of a path. */
void consul_client_encode(struct text *path, struct sluice_span value);

#endif /* DISCOVERY_CONSUL_CLIENT_H */
