/*
 * fetch.h - an HTTP client for the control thread: asks, and tells the answer once.
 *
 * For what the gateway itself wants to know of others (registries, health checks, its own admin
 * port), never for proxied requests. Connections are kept and reused; redirects are not followed,
 * proxies and cookies of the environment not used. Nothing is logged here: fields may be secrets.
 *
 * Owns:    libcurl's multi handle, the fetches under way, their connections.
 * Threads: the loop's.
 */
#ifndef NET_FETCH_H
#define NET_FETCH_H

#include "base/span.h"

struct addr;
struct fetch;
struct fetcher;
struct loop;

enum {
    FETCH_WANTED = 8,   /* fields of an answer that one fetch may want */
    FETCH_STREAMS = 100 /* fetches that share a connection, at most; peers allow so many */
};

struct fetch_field {
    const char *name;
    struct sluice_span value;
};

/* Files in PEM; NULL: the system's authorities, no certificate of ours. */
struct fetch_tls {
    const char *ca, *cert, *key;
    const char *ciphers, *ciphersuites, *groups; /* as OpenSSL writes them; NULL: its own */
    bool skip_verify;                            /* believe anybody */
    bool only_tls13;                             /* nothing older; else from TLS 1.2 on */
    bool only_tls12;                             /* nothing newer */
};

/* The answer; everything in it lives for the length of the call. */
struct fetch_answer {
    enum err err;    /* OK: an answer came whole, whatever its status says */
    const char *why; /* what went wrong, in words; "" when nothing did */
    unsigned status; /* 0: none came */
    struct sluice_span body;
    struct sluice_span field[FETCH_WANTED]; /* as wanted, also from trailers; ptr NULL: not there */
    bool connected;                         /* over a connection made for it */
    bool shared;                            /* by HTTP/2: others may have been under way with it */
};

/*
 * Called by the loop once for each fetch that is not cancelled, never from inside fetch_start().
 * May start and cancel fetches; the fetch it tells of is over: forget the pointer.
 */
typedef void fetch_done_fn(void *arg, const struct fetch_answer *answer);

/*
 * Called for each piece of the content of an answer as it comes, in place of keeping it; status and
 * fields of the answer are there. May neither start nor cancel fetches.
 */
typedef void fetch_part_fn(void *arg, const struct fetch_answer *answer, struct sluice_span piece);

/* What to ask; borrowed for the call of fetch_start(). Zero-initialise, then set what differs. */
struct fetch_request {
    const char *url;                  /* http:// or https:// */
    const char *method;               /* NULL: GET */
    const char *unix_path;            /* the socket to connect to; NULL: by the url */
    const char *connect_to;           /* "10.0.0.1:8443", "[::1]:80": there instead; or NULL */
    const struct fetch_field *fields; /* to send; values without control characters */
    size_t n_fields;
    struct sluice_span body;
    const char *const *wanted; /* names of fields to keep of the answer, at most FETCH_WANTED */
    size_t n_wanted;
    uint64_t connect_ms;         /* with the handshake of TLS; not 0 */
    uint64_t total_ms;           /* until the last byte, waiting for a connection counts; not 0 */
    size_t max_bytes;            /* of the body, after which it is ERR_LIMIT */
    const struct fetch_tls *tls; /* NULL: as all zero */
    bool http2;                  /* from the first byte on; else HTTP/1.1 */
    bool may_share;              /* HTTP/2 if the peer offers it in TLS: many over one connection */
    /*
     * Said first, before TLS, on a connection to first_to that is made for this fetch: url and
     * connect_to name the same place. Empty: nothing; first_to NULL then.
     */
    struct sluice_span first;
    const struct addr *first_to;
    bool fresh;           /* over a connection for this fetch alone */
    fetch_part_fn *part;  /* NULL: the content is kept, and told whole */
    uint64_t max_quiet_s; /* a kept connection that was quiet for longer is not used; 0: any */
    fetch_done_fn *done;
    void *arg;
};

/* -- life ------------------------------------------------------------- */

/* At most max_connections at a time, idle ones counted; more fetches wait their turn. */
struct fetcher *fetcher_new(struct loop *loop, unsigned max_connections);

/* Cancels what is under way. Not from inside a fetch_done_fn. */
void fetcher_free(struct fetcher **fetcher);

/* -- actions ---------------------------------------------------------- */

/* Ask; what is wrong with the request itself is told by done as well. The fetcher owns it. */
struct fetch *fetch_start(struct fetcher *fetcher, const struct fetch_request *request);

/* End it at once, done is not called. NULL is fine, and so is the fetch that done tells of. */
void fetch_cancel(struct fetch **fetch);

/* -- questions -------------------------------------------------------- */

/* Fetches that are not over. */
size_t fetcher_count(const struct fetcher *fetcher);

/* The version of libcurl, a static text such as "7.88.1". */
const char *fetch_library(void);

#endif /* NET_FETCH_H */
