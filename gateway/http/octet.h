/*
 * octet.h - which bytes may stand where (RFC 3986, RFC 9110, RFC 9112), as one table.
 */
#ifndef HTTP_OCTET_H
#define HTTP_OCTET_H

#include <stdbool.h>
#include <stdint.h>

enum octet_class {
    OCTET_TOKEN = 1,   /* tchar */
    OCTET_STOP = 2,    /* ends or spoils a line: controls but the tab, and DEL */
    OCTET_TARGET = 4,  /* visible ASCII but '#' */
    OCTET_PATH = 8,    /* pchar and '/', without '%' */
    OCTET_QUERY = 16,  /* what target_query_is_valid() lets through, without '%' */
    OCTET_PLAIN = 32,  /* unreserved of RFC 3986: what an encoding must not hide */
    OCTET_QUOTED = 64, /* qdtext */
    OCTET_HEX = 128,
};

extern const uint8_t octet_classes[256];

static inline bool octet_is(char octet, enum octet_class class)
{
    return (octet_classes[(unsigned char)octet] & class) != 0;
}

/* The value of a hex digit; only for OCTET_HEX. */
static inline unsigned octet_hex(char octet)
{
    return ((unsigned)octet & 0xfU) + (octet >= 'A' ? 9U : 0U);
}

#endif /* HTTP_OCTET_H */
