/*
 * tls.h - TLS over a connection: who we are, whom we believe, what was agreed on.
 *
 * tls_accept() and tls_connect() put TLS under a connection; whoever owns that goes on as before.
 * The handshake is over when on_drained is called; then tls_protocol() says what to speak.
 *
 * A tls_server and a tls_client are made of a configuration, never changed, and counted: a reload
 * makes new ones, connections keep those they began with.
 *
 * Threads: _new the control thread's; ref, unref any; what takes a connection its loop's.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/arena.h"
#include "base/count.h"
#include "base/span.h"
#include "config/note.h"
#include "net/tls_conf.h"

struct conn;
struct tls_client;
struct tls_server;
struct tls_tickets;

/* -- session tickets ------------------------------------------------------ */

/* The keys that session tickets are sealed with: one for new ones, two older ones still opened. */
struct tls_tickets *tls_tickets_new(void);
void tls_tickets_free(struct tls_tickets **tickets);

enum { TLS_TICKETS_HOURS = 12 /* how often to rotate */ };

/* A new key from now on. One thread; others may be using the keys. */
void tls_tickets_rotate(struct tls_tickets *tickets);

/* -- our side of listeners -------------------------------------------------- */

/*
 * Read the files and build; what is wrong with them goes to notes, and NULL is returned when
 * that is an error. name keeps sessions of different listeners apart. tickets outlive us; NULL:
 * a key of OpenSSL's own.
 */
struct tls_server *tls_server_new(const struct tls_server_conf *conf, struct sluice_span name,
                                  struct tls_tickets *tickets, struct notes *notes);
struct tls_server *tls_server_ref(struct tls_server *server);
void tls_server_unref(struct tls_server **server);

/* A certificate, as it was read. */
struct tls_certificate_facts {
    struct sluice_span path;
    struct sluice_span names; /* it is good for, a line each; ".example.com" is "*.example.com" */
    int64_t end_s;            /* when it ends, in seconds since 1970 */
};

typedef void tls_certificate_fn(void *arg, const struct tls_certificate_facts *facts);

/* Call fn for each certificate, in the order of the configuration. */
void tls_server_each(const struct tls_server *server, tls_certificate_fn *fn, void *arg);

/*
 * The certificate that a client gets who asks for host (of several with the same names, the first).
 * False: none has that name, and it is the first of all.
 */
bool tls_server_find(const struct tls_server *server, struct sluice_span host,
                     struct tls_certificate_facts *facts);

/* Begin TLS on a connection that was just opened. ERR_MEMORY. */
CHECKED enum err tls_accept(struct conn *conn, struct tls_server *server);

/* -- our side of upstreams --------------------------------------------------- */

struct tls_client *tls_client_new(const struct tls_client_conf *conf, struct notes *notes);

/*
 * From now on the secrets of its connections are written to the file that conf names, if it does;
 * to be called where something will be served. What is wrong goes to notes.
 */
void tls_client_log_keys(struct tls_client *client, const struct tls_client_conf *conf,
                         struct notes *notes);
struct tls_client *tls_client_ref(struct tls_client *client);
void tls_client_unref(struct tls_client **client);

/* Made of the same configuration and the same bytes in the files? NULL is like NULL only. */
bool tls_client_is_same(const struct tls_client *a, const struct tls_client *b);

/* How handshakes with an endpoint ended, and what was agreed on. */
struct tls_client_counters {
    struct counter full, resumed, failed;
    struct counter tls_1_2, tls_1_3;
};

/*
 * What is known of an endpoint. Zero bytes at first. One loop's. What a session began under is not
 * checked again when it is resumed. So when that changes, forget it: then those of connections that
 * began before are not remembered any more.
 */
struct tls_memory {
    void *session;                        /* owned: the last one, to be resumed */
    unsigned era;                         /* how often it was forgotten */
    struct tls_client_counters *counters; /* borrowed; NULL: nobody counts */
    struct histogram *times;              /* borrowed: of handshakes; NULL: nobody asks */
};
void tls_forget(struct tls_memory *memory);

/*
 * Begin TLS on a connection being dialled. peer is who must be there, a name or an IP address
 * (borrowed for the call). memory outlives the connection.
 */
CHECKED enum err tls_connect(struct conn *conn, struct tls_client *client, struct sluice_span peer,
                             struct tls_memory *memory);

/* The memory may go before the connection, from now on. */
void tls_leave_memory(struct conn *conn);

/* Offer this one connection nothing but HTTP/1.1; after tls_connect(). */
void tls_offer_h1(struct conn *conn);

/* -- questions on a connection ------------------------------------------------- */

/* All are safe on any connection; without TLS they say false and empty. */
bool tls_is_on(const struct conn *conn);
/* Would this host have led to the certificate that the client has got? Without TLS: true. */
bool tls_is_for(const struct conn *conn, struct sluice_span host);
bool tls_is_resumed(const struct conn *conn);
struct sluice_span tls_version(const struct conn *conn);     /* "TLSv1.3" */
struct sluice_span tls_cipher(const struct conn *conn);      /* as IANA calls it */
struct sluice_span tls_server_name(const struct conn *conn); /* what a client asked for */
struct sluice_span tls_protocol(const struct conn *conn);    /* by ALPN; empty: none agreed on */

/*
 * Is what is read now early data, which somebody may be repeating, because the handshake of a
 * client is not over? Only where the listener allows it.
 */
bool tls_is_early(const struct conn *conn);

/* How long the handshake took; only when it has just ended. */
uint64_t tls_handshake_us(const struct conn *conn);

/* Did a client begin it, and not we? */
bool tls_is_accepted(const struct conn *conn);

/* Has data come from the client before the handshake was over, and been taken? */
bool tls_took_early(const struct conn *conn);

/* Why the handshake failed; a static text. */
struct sluice_span tls_failure(const struct conn *conn);

/* The same for who counts. X(symbol, metric label) */
#define TLS_CAUSES(X)                                                                              \
    X(OTHER, "other")                                                                              \
    X(CLOSED, "closed")                 /* the peer did not wait for its end */                    \
    X(ALERT, "alert")                   /* the peer refused: it does not trust us, perhaps */      \
    X(VERSION, "version")               /* none that both speak */                                 \
    X(CIPHER, "cipher")                 /* no cipher, group or signature that both have */         \
    X(PROTOCOL, "protocol")             /* ALPN: the same */                                       \
    X(NAME, "server_name")              /* strict_sni */                                           \
    X(NO_CERTIFICATE, "no_certificate") /* the peer has shown none, and had to */                  \
    X(BAD_CERTIFICATE, "bad_certificate")

#define TLS_CAUSE_MEMBER(symbol, name) TLS_CAUSE_##symbol,
enum tls_cause { TLS_CAUSES(TLS_CAUSE_MEMBER) TLS_CAUSE_COUNT };
#undef TLS_CAUSE_MEMBER

const char *tls_cause_name(enum tls_cause cause);

enum tls_cause tls_failure_cause(const struct conn *conn);

/* Did a client speak HTTP without TLS? tls_give_up() then makes it a plain connection. */
bool tls_met_plain_http(const struct conn *conn);
void tls_give_up(struct conn *conn);

/*
 * The client's verified certificate as the Client-Cert field has it (RFC 9440), made in the
 * arena; empty: none. ERR_MEMORY.
 */
CHECKED enum err tls_client_cert(const struct conn *conn, struct arena *arena,
                                 struct sluice_span *value);

/* Has the client shown a certificate, and a good one? */
bool tls_has_client_cert(const struct conn *conn);

/* Of the same certificate: its subject as RFC 2253 writes it; SHA-256 over it, in hex. */
CHECKED enum err tls_client_subject(const struct conn *conn, struct arena *arena,
                                    struct sluice_span *value);
CHECKED enum err tls_client_fingerprint(const struct conn *conn, struct arena *arena,
                                        struct sluice_span *value);

#endif /* NET_TLS_H */
