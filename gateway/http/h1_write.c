/*
 * h1_write.c - heads and chunk frames out.
 *
 * A forwarded head is mostly the one that was received. Lines that stand in memory one after
 * the other, exactly as they are to be written, are copied in one piece: the copy of a typical
 * head is three or four pieces and not fifty.
 */
#include "http/h1_write.h"

#include "base/check.h"
#include "base/poison.h"

#include <string.h>

#define FRAMING_FIELDS                                                                             \
    (field_bit(FIELD_CONTENT_LENGTH) | field_bit(FIELD_TRANSFER_ENCODING) |                        \
     field_bit(FIELD_CONNECTION) | field_bit(FIELD_UPGRADE))

enum { NUMBER_ROOM = 20 };

/* Where writing stands; both are NULL once something did not fit. */
struct out {
    char *at;
    const char *end;
};

/* Inline, so that a literal is stored and not copied by a call. */
static inline __attribute__((always_inline)) void put(struct out *out, const char *ptr, size_t len)
{
    if ((size_t)(out->end - out->at) < len) {
        *out = (struct out){NULL, NULL};
        return;
    }
    if (len != 0) {
        memcpy(out->at, ptr, len);
        out->at += len;
    }
}

#define PUT(out, literal) put((out), "" literal, sizeof(literal) - 1)

static void put_span(struct out *out, struct sluice_span text)
{
    put(out, text.ptr, text.len);
}

static void put_number(struct out *out, uint64_t number)
{
    char digits[NUMBER_ROOM];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    put(out, digits + at, sizeof(digits) - at);
}

static size_t written(const struct out *out, const char *begin)
{
    return out->at != NULL ? (size_t)(out->at - begin) : 0;
}

/* -- fields ----------------------------------------------------------- */

static bool is_left_out(const struct field_line *line, uint64_t but)
{
    return (line->mark & FIELD_DROPPED) || (field_bit(line->id) & but);
}

/* Does the line stand in memory as "name: value"? */
PEEKS static bool is_whole(const struct field_line *line)
{
    const char *gap = line->name + line->name_len;

    return line->value == gap + 2 && gap[0] == ':' && gap[1] == ' ';
}

/* Does next begin where a line that ended at end has had its CR LF? */
PEEKS static bool follows(const struct field_line *next, const char *end)
{
    return next->name == end + 2 && end[0] == '\r' && end[1] == '\n';
}

/* Write a run of whole lines, of which the last ends at end; begin NULL: there is none. */
static void put_run(struct out *out, const char *begin, const char *end)
{
    if (begin == NULL)
        return;
    put(out, begin, (size_t)(end - begin));
    PUT(out, "\r\n");
}

/* Write the lines that are neither dropped nor in but. */
static void put_fields(struct out *out, const struct fields *fields, uint64_t but)
{
    const struct field_line *line = fields->line;
    const char *begin = NULL, *end = NULL;

    for (unsigned left = fields->n; left > 0; left--, line++) {
        if (is_left_out(line, but))
            continue;
        if (is_whole(line)) {
            if (begin == NULL || !follows(line, end)) {
                put_run(out, begin, end);
                begin = line->name;
            }
            end = line->value + line->value_len;
            continue;
        }
        put_run(out, begin, end);
        begin = NULL;
        put_span(out, field_name(line));
        PUT(out, ": ");
        put_span(out, field_value(line));
        PUT(out, "\r\n");
    }
    put_run(out, begin, end);
}

static void put_length(struct out *out, int64_t bytes)
{
    CHECK(bytes >= 0);
    PUT(out, "Content-Length: ");
    put_number(out, (uint64_t)bytes);
    PUT(out, "\r\n");
}

/* A status has three digits. */
static void put_status(struct out *out, unsigned status)
{
    char line[] = "HTTP/1.1 200 ";

    line[9] = (char)('0' + status / 100 % 10);
    line[10] = (char)('0' + status / 10 % 10);
    line[11] = (char)('0' + status % 10);
    put(out, line, sizeof(line) - 1);
}

static void put_framing(struct out *out, enum framing framing, int64_t body_bytes)
{
    if (framing == FRAMING_LENGTH)
        put_length(out, body_bytes);
    if (framing == FRAMING_CHUNKED)
        PUT(out, "Transfer-Encoding: chunked\r\n");
}

/*
 * Connection names what is for one hop: a TE field (RFC 9110 10.1.4), and Upgrade (7.8), which is
 * written here.
 */
static void put_connection(struct out *out, enum h1_connection connection, bool has_te,
                           struct sluice_span upgrade)
{
    static const struct sluice_span words[] = {
        [H1_CONNECTION_NONE] = {"", 0},
        [H1_CONNECTION_CLOSE] = {"close", 5},
        [H1_CONNECTION_KEEP_ALIVE] = {"keep-alive", 10},
    };
    struct sluice_span options[] = {words[connection], has_te ? SPAN("TE") : SPAN(""),
                                    upgrade.len != 0 ? SPAN("Upgrade") : SPAN("")};
    struct sluice_span before = SPAN("Connection: "), after = SPAN("");

    if (connection == H1_CONNECTION_NONE && !has_te && upgrade.len == 0)
        return;
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (options[i].len == 0)
            continue;
        put_span(out, before);
        put_span(out, options[i]);
        before = SPAN(", ");
        after = SPAN("\r\n");
    }
    put_span(out, after);
    if (upgrade.len != 0) {
        PUT(out, "Upgrade: ");
        put_span(out, upgrade);
        PUT(out, "\r\n");
    }
}

/* -- heads ------------------------------------------------------------ */

/* More parameters than six: each is a decision of the caller, and a struct of them would be
 * filled at its one call and read here. */

/* NOLINTNEXTLINE(readability-function-size) */
size_t h1_write_request(char *out, size_t room, const struct request *request,
                        struct sluice_span target, struct sluice_span host, enum framing framing,
                        int64_t body_bytes, enum h1_connection connection)
{
    struct out to = {out, out + room};
    uint64_t but = FRAMING_FIELDS;

    put_span(&to, request->method_text);
    PUT(&to, " ");
    put_span(&to, target);
    PUT(&to, " HTTP/1.1\r\n");
    if (host.len != 0) {
        but |= field_bit(FIELD_HOST);
        PUT(&to, "Host: ");
        put_span(&to, host);
        PUT(&to, "\r\n");
    }
    put_fields(&to, &request->fields, but);
    put_framing(&to, framing, body_bytes);
    put_connection(&to, connection, fields_find(&request->fields, FIELD_TE) != NULL,
                   request->upgrade);
    PUT(&to, "\r\n");
    return written(&to, out);
}

/* NOLINTNEXTLINE(readability-function-size) */
size_t h1_write_response(char *out, size_t room, const struct response *response,
                         enum framing framing, int64_t body_bytes, int64_t keep_length,
                         enum h1_connection connection)
{
    struct out to = {out, out + room};
    struct sluice_span reason = response->reason;

    if (reason.len == 0)
        reason = span_of(status_reason(response->status));
    put_status(&to, response->status);
    put_span(&to, reason);
    PUT(&to, "\r\n");
    put_fields(&to, &response->fields, FRAMING_FIELDS);
    put_framing(&to, framing, body_bytes);
    if (framing == FRAMING_NONE && keep_length >= 0)
        put_length(&to, keep_length);
    put_connection(&to, connection, false, response->upgrade);
    PUT(&to, "\r\n");
    return written(&to, out);
}

/* -- chunks ----------------------------------------------------------- */

size_t h1_write_chunk_head(char *out, size_t room, uint64_t bytes)
{
    static const char hex[] = "0123456789abcdef";
    struct out to = {out, out + room};
    char digits[16];
    size_t at = sizeof(digits);

    do {
        digits[--at] = hex[bytes & 0xf];
        bytes >>= 4;
    } while (bytes != 0);
    put(&to, digits + at, sizeof(digits) - at);
    PUT(&to, "\r\n");
    return written(&to, out);
}

size_t h1_write_last_chunk(char *out, size_t room, const struct fields *trailers)
{
    struct out to = {out, out + room};

    PUT(&to, "0\r\n");
    if (trailers != NULL)
        put_fields(&to, trailers, FRAMING_FIELDS | field_bit(FIELD_HOST));
    PUT(&to, "\r\n");
    return written(&to, out);
}
