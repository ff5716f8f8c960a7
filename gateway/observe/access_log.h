/*
 * access_log.h - one line per exchange, in a form compiled once.
 */
#ifndef OBSERVE_ACCESS_LOG_H
#define OBSERVE_ACCESS_LOG_H

#include "base/arena.h"
#include "base/text.h"
#include "config/shape.h"

struct access_format;

enum { ACCESS_LINE_MAX = 40 * 1024 }; /* bytes; no line is longer, longer values are cut */

enum { ACCESS_NONE = -1 }; /* a number that is not known: null in JSON, "-" in a pattern */

/* Of connections and streams: looked up only where a line says them. X(symbol, name) */
#define ACCESS_FACTS(X)                                                                            \
    X(TLS_VERSION, "tls_version")                                                                  \
    X(TLS_CIPHER, "tls_cipher")                                                                    \
    X(TLS_SNI, "tls_sni")                                                                          \
    X(TLS_ALPN, "tls_alpn")                                                                        \
    X(TLS_SESSION, "tls_session") /* "new" or "resumed" */                                         \
    X(TLS_EARLY, "tls_early")     /* "1": the request came before the handshake was over */        \
    X(TLS_CLIENT_SUBJECT, "tls_client_subject")                                                    \
    X(TLS_CLIENT_FINGERPRINT, "tls_client_fingerprint")                                            \
    X(PROXY, "proxy") /* who sent the PROXY header */                                              \
    X(PROXY_UNIQUE_ID, "proxy_unique_id")                                                          \
    X(RESET_BY, "reset_by")                   /* "client" or "sluice": its stream was reset */     \
    X(RESET_CODE, "reset_code")               /* by this code of HTTP/2 */                         \
    X(UPSTREAM_PROTOCOL, "upstream_protocol") /* of the last try */

#define ACCESS_FACT_MEMBER(symbol, name) ACCESS_FACT_##symbol,
enum access_fact { ACCESS_FACTS(ACCESS_FACT_MEMBER) };
#undef ACCESS_FACT_MEMBER

/* A second of the clock as text: kept by who writes many lines, zeroed at first. */
struct access_second {
    uint64_t s;
    char text[19];
};

/* What is known of an exchange at its end. Spans may be empty: null, or "-". */
struct access_record {
    uint64_t wall_us;             /* when it began */
    struct access_second *second; /* borrowed: the one told last; NULL: none is kept */
    uint64_t duration_us;
    int64_t upstream_us; /* to the response head, or ACCESS_NONE */
    int64_t bytes_in, bytes_out;
    int64_t status;      /* ACCESS_NONE: none was sent */
    int64_t grpc_status; /* the same */
    const char *reason;
    const char *hedged; /* "won", "lost"; NULL: there was no second attempt */
    struct sluice_span request_id, client, method, scheme, host, path, query, target, protocol;
    struct sluice_span route, upstream, endpoint, listener;
    struct sluice_span retry_reasons; /* "reset,503" */
    struct sluice_span notes;         /* words of plugins, separated by commas */
    uint32_t client_port, worker, tries;
    uint32_t stream; /* of HTTP/2; 0: none */
    uint64_t connection, connection_requests, generation;
    bool has_query, reused;

    /* Value of a field of the request or of the response, false when absent. */
    bool (*find_field)(const struct access_record *record, bool of_response,
                       struct sluice_span name, struct sluice_span *value);
    /* Value of an attribute that plugins set, false when nobody has. NULL: no plugins. */
    bool (*find_attribute)(const struct access_record *record, struct sluice_span name,
                           struct sluice_span *value);
    /* A fact of the client's connection, false when there is none. NULL: there are no facts. */
    bool (*find_fact)(const struct access_record *record, enum access_fact fact,
                      struct sluice_span *value);
    const void *owner;   /* for all of them */
    struct arena *arena; /* for values that have to be made */
};

/* The "access_log:" map. */
struct access_log_conf {
    struct sluice_span path; /* "off", "stdout", "stderr" or a file */
    int form;                /* enum access_form */
    struct items fields;     /* of struct sluice_span */
    struct sluice_span pattern;
    /* Compiled by the shape's check, in the bind's arena, for any thread. NULL when the map is not
     * written at all: path is then "off". */
    struct access_format *format;
};
enum access_form { ACCESS_JSON, ACCESS_PATTERN };
extern const struct shape access_log_shape;

/* Does a line hold fields of the response? They must then be kept until its end. NULL: no. */
bool access_format_wants_response(const struct access_format *format);

/* Append one line, '\n' included. NULL writes nothing. */
void access_format_write(const struct access_format *format, const struct access_record *record,
                         struct text *out);

#endif /* OBSERVE_ACCESS_LOG_H */
