/*
 * admin_call.h - how commands ask the admin listener of the running gateway.
 *
 * Threads: the command's only one.
 */
#ifndef SERVER_ADMIN_CALL_H
#define SERVER_ADMIN_CALL_H

#include "net/fetch.h"
#include "server/command.h"

/* Where it listens. Zero-initialise. */
struct admin_place {
    char *bind;      /* owned: as --admin or the configuration says */
    char *base;      /* owned: "http://127.0.0.1:9901" */
    char *unix_path; /* owned; NULL: by base */
};

/*
 * By --admin, or else by the configuration. EXIT_FINE, or what is wrong has been said and this is
 * the exit code; place is to be released in any case.
 */
int admin_place_find(const struct args *args, struct admin_place *place);
void admin_place_fini(struct admin_place *place);

/* Begin to ask; target is path and query. done as in fetch.h. */
struct fetch *admin_call_start(struct fetcher *fetcher, const struct admin_place *place,
                               const char *method, const char *target, fetch_done_fn *done,
                               void *arg);

/* What came of one request. */
struct admin_answer {
    enum err err;
    unsigned status;
    struct text body; /* owned */
    char why[256];    /* there is none */
};

/* Ask, and wait for the answer; false: there is none. answer is to be released in any case. */
bool admin_call(const struct admin_place *place, const char *method, const char *target,
                struct admin_answer *answer);
void admin_answer_fini(struct admin_answer *answer);

/* Say that there was no answer; returns EXIT_FAILED. */
int admin_call_unanswered(const struct admin_place *place, const char *why);

/* Say that what answered is no sluice; returns EXIT_FAILED. */
int admin_call_foreign(const struct admin_place *place, unsigned status);

#endif /* SERVER_ADMIN_CALL_H */
