/*
 * fields.c - the field list of a head: a flat table, searched from the front.
 *
 * A head has some ten lines of 24 bytes; looking at their one-byte ids in a row is faster than
 * any index that would have to be built first.
 */
#include "http/h1_scan.h"
#include "http/message.h"
#include "http/octet.h"
#include "http/octets.h"

#include <string.h>

enum {
    FIELDS_FIRST = 16, /* lines a table begins with when the first is added */
    SCANNED = 32,      /* bytes from which on the scan of heads is quicker */
};

struct field_line *fields_find(const struct fields *fields, enum field_id id)
{
    if (fields_have_none(fields, field_bit(id)))
        return NULL;
    for (unsigned i = 0; i < fields->n; i++) {
        struct field_line *line = &fields->line[i];

        if (line->id == id && !(line->mark & FIELD_DROPPED))
            return line;
    }
    return NULL;
}

static bool is_named(const struct field_line *line, enum field_id id, struct sluice_span name)
{
    if (line->id != id || (line->mark & FIELD_DROPPED))
        return false;
    return id != FIELD_OTHER || span_equal_nocase(field_name(line), name);
}

struct field_line *fields_next(const struct fields *fields, struct sluice_span name, unsigned *at)
{
    enum field_id id = name_find(name);

    while (*at < fields->n) {
        struct field_line *line = &fields->line[(*at)++];

        if (is_named(line, id, name))
            return line;
    }
    return NULL;
}

static enum err grow(struct fields *fields)
{
    unsigned cap = fields->cap == 0 ? FIELDS_FIRST : 2U * fields->cap;
    struct field_line *line;

    if (fields->arena == NULL || cap > UINT16_MAX)
        return ERR_LIMIT;
    line = arena_try_raw(fields->arena, cap * sizeof(*line));
    if (line == NULL)
        return ERR_LIMIT;
    if (fields->n != 0)
        memcpy(line, fields->line, fields->n * sizeof(*line));
    fields->line = line;
    fields->cap = (uint16_t)cap;
    return OK;
}

static bool is_line(struct sluice_span value)
{
    const char *end = value.ptr + value.len;

    if (value.len >= SCANNED)
        return h1_scan_get()->line_end(value.ptr, end, value.ptr) == end;
    if (octets_all(value, octets_have_no_control))
        return true;
    for (size_t i = 0; i < value.len; i++) {
        if (octet_is(value.ptr[i], OCTET_STOP))
            return false;
    }
    return true;
}

static bool is_token(struct sluice_span name)
{
    if (octets_all(name, octets_are_small))
        return true;
    for (size_t i = 0; i < name.len; i++) {
        if (!octet_is(name.ptr[i], OCTET_TOKEN))
            return false;
    }
    return name.len > 0;
}

/* Nothing that is added may break out of its line, wherever the text came from. */
static bool can_stand(enum field_id id, struct sluice_span name, struct sluice_span value)
{
    return name.len <= UINT16_MAX && value.len <= UINT32_MAX &&
           (id != FIELD_OTHER || is_token(name)) && is_line(value);
}

static inline enum err append(struct fields *fields, enum field_id id, struct sluice_span name,
                              struct sluice_span value)
{
    enum err err;

    if (fields->n == fields->cap) {
        err = grow(fields);
        if (err)
            return err;
    }
    fields->absent &= ~field_bit(id);
    fields->line[fields->n++] = (struct field_line){
        .name = name.ptr,
        .name_len = (uint16_t)name.len,
        .value = value.ptr,
        .value_len = (uint32_t)value.len,
        .id = (uint8_t)id,
        .mark = FIELD_ADDED,
    };
    return OK;
}

enum err fields_add_known(struct fields *fields, enum field_id id, struct sluice_span name,
                          struct sluice_span value)
{
    return can_stand(id, name, value) ? append(fields, id, name, value) : ERR_PROTOCOL;
}

enum err fields_add(struct fields *fields, struct sluice_span name, struct sluice_span value)
{
    return fields_add_known(fields, name_find(name), name, value);
}

enum err fields_put(struct fields *fields, enum field_id id, struct sluice_span value)
{
    return append(fields, id, name_text(id), value);
}

enum err fields_set_known(struct fields *fields, enum field_id id, struct sluice_span name,
                          struct sluice_span value)
{
    unsigned n = fields->n;
    bool was_absent = fields_have_none(fields, field_bit(id));
    enum err err = can_stand(id, name, value) ? append(fields, id, name, value) : ERR_PROTOCOL;

    if (err)
        return err; /* and nothing is dropped */
    if (id != FIELD_OTHER && was_absent)
        return OK;
    for (unsigned i = 0; i < n; i++) {
        if (is_named(&fields->line[i], id, name))
            fields->line[i].mark |= FIELD_DROPPED;
    }
    return OK;
}

enum err fields_set(struct fields *fields, struct sluice_span name, struct sluice_span value)
{
    return fields_set_known(fields, name_find(name), name, value);
}

unsigned fields_remove(struct fields *fields, struct sluice_span name)
{
    enum field_id id = name_find(name);
    unsigned n = 0;

    for (unsigned i = 0; i < fields->n; i++) {
        if (is_named(&fields->line[i], id, name)) {
            fields->line[i].mark |= FIELD_DROPPED;
            n++;
        }
    }
    return n;
}
