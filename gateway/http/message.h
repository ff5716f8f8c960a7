/*
 * message.h - heads of requests and responses, whatever version they came in.
 *
 * A head borrows the bytes it was parsed from (or the arena they were copied to); whoever
 * holds the head keeps them alive. Field names compare without case and keep the case they came in.
 *
 * No I/O, no threads.
 */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H

#include "base/arena.h"
#include "base/span.h"
#include "http/names.h"

#include <stdbool.h>
#include <stdint.h>

enum method {
    METHOD_OTHER, /* a token that is none of these: see request.method_text */
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_DELETE,
    METHOD_CONNECT,
    METHOD_OPTIONS,
    METHOD_TRACE,
    METHOD_PATCH,
};

enum field_mark {
    FIELD_DROPPED = 1, /* not forwarded: hop-by-hop, framing, or removed by a rule */
    FIELD_ADDED = 2,   /* not received: it may hold a secret of the configuration's */
};

struct field_line {
    const char *name; /* borrowed */
    const char *value;
    uint32_t value_len;
    uint16_t name_len;
    uint8_t id;   /* enum field_id, FIELD_OTHER when unknown */
    uint8_t mark; /* enum field_mark bits */
};

/* Field lines in the order received. The table grows in the arena, up to the parser's limit. */
struct fields {
    struct field_line *line; /* in the arena or the parser's table */
    uint16_t n, cap;
    struct arena *arena; /* borrowed: where added lines go; NULL: full at cap */
    uint64_t absent;     /* field_bit() of names that no line has; 0: nothing is known */
};

/* How a body is delimited (RFC 9112 6.3). */
enum framing {
    FRAMING_NONE,    /* no body */
    FRAMING_LENGTH,  /* body_bytes octets */
    FRAMING_CHUNKED, /* transfer coding chunked */
    FRAMING_CLOSE,   /* until the connection closes (responses only) */
};

enum { BODY_UNKNOWN = -1 };

enum target_form { TARGET_ORIGIN, TARGET_ABSOLUTE, TARGET_AUTHORITY, TARGET_ASTERISK };

struct request {
    enum method method;
    struct sluice_span method_text;
    struct sluice_span target; /* as received */
    enum target_form form;
    struct sluice_span scheme; /* absolute-form only, else empty */
    struct sluice_span
        authority; /* of absolute-form, else the Host field's value; lower case is not forced */
    struct sluice_span
        path; /* normalised by target_normalise(), with its leading slash; "*" for asterisk-form */
    struct sluice_span query; /* without '?', as received; has_query tells an empty one from none */
    bool has_query;
    uint8_t minor;   /* HTTP/1.minor; 1 for HTTP/2 */
    bool keep_alive; /* the peer wants the connection kept */
    bool expects_continue;
    bool accepts_trailers; /* TE: trailers */
    enum framing framing;
    int64_t body_bytes; /* FRAMING_LENGTH, else BODY_UNKNOWN */
    /* Ask to go on as a tunnel of this protocol (RFC 9110 7.8); empty: no. No parser sets it. */
    struct sluice_span upgrade;
    /*
     * Of an extended CONNECT (RFC 8441), which is told as a GET without content; empty: it is none.
     */
    struct sluice_span protocol;
    struct fields fields;
};

struct response {
    uint16_t status;
    struct sluice_span reason; /* as received, may be empty */
    uint8_t minor;
    bool keep_alive;
    enum framing framing;       /* by the request's method too */
    int64_t body_bytes;         /* of Content-Length, even where framing is NONE (HEAD, 304) */
    struct sluice_span upgrade; /* it opens a tunnel of this protocol; as in struct request */
    struct fields fields;
};

/* -- field lines ------------------------------------------------------ */

static inline struct sluice_span field_name(const struct field_line *line)
{
    return (struct sluice_span){line->name, line->name_len};
}

static inline struct sluice_span field_value(const struct field_line *line)
{
    return (struct sluice_span){line->value, line->value_len};
}

/* The bit of a name in a set of them. */
static inline uint64_t field_bit(unsigned id)
{
    return UINT64_C(1) << id;
}
_Static_assert(FIELD_ID_COUNT <= 64, "a bit for each known name");

/* Is there surely no line of these names? For loops over all lines that can be spared. */
static inline bool fields_have_none(const struct fields *fields, uint64_t names)
{
    return (names & ~fields->absent) == 0;
}

/* The first line with this id and no FIELD_DROPPED mark, or NULL. */
struct field_line *fields_find(const struct fields *fields, enum field_id id);

/* The first line with this name (any case) that is not dropped, at or after *at; advances *at.
 * NULL: no more. */
struct field_line *fields_next(const struct fields *fields, struct sluice_span name, unsigned *at);

/* Append a line; name and value are borrowed. ERR_LIMIT when the table cannot grow, ERR_PROTOCOL
 * when the name is no token or the value has a control byte. */
CHECKED enum err fields_add(struct fields *fields, struct sluice_span name,
                            struct sluice_span value);

/*
 * Append a line of a known name. value is borrowed and not looked at: it must be our own, or have
 * been a field's value already. ERR_LIMIT when the table cannot grow.
 */
CHECKED enum err fields_put(struct fields *fields, enum field_id id, struct sluice_span value);

/* Drop all lines of this name, then append one; on an error nothing is changed. */
CHECKED enum err fields_set(struct fields *fields, struct sluice_span name,
                            struct sluice_span value);

/* The same where the number of the name, name_find(name), is known already. */
CHECKED enum err fields_add_known(struct fields *fields, enum field_id id, struct sluice_span name,
                                  struct sluice_span value);
CHECKED enum err fields_set_known(struct fields *fields, enum field_id id, struct sluice_span name,
                                  struct sluice_span value);

/* Mark all lines of this name dropped; returns how many. */
unsigned fields_remove(struct fields *fields, struct sluice_span name);

/* Copy head bytes and the field table into the arena and rebase every span of the head
 * that points into [bytes.ptr, bytes.ptr + bytes.len). ERR_MEMORY when the arena is full. */
CHECKED enum err request_keep(struct request *request, struct sluice_span bytes,
                              struct arena *arena);
CHECKED enum err response_keep(struct response *response, struct sluice_span bytes,
                               struct arena *arena);

/* -- words ------------------------------------------------------------ */

/* Do bytes of content follow the head? (A Content-Length of 0 announces none.) */
bool request_has_content(const struct request *request);

enum method method_find(struct sluice_span text);
const char *method_name(enum method method);
bool method_is_idempotent(enum method method); /* RFC 9110 9.2.2; METHOD_OTHER is not */
bool method_is_safe(enum method method);

/* The standard reason phrase of a status, "" when it has none. */
const char *status_reason(unsigned status);

#endif /* HTTP_MESSAGE_H */
