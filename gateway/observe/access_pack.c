/*
 * access_pack.c - values one behind the other, each with a head of a byte or two: there are as many
 * of these as there are tunnels.
 *
 *   what (1 byte: its number, or one of enum what)  length (1 or 2)  value
 *
 * Numbers have no length: what they are says it. A length from LONG on takes two bytes; HEX stands
 * for 32 hexadecimal digits (a request's id), which take 16. The value of a field or an attribute
 * begins with its name and that name's length in a byte. Nothing of this leaves the process, so it
 * has no version and no byte order.
 */
#include "observe/access_pack.h"

#include "base/check.h"
#include "observe/access_format.h"

#include <string.h>

enum what { WHAT_ATTRIBUTE = ACCESS_KNOWN_MAX, WHAT_REQUEST_FIELD, WHAT_RESPONSE_FIELD };

enum {
    HEX = 0x7f,  /* in place of a length */
    LONG = 0x80, /* with the high bits of a length; the low ones follow */
    HEX_BYTES = 16,
    TEXT_MAX = ACCESS_VALUE_MAX + 1, /* one more than a line shows: it says that it was cut */
};

struct entry {
    unsigned what;
    const struct access_known *known; /* NULL: a field or an attribute */
    bool is_hex;
    struct sluice_span value;
};

struct pack {
    char *out;
    size_t room, used;
    bool full; /* something has not fitted */
};

/* -- packing -------------------------------------------------------------- */

static void put(struct pack *pack, const void *bytes, size_t n)
{
    if (n > 0 && n <= pack->room - pack->used) {
        memcpy(pack->out + pack->used, bytes, n);
    } else if (n > 0) {
        pack->full = true;
    }
    pack->used += pack->full ? 0 : n;
}

static void put_octet(struct pack *pack, unsigned octet)
{
    uint8_t byte = (uint8_t)octet;

    put(pack, &byte, sizeof(byte));
}

static void put_length(struct pack *pack, size_t length)
{
    if (length >= HEX)
        put_octet(pack, LONG | (unsigned)(length >> 8));
    put_octet(pack, (unsigned)length & 0xff);
}

static struct sluice_span shorten(struct sluice_span text)
{
    return span_make(text.ptr, text.len < TEXT_MAX ? text.len : TEXT_MAX);
}

/* The value of a digit as we write them; 16: it is none. */
static unsigned digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 16;
}

static bool is_hex(struct sluice_span text, uint8_t octets[HEX_BYTES])
{
    for (size_t i = 0; text.len == (size_t)2 * HEX_BYTES && i < HEX_BYTES; i++) {
        unsigned high = digit_of(text.ptr[2 * i]), low = digit_of(text.ptr[2 * i + 1]);

        if (high > 15 || low > 15)
            return false;
        octets[i] = (uint8_t)(high << 4 | low);
    }
    return text.len == (size_t)2 * HEX_BYTES;
}

static void put_text(struct pack *pack, const struct access_step *step, struct sluice_span text)
{
    struct sluice_span shown = shorten(text);
    uint8_t octets[HEX_BYTES];

    put_octet(pack, step->number);
    if (is_hex(text, octets)) {
        put_octet(pack, HEX);
        put(pack, octets, sizeof(octets));
        return;
    }
    put_length(pack, shown.len);
    put(pack, shown.ptr, shown.len);
}

static void put_named(struct pack *pack, const struct access_step *step, enum what what,
                      struct sluice_span text)
{
    struct sluice_span shown = shorten(text);
    uint8_t name_len = (uint8_t)step->name.len; /* at most ACCESS_NAME_MAX */

    put_octet(pack, what);
    put_length(pack, sizeof(name_len) + name_len + shown.len);
    put_octet(pack, name_len);
    put(pack, step->name.ptr, name_len);
    put(pack, shown.ptr, shown.len);
}

/* What a value takes as it is; 0: it is no such value. */
static size_t plain_bytes(enum access_kind kind)
{
    switch (kind) {
    case ACCESS_TIME:
    case ACCESS_INT:
    case ACCESS_UINT:
    case ACCESS_MS:
        return sizeof(uint64_t);
    case ACCESS_UINT32:
        return sizeof(uint32_t);
    case ACCESS_BOOL:
        return sizeof(bool);
    case ACCESS_CHARS:
        return sizeof(char *);
    case ACCESS_SPAN:
    case ACCESS_QUERY:
    case ACCESS_FIELD:
    case ACCESS_ATTRIBUTE:
    case ACCESS_FACT:
        break;
    }
    return 0;
}

static enum what field_of(bool of_response)
{
    return of_response ? WHAT_RESPONSE_FIELD : WHAT_REQUEST_FIELD;
}

static void pack_step(struct pack *pack, const struct access_step *step,
                      const struct access_record *record, const struct access_record *base)
{
    const char *value = (const char *)record + step->offset;
    size_t plain = plain_bytes(step->kind);
    struct sluice_span text, known;

    if (plain > 0) {
        if (memcmp(value, (const char *)base + step->offset, plain) != 0) {
            put_octet(pack, step->number);
            put(pack, value, plain);
        }
    } else if (step->kind == ACCESS_SPAN) {
        memcpy(&text, value, sizeof(text));
        memcpy(&known, (const char *)base + step->offset, sizeof(known));
        if (!span_equal(text, known))
            put_text(pack, step, text);
    } else if (step->kind == ACCESS_QUERY) {
        if (record->has_query)
            put_text(pack, step, record->query);
    } else if (step->kind == ACCESS_FIELD) {
        if (record->find_field && record->find_field(record, step->of_response, step->name, &text))
            put_named(pack, step, field_of(step->of_response), text);
    } else if (step->kind == ACCESS_ATTRIBUTE) {
        if (record->find_attribute && record->find_attribute(record, step->name, &text))
            put_named(pack, step, WHAT_ATTRIBUTE, text);
    }
}

size_t access_pack(const struct access_format *format, const struct access_record *record,
                   const struct access_record *base, char *out, /* NOLINT: filled by put() */
                   size_t room)
{
    struct pack pack = {.out = out, .room = room};

    for (size_t i = 0; format && i < format->n_steps; i++) {
        struct pack before = pack;

        pack_step(&pack, &format->steps[i], record, base);
        if (pack.full)
            pack = before;
    }
    return pack.used;
}

/* -- unpacking ------------------------------------------------------------ */

/* Take n bytes off the front. */
static struct sluice_span take(struct sluice_span *packed, size_t n)
{
    struct sluice_span front = span_make(packed->ptr, n);

    CHECK(n <= packed->len);
    *packed = span_make(packed->ptr + n, packed->len - n);
    return front;
}

static unsigned take_octet(struct sluice_span *packed)
{
    return (uint8_t)take(packed, 1).ptr[0];
}

static size_t take_length(struct sluice_span *packed, bool *is_hex)
{
    size_t first = take_octet(packed);

    *is_hex = first == HEX;
    if (first == HEX)
        return HEX_BYTES;
    return first < LONG ? first : (first & ~(size_t)LONG) << 8 | take_octet(packed);
}

/* Take the first entry off; false at the end. */
static bool next_entry(struct sluice_span *packed, struct entry *entry)
{
    size_t length;

    if (packed->len == 0)
        return false;
    entry->what = take_octet(packed);
    entry->known = access_known(entry->what);
    length = entry->known ? plain_bytes(entry->known->kind) : 0;
    entry->is_hex = false;
    if (length == 0)
        length = take_length(packed, &entry->is_hex);
    entry->value = take(packed, length);
    return true;
}

/* As it was; empty when there is no memory for it. */
static struct sluice_span text_of(const struct entry *entry, struct arena *arena)
{
    char digits[2 * HEX_BYTES];

    if (!entry->is_hex)
        return entry->value;
    for (size_t i = 0; i < HEX_BYTES; i++) {
        unsigned octet = (uint8_t)entry->value.ptr[i];

        digits[2 * i] = "0123456789abcdef"[octet >> 4];
        digits[2 * i + 1] = "0123456789abcdef"[octet & 15];
    }
    return arena_copy(arena, span_make(digits, sizeof(digits)));
}

void access_unpack(struct sluice_span packed, struct access_record *record)
{
    struct entry entry;

    while (next_entry(&packed, &entry)) {
        char *place = (char *)record + (entry.known ? entry.known->offset : 0);

        if (!entry.known)
            continue;
        if (entry.known->kind == ACCESS_QUERY) {
            record->query = text_of(&entry, record->arena);
            record->has_query = true;
        } else if (entry.known->kind == ACCESS_SPAN) {
            struct sluice_span text = text_of(&entry, record->arena);

            memcpy(place, &text, sizeof(text));
        } else {
            memcpy(place, entry.value.ptr, entry.value.len);
        }
    }
}

static bool find(struct sluice_span packed, enum what what, struct sluice_span name,
                 struct sluice_span *value)
{
    struct entry entry;

    while (next_entry(&packed, &entry)) {
        size_t name_len;

        if (entry.what != what)
            continue;
        name_len = (uint8_t)entry.value.ptr[0];
        if (!span_equal(span_make(entry.value.ptr + 1, name_len), name))
            continue;
        *value = span_make(entry.value.ptr + 1 + name_len, entry.value.len - 1 - name_len);
        return true;
    }
    return false;
}

bool access_packed_field(struct sluice_span packed, bool of_response, struct sluice_span name,
                         struct sluice_span *value)
{
    return find(packed, field_of(of_response), name, value);
}

bool access_packed_attribute(struct sluice_span packed, struct sluice_span name,
                             struct sluice_span *value)
{
    return find(packed, WHAT_ATTRIBUTE, name, value);
}
