/*
 * message.c - the words of HTTP, and moving a head into memory of its own.
 */
#include "http/message.h"

#include <string.h>

enum { KEEP_SPARE = 8 }; /* lines that a gateway typically adds: no second table for them */

/* -- methods ---------------------------------------------------------- */

enum { IS_SAFE = 1, IS_IDEMPOTENT = 2 };

static const struct method_word {
    char name[8];
    uint8_t len;
    uint8_t is; /* RFC 9110 9.2; RFC 5789 for PATCH */
} methods[] = {
    [METHOD_OTHER] = {"", 0, 0},
    [METHOD_GET] = {"GET", 3, IS_SAFE | IS_IDEMPOTENT},
    [METHOD_HEAD] = {"HEAD", 4, IS_SAFE | IS_IDEMPOTENT},
    [METHOD_POST] = {"POST", 4, 0},
    [METHOD_PUT] = {"PUT", 3, IS_IDEMPOTENT},
    [METHOD_DELETE] = {"DELETE", 6, IS_IDEMPOTENT},
    [METHOD_CONNECT] = {"CONNECT", 7, 0},
    [METHOD_OPTIONS] = {"OPTIONS", 7, IS_SAFE | IS_IDEMPOTENT},
    [METHOD_TRACE] = {"TRACE", 5, IS_SAFE | IS_IDEMPOTENT},
    [METHOD_PATCH] = {"PATCH", 5, 0},
};

enum { N_METHODS = sizeof(methods) / sizeof(methods[0]) };

enum method method_find(struct sluice_span text)
{
    if (text.len == 0)
        return METHOD_OTHER;
    for (unsigned i = METHOD_GET; i < N_METHODS; i++) {
        if (methods[i].len == text.len && memcmp(methods[i].name, text.ptr, text.len) == 0)
            return (enum method)i;
    }
    return METHOD_OTHER;
}

const char *method_name(enum method method)
{
    return (unsigned)method < N_METHODS ? methods[method].name : "";
}

bool method_is_idempotent(enum method method)
{
    return (unsigned)method < N_METHODS && (methods[method].is & IS_IDEMPOTENT) != 0;
}

bool method_is_safe(enum method method)
{
    return (unsigned)method < N_METHODS && (methods[method].is & IS_SAFE) != 0;
}

/* -- statuses --------------------------------------------------------- */

static const struct {
    uint16_t status;
    const char *reason;
} reasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {102, "Processing"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {208, "Already Reported"},
    {226, "IM Used"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {506, "Variant Also Negotiates"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
    {511, "Network Authentication Required"},
};

const char *status_reason(unsigned status)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].status == status)
            return reasons[i].reason;
    }
    return "";
}

/* -- keeping ---------------------------------------------------------- */

/* Where bytes went. */
struct move {
    const char *from, *end, *to;
};

static const char *moved(const struct move *move, const char *ptr)
{
    return ptr >= move->from && ptr <= move->end && ptr != NULL ? move->to + (ptr - move->from)
                                                                : ptr;
}

static void span_move(const struct move *move, struct sluice_span *span)
{
    span->ptr = moved(move, span->ptr);
}

static enum err keep(struct move *move, struct fields *fields, struct sluice_span bytes,
                     struct arena *arena)
{
    unsigned cap = fields->n + KEEP_SPARE < UINT16_MAX ? fields->n + KEEP_SPARE : UINT16_MAX;
    struct sluice_span copy = arena_copy(arena, bytes);
    struct field_line *line;

    if (copy.ptr == NULL)
        return ERR_MEMORY;
    line = arena_try_raw(arena, cap * sizeof(*line));
    if (line == NULL)
        return ERR_MEMORY;
    *move = (struct move){bytes.ptr, bytes.ptr + bytes.len, copy.ptr};
    for (unsigned i = 0; i < fields->n; i++) {
        line[i] = fields->line[i];
        line[i].name = moved(move, line[i].name);
        line[i].value = moved(move, line[i].value);
    }
    fields->line = line;
    fields->cap = (uint16_t)cap;
    fields->arena = arena;
    return OK;
}

enum err request_keep(struct request *request, struct sluice_span bytes, struct arena *arena)
{
    struct move move;
    enum err err = keep(&move, &request->fields, bytes, arena);

    if (err)
        return err;
    span_move(&move, &request->method_text);
    span_move(&move, &request->target);
    span_move(&move, &request->scheme);
    span_move(&move, &request->authority);
    span_move(&move, &request->path);
    span_move(&move, &request->query);
    span_move(&move, &request->protocol);
    return OK;
}

enum err response_keep(struct response *response, struct sluice_span bytes, struct arena *arena)
{
    struct move move;
    enum err err = keep(&move, &response->fields, bytes, arena);

    if (err)
        return err;
    span_move(&move, &response->reason);
    return OK;
}

bool request_has_content(const struct request *request)
{
    return request->framing != FRAMING_NONE &&
           !(request->framing == FRAMING_LENGTH && request->body_bytes == 0);
}
