/*
 * access_pack.c - values one behind the other, each with a short head that says what it is.
 *
 *   kind (1 byte)  where (2: offset in struct access_record; of fields, whose)  bytes (2)  value
 *
 * The value of a field or an attribute begins with its name and that name's length in a byte.
 * Nothing of this leaves the process, so it has no version and no byte order.
 */
#include "observe/access_pack.h"

#include "base/check.h"
#include "observe/access_format.h"

#include <string.h>

enum {
    HEAD_BYTES = 5,
    TEXT_MAX = ACCESS_VALUE_MAX + 1, /* one more than a line shows: it says that it was cut */
};

struct entry {
    enum access_kind kind;
    uint16_t where;
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
    if (n > 0 && n <= pack->room - pack->used)
        memcpy(pack->out + pack->used, bytes, n);
    else if (n > 0)
        pack->full = true;
    pack->used += pack->full ? 0 : n;
}

static void put_head(struct pack *pack, const struct access_step *step, size_t bytes)
{
    uint8_t kind = (uint8_t)step->kind;
    uint16_t where = (uint16_t)step->offset, length = (uint16_t)bytes;

    if (step->kind == ACCESS_FIELD)
        where = step->of_response;
    put(pack, &kind, sizeof(kind));
    put(pack, &where, sizeof(where));
    put(pack, &length, sizeof(length));
}

static struct sluice_span shorten(struct sluice_span text)
{
    return span_make(text.ptr, text.len < TEXT_MAX ? text.len : TEXT_MAX);
}

static void put_text(struct pack *pack, const struct access_step *step, struct sluice_span text)
{
    struct sluice_span shown = shorten(text);

    put_head(pack, step, shown.len);
    put(pack, shown.ptr, shown.len);
}

static void put_named(struct pack *pack, const struct access_step *step, struct sluice_span text)
{
    struct sluice_span shown = shorten(text);
    uint8_t name_len = (uint8_t)step->name.len; /* at most ACCESS_NAME_MAX */

    put_head(pack, step, sizeof(name_len) + name_len + shown.len);
    put(pack, &name_len, sizeof(name_len));
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

static void pack_step(struct pack *pack, const struct access_step *step,
                      const struct access_record *record, const struct access_record *base)
{
    const char *value = (const char *)record + step->offset;
    size_t plain = plain_bytes(step->kind);
    struct sluice_span text, known;

    if (plain > 0) {
        if (memcmp(value, (const char *)base + step->offset, plain) != 0) {
            put_head(pack, step, plain);
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
            put_named(pack, step, text);
    } else if (step->kind == ACCESS_ATTRIBUTE) {
        if (record->find_attribute && record->find_attribute(record, step->name, &text))
            put_named(pack, step, text);
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

/* Take the first entry off; false at the end. */
static bool next_entry(struct sluice_span *packed, struct entry *entry)
{
    uint8_t kind;
    uint16_t length;

    if (packed->len < HEAD_BYTES)
        return false;
    memcpy(&kind, packed->ptr, sizeof(kind));
    memcpy(&entry->where, packed->ptr + 1, sizeof(entry->where));
    memcpy(&length, packed->ptr + 3, sizeof(length));
    CHECK(length <= packed->len - HEAD_BYTES);
    entry->kind = (enum access_kind)kind;
    entry->value = span_make(packed->ptr + HEAD_BYTES, length);
    *packed = span_make(entry->value.ptr + length, packed->len - HEAD_BYTES - length);
    return true;
}

void access_unpack(struct sluice_span packed, struct access_record *record)
{
    struct entry entry;

    while (next_entry(&packed, &entry)) {
        char *place = (char *)record + entry.where;

        if (entry.kind == ACCESS_QUERY) {
            record->query = entry.value;
            record->has_query = true;
        } else if (entry.kind == ACCESS_SPAN) {
            memcpy(place, &entry.value, sizeof(entry.value));
        } else if (plain_bytes(entry.kind) > 0) {
            memcpy(place, entry.value.ptr, plain_bytes(entry.kind));
        }
    }
}

static bool find(struct sluice_span packed, enum access_kind kind, unsigned where,
                 struct sluice_span name, struct sluice_span *value)
{
    struct entry entry;

    while (next_entry(&packed, &entry)) {
        size_t name_len;

        if (entry.kind != kind || (kind == ACCESS_FIELD && entry.where != where))
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
    return find(packed, ACCESS_FIELD, of_response, name, value);
}

bool access_packed_attribute(struct sluice_span packed, struct sluice_span name,
                             struct sluice_span *value)
{
    return find(packed, ACCESS_ATTRIBUTE, 0, name, value);
}
