/* origin.c - patterns of origins. */
#include "origin.h"

#include <string.h>

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool origin_same_name(struct sluice_span a, struct sluice_span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    }
    return true;
}

static bool is(struct sluice_span text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.ptr, word, text.len) == 0;
}

static bool ends_with(struct sluice_span text, struct sluice_span end)
{
    return text.len >= end.len &&
           origin_same_name((struct sluice_span){text.ptr + text.len - end.len, end.len}, end);
}

/* scheme://host[:port]; false: something else. */
static bool split(struct sluice_span text, struct origin *origin)
{
    size_t at = 0, colon;

    while (at < text.len && text.ptr[at] != ':')
        at++;
    if (at == 0 || text.len < at + 4 || memcmp(text.ptr + at, "://", 3) != 0)
        return false;
    origin->scheme = (struct sluice_span){text.ptr, at};
    origin->host = (struct sluice_span){text.ptr + at + 3, text.len - at - 3};
    /* the last colon that is not inside of [ ] */
    for (colon = origin->host.len; colon > 0; colon--) {
        if (origin->host.ptr[colon - 1] == ':' || origin->host.ptr[colon - 1] == ']')
            break;
    }
    origin->port = SLUICE_SPAN("");
    if (colon > 0 && origin->host.ptr[colon - 1] == ':') {
        origin->port =
            (struct sluice_span){origin->host.ptr + colon - 1, origin->host.len - colon + 1};
        origin->host.len = colon - 1;
    }
    return origin->host.len > 0 && !memchr(text.ptr, ' ', text.len);
}

const char *origin_parse(struct sluice_span text, struct origin *origin)
{
    *origin = (struct origin){.is_any = is(text, "*"), .is_null = is(text, "null")};
    if (origin->is_any || origin->is_null)
        return NULL;
    if (!split(text, origin))
        return "it is not of the form scheme://host[:port]";
    if (memchr(origin->host.ptr, '/', origin->host.len) ||
        memchr(origin->port.ptr, '/', origin->port.len))
        return "an origin has no path";
    if (origin->host.len > 2 && memcmp(origin->host.ptr, "*.", 2) == 0) {
        origin->any_subdomain = true;
        origin->host.ptr++; /* ".a.example" */
        origin->host.len--;
    }
    origin->any_port = is(origin->port, ":*");
    if (memchr(origin->host.ptr, '*', origin->host.len) ||
        memchr(origin->scheme.ptr, '*', origin->scheme.len) ||
        (!origin->any_port && memchr(origin->port.ptr, '*', origin->port.len)))
        return "'*' may stand alone, for subdomains (https://*.a.example) or for the port";
    return NULL;
}

bool origin_fits(const struct origin *origin, struct sluice_span value)
{
    struct origin sent = {0};

    if (origin->is_any)
        return true;
    if (is(value, "null"))
        return origin->is_null;
    if (origin->is_null || !split(value, &sent) || !origin_same_name(sent.scheme, origin->scheme))
        return false;
    if (!origin->any_port && !origin_same_name(sent.port, origin->port))
        return false;
    if (!origin->any_subdomain)
        return origin_same_name(sent.host, origin->host);
    return sent.host.len > origin->host.len && ends_with(sent.host, origin->host);
}

bool origin_is_own(struct sluice_span value, struct sluice_span scheme, struct sluice_span host)
{
    return value.len == scheme.len + 3 + host.len && value.len > scheme.len + 3 &&
           origin_same_name((struct sluice_span){value.ptr, scheme.len}, scheme) &&
           memcmp(value.ptr + scheme.len, "://", 3) == 0 &&
           origin_same_name((struct sluice_span){value.ptr + scheme.len + 3, host.len}, host);
}
