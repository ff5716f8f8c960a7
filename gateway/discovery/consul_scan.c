/*
 * consul_scan.c - each function below takes one thing and says whether it was there. When not,
 * cursor.ran_out tells whether that was for want of bytes: then the check is taken again from its
 * beginning, with the next piece.
 */
#include "discovery/consul_scan.h"

#include <string.h>

enum { DEPTH_MAX = 32 };

struct cursor {
    const char *at, *end;
    bool ran_out;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* The next byte that is no blank; 0 at the end. */
static char peek(struct cursor *cursor)
{
    while (cursor->at < cursor->end && is_blank(*cursor->at))
        cursor->at++;
    if (cursor->at == cursor->end) {
        cursor->ran_out = true;
        return '\0';
    }
    return *cursor->at;
}

static bool pass(struct cursor *cursor, char c)
{
    if (peek(cursor) != c)
        return false;
    cursor->at++;
    return true;
}

/* From one quote to the other. */
static bool pass_text(struct cursor *cursor, struct sluice_span *text)
{
    const char *from;

    if (!pass(cursor, '"'))
        return false;
    from = cursor->at;
    for (;;) {
        const char *quote = memchr(cursor->at, '"', (size_t)(cursor->end - cursor->at));
        const char *before = quote;

        if (!quote) {
            cursor->ran_out = true;
            return false;
        }
        while (before > from && before[-1] == '\\')
            before--;
        cursor->at = quote + 1;
        if ((quote - before) % 2 == 0) {
            *text = span_make(from, (size_t)(quote - from));
            return true;
        }
    }
}

/* true, null, -1.5e3: up to what ends a value. */
static bool pass_word(struct cursor *cursor, struct sluice_span *word)
{
    const char *from = cursor->at;

    while (cursor->at < cursor->end && !strchr(",]} \n\r\t\"[{:", *cursor->at))
        cursor->at++;
    *word = span_make(from, (size_t)(cursor->at - from));
    cursor->ran_out = cursor->ran_out || cursor->at == cursor->end;
    return word->len > 0 && !cursor->ran_out;
}

/* Any value; *text holds it when it is a text or a word. */
static bool pass_value(struct cursor *cursor, struct sluice_span *text)
{
    unsigned depth = 0;

    do {
        char c = peek(cursor);

        if (c == '{' || c == '[') {
            cursor->at++;
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return false;
            cursor->at++;
            depth--;
        } else if ((c == ',' || c == ':') && depth > 0) {
            cursor->at++;
        } else if (c == '"' ? !pass_text(cursor, text) : !pass_word(cursor, text)) {
            return false;
        }
    } while (depth > 0 && depth <= DEPTH_MAX);
    return depth == 0;
}

static void take_member(struct consul_check *check, struct sluice_span name,
                        struct sluice_span value)
{
    if (span_equal(name, SPAN("Node"))) {
        check->node = value;
    } else if (span_equal(name, SPAN("ServiceName"))) {
        check->service = value;
    } else if (span_equal(name, SPAN("ModifyIndex")) &&
               span_number(value, UINT64_MAX, &check->modified)) {
        check->modified = 0;
    }
}

static bool pass_check(struct cursor *cursor, struct consul_check *check)
{
    *check = (struct consul_check){.node = SPAN(""), .service = SPAN("")};
    if (!pass(cursor, '{'))
        return false;
    if (pass(cursor, '}'))
        return true;
    do {
        struct sluice_span name, value = SPAN("");

        if (!pass_text(cursor, &name) || !pass(cursor, ':') || !pass_value(cursor, &value))
            return false;
        take_member(check, name, value);
    } while (pass(cursor, ','));
    return pass(cursor, '}');
}

/* What may stand at this place; false: wrong, or the bytes ran out. */
static bool pass_one(struct consul_scan *scan, struct cursor *cursor)
{
    struct consul_check check;

    switch (scan->place) {
    case SCAN_BEFORE:
        scan->place = SCAN_OPENED;
        return pass(cursor, '[');
    case SCAN_OPENED:
        scan->place = SCAN_CHECK;
        if (pass(cursor, ']'))
            scan->place = SCAN_CLOSED;
        return !cursor->ran_out;
    case SCAN_CHECK:
        scan->place = SCAN_AFTER;
        if (!pass_check(cursor, &check))
            return false;
        scan->each(scan->arg, &check);
        return true;
    case SCAN_AFTER:
        scan->place = SCAN_CHECK;
        if (pass(cursor, ','))
            return true;
        scan->place = SCAN_CLOSED;
        return pass(cursor, ']');
    case SCAN_CLOSED:
        (void)peek(cursor); /* blanks may follow, and nothing else does */
        return false;
    }
    return false;
}

void consul_scan_init(struct consul_scan *scan, consul_check_fn *each, void *arg)
{
    *scan = (struct consul_scan){.place = SCAN_BEFORE, .each = each, .arg = arg};
    text_init(&scan->rest, CONSUL_CHECK_MAX);
}

void consul_scan_fini(struct consul_scan *scan)
{
    text_fini(&scan->rest);
}

/* As far as the bytes go. */
static void take(struct consul_scan *scan)
{
    struct sluice_span rest = text_span(&scan->rest);
    struct cursor cursor = {rest.ptr, rest.ptr + rest.len, false};
    enum consul_scan_place place = scan->place;
    const char *from = cursor.at;

    while (pass_one(scan, &cursor)) {
        from = cursor.at;
        place = scan->place;
    }
    scan->place = place;
    scan->is_wrong = !cursor.ran_out;
    text_skip(&scan->rest, (size_t)(from - rest.ptr));
}

void consul_scan_add(struct consul_scan *scan, struct sluice_span piece)
{
    while (piece.len > 0 && !scan->is_wrong) {
        size_t room = CONSUL_CHECK_MAX - scan->rest.len;
        size_t n = piece.len < room ? piece.len : room;

        text_add(&scan->rest, span_make(piece.ptr, n));
        if (n == 0 || scan->rest.cut) {
            scan->is_wrong = true; /* no check is that long */
            return;
        }
        take(scan);
        piece = span_make(piece.ptr + n, piece.len - n);
    }
}

enum err consul_scan_end(const struct consul_scan *scan)
{
    return scan->place == SCAN_CLOSED && !scan->is_wrong ? OK : ERR_PROTOCOL;
}
