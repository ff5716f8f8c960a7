/*
 * tls_state.h - what a TLS connection keeps, and what those of one loop share; private to net/.
 */
#ifndef NET_TLS_STATE_H
#define NET_TLS_STATE_H

#include "net/conn.h"
#include "net/tls.h"
#include "net/transport.h"

#include <openssl/ssl.h>

enum { TLS_RECORD_BYTES = 16 * 1024 };

/* The state of a connection whose transport is transport_tls. */
struct tls {
    SSL *ssl;                  /* owned */
    struct tls_server *server; /* shared; NULL: we are the client */
    struct tls_client *client; /* shared; NULL: we are the server */
    struct tls_memory *memory; /* borrowed, as tls_connect() says */
    const char *why;           /* static: why it failed, or NULL */
    uint16_t pending;          /* bytes in a record that is waiting to leave */
    int8_t end;                /* enum err: what reading ended with; OK: not yet */
    bool is_plain_http;
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
    bool was_short;     /* the last recv() did not fill its buffer */
    bool at_end;
    char record[TLS_RECORD_BYTES]; /* small pieces become one record here */
};

extern const struct transport transport_tls;

/* Put a new SSL of this context under conn; takes over *tls. */
CHECKED enum err tls_start(struct conn *conn, SSL_CTX *context, struct tls **tls);

/* The modes and options that both sides have. */
void tls_prepare(SSL_CTX *context);
CHECKED enum err tls_limit_versions(SSL_CTX *context, int min_version, int max_version);

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

/* Mix the bytes of a file into a digest; one that cannot be read counts as empty. */
void tls_digest_file(EVP_MD_CTX *digest, const struct tls_file *file);

/* OpenSSL's last error in words; a static text. Clears its queue. */
const char *tls_error_text(void);

/* For SSL_CTX_set_tlsext_ticket_key_evp_cb(); the context's app data is a struct tls_tickets. */
int tls_on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                  EVP_MAC_CTX *mac, int sealing);

#endif /* NET_TLS_STATE_H */
