#include "proto.h"

#include <string.h>

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

/* common.proto */
enum { PAIR_KEY = 1, PAIR_VALUE = 2, ANY_TEXT = 1, ANY_INT = 3, ANY_ARRAY = 5, ARRAY_VALUES = 1 };

static void put(struct proto *proto, const void *bytes, size_t len)
{
    if (proto->is_short || len > proto->room - proto->len) {
        proto->is_short = true;
        return;
    }
    if (len > 0)
        memcpy(proto->out + proto->len, bytes, len);
    proto->len += len;
}

size_t proto_varint(uint64_t value, char out[PROTO_VARINT_MAX])
{
    size_t len = 0;

    while (value >= 0x80) {
        out[len++] = (char)(value | 0x80);
        value >>= 7;
    }
    out[len++] = (char)value;
    return len;
}

static size_t varint_size(uint64_t value)
{
    size_t len = 1;

    while (value >= 0x80) {
        value >>= 7;
        len++;
    }
    return len;
}

static void varint(struct proto *proto, uint64_t value)
{
    char text[PROTO_VARINT_MAX];

    put(proto, text, proto_varint(value, text));
}

static void tag(struct proto *proto, unsigned field, unsigned kind)
{
    varint(proto, field << 3 | kind);
}

static void fixed(struct proto *proto, uint64_t value, size_t bytes)
{
    char text[8];

    for (size_t i = 0; i < bytes; i++)
        text[i] = (char)(value >> 8 * i);
    put(proto, text, bytes);
}

void proto_uint(struct proto *proto, unsigned field, uint64_t value)
{
    tag(proto, field, VARINT);
    varint(proto, value);
}

void proto_fixed32(struct proto *proto, unsigned field, uint32_t value)
{
    tag(proto, field, FIXED32);
    fixed(proto, value, 4);
}

void proto_fixed64(struct proto *proto, unsigned field, uint64_t value)
{
    tag(proto, field, FIXED64);
    fixed(proto, value, 8);
}

void proto_bytes(struct proto *proto, unsigned field, const void *bytes, size_t len)
{
    tag(proto, field, BYTES);
    varint(proto, len);
    put(proto, bytes, len);
}

/* -- text ------------------------------------------------------------------------ */

static bool is_tail(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

/* How many bytes the character has; 0: this is none (RFC 3629). */
static size_t character(const unsigned char *text, size_t left)
{
    unsigned char first = text[0];
    size_t len = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (len == 1)
        return 1;
    if (first < 0xc2 || first > 0xf4 || left < len)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if (!is_tail(text[i]))
            return 0;
    }
    if ((first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] > 0x9f) ||
        (first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] > 0x8f))
        return 0;
    return len;
}

static size_t text_size(struct sluice_span text)
{
    return text.len < PROTO_TEXT_MAX ? text.len : PROTO_TEXT_MAX;
}

/* As long as it was, so that lengths can be known before. */
static void put_text(struct proto *proto, struct sluice_span text)
{
    const unsigned char *from = (const unsigned char *)text.ptr;
    size_t n = text_size(text), at = proto->len;

    put(proto, text.ptr, n);
    if (proto->is_short)
        return;
    for (size_t i = 0; i < n;) {
        size_t len = character(from + i, n - i);

        if (len == 0)
            proto->out[at + i] = '?';
        i += len > 0 ? len : 1;
    }
}

void proto_text(struct proto *proto, unsigned field, struct sluice_span text)
{
    tag(proto, field, BYTES);
    varint(proto, text_size(text));
    put_text(proto, text);
}

/* -- pairs: all tags of these messages are one byte ---------------------------------- */

static size_t with_length(size_t bytes)
{
    return 1 + varint_size(bytes) + bytes;
}

static void begin_pair(struct proto *proto, unsigned field, struct sluice_span name, size_t value)
{
    tag(proto, field, BYTES);
    varint(proto, with_length(text_size(name)) + with_length(value));
    proto_text(proto, PAIR_KEY, name);
    tag(proto, PAIR_VALUE, BYTES);
    varint(proto, value);
}

void proto_pair_text(struct proto *proto, unsigned field, struct sluice_span name,
                     struct sluice_span value)
{
    begin_pair(proto, field, name, with_length(text_size(value)));
    proto_text(proto, ANY_TEXT, value);
}

void proto_pair_int(struct proto *proto, unsigned field, struct sluice_span name, int64_t value)
{
    begin_pair(proto, field, name, 1 + varint_size((uint64_t)value));
    proto_uint(proto, ANY_INT, (uint64_t)value);
}

void proto_pair_list(struct proto *proto, unsigned field, struct sluice_span name,
                     struct sluice_span value)
{
    size_t any = with_length(text_size(value)), array = with_length(any);

    begin_pair(proto, field, name, with_length(array));
    tag(proto, ANY_ARRAY, BYTES);
    varint(proto, array);
    tag(proto, ARRAY_VALUES, BYTES);
    varint(proto, any);
    proto_text(proto, ANY_TEXT, value);
}
