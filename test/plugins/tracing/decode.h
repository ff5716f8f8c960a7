/*
 * decode.h - a collector in a test: reads messages as protobuf's encoding page describes them, and
 * knows the field numbers of trace.proto. Written apart from the writer under test.
 */
#ifndef TEST_TRACING_DECODE_H
#define TEST_TRACING_DECODE_H

#include "sluice_plugin.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

struct field {
    unsigned number, wire;
    uint64_t value;           /* wire 0, 1, 5 */
    struct sluice_span bytes; /* wire 2 */
};

static inline uint64_t decode_varint(struct sluice_span *rest)
{
    uint64_t value = 0;

    for (unsigned shift = 0;; shift += 7) {
        unsigned char c;

        ck_assert_uint_gt(rest->len, 0);
        ck_assert_uint_lt(shift, 64);
        c = (unsigned char)*rest->ptr++;
        rest->len--;
        value |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80)
            return value;
    }
}

static inline bool decode_next(struct sluice_span *rest, struct field *field)
{
    uint64_t tag;
    size_t fixed;

    if (rest->len == 0)
        return false;
    tag = decode_varint(rest);
    *field = (struct field){.number = (unsigned)(tag >> 3), .wire = tag & 7};
    ck_assert_uint_gt(field->number, 0);
    if (field->wire == 0) {
        field->value = decode_varint(rest);
        return true;
    }
    if (field->wire == 2) {
        uint64_t len = decode_varint(rest);

        ck_assert_uint_le(len, rest->len);
        field->bytes = (struct sluice_span){rest->ptr, (size_t)len};
        rest->ptr += len;
        rest->len -= (size_t)len;
        return true;
    }
    ck_assert(field->wire == 1 || field->wire == 5);
    fixed = field->wire == 1 ? 8 : 4;
    ck_assert_uint_ge(rest->len, fixed);
    for (size_t i = 0; i < fixed; i++)
        field->value |= (uint64_t)(unsigned char)rest->ptr[i] << 8 * i;
    rest->ptr += fixed;
    rest->len -= fixed;
    return true;
}

/* The nth field of that number; false: there are fewer. */
static inline bool decode_find(struct sluice_span message, unsigned number, size_t nth,
                               struct field *field)
{
    while (decode_next(&message, field)) {
        if (field->number == number && nth-- == 0)
            return true;
    }
    return false;
}

static inline struct sluice_span decode_bytes(struct sluice_span message, unsigned number)
{
    struct field field;

    if (!decode_find(message, number, 0, &field))
        return (struct sluice_span){NULL, 0};
    ck_assert_uint_eq(field.wire, 2);
    return field.bytes;
}

static inline uint64_t decode_number(struct sluice_span message, unsigned number)
{
    struct field field;

    if (!decode_find(message, number, 0, &field))
        return 0;
    ck_assert_uint_ne(field.wire, 2);
    return field.value;
}

/* "text", "=123", "[text]"; "" when it is not there. out has room for 5000. */
static inline const char *decode_attribute(struct sluice_span span, unsigned number,
                                           const char *name, char *out)
{
    struct field pair, value;

    out[0] = '\0';
    for (size_t i = 0; decode_find(span, number, i, &pair); i++) {
        struct sluice_span key = decode_bytes(pair.bytes, 1), any = decode_bytes(pair.bytes, 2);

        if (key.len != strlen(name) || memcmp(key.ptr, name, key.len) != 0)
            continue;
        ck_assert_str_eq(out, ""); /* names are unique */
        if (decode_find(any, 1, 0, &value)) {
            snprintf(out, 5000, "%.*s", (int)value.bytes.len, value.bytes.ptr);
        } else if (decode_find(any, 3, 0, &value)) {
            snprintf(out, 5000, "=%lld", (long long)value.value);
        } else {
            struct sluice_span array = decode_bytes(any, 5);
            struct sluice_span text = decode_bytes(decode_bytes(array, 1), 1);

            snprintf(out, 5000, "[%.*s]", (int)text.len, text.ptr);
        }
    }
    return out;
}

/* The spans of an ExportTraceServiceRequest with one resource and one scope. */
static inline struct sluice_span decode_scope_spans(struct sluice_span message)
{
    struct field field;

    ck_assert(!decode_find(message, 1, 1, &field));
    message = decode_bytes(message, 1);
    ck_assert(!decode_find(message, 2, 1, &field));
    return decode_bytes(message, 2);
}

static inline size_t decode_count(struct sluice_span message)
{
    struct sluice_span scope = decode_scope_spans(message);
    struct field field;
    size_t n = 0;

    while (decode_next(&scope, &field))
        n += field.number == 2;
    return n;
}

static inline struct sluice_span decode_span(struct sluice_span message, size_t nth)
{
    struct field field;

    ck_assert(decode_find(decode_scope_spans(message), 2, nth, &field));
    return field.bytes;
}

#endif /* TEST_TRACING_DECODE_H */
