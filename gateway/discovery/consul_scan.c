#include "discovery/consul_scan.h"

#include <string.h>

enum { DEPTH_MAX = 32 };

struct scan {
    const char *at, *end;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* The next byte that is no blank; 0 at the end. */
static char peek(struct scan *scan)
{
    while (scan->at < scan->end && is_blank(*scan->at))
        scan->at++;
    if (scan->at == scan->end)
        return '\0';
    return *scan->at;
}

static bool pass(struct scan *scan, char c)
{
    if (peek(scan) != c)
        return false;
    scan->at++;
    return true;
}

/* From one quote to the other. */
static bool pass_text(struct scan *scan, struct sluice_span *text)
{
    const char *from;

    if (!pass(scan, '"'))
        return false;
    from = scan->at;
    for (;;) {
        const char *quote = memchr(scan->at, '"', (size_t)(scan->end - scan->at));
        const char *before = quote;

        if (!quote)
            return false;
        while (before > from && before[-1] == '\\')
            before--;
        scan->at = quote + 1;
        if ((quote - before) % 2 == 0) {
            *text = span_make(from, (size_t)(quote - from));
            return true;
        }
    }
}

/* true, null, -1.5e3: up to what ends a value. */
static bool pass_word(struct scan *scan, struct sluice_span *word)
{
    const char *from = scan->at;

    while (scan->at < scan->end && !strchr(",]} \n\r\t\"[{:", *scan->at))
        scan->at++;
    *word = span_make(from, (size_t)(scan->at - from));
    return word->len > 0;
}

/* Any value; *text holds it when it is a text or a word. */
static bool pass_value(struct scan *scan, struct sluice_span *text)
{
    unsigned depth = 0;

    do {
        char c = peek(scan);

        if (c == '{' || c == '[') {
            scan->at++;
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return false;
            scan->at++;
            depth--;
        } else if ((c == ',' || c == ':') && depth > 0) {
            scan->at++;
        } else if (c == '"' ? !pass_text(scan, text) : !pass_word(scan, text)) {
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

static bool pass_check(struct scan *scan, struct consul_check *check)
{
    *check = (struct consul_check){.node = SPAN(""), .service = SPAN("")};
    if (!pass(scan, '{'))
        return false;
    if (pass(scan, '}'))
        return true;
    do {
        struct sluice_span name, value = SPAN("");

        if (!pass_text(scan, &name) || !pass(scan, ':') || !pass_value(scan, &value))
            return false;
        take_member(check, name, value);
    } while (pass(scan, ','));
    return pass(scan, '}');
}

enum err consul_scan(struct sluice_span json, consul_check_fn *each, void *arg)
{
    struct scan scan = {json.ptr, json.ptr + json.len};
    struct consul_check check;

    if (json.len == 0 || !pass(&scan, '['))
        return ERR_PROTOCOL;
    if (pass(&scan, ']'))
        return peek(&scan) == 0 ? OK : ERR_PROTOCOL;
    do {
        if (!pass_check(&scan, &check))
            return ERR_PROTOCOL;
        each(arg, &check);
    } while (pass(&scan, ','));
    return pass(&scan, ']') && peek(&scan) == 0 ? OK : ERR_PROTOCOL;
}
