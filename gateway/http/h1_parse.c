/*
 * h1_parse.c - heads, a line at a time.
 *
 * The usual head is complete in one call and is read in one pass: find the end of the line, cut
 * it, look up the name, and if the name decides framing, look at the value there and then.
 *
 * A head that comes in pieces is read up to its last complete line; struct h1_scan keeps where
 * that was and, in a few bits, what those lines said about framing. So each byte is searched
 * once and a broken line is refused as soon as it is complete, with the rule that the whole head
 * would have shown. Only the spans are not remembered (bytes and tables may move): when the last
 * piece came, a head that is now known to be right is read once more to fill them in.
 *
 * The result depends on the bytes so far only, never on how they were split: limits are counted
 * from the first byte, and what lies beyond head_bytes is not looked at.
 */
#include "http/h1_parse.h"

#include "http/h1_scan.h"
#include "http/head.h"
#include "http/rules.h"
#include "http/target.h"

#include <string.h>

enum kind { KIND_REQUEST, KIND_RESPONSE, KIND_TRAILERS };

/* Bits of h1_scan.seen. */
enum seen {
    SEEN_START = 1,     /* the start line is complete */
    SEEN_MINOR_1 = 2,   /* HTTP/1.1 or a later minor */
    SEEN_AUTHORITY = 4, /* the target has an authority */
    SEEN_HOST = 8,
    SEEN_LENGTH = 16,
    SEEN_CODING = 32,
    SEEN_CLOSE = 64, /* Connection: close */
    SEEN_KEEP_ALIVE = 128,
    SEEN_CONTINUE = 256, /* Expect: 100-continue */
    SEEN_TRAILERS = 512, /* TE: trailers */
    SEEN_INTERIM = 1024, /* a 1xx status: nothing may announce a body (RFC 9110 8.6, 9112 6.1) */
};

enum {
    SKIPPED_MAX = 2,   /* empty lines before a request line */
    VERSION_BYTES = 8, /* HTTP/1.1 */
};

/* One call: the input, and what only the call that sees all lines can know. */
struct reading {
    const struct h1_scan_set *find;
    const char *begin, *end; /* end: no byte beyond limits->head_bytes */
    const struct h1_limits *limits;
    struct fields *fields;
    unsigned max_lines;
    enum kind kind;
    bool more;               /* there are bytes beyond end */
    int64_t length;          /* of Content-Length */
    uint64_t present;        /* field_bit() of all names */
    struct field_line *host; /* in fields */
};

const char *h1_rule_text(enum h1_rule rule)
{
#define RULE_TEXT(symbol, text) [H1_RULE_##symbol] = (text),
    static const char *const texts[] = {H1_RULES(RULE_TEXT)};
#undef RULE_TEXT

    return (unsigned)rule < sizeof(texts) / sizeof(texts[0]) ? texts[rule] : texts[0];
}

static struct sluice_span between(const char *begin, const char *end)
{
    return (struct sluice_span){begin, (size_t)(end - begin)};
}

static bool is_blank(char octet)
{
    return octet == ' ' || octet == '\t';
}

static bool is_digit(char octet)
{
    return octet >= '0' && octet <= '9';
}

/* -- lines ------------------------------------------------------------ */

static enum h1_result wrong(struct h1_scan *scan, enum h1_rule rule)
{
    scan->rule = (uint8_t)rule;
    return H1_WRONG;
}

/* The rule that a control byte at stop breaks, in a start line or in a field line. */
static enum h1_rule control_rule(const struct h1_scan *scan, const struct reading *in,
                                 const char *stop)
{
    const char *line = in->begin + scan->line;
    size_t len = (size_t)(stop - line);

    if (*stop == '\r')
        return H1_RULE_BARE_CR;
    if (*stop == '\n')
        return H1_RULE_BARE_LF;
    if (scan->seen & SEEN_START)
        return memchr(line, ':', len) != NULL ? H1_RULE_FIELD_VALUE : H1_RULE_FIELD_NAME;
    if (in->kind == KIND_RESPONSE)
        return H1_RULE_START_LINE;
    return memchr(line, ' ', len) != NULL ? H1_RULE_TARGET : H1_RULE_METHOD;
}

/* No CR LF at stop: is the line wrong, too long, or only not complete? Apart from good lines. */
__attribute__((noinline)) static enum h1_result
line_open(struct h1_scan *scan, const struct reading *in, const char *stop)
{
    bool in_start = (scan->seen & SEEN_START) == 0;

    if (in_start && stop - (in->begin + scan->line) > (ptrdiff_t)in->limits->line_bytes)
        return wrong(scan, H1_RULE_LINE_BYTES);
    if (stop < in->end && (*stop != '\r' || stop + 1 < in->end))
        return wrong(scan, control_rule(scan, in, stop));
    if (in->more)
        return wrong(scan, in_start ? H1_RULE_LINE_BYTES : H1_RULE_HEAD_BYTES);
    scan->at = (uint32_t)(stop - in->begin);
    return H1_AGAIN;
}

/* The CR LF that ends the line at in->begin + scan->line; NULL: *result says why there is none. */
__attribute__((always_inline)) static inline const char *
line_find(struct h1_scan *scan, const struct reading *in, enum h1_result *result)
{
    const char *stop = in->find->line_end(in->begin + scan->at, in->end, in->begin);

    if (in->end - stop >= 2 && stop[0] == '\r' && stop[1] == '\n')
        return stop;
    *result = line_open(scan, in, stop);
    return NULL;
}

static void line_next(struct h1_scan *scan, const struct reading *in, const char *line_end)
{
    scan->line = scan->at = (uint32_t)(line_end + 2 - in->begin);
}

/* -- fields that decide framing --------------------------------------- */

static enum h1_rule on_host(struct h1_scan *scan, struct reading *in, struct field_line *line)
{
    struct sluice_span host;
    uint16_t port;

    if (scan->seen & SEEN_HOST)
        return H1_RULE_HOST_TWICE;
    scan->seen |= SEEN_HOST;
    in->host = line;
    if (target_authority(field_value(line), &host, &port))
        return H1_RULE_HOST;
    if (host.len == 0 && (scan->seen & SEEN_AUTHORITY))
        return H1_RULE_HOST;
    return H1_RULE_NONE;
}

static enum h1_rule on_length(struct h1_scan *scan, struct reading *in,
                              const struct field_line *line)
{
    enum h1_rule rule;

    if (scan->seen & SEEN_CODING)
        return H1_RULE_LENGTH_AND_CODING;
    if (scan->seen & SEEN_LENGTH)
        return H1_RULE_LENGTH_TWICE;
    scan->seen |= SEEN_LENGTH;
    rule = head_length(field_value(line), &in->length);
    if (rule == H1_RULE_NONE && in->length != 0 && (scan->seen & SEEN_INTERIM))
        return H1_RULE_LENGTH;
    return rule;
}

static enum h1_rule on_coding(struct h1_scan *scan, const struct field_line *line)
{
    if (scan->seen & SEEN_LENGTH)
        return H1_RULE_LENGTH_AND_CODING;
    if (scan->seen & SEEN_CODING)
        return H1_RULE_CODING;
    scan->seen |= SEEN_CODING;
    if (!(scan->seen & SEEN_MINOR_1))
        return H1_RULE_CODING_VERSION;
    if (scan->seen & SEEN_INTERIM)
        return H1_RULE_CODING;
    return head_is_word(field_value(line), SPAN("chunked")) ? H1_RULE_NONE : H1_RULE_CODING;
}

static void on_connection(struct h1_scan *scan, const struct field_line *line)
{
    struct sluice_span value = field_value(line);

    if (rules_list_has(value, SPAN("close")))
        scan->seen |= SEEN_CLOSE;
    if (rules_list_has(value, SPAN("keep-alive")))
        scan->seen |= SEEN_KEEP_ALIVE;
}

/* What a known field of a request or a response means for the message around it. */
static enum h1_rule on_field(struct h1_scan *scan, struct reading *in, struct field_line *line)
{
    switch ((unsigned)line->id) {
    case FIELD_HOST:
        return in->kind == KIND_REQUEST ? on_host(scan, in, line) : H1_RULE_NONE;
    case FIELD_CONTENT_LENGTH:
        return on_length(scan, in, line);
    case FIELD_TRANSFER_ENCODING:
        return on_coding(scan, line);
    case FIELD_CONNECTION:
        on_connection(scan, line);
        return H1_RULE_NONE;
    case FIELD_EXPECT:
        if (head_is_word(field_value(line), SPAN("100-continue")))
            scan->seen |= SEEN_CONTINUE;
        return H1_RULE_NONE;
    case FIELD_TE:
        if (rules_list_has(field_value(line), SPAN("trailers")))
            scan->seen |= SEEN_TRAILERS;
        return H1_RULE_NONE;
    default:
        return H1_RULE_NONE;
    }
}

#define DECISIVE                                                                                   \
    (field_bit(FIELD_HOST) | field_bit(FIELD_CONTENT_LENGTH) |                                     \
     field_bit(FIELD_TRANSFER_ENCODING) | field_bit(FIELD_CONNECTION) | field_bit(FIELD_EXPECT) |  \
     field_bit(FIELD_TE))

/* -- field lines ------------------------------------------------------ */

/* The token that should be a name ended at at, which is no colon or an empty name's. */
static enum h1_rule name_rule(const char *line, const char *at, const char *line_end)
{
    const char *after = at;

    if (at == line_end || !is_blank(*at))
        return H1_RULE_FIELD_NAME;
    if (at == line)
        return H1_RULE_FOLD;
    while (after < line_end && is_blank(*after))
        after++;
    return after < line_end && *after == ':' ? H1_RULE_FIELD_SPACE : H1_RULE_FIELD_NAME;
}

static enum h1_rule field_read(struct h1_scan *scan, struct reading *in, const char *line_end)
{
    const char *name = in->begin + scan->line;
    const char *colon = in->find->token_end(name, in->end, in->begin);
    const char *value = colon + 1;
    struct field_line *line;

    if (scan->n_lines >= in->max_lines)
        return H1_RULE_FIELD_COUNT;
    if (colon == name || *colon != ':')
        return name_rule(name, colon, line_end);
    if (colon - name > UINT16_MAX)
        return H1_RULE_FIELD_NAME;
    while (value < line_end && is_blank(*value))
        value++;
    while (line_end > value && is_blank(line_end[-1]))
        line_end--;
    line = &in->fields->line[scan->n_lines++];
    line->name = name;
    line->name_len = (uint16_t)(colon - name);
    line->value = value;
    line->value_len = (uint32_t)(line_end - value);
    line->id = (uint8_t)name_find(between(name, colon));
    line->mark = 0;
    in->present |= field_bit(line->id);
    if (in->kind == KIND_TRAILERS) {
        line->mark = rules_may_be_trailer(field_name(line)) ? 0 : FIELD_DROPPED;
        return H1_RULE_NONE;
    }
    return field_bit(line->id) & DECISIVE ? on_field(scan, in, line) : H1_RULE_NONE;
}

/* Field lines up to and with the empty one. */
static enum h1_result fields_read(struct h1_scan *scan, struct reading *in)
{
    for (;;) {
        enum h1_result result = H1_AGAIN;
        const char *line_end = line_find(scan, in, &result);
        bool is_empty;
        enum h1_rule rule;

        if (line_end == NULL)
            return result;
        is_empty = line_end == in->begin + scan->line;
        rule = is_empty ? H1_RULE_NONE : field_read(scan, in, line_end);
        if (rule)
            return wrong(scan, rule);
        line_next(scan, in, line_end);
        if (is_empty)
            return H1_DONE;
    }
}

/* -- start lines ------------------------------------------------------ */

/* Read "HTTP/1.x" from the VERSION_BYTES at ptr. */
static enum h1_rule version_read(struct h1_scan *scan, const char *ptr)
{
    if (memcmp(ptr, "HTTP/", 5) != 0 || !is_digit(ptr[5]) || ptr[6] != '.' || !is_digit(ptr[7]))
        return H1_RULE_START_LINE;
    if (ptr[5] != '1')
        return H1_RULE_VERSION;
    if (ptr[7] != '0')
        scan->seen |= SEEN_MINOR_1;
    return H1_RULE_NONE;
}

/* Cut "method SP target SP version"; nothing else of the line is left unread. */
static enum h1_rule request_cut(struct h1_scan *scan, const struct reading *in,
                                const char *line_end, struct request *request)
{
    const char *line = in->begin + scan->line;
    const char *space = in->find->token_end(line, in->end, in->begin);
    const char *target = space + 1, *target_end = line_end - VERSION_BYTES - 1, *bad;
    enum h1_rule rule;

    if (space == line_end || space == line)
        return space < line_end && !is_blank(*space) ? H1_RULE_METHOD : H1_RULE_START_LINE;
    if (*space != ' ')
        return H1_RULE_METHOD;
    if (target_end <= target || *target_end != ' ')
        return H1_RULE_START_LINE;
    rule = version_read(scan, target_end + 1);
    if (rule)
        return rule;
    bad = in->find->target_end(target, target_end, in->begin);
    if (bad != target_end) {
        bool at_edge = bad == target || bad == target_end - 1;

        return is_blank(*bad) && at_edge ? H1_RULE_START_LINE : H1_RULE_TARGET;
    }
    request->method_text = between(line, space);
    request->method = method_find(request->method_text);
    request->target = between(target, target_end);
    return H1_RULE_NONE;
}

static enum h1_rule request_line(struct h1_scan *scan, const struct reading *in,
                                 const char *line_end, struct request *request)
{
    enum h1_rule rule = request_cut(scan, in, line_end, request);

    if (rule)
        return rule;
    request->scheme = request->authority = SPAN("");
    request->path = request->query = request->upgrade = request->protocol = SPAN("");
    request->has_query = false;
    rule = head_target(request);
    if (request->authority.len != 0)
        scan->seen |= SEEN_AUTHORITY;
    return rule;
}

static enum h1_rule status_line(struct h1_scan *scan, const struct reading *in,
                                const char *line_end, struct response *response)
{
    const char *line = in->begin + scan->line, *status = line + VERSION_BYTES + 1;
    const char *reason = status + 3;
    enum h1_rule rule;

    if (line_end - line < VERSION_BYTES)
        return H1_RULE_START_LINE;
    rule = version_read(scan, line);
    if (rule)
        return rule;
    if (line_end - line < VERSION_BYTES + 1 || status[-1] != ' ')
        return H1_RULE_START_LINE;
    if (line_end < reason || !is_digit(status[0]) || !is_digit(status[1]) || !is_digit(status[2]))
        return H1_RULE_STATUS;
    if (status[0] < '1' || status[0] > '5' || (reason < line_end && *reason != ' '))
        return H1_RULE_STATUS;
    response->status =
        (uint16_t)((status[0] - '0') * 100 + (status[1] - '0') * 10 + (status[2] - '0'));
    if (status[0] == '1')
        scan->seen |= SEEN_INTERIM;
    response->reason = reason < line_end ? between(reason + 1, line_end) : SPAN("");
    response->upgrade = SPAN("");
    return H1_RULE_NONE;
}

/* -- heads ------------------------------------------------------------ */

static void reading_init(struct reading *in, enum kind kind, struct sluice_span bytes,
                         const struct h1_limits *limits, struct fields *fields)
{
    *in = (struct reading){
        .find = h1_scan_get(),
        .begin = bytes.ptr,
        .end = bytes.ptr + bytes.len,
        .limits = limits,
        .fields = fields,
        .max_lines = limits->field_count < fields->cap ? limits->field_count : fields->cap,
        .kind = kind,
        .length = BODY_UNKNOWN,
    };
    if (bytes.len > limits->head_bytes) {
        in->end = bytes.ptr + limits->head_bytes;
        in->more = true;
    }
}

/* Connection persistence (RFC 9112 9.3). */
static bool keeps_alive(const struct h1_scan *scan)
{
    if (scan->seen & SEEN_CLOSE)
        return false;
    return (scan->seen & (SEEN_MINOR_1 | SEEN_KEEP_ALIVE)) != 0;
}

/* The start line, after at most SKIPPED_MAX empty ones. */
static enum h1_result request_start(struct h1_scan *scan, const struct reading *in,
                                    struct request *request)
{
    for (;;) {
        enum h1_result result = H1_AGAIN;
        const char *line_end = line_find(scan, in, &result);
        const char *line = in->begin + scan->line;
        enum h1_rule rule = H1_RULE_NONE;

        if (line_end == NULL)
            return result;
        if (line_end == line && scan->skipped < SKIPPED_MAX) {
            scan->skipped++;
            line_next(scan, in, line_end);
            continue;
        }
        rule = line_end - line > (ptrdiff_t)in->limits->line_bytes
                   ? H1_RULE_LINE_BYTES
                   : request_line(scan, in, line_end, request);
        if (rule)
            return wrong(scan, rule);
        scan->seen |= SEEN_START;
        line_next(scan, in, line_end);
        return H1_DONE;
    }
}

static void request_fill(struct request *request, const struct h1_scan *scan,
                         const struct reading *in)
{
    bool is_minor_1 = (scan->seen & SEEN_MINOR_1) != 0;

    request->minor = is_minor_1;
    request->keep_alive = keeps_alive(scan);
    request->expects_continue = is_minor_1 && (scan->seen & SEEN_CONTINUE); /* RFC 9110 10.1.1 */
    request->accepts_trailers = (scan->seen & SEEN_TRAILERS) != 0;
    request->body_bytes = in->length;
    request->framing = FRAMING_NONE;
    if (scan->seen & SEEN_LENGTH)
        request->framing = FRAMING_LENGTH;
    if (scan->seen & SEEN_CODING)
        request->framing = FRAMING_CHUNKED;
    request->fields.n = scan->n_lines;
    request->fields.absent = ~in->present;
    if (in->host == NULL)
        return;
    if (!(scan->seen & SEEN_AUTHORITY)) {
        request->authority = field_value(in->host);
        return;
    }
    in->host->value = request->authority.ptr; /* RFC 9112 3.2.2 */
    in->host->value_len = (uint32_t)request->authority.len;
}

static enum h1_result request_read(struct h1_scan *scan, struct reading *in,
                                   struct request *request)
{
    enum h1_result result = H1_DONE;

    if (!(scan->seen & SEEN_START))
        result = request_start(scan, in, request);
    if (result == H1_DONE)
        result = fields_read(scan, in);
    if (result != H1_DONE)
        return result;
    if ((scan->seen & (SEEN_HOST | SEEN_MINOR_1)) == SEEN_MINOR_1)
        return wrong(scan, H1_RULE_HOST_MISSING);
    return H1_DONE;
}

enum h1_result h1_parse_request(struct h1_scan *scan, struct sluice_span bytes,
                                const struct h1_limits *limits, struct request *request,
                                size_t *head_bytes)
{
    bool in_pieces = scan->at != 0;
    struct reading in;
    enum h1_result result;

    if (scan->rule)
        return H1_WRONG;
    if (bytes.len == 0)
        return H1_AGAIN;
    reading_init(&in, KIND_REQUEST, bytes, limits, &request->fields);
    result = request_read(scan, &in, request);
    if (result == H1_DONE && in_pieces) {
        *scan = (struct h1_scan){0};
        result = request_read(scan, &in, request);
    }
    if (result != H1_DONE)
        return result;
    request_fill(request, scan, &in);
    *head_bytes = scan->line;
    return H1_DONE;
}

static void response_fill(struct response *response, const struct h1_scan *scan,
                          const struct reading *in, enum method method)
{
    unsigned status = response->status;
    bool is_tunnel = method == METHOD_CONNECT && status / 100 == 2;

    response->minor = (scan->seen & SEEN_MINOR_1) != 0;
    response->keep_alive = keeps_alive(scan);
    response->body_bytes = in->length;
    response->fields.n = scan->n_lines;
    response->fields.absent = ~in->present;
    if (status / 100 == 1 || status == 204 || status == 304 || method == METHOD_HEAD || is_tunnel) {
        response->framing = FRAMING_NONE;
    } else if (scan->seen & SEEN_CODING) {
        response->framing = FRAMING_CHUNKED;
    } else if (scan->seen & SEEN_LENGTH) {
        response->framing = FRAMING_LENGTH;
    } else {
        response->framing = FRAMING_CLOSE;
        response->keep_alive = false;
    }
    /* A 204 may not announce a body (RFC 9110 8.6, RFC 9112 6.1). If it does, one may follow. */
    if (status == 204 && ((scan->seen & SEEN_CODING) || in->length > 0))
        response->keep_alive = false;
}

static enum h1_result response_read(struct h1_scan *scan, struct reading *in,
                                    struct response *response)
{
    if (!(scan->seen & SEEN_START)) {
        enum h1_result result = H1_AGAIN;
        const char *line_end = line_find(scan, in, &result);
        enum h1_rule rule;

        if (line_end == NULL)
            return result;
        rule = line_end - (in->begin + scan->line) > (ptrdiff_t)in->limits->line_bytes
                   ? H1_RULE_LINE_BYTES
                   : status_line(scan, in, line_end, response);
        if (rule)
            return wrong(scan, rule);
        scan->seen |= SEEN_START;
        line_next(scan, in, line_end);
    }
    return fields_read(scan, in);
}

enum h1_result h1_parse_response(struct h1_scan *scan, struct sluice_span bytes,
                                 const struct h1_limits *limits, enum method method,
                                 struct response *response, size_t *head_bytes)
{
    bool in_pieces = scan->at != 0;
    struct reading in;
    enum h1_result result;

    if (scan->rule)
        return H1_WRONG;
    if (bytes.len == 0)
        return H1_AGAIN;
    reading_init(&in, KIND_RESPONSE, bytes, limits, &response->fields);
    result = response_read(scan, &in, response);
    if (result == H1_DONE && in_pieces) {
        *scan = (struct h1_scan){0};
        result = response_read(scan, &in, response);
    }
    if (result != H1_DONE)
        return result;
    response_fill(response, scan, &in, method);
    *head_bytes = scan->line;
    return H1_DONE;
}

enum h1_result h1_parse_trailers(struct h1_scan *scan, struct sluice_span bytes,
                                 const struct h1_limits *limits, struct fields *trailers,
                                 size_t *section_bytes)
{
    bool in_pieces = scan->at != 0;
    struct reading in;
    enum h1_result result;

    if (scan->rule)
        return H1_WRONG;
    if (bytes.len == 0)
        return H1_AGAIN;
    reading_init(&in, KIND_TRAILERS, bytes, limits, trailers);
    scan->seen |= SEEN_START;
    result = fields_read(scan, &in);
    if (result == H1_DONE && in_pieces) {
        *scan = (struct h1_scan){.seen = SEEN_START};
        result = fields_read(scan, &in);
    }
    if (result != H1_DONE)
        return result;
    trailers->n = scan->n_lines;
    trailers->absent = ~in.present;
    *section_bytes = scan->line;
    return H1_DONE;
}
