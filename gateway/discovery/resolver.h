/*
 * resolver.h - asks DNS without waiting: c-ares on a loop.
 *
 * Every question gets one answer. /etc/hosts and the search list count for addresses, not for SRV
 * records.
 *
 * Owns:    the channel of c-ares, its sockets.
 * Threads: the loop's.
 */
#ifndef DISCOVERY_RESOLVER_H
#define DISCOVERY_RESOLVER_H

#include "net/addr.h"

struct loop;
struct question;
struct resolver;

enum resolver_type { RESOLVER_A, RESOLVER_AAAA, RESOLVER_SRV };

enum {
    RESOLVER_RECORDS = 4096, /* of an answer that are looked at; what is beyond is left out */
    RESOLVER_NAME = 256,     /* bytes of a name with its NUL */
};

/* One record: of an address question addr, of SRV the rest. */
struct record {
    struct addr addr; /* port 0 */
    uint16_t port, priority, weight;
    char target[RESOLVER_NAME];
};

struct resolver_answer {
    /* OK: n records, at least one. ERR_MISSING: there is none, says DNS. Others: nobody knows. */
    enum err err;
    const char *why; /* in words; "" on OK */
    const struct record *record;
    size_t n;
    uint32_t ttl_s; /* the least of the records */
};

/* Called once. Everything in the answer lives for the length of the call. */
typedef void resolver_done_fn(void *arg, const struct resolver_answer *answer);

/*
 * servers: "127.0.0.1:53,[::1]:5353", in order; "": those of /etc/resolv.conf. A try takes
 * timeout_ms, and a question two tries a server. NULL when c-ares cannot be had.
 */
struct resolver *resolver_new(struct loop *loop, const char *servers, unsigned timeout_ms);

/* Open questions are forgotten. */
void resolver_free(struct resolver **resolver);

/* Ask; done may be called from inside. Returns NULL when it was. */
struct question *resolver_ask(struct resolver *resolver, enum resolver_type type, const char *name,
                              resolver_done_fn *done, void *arg);

/* The answer is not wanted any more. NULL is fine. */
void resolver_forget(struct question **question);

/*
 * The SRV records of a message as it came; at most room. ERR_PROTOCOL when it is none that could
 * be read. A target "." (the service is not there) is left out.
 */
CHECKED enum err resolver_read_srv(struct sluice_span message, struct record *record, size_t room,
                                   size_t *n, uint32_t *ttl_s);

/* The version of c-ares, a static text. */
const char *resolver_library(void);

#endif /* DISCOVERY_RESOLVER_H */
