/*
 * h2_head.h - a head or trailer section of HTTP/2, line by line, into the same structs that HTTP/1
 * heads are read into; private to http.
 *
 * Lines are judged as they come, by RFC 9113 8 and by the rules of head.h and target.h, and kept as
 * "name: value" with a line end, which is how they are written to HTTP/1 in one piece. Nothing that
 * is refused is kept; what follows is only counted.
 */
#ifndef HTTP_H2_HEAD_H
#define HTTP_H2_HEAD_H

#include "http/h2.h"

enum h2_pseudo {
    H2_PSEUDO_METHOD,
    H2_PSEUDO_SCHEME,
    H2_PSEUDO_AUTHORITY,
    H2_PSEUDO_PATH,
    H2_PSEUDO_PROTOCOL,
    H2_PSEUDO_STATUS,
    H2_PSEUDO_COUNT
};

enum h2_section_kind {
    H2_SECTION_NONE,
    H2_SECTION_REQUEST,
    H2_SECTION_RESPONSE,
    H2_SECTION_TRAILERS
};

struct h2_line {
    uint32_t name_at; /* the value begins 2 bytes behind the name */
    uint32_t value_len;
    uint16_t name_len;
    uint8_t id, mark;
};

/* One that is being received. Treat as opaque. */
struct h2_head {
    char *bytes;          /* owned */
    struct h2_line *line; /* owned */
    uint32_t used, room;
    uint16_t n, cap;
    uint16_t limit; /* of lines */
    uint16_t facts;
    uint8_t kind;
    uint8_t rule;   /* enum h1_rule: the first that was broken */
    uint8_t pseudo; /* a bit each: seen */
    uint32_t max_bytes, max_line;
    uint64_t list_bytes; /* as RFC 9113 10.5.1 counts */
    uint64_t cookie_bytes;
    uint16_t n_cookies;
    int64_t length;
    struct {
        uint32_t at, len;
    } value[H2_PSEUDO_COUNT];
};

/* Begin another; memory is used again. */
void h2_head_begin(struct h2_head *head, enum h2_section_kind kind,
                   const struct h2_settings *settings);

/* Release the memory. */
void h2_head_fini(struct h2_head *head);

/* ERR_LIMIT: it is far beyond its limit, whoever sends it means harm. ERR_MEMORY. */
CHECKED enum err h2_head_add(struct h2_head *head, struct sluice_span name,
                             struct sluice_span value);

/*
 * The section is complete: fill what is asked for. table has room for settings->field_count + 2
 * lines; last: nothing follows. NONE, or the rule that was broken. ERR_MEMORY is told as
 * HEAD_BYTES.
 */
enum h1_rule h2_head_request(struct h2_head *head, const struct h2_settings *settings, bool last,
                             struct field_line *table, struct request *request);
enum h1_rule h2_head_response(struct h2_head *head, enum method method, bool last,
                              struct field_line *table, struct response *response);
enum h1_rule h2_head_trailers(struct h2_head *head, struct field_line *table,
                              struct fields *trailers);

/* What the spans of the above point into. */
struct sluice_span h2_head_bytes(const struct h2_head *head);

#endif /* HTTP_H2_HEAD_H */
