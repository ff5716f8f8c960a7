/*
 * h1_parse.h - strict HTTP/1 heads from bytes (RFC 9112), without I/O or allocation.
 *
 * The caller offers all bytes of the head received so far, always from its first
 * byte on. The parser remembers how far it has looked, so a head that comes byte
 * by byte is still scanned once, and says DONE, AGAIN or WRONG.
 *
 * What two parsers could read in two ways is WRONG, with the rule it broke: bare CR or LF,
 * obs-fold, whitespace before the colon or around the start line's parts, NUL and other controls,
 * bytes of the name that are no tchar, Host missing (HTTP/1.1), twice or malformed, Content-Length
 * twice, malformed or beside Transfer-Encoding, any transfer coding but one final chunked,
 * Transfer-Encoding in HTTP/1.0, versions other than 1.x (a minor above 1 counts as 1), schemes
 * other than http and https. A Host that differs from an absolute-form authority is replaced by
 * the latter, in the table too (RFC 9112 3.2.2). Two empty lines at most before a request line
 * are skipped (RFC 9112 2.2).
 */
#ifndef HTTP_H1_PARSE_H
#define HTTP_H1_PARSE_H

#include "http/message.h"

enum h1_result { H1_DONE, H1_AGAIN, H1_WRONG };

/* Why a head was refused, of either version. X(symbol, text for the operator and the client) */
#define H1_RULES(X)                                                                                \
    X(NONE, "nothing is wrong")                                                                    \
    X(START_LINE, "malformed start line")                                                          \
    X(METHOD, "malformed method")                                                                  \
    X(TARGET, "malformed request target")                                                          \
    X(VERSION, "unsupported HTTP version")                                                         \
    X(STATUS, "malformed status code")                                                             \
    X(FIELD_NAME, "malformed field name")                                                          \
    X(FIELD_SPACE, "whitespace before the colon of a field")                                       \
    X(FIELD_VALUE, "control byte in a field value")                                                \
    X(FOLD, "folded field line")                                                                   \
    X(BARE_LF, "line feed without carriage return")                                                \
    X(BARE_CR, "carriage return without line feed")                                                \
    X(HOST_MISSING, "no Host field")                                                               \
    X(HOST_TWICE, "more than one Host field")                                                      \
    X(HOST, "malformed Host field")                                                                \
    X(LENGTH, "malformed Content-Length")                                                          \
    X(LENGTH_TWICE, "more than one Content-Length")                                                \
    X(LENGTH_AND_CODING, "both Content-Length and Transfer-Encoding")                              \
    X(CODING, "transfer coding other than a final chunked")                                        \
    X(CODING_VERSION, "Transfer-Encoding in an HTTP/1.0 message")                                  \
    X(LINE_BYTES, "start line longer than the limit")                                              \
    X(HEAD_BYTES, "fields larger than the limit")                                                  \
    X(FIELD_COUNT, "more fields than the limit")                                                   \
    X(CHUNK_SIZE, "malformed chunk size")                                                          \
    X(CHUNK_EXTENSION, "malformed or too long chunk extension")                                    \
    X(CHUNK_END, "chunk data not followed by a line end")                                          \
    X(TRAILER, "field that is not allowed as a trailer")                                           \
    X(PSEUDO, "pseudo-field that is missing, twice, misplaced or unknown")                         \
    X(UPPER_CASE, "field name not in lower case")                                                  \
    X(HOP_FIELD, "field that belongs to a connection")                                             \
    X(HOST_OTHER, "Host field that differs from :authority")                                       \
    X(PROTOCOL, "extended CONNECT where it is not offered")                                        \
    X(CONTENT, "content that differs from Content-Length")                                         \
    X(MEMORY, "no memory is left for it")

#define H1_RULE_MEMBER(symbol, text) H1_RULE_##symbol,
enum h1_rule { H1_RULES(H1_RULE_MEMBER) };
#undef H1_RULE_MEMBER

const char *h1_rule_text(enum h1_rule rule);

struct h1_limits {
    uint32_t line_bytes;  /* start line without its end */
    uint32_t head_bytes;  /* whole head */
    uint16_t field_count; /* field lines */
};

/* Zero it before the first byte of a head. The head's bytes may move between calls, and request
 * and table may be others: nothing but this is remembered. */
struct h1_scan {
    uint32_t at;   /* bytes looked at */
    uint32_t line; /* where the line being looked at begins */
    uint16_t n_lines;
    uint16_t seen;   /* private to the parser: what the complete lines said about framing */
    uint8_t rule;    /* enum h1_rule, when WRONG */
    uint8_t skipped; /* empty lines before the start line */
};

/*
 * DONE: *request is filled (spans into bytes; fields in lines), *head_bytes tells where the body
 * begins. request->fields.line must point to a table of request->fields.cap lines before the call.
 * path and query are split but not normalised: see http/target.h.
 * WRONG: scan->rule says why; LINE_BYTES deserves 414, HEAD_BYTES and FIELD_COUNT 431, VERSION
 * 505, the others 400.
 * The result is the same however the bytes were split over calls. A broken line is refused when
 * it is complete, a wrong control byte or a limit at once.
 */
enum h1_result h1_parse_request(struct h1_scan *scan, struct sluice_span bytes,
                                const struct h1_limits *limits, struct request *request,
                                size_t *head_bytes);

/* The same for a response. method is the request's: it decides the framing (RFC 9112 6.3). Interim
 * (1xx) heads are DONE like any other, with FRAMING_NONE. */
enum h1_result h1_parse_response(struct h1_scan *scan, struct sluice_span bytes,
                                 const struct h1_limits *limits, enum method method,
                                 struct response *response, size_t *head_bytes);

/* Trailer section: field lines up to the empty line. Same contract; framing, routing and
 * hop-by-hop names are dropped (RFC 9110 6.5.1). */
enum h1_result h1_parse_trailers(struct h1_scan *scan, struct sluice_span bytes,
                                 const struct h1_limits *limits, struct fields *trailers,
                                 size_t *section_bytes);

/* Choose the scan by what the processor offers ("avx2", "sse4.2", "scalar"), once, before workers
 * start; wanted NULL or not available: the best. Returns the name chosen. Until called, scalar is
 * used. */
const char *h1_scan_choose(const char *wanted);

#endif /* HTTP_H1_PARSE_H */
