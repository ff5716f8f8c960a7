/*
 * fields.c - the field list of a head: a flat table, searched from the front.
 *
 * A head has some ten lines of 24 bytes; looking at their one-byte ids in a row is faster than
 * any index that would have to be built first.
 */
#include "http/message.h"
#include "http/octet.h"

#include <string.h>

enum { FIELDS_FIRST = 16 }; /* lines a table begins with when the first is added */

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

/* Eight octets without any control: no need to look at each. A tab has to be looked at. */
static bool is_free_of_controls(const char *octets)
{
    const uint64_t ones = 0x0101010101010101U, tops = 0x8080808080808080U;
    uint64_t word, rubout;

    memcpy(&word, octets, sizeof(word));
    rubout = word ^ 0x7f * ones;
    return ((((word - 0x20 * ones) & ~word) | ((rubout - ones) & ~rubout)) & tops) == 0;
}

static bool is_line(struct sluice_span value)
{
    size_t i = 0;

    while (i < value.len) {
        if (value.len - i >= 8 && is_free_of_controls(value.ptr + i)) {
            i += 8;
        } else if (octet_is(value.ptr[i++], OCTET_STOP)) {
            return false;
        }
    }
    return true;
}

/* Nothing that is added may break out of its line, wherever the text came from. */
static bool can_stand(enum field_id id, struct sluice_span name, struct sluice_span value)
{
    if (name.len == 0 || name.len > UINT16_MAX || value.len > UINT32_MAX)
        return false;
    for (size_t i = 0; id == FIELD_OTHER && i < name.len; i++) {
        if (!octet_is(name.ptr[i], OCTET_TOKEN))
            return false;
    }
    return is_line(value);
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

enum err fields_add(struct fields *fields, struct sluice_span name, struct sluice_span value)
{
    enum field_id id = name_find(name);

    return can_stand(id, name, value) ? append(fields, id, name, value) : ERR_PROTOCOL;
}

enum err fields_put(struct fields *fields, enum field_id id, struct sluice_span value)
{
    return append(fields, id, name_text(id), value);
}

enum err fields_set(struct fields *fields, struct sluice_span name, struct sluice_span value)
{
    enum field_id id = name_find(name);
    unsigned n = fields->n;
    enum err err = can_stand(id, name, value) ? append(fields, id, name, value) : ERR_PROTOCOL;

    if (err)
        return err; /* and nothing is dropped */
    for (unsigned i = 0; i < n; i++) {
        if (is_named(&fields->line[i], id, name))
            fields->line[i].mark |= FIELD_DROPPED;
    }
    return OK;
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
