#include "chain/when.h"

#include <stddef.h>

/* A condition on a field. */
struct when_field {
    struct named named;
    struct sluice_span exact, prefix;
    int present; /* enum presence */
};

enum presence { PRESENCE_ANY, PRESENCE_YES, PRESENCE_NO };

/* -- shapes --------------------------------------------------------------------- */

static const struct choice presence_choices[] = {{"any", PRESENCE_ANY, "Whether or not."},
                                                 {"true", PRESENCE_YES, "It is there."},
                                                 {"false", PRESENCE_NO, "It is not."},
                                                 {NULL, 0, NULL}};
static const struct shape presence_shape = {
    .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = presence_choices};

static const struct field field_fields[] = {
    {.name = "exact",
     .shape = &shape_text,
     .offset = offsetof(struct when_field, exact),
     .help = "The whole value."},
    {.name = "prefix",
     .shape = &shape_text,
     .offset = offsetof(struct when_field, prefix),
     .help = "What the value begins with."},
    {.name = "present",
     .shape = &presence_shape,
     .offset = offsetof(struct when_field, present),
     .preset = "true",
     .help = "Whether the field is there."},
    {.name = NULL},
};
static const struct shape field_shape = {.kind = SHAPE_STRUCT,
                                         .size = sizeof(struct when_field),
                                         .fields = field_fields,
                                         .scalar = "exact",
                                         .title = "field condition"};
static const struct shape fields_shape = {
    .kind = SHAPE_MAP, .size = sizeof(struct items), .element = &field_shape};

static void check_part(struct bind *bind, const struct tree *node, void *out)
{
    struct when_part *part = out;

    if ((part->path.len > 0 && part->path.ptr[0] != '/') ||
        (part->path_exact.len > 0 && part->path_exact.ptr[0] != '/'))
        notes_error(bind->notes, node->at, "write /admin", "a path begins with '/'");
    part->written = true;
}

#define PART(base)                                                                                 \
    {.name = "methods",                                                                            \
     .shape = &shape_texts,                                                                        \
     .offset = (base) + offsetof(struct when_part, methods),                                       \
     .help = "One of these methods.",                                                              \
     .example = "[ POST, PUT ]"},                                                                  \
        {.name = "path",                                                                           \
         .shape = &shape_text,                                                                     \
         .offset = (base) + offsetof(struct when_part, path),                                      \
         .help = "This path and all below it."},                                                   \
        {.name = "path_exact",                                                                     \
         .shape = &shape_text,                                                                     \
         .offset = (base) + offsetof(struct when_part, path_exact),                                \
         .help = "This path alone."},                                                              \
    {                                                                                              \
        .name = "fields", .shape = &fields_shape,                                                  \
        .offset = (base) + offsetof(struct when_part, fields),                                     \
        .help = "Fields of the request, by name.", .example = "{ x-debug: \"1\" }"                 \
    }

static const struct field part_fields[] = {PART(0), {.name = NULL}};
static const struct shape part_shape = {.kind = SHAPE_STRUCT,
                                        .size = sizeof(struct when_part),
                                        .fields = part_fields,
                                        .check = check_part,
                                        .title = "condition"};

static const struct field when_fields[] = {
    PART(0),
    {.name = "not",
     .shape = &part_shape,
     .offset = offsetof(struct when, without),
     .help = "What must not hold.",
     .example = "{ methods: [ OPTIONS ] }"},
    {.name = NULL},
};

const struct shape when_shape = {.kind = SHAPE_STRUCT,
                                 .size = sizeof(struct when),
                                 .fields = when_fields,
                                 .check = check_part,
                                 .title = "when"};

/* -- asking ------------------------------------------------------------------------- */

static bool has_method(const struct items *methods, struct sluice_span method)
{
    const struct sluice_span *one = methods->first;

    for (size_t i = 0; i < methods->n; i++) {
        if (span_equal(one[i], method))
            return true;
    }
    return methods->n == 0;
}

static bool is_below(struct sluice_span path, struct sluice_span prefix)
{
    if (!span_starts(path, prefix))
        return false;
    return path.len == prefix.len || prefix.ptr[prefix.len - 1] == '/' ||
           path.ptr[prefix.len] == '/';
}

static bool field_holds(const struct when_field *want, const struct fields *fields)
{
    unsigned at = 0;
    const struct field_line *line = fields_next(fields, want->named.name, &at);
    struct sluice_span value;

    if (!line) {
        return want->present == PRESENCE_NO ||
               (want->present == PRESENCE_ANY && want->exact.len == 0 && want->prefix.len == 0);
    }
    if (want->present == PRESENCE_NO)
        return false;
    value = field_value(line);
    return (want->exact.len == 0 || span_equal(value, want->exact)) &&
           span_starts(value, want->prefix);
}

static bool part_holds(const struct when_part *part, const struct request *request)
{
    const struct when_field *field = part->fields.first;

    if (!has_method(&part->methods, request->method_text) ||
        (part->path.len > 0 && !is_below(request->path, part->path)) ||
        (part->path_exact.len > 0 && !span_equal(request->path, part->path_exact)))
        return false;
    for (size_t i = 0; i < part->fields.n; i++) {
        if (!field_holds(&field[i], &request->fields))
            return false;
    }
    return true;
}

bool when_is_always(const struct when *when)
{
    return !when->part.written && !when->without.written;
}

bool when_holds(const struct when *when, const struct request *request)
{
    return part_holds(&when->part, request) &&
           !(when->without.written && part_holds(&when->without, request));
}
