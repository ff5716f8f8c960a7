/*
 * counters.h - what the data path counts, per worker; summed when asked.
 */
#ifndef PROXY_COUNTERS_H
#define PROXY_COUNTERS_H

#include "base/count.h"
#include "http/grpc_status.h"
#include "http/h2.h"
#include "net/tls.h"
#include "proxy/reason.h"

#define ROUTE_TALLY "route" /* kinds of tally blocks; their keys are the names */
#define PORT_TALLY  "listener"

/* By the first digit of the final status; 0: none was sent. */
enum { STATUS_CLASSES = 6 };

struct route_counters {
    struct counter requests[STATUS_CLASSES];
    struct counter grpc[GRPC_STATUS_COUNT]; /* calls by how they ended, as told by grpc-status */
    struct counter request_bytes, response_bytes;
    struct counter tunnels; /* open now */
    struct histogram duration;
};

enum port_tls_cipher {
    PORT_TLS_AES_128_GCM,
    PORT_TLS_AES_256_GCM,
    PORT_TLS_CHACHA20,
    PORT_TLS_OTHER_CIPHER,
    PORT_TLS_CIPHERS
};

enum port_tls_protocol { PORT_TLS_H2, PORT_TLS_HTTP_1_1, PORT_TLS_NO_PROTOCOL, PORT_TLS_PROTOCOLS };

struct port_counters {
    struct counter open, accepted, refused_limit, refused_handshakes, refused_descriptors;
    /* How connections began where PROXY headers are read. */
    struct counter proxy_v1, proxy_v2, proxy_none, proxy_refused, proxy_wrong, proxy_timeout;
    /* How handshakes ended. */
    struct counter tls_full, tls_resumed, tls_failed, tls_timeout, tls_plain;
    /* Handshakes under way; and what those that went well agreed on. */
    struct counter tls_shaking, tls_1_2, tls_1_3, tls_client_certs, tls_early;
    struct counter tls_ciphers[PORT_TLS_CIPHERS], tls_protocols[PORT_TLS_PROTOCOLS];
    struct histogram tls_time;                  /* of handshakes that went well */
    struct counter tls_causes[TLS_CAUSE_COUNT]; /* of those that failed */
    /* HTTP/2: connections, those that answered no PING, streams. */
    struct counter h2_accepted, h2_open, h2_dead, h2_streams;
    /* Requests that waited for another turn; that ended before they were begun. */
    struct counter h2_put_off, h2_not_begun;
    struct counter h2_causes[H2_CAUSE_COUNT];
    struct counter h2_resets_in[H2_CODES], h2_resets_out[H2_CODES]; /* by code */
};

struct worker_counters {
    struct counter connections, exchanges, tunnels, accepted, handed_off;
    struct counter ends[REASON_COUNT];
    struct counter spliced_bodies, spliced_bytes; /* content that went by unseen */
};

#endif /* PROXY_COUNTERS_H */
