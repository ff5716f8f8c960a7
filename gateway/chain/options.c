/*
 * options.c - tables from another compiler's hands: everything in them is looked at before use.
 */
#include "chain/options.h"

#include <string.h>

enum { DEPTH_MAX = 8, ROWS_MAX = 128 };

struct making {
    struct arena *arena;
    struct text *why;
    size_t stride; /* bytes from row to row, as the plugin knows it */
    unsigned depth;
};

static const struct shape *shape_of(struct making *making, const struct sluice_option *row,
                                    size_t room);

static const struct sluice_option *row_at(const struct making *making,
                                          const struct sluice_option *first, size_t i)
{
    return (const struct sluice_option *)(const void *)((const char *)first + i * making->stride);
}

static void malformed(struct making *making, const struct sluice_option *row, const char *what)
{
    text_format(making->why, "its option '%s' %s", row->name ? row->name : "(without a name)",
                what);
}

/* -- structs ------------------------------------------------------------------------ */

static size_t count_rows(struct making *making, const struct sluice_option *first)
{
    size_t n = 0;

    while (n <= ROWS_MAX && row_at(making, first, n)->kind != SLUICE_OPTION_END)
        n++;
    return n;
}

static enum err field_of(struct making *making, const struct sluice_option *row, size_t room,
                         struct field *field)
{
    if (!row->name || !*row->name) {
        malformed(making, row, "has no name");
        return ERR_CONFIG;
    }
    field->shape = shape_of(making, row, row->offset < room ? room - row->offset : 0);
    if (!field->shape)
        return ERR_CONFIG;
    field->name = row->name;
    field->offset = row->offset;
    field->preset = row->preset;
    field->required = (row->flags & SLUICE_OPTION_REQUIRED) != 0;
    field->help = row->help;
    field->example = row->example;
    return OK;
}

/*
 * The rows of a table as a struct within room bytes, which is its size unless it lies in place,
 * among others: then it reaches as far as its last field. NULL when something is malformed.
 */
static struct shape *struct_of(struct making *making, const struct sluice_option *first,
                               size_t room, bool in_place, const char *title)
{
    struct shape *shape = arena_new(making->arena, sizeof(*shape));
    size_t n = first ? count_rows(making, first) : 0;
    struct field *fields;

    if (n > ROWS_MAX || making->depth >= DEPTH_MAX) {
        text_format(making->why, "the options of '%s' are too many, or without an end", title);
        return NULL;
    }
    fields = arena_new(making->arena, (n + 1) * sizeof(*fields));
    *shape = (struct shape){
        .kind = SHAPE_STRUCT, .size = room, .fields = fields, .title = title, .bare_name = true};
    if (in_place)
        shape->size = 0;
    making->depth++;
    for (size_t i = 0; i < n; i++) {
        const struct sluice_option *row = row_at(making, first, i);

        if (field_of(making, row, room, &fields[i]))
            return NULL;
        if (shape->size < fields[i].offset + fields[i].shape->size)
            shape->size = fields[i].offset + fields[i].shape->size;
        if (row->flags & SLUICE_OPTION_SCALAR)
            shape->scalar = row->name;
    }
    making->depth--;
    return shape;
}

/* -- lists, maps, choices ----------------------------------------------------------------- */

static const struct shape *list_of(struct making *making, const struct sluice_option *row)
{
    struct shape *shape = arena_new(making->arena, sizeof(*shape));
    struct sluice_option element = {.kind = row->element, .name = row->name};
    bool of_structs = row->kind == SLUICE_OPTION_MAP || row->element == SLUICE_OPTION_STRUCT;

    *shape = (struct shape){.kind = row->kind == SLUICE_OPTION_MAP ? SHAPE_MAP : SHAPE_LIST,
                            .size = sizeof(struct items),
                            .min = row->min,
                            .max = row->max};
    if (row->element_size == 0) {
        malformed(making, row, "is a list or map with element_size 0");
        return NULL;
    }
    if (of_structs) {
        if (row->kind == SLUICE_OPTION_MAP && row->element_size < sizeof(struct sluice_span)) {
            malformed(making, row, "is a map whose elements have no room for their name");
            return NULL;
        }
        shape->element = struct_of(making, row->fields, row->element_size, false, row->name);
        return shape->element ? shape : NULL;
    }
    if (row->element == SLUICE_OPTION_LIST || row->element == SLUICE_OPTION_MAP) {
        malformed(making, row, "is a list of lists: make it a list of structs");
        return NULL;
    }
    element.choices = row->choices;
    shape->element = shape_of(making, &element, row->element_size);
    if (!shape->element)
        return NULL;
    if (shape->element->size != row->element_size) {
        malformed(making, row, "has an element_size that is not that of its element");
        return NULL;
    }
    return shape;
}

static const struct shape *choice_of(struct making *making, const struct sluice_option *row)
{
    struct shape *shape = arena_new(making->arena, sizeof(*shape));
    struct choice *choices;
    size_t n = 0;

    while (row->choices && n <= ROWS_MAX && row->choices[n].name)
        n++;
    if (n == 0 || n > ROWS_MAX) {
        malformed(making, row, "has no choices, or they have no end");
        return NULL;
    }
    choices = arena_new(making->arena, (n + 1) * sizeof(*choices));
    for (size_t i = 0; i < n; i++) {
        choices[i].name = row->choices[i].name;
        choices[i].value = (int)row->choices[i].value;
        choices[i].help = row->choices[i].help;
    }
    *shape = (struct shape){.kind = SHAPE_CHOICE, .size = sizeof(uint32_t), .choices = choices};
    return shape;
}

static const struct shape *bounded(struct making *making, const struct sluice_option *row,
                                   const struct shape *plain)
{
    struct shape *shape;

    if (row->min == 0 && row->max == 0)
        return plain;
    shape = arena_new(making->arena, sizeof(*shape));
    *shape = *plain;
    shape->min = row->min;
    shape->max = row->max;
    return shape;
}

/* -- any kind ------------------------------------------------------------------------------ */

static const struct shape *shape_by_kind(struct making *making, const struct sluice_option *row,
                                         size_t room)
{
    switch ((enum sluice_option_kind)row->kind) {
    case SLUICE_OPTION_BOOL:
        return &shape_bool;
    case SLUICE_OPTION_UINT:
        return bounded(making, row, &shape_uint);
    case SLUICE_OPTION_DURATION:
        return bounded(making, row, &shape_duration);
    case SLUICE_OPTION_SIZE:
        return bounded(making, row, &shape_size);
    case SLUICE_OPTION_RATIO:
        return &shape_ratio;
    case SLUICE_OPTION_TEXT:
        return &shape_text;
    case SLUICE_OPTION_SECRET:
        return &shape_secret;
    case SLUICE_OPTION_CHOICE:
        return choice_of(making, row);
    case SLUICE_OPTION_STRUCT:
        return struct_of(making, row->fields, room, true, row->name);
    case SLUICE_OPTION_LIST:
    case SLUICE_OPTION_MAP:
        return list_of(making, row);
    case SLUICE_OPTION_FILE:
        return &kind_file;
    case SLUICE_OPTION_TEMPLATE:
        return &kind_template;
    case SLUICE_OPTION_TARGET:
        return &kind_target;
    case SLUICE_OPTION_UPSTREAM:
        return &kind_upstream;
    case SLUICE_OPTION_NETWORK:
        return &kind_network;
    case SLUICE_OPTION_RATE:
        return &kind_rate;
    case SLUICE_OPTION_END:
        break;
    }
    malformed(making, row, "is of a kind that this gateway does not know: it needs a newer one");
    return NULL;
}

static const struct shape *shape_of(struct making *making, const struct sluice_option *row,
                                    size_t room)
{
    const struct shape *shape = shape_by_kind(making, row, room);

    if (shape && shape->size > room) {
        malformed(making, row, "lies beyond the end of its struct");
        return NULL;
    }
    return shape;
}

enum err options_shape(const struct sluice_plugin *about, struct arena *arena,
                       const struct shape **shape, struct text *why)
{
    struct making making = {.arena = arena, .why = why, .stride = about->option_size};

    *shape = struct_of(&making, about->options, about->conf_size, false, about->name);
    return *shape ? OK : ERR_CONFIG;
}
