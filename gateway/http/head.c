/*
 * head.c - targets, lengths and words of heads.
 */
#include "http/head.h"

#include "http/target.h"

#include <string.h>

enum { LENGTH_DIGITS = 32 /* of Content-Length, leading zeros included */ };

static struct sluice_span between(const char *begin, const char *end)
{
    return (struct sluice_span){begin, (size_t)(end - begin)};
}

bool head_is_word(struct sluice_span text, struct sluice_span word)
{
    if (text.len != word.len)
        return false;
    for (size_t i = 0; i < word.len; i++) {
        char given = text.ptr[i];

        if (given >= 'A' && given <= 'Z')
            given = (char)(given | 0x20);
        if (given != word.ptr[i])
            return false;
    }
    return true;
}

enum h1_rule head_length(struct sluice_span value, int64_t *length)
{
    uint64_t number = 0;

    if (value.len == 0 || value.len > LENGTH_DIGITS)
        return H1_RULE_LENGTH;
    for (size_t i = 0; i < value.len; i++) {
        char digit = value.ptr[i];

        if (digit < '0' || digit > '9' || number > INT64_MAX / 10)
            return H1_RULE_LENGTH;
        number = number * 10 + (uint64_t)(digit - '0');
    }
    if (number > INT64_MAX)
        return H1_RULE_LENGTH;
    *length = (int64_t)number;
    return H1_RULE_NONE;
}

/* Cut path and query of what follows the authority, if any. */
static void path_split(struct request *request, const char *path, const char *end)
{
    const char *mark = memchr(path, '?', (size_t)(end - path));

    request->has_query = mark != NULL;
    request->query = mark != NULL ? between(mark + 1, end) : between(end, end);
    request->path = between(path, mark != NULL ? mark : end);
}

static enum h1_rule absolute_form(struct request *request)
{
    const char *target = request->target.ptr, *end = target + request->target.len;
    const char *colon = memchr(target, ':', request->target.len);
    const char *authority, *path;
    struct sluice_span host;
    uint16_t port;

    if (colon == NULL || end - colon < 3 || colon[1] != '/' || colon[2] != '/')
        return H1_RULE_TARGET;
    request->scheme = between(target, colon);
    if (!head_is_word(request->scheme, SPAN("http")) &&
        !head_is_word(request->scheme, SPAN("https")))
        return H1_RULE_TARGET;
    authority = colon + 3;
    path = authority;
    while (path < end && *path != '/' && *path != '?')
        path++;
    request->authority = between(authority, path);
    if (target_authority(request->authority, &host, &port) || host.len == 0)
        return H1_RULE_TARGET;
    request->form = TARGET_ABSOLUTE;
    path_split(request, path, end);
    if (request->path.len != 0)
        return H1_RULE_NONE;
    if (request->method == METHOD_OPTIONS && !request->has_query) {
        request->form = TARGET_ASTERISK; /* RFC 9112 3.2.4 */
        request->path = SPAN("*");
    } else {
        request->path = SPAN("/");
    }
    return H1_RULE_NONE;
}

static enum h1_rule authority_form(struct request *request)
{
    struct sluice_span host;
    uint16_t port;

    if (target_authority(request->target, &host, &port) || host.len == 0 || port == 0)
        return H1_RULE_TARGET;
    request->form = TARGET_AUTHORITY;
    request->authority = request->target;
    return H1_RULE_NONE;
}

enum h1_rule head_target(struct request *request)
{
    const char *target = request->target.ptr, *end = target + request->target.len;

    if (request->method == METHOD_CONNECT)
        return authority_form(request);
    if (*target == '/') {
        request->form = TARGET_ORIGIN;
        path_split(request, target, end);
        return H1_RULE_NONE;
    }
    if (request->target.len == 1 && *target == '*' && request->method == METHOD_OPTIONS) {
        request->form = TARGET_ASTERISK;
        request->path = request->target;
        return H1_RULE_NONE;
    }
    return absolute_form(request);
}
