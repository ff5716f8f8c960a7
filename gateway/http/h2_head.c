/*
 * h2_head.c - what is legal in HTTP/2 and would be in HTTP/1 too; nothing else.
 *
 * nghttp2 could judge messages itself; that is switched off, because there must be one set of rules
 * for both versions (decisions/0020-http2.md), and because a request that breaks one is answered
 * and logged like any other.
 */
#include "http/h2_head.h"

#include "base/alloc.h"
#include "http/h1_scan.h"
#include "http/head.h"
#include "http/octets.h"
#include "http/rules.h"
#include "http/target.h"

#include <string.h>

enum {
    LINE_COST = 32, /* what RFC 9113 10.5.1 adds to each line */
    FAR_BEYOND = 4, /* times the limit: no mistake */
    FIRST_ROOM = 2048,
    FIRST_LINES = 32,
    LINE_EXTRA = 4, /* ": " and the line end */
    SCANNED = 32,   /* bytes from which on the scan of heads is quicker */
};

enum fact {
    FACT_REGULAR = 1, /* a field that is no pseudo-field was seen */
    FACT_HOST = 2,
    FACT_LENGTH = 4,
    FACT_TRAILERS = 8, /* TE: trailers */
    FACT_CONTINUE = 16,
};

#define ID_BIT(id) (UINT64_C(1) << (id))

/* RFC 9113 8.2.2. TE is looked at. */
#define OF_A_CONNECTION                                                                            \
    (ID_BIT(FIELD_CONNECTION) | ID_BIT(FIELD_KEEP_ALIVE) | ID_BIT(FIELD_PROXY_CONNECTION) |        \
     ID_BIT(FIELD_TRANSFER_ENCODING) | ID_BIT(FIELD_UPGRADE))
#define LOOKED_AT                                                                                  \
    (OF_A_CONNECTION | ID_BIT(FIELD_TE) | ID_BIT(FIELD_HOST) | ID_BIT(FIELD_CONTENT_LENGTH) |      \
     ID_BIT(FIELD_EXPECT) | ID_BIT(FIELD_COOKIE))

static const struct {
    struct sluice_span name;
    enum h2_section_kind kind;
} pseudos[H2_PSEUDO_COUNT] = {
    [H2_PSEUDO_METHOD] = {{":method", 7}, H2_SECTION_REQUEST},
    [H2_PSEUDO_SCHEME] = {{":scheme", 7}, H2_SECTION_REQUEST},
    [H2_PSEUDO_AUTHORITY] = {{":authority", 10}, H2_SECTION_REQUEST},
    [H2_PSEUDO_PATH] = {{":path", 5}, H2_SECTION_REQUEST},
    [H2_PSEUDO_PROTOCOL] = {{":protocol", 9}, H2_SECTION_REQUEST},
    [H2_PSEUDO_STATUS] = {{":status", 7}, H2_SECTION_RESPONSE},
};

/* -- memory ----------------------------------------------------------------- */

void h2_head_begin(struct h2_head *head, enum h2_section_kind kind,
                   const struct h2_settings *settings)
{
    char *bytes = head->bytes;
    struct h2_line *line = head->line;
    uint32_t room = head->room;
    uint16_t cap = head->cap;

    *head = (struct h2_head){.bytes = bytes,
                             .line = line,
                             .room = room,
                             .cap = cap,
                             .kind = (uint8_t)kind,
                             .limit = settings->field_count,
                             .max_bytes = settings->head_bytes,
                             .max_line = settings->line_bytes,
                             .length = BODY_UNKNOWN};
}

void h2_head_fini(struct h2_head *head)
{
    alloc_free(head->bytes);
    alloc_free(head->line);
    *head = (struct h2_head){0};
}

/* Room for n more bytes; what is kept is within the limit, so this is bounded by it. */
static bool has_room(struct h2_head *head, size_t n)
{
    size_t room = head->room ? head->room : FIRST_ROOM;
    char *bytes;

    if (head->room - head->used >= n)
        return true;
    while (room - head->used < n) {
        room *= 2;
    }
    bytes = alloc_resize_try(head->bytes, room);
    if (!bytes)
        return false;
    head->bytes = bytes;
    head->room = (uint32_t)room;
    return true;
}

static struct h2_line *line_new(struct h2_head *head)
{
    size_t cap = head->cap ? head->cap * (size_t)2 : FIRST_LINES;
    struct h2_line *line;

    if (head->n < head->cap)
        return &head->line[head->n++];
    line = alloc_resize_try(head->line, cap * sizeof(*line));
    if (!line)
        return NULL;
    head->line = line;
    head->cap = (uint16_t)cap;
    return &head->line[head->n++];
}

static uint32_t put(struct h2_head *head, struct sluice_span text)
{
    uint32_t at = head->used;

    if (text.len > 0)
        memcpy(head->bytes + at, text.ptr, text.len);
    head->used += (uint32_t)text.len;
    return at;
}

/* -- judging a line --------------------------------------------------------- */

/* In lower case, and nothing but tchar. */
static enum h1_rule check_name(struct sluice_span name)
{
    if (name.len == 0 || name.len > UINT16_MAX)
        return H1_RULE_FIELD_NAME;
    if (octets_all(name, octets_are_small))
        return H1_RULE_NONE;
    for (size_t i = 0; i < name.len; i++) {
        if (!octet_is(name.ptr[i], OCTET_TOKEN))
            return H1_RULE_FIELD_NAME;
        if (name.ptr[i] >= 'A' && name.ptr[i] <= 'Z')
            return H1_RULE_UPPER_CASE;
    }
    return H1_RULE_NONE;
}

static bool is_blank(char octet)
{
    return octet == ' ' || octet == '\t';
}

static enum h1_rule check_value(struct sluice_span value)
{
    const char *end = value.ptr + value.len;

    if (value.len == 0)
        return H1_RULE_NONE;
    if ((value.len >= SCANNED || !octets_all(value, octets_have_no_control)) &&
        h1_scan_get()->line_end(value.ptr, end, value.ptr) != end)
        return H1_RULE_FIELD_VALUE;
    /* RFC 9113 8.2.1 */
    return is_blank(value.ptr[0]) || is_blank(end[-1]) ? H1_RULE_FIELD_VALUE : H1_RULE_NONE;
}

/* Few have the same length. */
static inline bool is_pseudo(unsigned i, struct sluice_span name)
{
    return pseudos[i].name.len == name.len && memcmp(pseudos[i].name.ptr, name.ptr, name.len) == 0;
}

static enum h1_rule on_pseudo(struct h2_head *head, struct sluice_span name,
                              struct sluice_span value)
{
    unsigned i = 0;

    while (i < H2_PSEUDO_COUNT && !is_pseudo(i, name)) {
        i++;
    }
    if (i == H2_PSEUDO_COUNT || pseudos[i].kind != head->kind || (head->facts & FACT_REGULAR) ||
        (head->pseudo & (1U << i)))
        return H1_RULE_PSEUDO;
    head->pseudo |= (uint8_t)(1U << i);
    head->value[i].at = put(head, value);
    head->value[i].len = (uint32_t)value.len;
    return check_value(value);
}

static enum h1_rule on_length(struct h2_head *head, struct sluice_span value)
{
    if (head->facts & FACT_LENGTH)
        return H1_RULE_LENGTH_TWICE;
    head->facts |= FACT_LENGTH;
    return head_length(value, &head->length);
}

/* What a known field means for the message around it. Trailers never get here. */
static enum h1_rule on_known(struct h2_head *head, enum field_id id, struct sluice_span value)
{
    if (ID_BIT(id) & OF_A_CONNECTION)
        return H1_RULE_HOP_FIELD;
    switch ((unsigned)id) {
    case FIELD_TE:
        if (!head_is_word(value, SPAN("trailers")))
            return H1_RULE_HOP_FIELD;
        head->facts |= FACT_TRAILERS;
        return H1_RULE_NONE;
    case FIELD_HOST:
        if (head->kind != H2_SECTION_REQUEST)
            return H1_RULE_NONE;
        if (head->facts & FACT_HOST)
            return H1_RULE_HOST_TWICE;
        head->facts |= FACT_HOST;
        return H1_RULE_NONE;
    case FIELD_CONTENT_LENGTH:
        return on_length(head, value);
    case FIELD_EXPECT:
        if (head_is_word(value, SPAN("100-continue")))
            head->facts |= FACT_CONTINUE;
        return H1_RULE_NONE;
    case FIELD_COOKIE:
        head->n_cookies++;
        head->cookie_bytes += value.len + 2;
        return H1_RULE_NONE;
    default:
        return H1_RULE_NONE;
    }
}

/* Keep the line as HTTP/1 writes it. */
static enum h1_rule keep(struct h2_head *head, struct sluice_span name, struct sluice_span value)
{
    enum field_id id = name_find(name);
    enum h1_rule rule = H1_RULE_NONE;
    struct h2_line *line;

    if (head->kind == H2_SECTION_TRAILERS) {
        rule = ID_BIT(id) & OF_A_CONNECTION ? H1_RULE_HOP_FIELD : H1_RULE_NONE;
    } else if (ID_BIT(id) & LOOKED_AT) {
        rule = on_known(head, id, value);
    }
    if (rule)
        return rule;
    if (head->n >= head->limit)
        return H1_RULE_FIELD_COUNT;
    line = line_new(head);
    if (!line)
        return H1_RULE_MEMORY;
    line->name_at = put(head, name);
    (void)put(head, SPAN(": "));
    (void)put(head, value);
    (void)put(head, SPAN("\r\n"));
    line->name_len = (uint16_t)name.len;
    line->value_len = (uint32_t)value.len;
    line->id = (uint8_t)id;
    line->mark = 0;
    if (head->kind == H2_SECTION_TRAILERS && !rules_may_be_trailer(name))
        line->mark = FIELD_DROPPED;
    return H1_RULE_NONE;
}

static enum h1_rule judge(struct h2_head *head, struct sluice_span name, struct sluice_span value)
{
    enum h1_rule rule;

    if (head->list_bytes > head->max_bytes)
        return H1_RULE_HEAD_BYTES;
    if (!has_room(head, name.len + value.len + LINE_EXTRA))
        return H1_RULE_MEMORY;
    if (name.len > 0 && name.ptr[0] == ':')
        return on_pseudo(head, name, value);
    head->facts |= FACT_REGULAR;
    rule = check_name(name);
    if (rule == H1_RULE_NONE)
        rule = check_value(value);
    return rule ? rule : keep(head, name, value);
}

enum err h2_head_add(struct h2_head *head, struct sluice_span name, struct sluice_span value)
{
    head->list_bytes += name.len + value.len + LINE_COST;
    if (head->list_bytes / FAR_BEYOND > head->max_bytes)
        return ERR_LIMIT;
    if (!head->rule)
        head->rule = (uint8_t)judge(head, name, value);
    return OK;
}

/* -- the whole --------------------------------------------------------------- */

static struct sluice_span value_of(const struct h2_head *head, enum h2_pseudo pseudo)
{
    if (head->value[pseudo].len == 0)
        return SPAN(""); /* there may be no bytes at all yet */
    return span_make(head->bytes + head->value[pseudo].at, head->value[pseudo].len);
}

static bool has(const struct h2_head *head, enum h2_pseudo pseudo)
{
    return (head->pseudo & (1U << pseudo)) != 0;
}

struct sluice_span h2_head_bytes(const struct h2_head *head)
{
    return span_make(head->bytes, head->used);
}

static void fill(const struct h2_head *head, struct field_line *table, struct fields *fields)
{
    uint64_t present = 0;

    for (unsigned i = 0; i < head->n; i++) {
        const struct h2_line *line = &head->line[i];
        const char *name = head->bytes + line->name_at;

        present |= field_bit(line->id);
        table[i] = (struct field_line){.name = name,
                                       .value = name + line->name_len + 2,
                                       .value_len = line->value_len,
                                       .name_len = line->name_len,
                                       .id = line->id,
                                       .mark = line->mark};
    }
    fields->line = table;
    fields->n = head->n;
    fields->cap = head->n;
    fields->arena = NULL;
    fields->absent = ~present;
}

/* Append a line of our own making; there is room. */
static struct h2_line *append(struct h2_head *head, enum field_id id)
{
    struct h2_line *line = line_new(head);

    if (!line)
        return NULL;
    *line = (struct h2_line){.name_len = (uint16_t)name_text(id).len, .id = (uint8_t)id};
    line->name_at = put(head, name_text(id));
    (void)put(head, SPAN(": "));
    return line;
}

/* The crumbs of a cookie are one line for everybody else (RFC 9113 8.2.3). */
static bool join_cookies(struct h2_head *head)
{
    unsigned n = head->n;
    struct h2_line *whole;

    if (head->n_cookies < 2)
        return true;
    if (!has_room(head, head->cookie_bytes + sizeof("cookie: \r\n")))
        return false;
    whole = append(head, FIELD_COOKIE);
    if (!whole)
        return false;
    for (unsigned i = 0; i < n; i++) {
        struct h2_line *line = &head->line[i];

        if (line->id != FIELD_COOKIE)
            continue;
        if (whole->value_len > 0) {
            (void)put(head, SPAN("; "));
            whole->value_len += 2;
        }
        (void)put(head,
                  span_make(head->bytes + line->name_at + line->name_len + 2, line->value_len));
        whole->value_len += line->value_len;
        line->mark = FIELD_DROPPED;
    }
    (void)put(head, SPAN("\r\n"));
    return true;
}

static struct h2_line *line_find(const struct h2_head *head, enum field_id id)
{
    for (unsigned i = 0; i < head->n; i++) {
        if (head->line[i].id == id)
            return &head->line[i];
    }
    return NULL;
}

/* One authority, however it was told (RFC 9113 8.3.1), in request and as a Host field. */
static enum h1_rule settle_host(struct h2_head *head, struct sluice_span *authority)
{
    struct h2_line *line = head->facts & FACT_HOST ? line_find(head, FIELD_HOST) : NULL;
    struct sluice_span host = {NULL, 0}, name;
    uint16_t port;

    if (line)
        host = span_make(head->bytes + line->name_at + line->name_len + 2, line->value_len);
    if (!line && !has(head, H2_PSEUDO_AUTHORITY))
        return H1_RULE_HOST_MISSING;
    *authority = has(head, H2_PSEUDO_AUTHORITY) ? value_of(head, H2_PSEUDO_AUTHORITY) : host;
    if (target_authority(*authority, &name, &port) || name.len == 0)
        return H1_RULE_HOST;
    if (line)
        return span_equal_nocase(host, *authority) ? H1_RULE_NONE : H1_RULE_HOST_OTHER;
    /* bytes may move: authority is found again by the caller */
    if (!has_room(head, authority->len + sizeof("host: \r\n")))
        return H1_RULE_MEMORY;
    *authority = value_of(head, H2_PSEUDO_AUTHORITY);
    line = append(head, FIELD_HOST);
    if (!line)
        return H1_RULE_MEMORY;
    line->value_len = (uint32_t)authority->len;
    (void)put(head, *authority);
    (void)put(head, SPAN("\r\n"));
    return H1_RULE_NONE;
}

static bool is_token(struct sluice_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!octet_is(text.ptr[i], OCTET_TOKEN))
            return false;
    }
    return text.len > 0;
}

/* Which pseudo-fields must and must not be there (RFC 9113 8.3.1, 8.5, RFC 8441 4). */
static enum h1_rule check_pseudos(const struct h2_head *head, const struct h2_settings *settings)
{
    struct sluice_span method = value_of(head, H2_PSEUDO_METHOD);
    bool connects = span_equal(method, SPAN("CONNECT"));
    bool has_target = has(head, H2_PSEUDO_SCHEME) && has(head, H2_PSEUDO_PATH);

    if (!has(head, H2_PSEUDO_METHOD))
        return H1_RULE_PSEUDO;
    if (!is_token(method))
        return H1_RULE_METHOD;
    if (has(head, H2_PSEUDO_PROTOCOL)) {
        if (!settings->extended_connect || !connects ||
            !is_token(value_of(head, H2_PSEUDO_PROTOCOL)))
            return H1_RULE_PROTOCOL;
        return has_target && has(head, H2_PSEUDO_AUTHORITY) ? H1_RULE_NONE : H1_RULE_PSEUDO;
    }
    if (connects) {
        return has(head, H2_PSEUDO_SCHEME) || has(head, H2_PSEUDO_PATH) ||
                       !has(head, H2_PSEUDO_AUTHORITY)
                   ? H1_RULE_PSEUDO
                   : H1_RULE_NONE;
    }
    return has_target ? H1_RULE_NONE : H1_RULE_PSEUDO;
}

/* The target as HTTP/1 would have it in its start line, judged by the same rules. */
static enum h1_rule settle_target(const struct h2_head *head, struct request *request)
{
    struct sluice_span scheme = value_of(head, H2_PSEUDO_SCHEME);
    struct sluice_span path = value_of(head, H2_PSEUDO_PATH);
    const char *end = path.ptr + path.len;

    if (request->method == METHOD_CONNECT) {
        request->target = request->authority;
        return head_target(request);
    }
    if (!head_is_word(scheme, SPAN("http")) && !head_is_word(scheme, SPAN("https")))
        return H1_RULE_TARGET;
    if (path.len == 0 || h1_scan_get()->target_end(path.ptr, end, path.ptr) != end)
        return H1_RULE_TARGET;
    /* No absolute form: the scheme and the authority stand elsewhere. */
    if (path.ptr[0] != '/' && !(path.len == 1 && path.ptr[0] == '*'))
        return H1_RULE_TARGET;
    if (path.len + request->method_text.len > head->max_line)
        return H1_RULE_LINE_BYTES;
    request->target = path;
    return head_target(request);
}

static enum h1_rule frame(const struct h2_head *head, bool last, struct request *request)
{
    request->body_bytes = head->length;
    request->framing = head->facts & FACT_LENGTH ? FRAMING_LENGTH : FRAMING_CHUNKED;
    if (request->protocol.len > 0)
        return head->facts & FACT_LENGTH || last ? H1_RULE_PROTOCOL : H1_RULE_NONE;
    if (last && head->length > 0)
        return H1_RULE_CONTENT;
    if (last && !(head->facts & FACT_LENGTH))
        request->framing = FRAMING_NONE;
    return H1_RULE_NONE;
}

enum h1_rule h2_head_request(struct h2_head *head, const struct h2_settings *settings, bool last,
                             struct field_line *table, struct request *request)
{
    enum h1_rule rule = head->rule;

    *request = (struct request){.minor = 1, .keep_alive = true, .body_bytes = BODY_UNKNOWN};
    if (rule == H1_RULE_NONE)
        rule = check_pseudos(head, settings);
    if (rule == H1_RULE_NONE && !join_cookies(head))
        rule = H1_RULE_MEMORY;
    if (rule == H1_RULE_NONE)
        rule = settle_host(head, &request->authority);
    if (rule)
        return rule;
    request->method_text = value_of(head, H2_PSEUDO_METHOD);
    request->method = method_find(request->method_text);
    if (has(head, H2_PSEUDO_PROTOCOL)) {
        request->protocol = value_of(head, H2_PSEUDO_PROTOCOL);
        request->method = METHOD_GET;
        request->method_text = SPAN("GET");
    }
    rule = settle_target(head, request);
    if (rule == H1_RULE_NONE)
        rule = frame(head, last, request);
    if (request->protocol.len > 0)
        request->framing = FRAMING_NONE; /* what it sends is the tunnel's */
    request->accepts_trailers = (head->facts & FACT_TRAILERS) != 0;
    request->expects_continue = (head->facts & FACT_CONTINUE) != 0;
    fill(head, table, &request->fields);
    return rule;
}

static enum h1_rule check_status(struct sluice_span text, uint16_t *status)
{
    uint64_t number;

    if (text.len != 3 || span_number(text, 599, &number) || number < 100 || number == 101)
        return H1_RULE_STATUS; /* RFC 9113 8.6: nobody switches */
    *status = (uint16_t)number;
    return H1_RULE_NONE;
}

enum h1_rule h2_head_response(struct h2_head *head, enum method method, bool last,
                              struct field_line *table, struct response *response)
{
    enum h1_rule rule = head->rule;
    bool is_interim;

    *response = (struct response){
        .minor = 1, .keep_alive = true, .framing = FRAMING_CHUNKED, .body_bytes = head->length};
    if (rule == H1_RULE_NONE && !has(head, H2_PSEUDO_STATUS))
        rule = H1_RULE_PSEUDO;
    if (rule == H1_RULE_NONE)
        rule = check_status(value_of(head, H2_PSEUDO_STATUS), &response->status);
    if (rule)
        return rule;
    is_interim = response->status < 200;
    if (is_interim && (last || head->length > 0))
        return H1_RULE_STATUS;
    if (is_interim || response->status == 204 || response->status == 304 || method == METHOD_HEAD) {
        response->framing = FRAMING_NONE;
    } else if (head->facts & FACT_LENGTH) {
        response->framing = FRAMING_LENGTH;
    } else if (last) {
        response->framing = FRAMING_LENGTH;
        response->body_bytes = 0;
    }
    if (last && response->framing == FRAMING_LENGTH && head->length > 0)
        return H1_RULE_CONTENT;
    fill(head, table, &response->fields);
    return H1_RULE_NONE;
}

enum h1_rule h2_head_trailers(struct h2_head *head, struct field_line *table,
                              struct fields *trailers)
{
    if (head->rule == H1_RULE_NONE)
        fill(head, table, trailers);
    return head->rule;
}
