/*
 * span.h - small questions about borrowed bytes.
 */
#ifndef KIT_SPAN_H
#define KIT_SPAN_H

#include "sluice_plugin.h"

#include <string.h>

static inline struct sluice_span span_of(const char *text)
{
    return (struct sluice_span){text, text ? strlen(text) : 0};
}

static inline bool span_is(struct sluice_span a, struct sluice_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII letters without case: names of fields and schemes. */
static inline int span_lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte;
}

static inline bool span_is_word(struct sluice_span a, struct sluice_span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        int differ = a.ptr[i] ^ b.ptr[i];

        if (differ != 0 && (differ != 0x20 || span_lower(a.ptr[i]) != span_lower(b.ptr[i])))
            return false;
    }
    return true;
}

/* The same to an upstream that reads CGI variables: no case, and '-' is '_'. */
static inline bool span_is_alike(struct sluice_span a, struct sluice_span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        int x = a.ptr[i] == '_' ? '-' : span_lower(a.ptr[i]);
        int y = b.ptr[i] == '_' ? '-' : span_lower(b.ptr[i]);

        if (x != y)
            return false;
    }
    return true;
}

/* RFC 9110 section 5.6.2: the name of a field, a scheme, a cookie. */
static inline bool span_is_token(struct sluice_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];

        if (byte <= 0x20 || byte >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", byte))
            return false;
    }
    return text.len > 0;
}

/* May it stand between quotes as it is? */
static inline bool span_is_quotable(struct sluice_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];

        if (byte < 0x20 || byte >= 0x7f || byte == '"' || byte == '\\')
            return false;
    }
    return true;
}

static inline struct sluice_span span_trim(struct sluice_span text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* Cut *rest at the first separator: false when nothing was left. */
static inline bool span_cut(struct sluice_span *rest, char separator, struct sluice_span *part)
{
    const char *end;

    if (!rest->ptr)
        return false;
    end = rest->len > 0 ? memchr(rest->ptr, separator, rest->len) : NULL;
    part->ptr = rest->ptr;
    part->len = end ? (size_t)(end - rest->ptr) : rest->len;
    rest->ptr = end ? end + 1 : NULL;
    rest->len = end ? rest->len - part->len - 1 : 0;
    return true;
}

#endif /* KIT_SPAN_H */
