/*
 * tls_conf.h - TLS as configured: the "tls:" maps of listeners and of upstreams, bound to memory.
 *
 * Only names of files are kept here; what is in them is read by tls_server_new() and
 * tls_client_new().
 */
#ifndef NET_TLS_CONF_H
#define NET_TLS_CONF_H

#include "config/shape.h"

/* A file as named, relative to the configuration file that names it. */
struct tls_file {
    struct mark at;
    struct sluice_span path; /* NUL-terminated beyond its length; empty: none */
};

struct tls_certificate_conf {
    struct mark at;
    struct tls_file cert, key;
    struct tls_file ocsp; /* empty: none */
};

enum tls_version_conf { TLS_CONF_1_2, TLS_CONF_1_3 };
enum tls_client_mode { TLS_CLIENT_NONE, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRE };

/* What becomes of requests for a host that another certificate is for. */
enum tls_mismatch { TLS_MISMATCH_AUTO, TLS_MISMATCH_REFUSE, TLS_MISMATCH_ALLOW };

/* Certificates of clients. */
struct tls_asking_conf {
    int mode; /* enum tls_client_mode */
    struct tls_file ca;
    struct tls_file crl; /* empty: nothing is revoked */
    bool forward;        /* Client-Cert to upstreams, RFC 9440 */
};

/* What may be agreed on by ALPN, in the form of the wire: the best first. */
struct tls_protocols {
    unsigned len;
    unsigned char wire[16];
};

struct tls_server_conf {
    struct mark at;
    bool is_on;                /* the map was written */
    struct items certificates; /* of struct tls_certificate_conf */
    int min_version, max_version;
    struct sluice_span ciphers, ciphersuites, groups; /* as OpenSSL writes them; empty: its own */
    struct tls_asking_conf client;
    int mismatch;    /* enum tls_mismatch */
    bool strict_sni; /* who asks for no name of ours gets no certificate */
    bool session_tickets;
    uint64_t session_ms; /* how long a session may be resumed; 0: OpenSSL's 2 h */
    bool early_data;
    struct tls_file ticket_keys; /* empty: the process has keys of its own */
    struct tls_file key_log;     /* empty: none */
    uint64_t small_bytes;        /* at first, in small records */
    uint64_t handshakes;         /* at a time; 0: no limit */
    uint64_t handshake_ms;
    struct tls_protocols alpn; /* no option of its own: what the listener speaks */
};

/* What is offered to an endpoint (ALPN). */
enum tls_alpn { TLS_ALPN_H1, TLS_ALPN_H2, TLS_ALPN_BOTH };

struct tls_client_conf {
    struct mark at;
    bool is_written;
    bool enabled; /* false: "tls: false" was written */
    bool verify;
    struct tls_file ca; /* empty: the system's store */
    struct sluice_span sni;
    struct tls_file cert, key;
    int min_version, max_version;
    struct sluice_span ciphers, ciphersuites, groups; /* as for listeners */
    struct tls_file key_log;                          /* empty: none */
    int alpn; /* enum tls_alpn; set by who knows what is to be spoken */
};

/* "1.2"; a static text. */
const char *tls_version_text(int version);

/* Is data taken before the handshake is over? */
bool tls_server_conf_takes_early(const struct tls_server_conf *conf);

/* Are such requests refused? */
bool tls_server_conf_is_strict(const struct tls_server_conf *conf);

extern const struct shape tls_server_shape, tls_client_shape;

/* Is the upstream spoken to by TLS? */
bool tls_client_conf_is_on(const struct tls_client_conf *conf);

/*
 * A number that changes when one of the named files changes (by time, size or inode); mixed into
 * stamp.
 */
uint64_t tls_server_stamp(const struct tls_server_conf *conf, uint64_t stamp);
uint64_t tls_client_stamp(const struct tls_client_conf *conf, uint64_t stamp);

#endif /* NET_TLS_CONF_H */
