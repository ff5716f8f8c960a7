#include "net/resp.h"

#include "base/check.h"

#include <stdio.h>
#include <string.h>

enum { NUMBER_ROOM = 24 };

/* What an element begins with. */
struct line {
    char kind;
    struct sluice_span text; /* after the kind, without the line's end */
    size_t bytes;            /* with both */
    int64_t number;          /* of those that have one */
};

static bool has_number(char kind)
{
    return kind == ':' || kind == '$' || kind == '*';
}

static enum err read_number(struct sluice_span text, int64_t *number)
{
    bool is_negative = text.len > 0 && text.ptr[0] == '-';
    uint64_t size;
    enum err err;

    if (is_negative) {
        text.ptr++;
        text.len--;
    }
    err = span_number(text, (uint64_t)INT64_MAX + is_negative, &size);
    if (err == OK)
        *number = is_negative ? (int64_t)(0 - size) : (int64_t)size;
    return err;
}

static enum err read_line(struct sluice_span bytes, struct line *line)
{
    size_t end = span_find(bytes, '\r');

    if (bytes.len > 0 && span_find(SPAN("+-:$*"), bytes.ptr[0]) == 5)
        return ERR_PROTOCOL;
    line->number = 0;
    if (end + 1 >= bytes.len)
        return end > RESP_LINE ? ERR_PROTOCOL : ERR_AGAIN;
    if (end > RESP_LINE || bytes.ptr[end + 1] != '\n')
        return ERR_PROTOCOL;
    line->kind = bytes.ptr[0];
    line->text = span_make(bytes.ptr + 1, end - 1);
    line->bytes = end + 2;
    return has_number(line->kind) ? read_number(line->text, &line->number) : OK;
}

/* Bytes of the element with its text, but without the elements of a list. */
static enum err measure(struct sluice_span bytes, const struct line *line, size_t *length)
{
    uint64_t size = (uint64_t)line->number;

    *length = line->bytes;
    if (line->kind != '$' || line->number == -1)
        return has_number(line->kind) && line->kind != ':' && line->number < -1 ? ERR_PROTOCOL : OK;
    if (line->number < 0)
        return ERR_PROTOCOL;
    if (size > bytes.len || bytes.len - line->bytes < size + 2)
        return ERR_AGAIN;
    *length += size + 2;
    return memcmp(bytes.ptr + *length - 2, "\r\n", 2) == 0 ? OK : ERR_PROTOCOL;
}

/* One element less is awaited, and its lists may be whole by that. */
static bool is_whole(struct resp_scan *scan)
{
    while (scan->level > 0) {
        if (--scan->left[scan->level] > 0)
            return false;
        scan->level--;
    }
    return true;
}

enum err resp_scan(struct resp_scan *scan, struct sluice_span bytes, size_t *length)
{
    for (;;) { /* each turn takes bytes or ends */
        struct sluice_span rest = span_make(bytes.ptr + scan->at, bytes.len - scan->at);
        struct line line;
        size_t size;
        enum err err = read_line(rest, &line);

        if (err == OK)
            err = measure(rest, &line, &size);
        if (err)
            return err;
        if (++scan->n > RESP_ELEMENTS)
            return ERR_LIMIT;
        scan->at += size;
        if (line.kind == '*' && line.number > 0) {
            if (scan->level == RESP_DEPTH || line.number > RESP_ELEMENTS)
                return ERR_LIMIT;
            scan->left[++scan->level] = (uint32_t)line.number;
        } else if (is_whole(scan)) {
            *length = scan->at;
            return OK;
        }
    }
}

/* -- trees -------------------------------------------------------------------- */

static void set(struct sluice_redis_reply *reply, const struct line *line, const char *at)
{
    static const uint8_t kinds[128] = {['+'] = SLUICE_REDIS_STATUS,
                                       ['-'] = SLUICE_REDIS_ERROR,
                                       [':'] = SLUICE_REDIS_INTEGER,
                                       ['$'] = SLUICE_REDIS_TEXT,
                                       ['*'] = SLUICE_REDIS_LIST};

    *reply = (struct sluice_redis_reply){.size = sizeof(*reply), .kind = kinds[(int)line->kind]};
    if (line->kind == ':') {
        reply->integer = line->number;
    } else if (has_number(line->kind) && line->number < 0) {
        reply->kind = SLUICE_REDIS_NIL;
    } else if (line->kind == '$') {
        reply->text = span_make(at + line->bytes, (size_t)line->number);
    } else if (line->kind == '*') {
        reply->n = (size_t)line->number;
    } else {
        reply->text = line->text;
    }
}

void resp_build(struct sluice_span bytes, struct sluice_redis_reply element[RESP_ELEMENTS])
{
    struct {
        struct sluice_redis_reply *next;
        size_t left;
    } level[RESP_DEPTH + 1] = {{element, 1}};
    size_t taken = 1, depth = 0;

    while (level[depth].left > 0) { /* as many turns as there are elements */
        struct sluice_redis_reply *reply = level[depth].next;
        struct line line;
        size_t size = 0;

        CHECK(read_line(bytes, &line) == OK && measure(bytes, &line, &size) == OK);
        set(reply, &line, bytes.ptr);
        bytes = span_make(bytes.ptr + size, bytes.len - size);
        level[depth].next++;
        level[depth].left--;
        if (reply->kind == SLUICE_REDIS_LIST && reply->n > 0) {
            CHECK(depth < RESP_DEPTH && reply->n <= RESP_ELEMENTS - taken);
            reply->element = element + taken;
            depth++;
            level[depth].next = element + taken;
            level[depth].left = reply->n;
            taken += reply->n;
        }
        while (depth > 0 && level[depth].left == 0)
            depth--;
    }
}

/* -- commands ------------------------------------------------------------------- */

static size_t number_bytes(size_t number)
{
    size_t n = 1;

    for (; number > 9; number /= 10)
        n++;
    return n;
}

size_t resp_command_bytes(const struct sluice_span *argv, size_t n)
{
    size_t bytes = number_bytes(n) + 3;

    for (size_t i = 0; i < n; i++)
        bytes += number_bytes(argv[i].len) + argv[i].len + 5;
    return bytes;
}

static char *write_head(char *out, char kind, size_t number)
{
    char text[NUMBER_ROOM];
    int len = snprintf(text, sizeof(text), "%c%zu\r\n", kind, number);

    memcpy(out, text, (size_t)len);
    return out + len;
}

void resp_write_command(const struct sluice_span *argv, size_t n, char *out)
{
    out = write_head(out, '*', n);
    for (size_t i = 0; i < n; i++) {
        out = write_head(out, '$', argv[i].len);
        if (argv[i].len > 0)
            memcpy(out, argv[i].ptr, argv[i].len);
        out += argv[i].len;
        *out++ = '\r';
        *out++ = '\n';
    }
}
