/*
 * target.c - one normal form for paths, one grammar for authorities.
 *
 * A path is looked at once; most are normal and are returned as they came. The others are
 * decoded as far as that changes nothing (RFC 3986 6.2.2.2) and only then cut into segments, so
 * that an encoded dot-segment cannot get past. With merged slashes an empty segment does not
 * count as one that ".." could take back: "/a//../b" is "/b", as a file system reads it.
 */
#include "http/target.h"

#include "http/octet.h"

#include <string.h>

enum { HOST_MAX = 255, PORT_DIGITS = 5, TRIPLET = 3 };

/* -- percent-encoding ------------------------------------------------- */

static bool is_triplet(const char *at, const char *end)
{
    return end - at >= TRIPLET && at[0] == '%' && octet_is(at[1], OCTET_HEX) &&
           octet_is(at[2], OCTET_HEX);
}

static char triplet_octet(const char *at)
{
    return (char)(octet_hex(at[1]) << 4 | octet_hex(at[2]));
}

static char upper(char digit)
{
    if (digit >= 'a')
        return (char)(digit - 0x20);
    return digit;
}

/* -- paths ------------------------------------------------------------ */

enum shape { SHAPE_NORMAL, SHAPE_OTHER, SHAPE_MALFORMED };

/* What a triplet makes of the path it stands in. */
static enum shape triplet_shape(const char *at, const char *end)
{
    char octet;

    if (!is_triplet(at, end))
        return SHAPE_MALFORMED;
    octet = triplet_octet(at);
    if (octet == '\0')
        return SHAPE_MALFORMED;
    if (octet_is(octet, OCTET_PLAIN) || upper(at[1]) != at[1] || upper(at[2]) != at[2])
        return SHAPE_OTHER;
    return SHAPE_NORMAL;
}

/* Is the segment after this slash "." or ".." or, if they are to be merged, empty? */
static enum shape slash_shape(const char *at, const char *end, enum target_slashes slashes)
{
    size_t left = (size_t)(end - at);

    if (left < 2 || (at[1] != '.' && at[1] != '/'))
        return SHAPE_NORMAL;
    if (at[1] == '/')
        return slashes == TARGET_MERGE_SLASHES ? SHAPE_OTHER : SHAPE_NORMAL;
    if (left == 2 || at[2] == '/')
        return SHAPE_OTHER;
    if (at[2] == '.' && (left == 3 || at[3] == '/'))
        return SHAPE_OTHER;
    return SHAPE_NORMAL;
}

static enum shape path_shape(struct sluice_span path, enum target_slashes slashes)
{
    const char *at = path.ptr, *end = at + path.len;
    enum shape shape = SHAPE_NORMAL, here;

    if (path.len == 0 || *at != '/')
        return SHAPE_MALFORMED;
    while (at < end) {
        if (octet_is(*at, OCTET_PATH) && *at != '/') {
            at++;
            continue;
        }
        here = SHAPE_MALFORMED;
        if (*at == '/')
            here = slash_shape(at, end, slashes);
        if (*at == '%')
            here = triplet_shape(at, end);
        if (here == SHAPE_MALFORMED)
            return here;
        if (here == SHAPE_OTHER)
            shape = here;
        at += *at == '%' ? TRIPLET : 1;
    }
    return shape;
}

/* Decode what need not be encoded, write the rest in upper case; returns the length. */
static size_t path_decode(struct sluice_span path, char *out)
{
    const char *at = path.ptr, *end = at + path.len;
    char *to = out;

    while (at < end) {
        if (*at != '%') {
            *to++ = *at++;
            continue;
        }
        if (octet_is(triplet_octet(at), OCTET_PLAIN)) {
            *to++ = triplet_octet(at);
        } else {
            *to++ = '%';
            *to++ = upper(at[1]);
            *to++ = upper(at[2]);
        }
        at += TRIPLET;
    }
    return (size_t)(to - out);
}

/* Take the last segment back. False when there is none. */
static bool segment_pop(const char *path, size_t *len)
{
    if (*len == 0)
        return false;
    do {
        (*len)--;
    } while (path[*len] != '/');
    return true;
}

/* RFC 3986 5.2.4 in place, each turn of the loop one segment with the slash before it. */
static enum err segments_reduce(char *path, size_t *len, enum target_slashes slashes)
{
    size_t to = 0;

    for (size_t from = 0, next; from < *len; from = next) {
        const char *segment = path + from + 1;
        const char *slash = memchr(segment, '/', *len - from - 1);
        size_t n = slash != NULL ? (size_t)(slash - segment) : *len - from - 1;
        bool is_last = slash == NULL;
        bool is_dots = n == 2 && segment[0] == '.' && segment[1] == '.';
        bool is_dot = n == 1 && segment[0] == '.';

        next = from + 1 + n;
        if (is_dots && !segment_pop(path, &to))
            return ERR_PROTOCOL;
        if (is_dot || is_dots || (n == 0 && slashes == TARGET_MERGE_SLASHES)) {
            if (is_last)
                path[to++] = '/';
            continue;
        }
        memmove(path + to, path + from, n + 1);
        to += n + 1;
    }
    *len = to;
    return OK;
}

enum err target_normalise(struct sluice_span path, enum target_slashes slashes, struct arena *arena,
                          struct sluice_span *normal)
{
    enum shape shape = path_shape(path, slashes);
    char *copy;
    size_t len;
    enum err err;

    if (shape == SHAPE_MALFORMED)
        return ERR_PROTOCOL;
    if (shape == SHAPE_NORMAL) {
        *normal = path;
        return OK;
    }
    copy = arena_try_raw(arena, path.len);
    if (copy == NULL)
        return ERR_MEMORY;
    len = path_decode(path, copy);
    err = segments_reduce(copy, &len, slashes);
    if (err)
        return err;
    *normal = (struct sluice_span){copy, len};
    return OK;
}

/* -- queries ---------------------------------------------------------- */

bool target_query_is_valid(struct sluice_span query)
{
    const char *at = query.ptr, *end = at + query.len;

    while (at < end) {
        if (*at == '%') {
            if (!is_triplet(at, end))
                return false;
            at += TRIPLET;
        } else {
            if (!octet_is(*at, OCTET_QUERY))
                return false;
            at++;
        }
    }
    return true;
}

/* Take one decoded byte from the front of *text, which is not empty. */
static char form_take(struct sluice_span *text)
{
    char octet = *text->ptr;
    size_t n = 1;

    if (octet == '+')
        octet = ' ';
    if (is_triplet(text->ptr, text->ptr + text->len)) {
        octet = triplet_octet(text->ptr);
        n = TRIPLET;
    }
    text->ptr += n;
    text->len -= n;
    return octet;
}

static bool form_equal(struct sluice_span text, struct sluice_span plain)
{
    for (size_t i = 0; i < plain.len; i++) {
        if (text.len == 0 || form_take(&text) != plain.ptr[i])
            return false;
    }
    return text.len == 0;
}

static struct sluice_span cut(struct sluice_span *rest, char separator)
{
    const char *at = rest->len != 0 ? memchr(rest->ptr, separator, rest->len) : NULL;
    struct sluice_span front = *rest;

    if (at == NULL) {
        *rest = (struct sluice_span){rest->ptr + rest->len, 0};
        return front;
    }
    front.len = (size_t)(at - front.ptr);
    *rest = (struct sluice_span){at + 1, rest->len - front.len - 1};
    return front;
}

bool target_query_find(struct sluice_span query, struct sluice_span name, char *scratch,
                       size_t room, struct sluice_span *value)
{
    while (query.len != 0) {
        struct sluice_span pair = cut(&query, '&');
        struct sluice_span key = cut(&pair, '=');
        size_t len = 0;

        if (!form_equal(key, name))
            continue;
        while (pair.len != 0) {
            if (len == room)
                return false;
            scratch[len++] = form_take(&pair);
        }
        *value = (struct sluice_span){scratch, len};
        return true;
    }
    return false;
}

/* -- authorities ------------------------------------------------------ */

/* Four decimal numbers up to 255 without leading zeros. */
static bool is_ipv4(const char *at, const char *end)
{
    for (int i = 0; i < 4; i++) {
        const char *begin = at;
        unsigned number = 0;

        while (at < end && *at >= '0' && *at <= '9' && at - begin < 3)
            number = number * 10 + (unsigned)(*at++ - '0');
        if (at == begin || number > 255 || (*begin == '0' && at - begin > 1))
            return false;
        if (i < 3 && (at == end || *at++ != '.'))
            return false;
    }
    return at == end;
}

/* Up to four hex digits from *at on; false when there is none. */
static bool group_skip(const char **at, const char *end)
{
    const char *begin = *at;

    while (*at < end && octet_is(**at, OCTET_HEX) && *at - begin < 4)
        (*at)++;
    return *at != begin;
}

/* Groups and colons, "::" once, an IPv4 address in the place of the last two groups. */
static bool is_ipv6(const char *at, const char *end)
{
    unsigned groups = 0;
    bool has_gap = end - at >= 2 && at[0] == ':' && at[1] == ':';

    if (has_gap)
        at += 2;
    while (at < end && groups < 8) {
        const char *group = at;

        if (!group_skip(&at, end))
            return false;
        if (at < end && *at == '.')
            return is_ipv4(group, end) && (has_gap ? groups < 6 : groups == 6);
        groups++;
        if (at == end)
            break;
        if (*at++ != ':' || at == end)
            return false;
        if (*at != ':')
            continue;
        if (has_gap)
            return false;
        has_gap = true;
        at++;
    }
    return at == end && (has_gap ? groups < 8 : groups == 8);
}

/* Labels of unreserved bytes, none of them empty. RFC 3986 allows more, DNS does not. */
static bool is_name(const char *at, const char *end)
{
    char before = '.';

    if (end - at > HOST_MAX)
        return false;
    for (; at < end; at++) {
        if (!octet_is(*at, OCTET_PLAIN) || (*at == '.' && before == '.'))
            return false;
        before = *at;
    }
    return before != '.';
}

/* ":port" or ":" or nothing. */
static enum err port_read(const char *at, const char *end, uint16_t *port)
{
    unsigned number = 0;

    *port = 0;
    if (at == end || (*at == ':' && at + 1 == end))
        return OK;
    if (*at != ':' || end - at - 1 > PORT_DIGITS)
        return ERR_PROTOCOL;
    while (++at < end) {
        if (*at < '0' || *at > '9')
            return ERR_PROTOCOL;
        number = number * 10 + (unsigned)(*at - '0');
    }
    if (number == 0 || number > UINT16_MAX)
        return ERR_PROTOCOL;
    *port = (uint16_t)number;
    return OK;
}

enum err target_authority(struct sluice_span text, struct sluice_span *host, uint16_t *port)
{
    const char *begin = text.ptr, *end = begin + text.len, *host_end;
    bool is_literal = text.len != 0 && *begin == '[';

    if (text.len == 0) {
        *host = SPAN("");
        *port = 0;
        return OK;
    }
    host_end = memchr(begin, is_literal ? ']' : ':', text.len);
    if (is_literal) {
        if (host_end == NULL || !is_ipv6(begin + 1, host_end))
            return ERR_PROTOCOL;
        host_end++;
    } else if (host_end == NULL) {
        host_end = end;
    }
    *host = (struct sluice_span){begin, (size_t)(host_end - begin)};
    if (!is_literal) {
        if (host->len > 1 && host_end[-1] == '.')
            host->len--;
        if (!is_name(begin, begin + host->len))
            return ERR_PROTOCOL;
    }
    return port_read(host_end, end, port);
}
