/*
 * tls_state.h - what a TLS connection keeps, and what those of one loop share; private to net/.
 */
#ifndef NET_TLS_STATE_H
#define NET_TLS_STATE_H

#include "net/conn.h"
#include "net/tls.h"
#include "net/transport.h"

#include <openssl/ssl.h>

enum {
    TLS_RECORD_BYTES = 16 * 1024,
    TLS_STEPS_MAX = 8,           /* of handshakes in a turn: 2 ms with keys of RSA-2048 */
    TLS_SMALL_RECORD = 4 * 1024, /* three segments: read before a round trip more */
    TLS_SMALL_AFTER_MS = 1000,   /* of silence: the path's window has shrunk again */
};

/* -- what a listener's connections share ------------------------------------------ */

enum { TLS_TICKET_NAME_BYTES = 16, TLS_TICKET_KEY_BYTES = 32, TLS_TICKET_FILE_KEYS = 16 };

struct tls_ticket_key {
    unsigned char name[TLS_TICKET_NAME_BYTES];
    unsigned char cipher[TLS_TICKET_KEY_BYTES], mac[TLS_TICKET_KEY_BYTES];
    size_t key_bytes; /* of both: 16 or 32 */
};

/* The keys of a file, the one that seals first. Immutable. */
struct tls_ticket_file {
    struct tls_ticket_key key[TLS_TICKET_FILE_KEYS];
    size_t n_keys;
};

/* What the authority has said of a certificate. */
struct tls_staple {
    X509 *cert;  /* shared */
    char *bytes; /* owned */
    size_t len;
    int64_t until_s; /* since 1970; 0: for ever */
};

/* A certificate as a file has it. */
struct tls_certificate {
    char *path;             /* owned */
    char *names;            /* owned: a line each */
    int64_t end_s;          /* since 1970 */
    const SSL_CTX *context; /* borrowed: of its identity */
};

struct tls_identity {
    SSL_CTX *context; /* owned */
    char *names;      /* owned: all names in order, a line each */
    bool has_kind[3]; /* RSA, EC, others */
};

struct tls_server {
    unsigned refs; /* atomic */
    struct tls_identity *identity;
    size_t n_identities;
    struct tls_protocols alpn;
    struct map *by_name;                 /* owned, of borrowed SSL_CTX */
    struct tls_tickets *tickets;         /* borrowed: the process's; NULL: nothing will be served */
    struct tls_ticket_file *ticket_file; /* owned; NULL: none */
    struct tls_staple *staple;           /* owned */
    size_t n_staples;
    struct tls_certificate *certificate; /* owned, as configured */
    size_t n_certificates;
    uint32_t small_bytes; /* at first, and after silence, in small records */
    int key_log;          /* a descriptor; -1: none */
    bool takes_early;     /* data before the handshake is over */
    bool is_strict;       /* who asks for no name of ours is refused */
};

struct tls {
    struct transport transport;
    SSL *ssl;                  /* owned */
    struct tls_server *server; /* shared; NULL: we are the client */
    struct tls_client *client; /* shared; NULL: we are the server */
    struct tls_memory *memory; /* borrowed, as tls_connect() says */
    unsigned era;              /* the memory's when the connection began */
    char *early;               /* owned: bytes that came before the handshake was over; or NULL */
    const char *why;           /* static: why it failed, or NULL */
    uint32_t small_bytes;      /* to be sent in small records yet */
    union {                    /* the low bits of the clock: */
        uint32_t sent_ms;      /* the loop's, when we last sent */
        uint32_t began_us;     /* before that: when the handshake began; 0: not yet */
    };
    uint16_t pending;             /* bytes in a record that is waiting to leave */
    uint16_t early_at, early_end; /* unread bytes in early */
    bool may_be_early;            /* the client's early data is being read, or may come */
    int8_t end;                   /* enum err: what reading ended with; OK: not yet */
    bool is_plain_http;
    uint8_t cause; /* enum tls_cause, when it failed */
};

/*
 * One a loop. OpenSSL reads and writes through one BIO for all connections, which is told before
 * each call whose turn it is: a connection has none of its own.
 */
struct tls_bench {
    BIO_METHOD *method; /* owned */
    BIO *bio;           /* a reference of ours, one of each connection */
    struct tls *tls;    /* whose turn it is; borrowed, for the length of a call */
    struct conn *conn;  /* the same */
    int error;          /* errno of the last call that failed; 0: none */
    uint64_t turn;      /* of the loop, in which ... */
    unsigned steps;     /* ... so many steps of handshakes were made */
    bool was_short;     /* the last recv() did not fill its buffer */
    bool at_end;
    char record[TLS_RECORD_BYTES]; /* small pieces become one record here */
};

extern const struct transport_ops transport_tls;

/* NULL: it speaks without TLS. */
static inline struct tls *tls_of(const struct conn *conn)
{
    if (!conn->transport || conn->transport->ops != &transport_tls)
        return NULL;
    return list_entry(conn->transport, struct tls, transport);
}

/* Of one that is known to speak TLS. */
static inline struct tls *tls_state(const struct conn *conn)
{
    return list_entry(conn->transport, struct tls, transport);
}

/* Put a new SSL of this context under conn; takes over *tls. */
CHECKED enum err tls_start(struct conn *conn, SSL_CTX *context, struct tls **tls);

/* Of a call that OpenSSL makes while it works for a connection. */
struct tls *tls_of_ssl(const SSL *ssl);

/* The modes and options that both sides have. */
void tls_prepare(SSL_CTX *context);

/* What may be agreed on, of a listener or an upstream; empty texts: OpenSSL's own. */
struct tls_policy {
    struct mark at;
    int min_version, max_version;
    struct sluice_span ciphers, ciphersuites, groups;
};

/* What OpenSSL does not know goes to notes. */
CHECKED enum err tls_use_policy(SSL_CTX *context, const struct tls_policy *policy,
                                struct notes *notes);

/*
 * Give the context a certificate with its chain and its key. What is wrong goes to notes:
 * missing and malformed files, a key of another certificate; as a warning, one that is not valid
 * now.
 */
CHECKED enum err tls_use_certificate(SSL_CTX *context, const struct tls_file *cert,
                                     const struct tls_file *key, struct notes *notes);

/* The first certificate of a file; NULL when there is none, and why goes to notes. */
X509 *tls_read_certificate(const struct tls_file *file, struct notes *notes);

/* Certificates to believe in. */
CHECKED enum err tls_use_authority(SSL_CTX *context, const struct tls_file *ca,
                                   struct notes *notes);

/*
 * Lists of what authorities have revoked; every certificate of a chain must be on none. warns: of
 * one that is too old, for the first of several contexts.
 */
CHECKED enum err tls_use_revocations(SSL_CTX *context, const struct tls_file *crl, bool warns,
                                     struct notes *notes);

/* Mix the bytes of a file into a digest; one that cannot be read counts as empty. */
void tls_digest_file(EVP_MD_CTX *digest, const struct tls_file *file);

/* OpenSSL's last error in words; a static text. Clears its queue. */
const char *tls_error_text(void);

/* What an error of OpenSSL's queue is counted as; 0: there was none, the connection ended. */
enum tls_cause tls_cause_of(unsigned long error);

/* Seconds since 1970; 0 when it says none. */
int64_t tls_certificate_end(const X509 *cert);

/* NULL: what is wrong was noted. */
struct tls_ticket_file *tls_ticket_file_read(const struct tls_file *from, struct notes *notes);
void tls_ticket_file_free(struct tls_ticket_file **file);

/* Read what file says of cert, into zeroed memory. */
CHECKED enum err tls_staple_read(struct tls_staple *staple, X509 *cert, const struct tls_file *file,
                                 struct notes *notes);
void tls_staple_fini(struct tls_staple *staple);

CHECKED enum err tls_key_log_open(const struct tls_file *file, struct notes *notes, int *fd);

/*
 * Early data (RFC 8446 2.3), while tls->may_be_early. Reading: the result of SSL_read_ex(), and 0
 * bytes with *is_over when there is no more of it: the handshake goes on as any.
 */
int tls_early_read(struct tls *tls, char *into, size_t room, size_t *got, bool *is_over);

/* Keep bytes for who reads next. ERR_MEMORY. */
CHECKED enum err tls_early_keep(struct tls *tls, const char *bytes, size_t n);

/* Take up to room of what was kept. */
size_t tls_early_take(struct tls *tls, char *into, size_t room);

/* Has the handshake not ended, though bytes may move already? */
bool tls_early_is_on(const struct tls *tls);

/* For SSL_CTX_set_tlsext_status_cb(), arg: the struct tls_server. */
int tls_on_status(SSL *ssl, void *server);

/* A line of SSL_CTX_set_keylog_callback(). */
void tls_key_log_write(int fd, const char *line);

/* For SSL_CTX_set_tlsext_ticket_key_evp_cb(). */
int tls_on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                  EVP_MAC_CTX *mac, int sealing);

#endif /* NET_TLS_STATE_H */
