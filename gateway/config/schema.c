/*
 * schema.c - the tables as a JSON Schema, draft 2020-12.
 *
 * Structs with a title become definitions, in the order in which they are met; others are
 * written where they stand. Every scalar also accepts a string with ${ in it,
 * because what the environment will hold is not known to an editor.
 */
#include "config/shape.h"

#include "config/json.h"
#include "config/preset.h"
#include "config/scalar.h"

#include <stdio.h>
#include <string.h>

enum { DEFINITIONS_MAX = 512, NAME_BYTES = 64 };

struct definition {
    const struct shape *shape; /* NULL: one of the scalars */
    char name[NAME_BYTES];
};

struct schema {
    struct json json;
    struct arena arena;  /* for presets and the definitions */
    struct notes *notes; /* owned; a wrong preset is left out, shape_bind() tells it */
    struct definition *definitions;
    size_t n_definitions;
    const struct shape *later; /* or NULL: anything */
};

#define ENV "\\$\\{" /* a regular expression */

/* Kinds that many fields share, each written once. CHOICE stands for what all scalars may be. */
static const struct {
    enum shape_kind kind;
    const char *name, *description, *types[3], *maximum, *pattern;
} scalars[] = {
    {.kind = SHAPE_BOOL,
     .name = "boolean",
     .description = "true or false",
     .types = {"boolean", "string"},
     .pattern = "^([Tt]rue|TRUE|[Ff]alse|FALSE|[Oo]n|ON|[Oo]ff|OFF|[Yy]es|YES|[Nn]o|NO)$|" ENV},
    {.kind = SHAPE_UINT,
     .name = "digits",
     .description = "a whole number, as text",
     .types = {"string"},
     .pattern = "^[0-9]+$|" ENV},
    {.kind = SHAPE_DURATION,
     .name = "duration",
     .description = "a whole number with a unit: 250ms 10s 5m 2h 1d, or 0",
     .types = {"integer", "string"},
     .maximum = "0", /* any other number needs a unit, and is a string then */
     .pattern = "^([0-9]+(ms|s|m|h|d)|0+)$|" ENV},
    {.kind = SHAPE_SIZE,
     .name = "size",
     .description = "bytes: 512 64KiB 1MiB 4GiB; KB MB GB are powers of 1000",
     .types = {"integer", "string"},
     .pattern = "^[0-9]+(B|[KMGT]iB|[KMGT]B)?$|" ENV},
    {.kind = SHAPE_RATIO,
     .name = "ratio",
     .description = "0 to 1, or 0% to 100%",
     .types = {"number", "string"},
     .maximum = "1",
     .pattern = "^[0-9]+(\\.[0-9]+)?%?$|" ENV},
    {.kind = SHAPE_TEXT,
     .name = "text",
     .description = "any text",
     .types = {"string", "number", "boolean"}},
    {.kind = SHAPE_SECRET,
     .name = "secret",
     .description = "text, or file:PATH for what a file holds",
     .types = {"string", "number", "boolean"}},
    {.kind = SHAPE_CHOICE,
     .name = "environment",
     .description = "a value from the environment: ${NAME} or ${NAME:-default}",
     .types = {"string"},
     .pattern = ENV},
};

static void print_shape(struct schema *schema, const struct shape *shape);

/* -- definitions -------------------------------------------------------------------- */

static bool has_definition(const struct schema *schema, const char *name)
{
    for (size_t i = 0; i < sizeof(scalars) / sizeof(*scalars); i++) {
        if (strcmp(scalars[i].name, name) == 0)
            return true;
    }
    for (size_t i = 0; i < schema->n_definitions; i++) {
        if (strcmp(schema->definitions[i].name, name) == 0)
            return true;
    }
    return false;
}

/* A title as a name that needs no escapes in a reference, and that is not taken yet. */
static void name_definition(const struct schema *schema, const char *title, char name[NAME_BYTES])
{
    size_t len = strlen(title);
    char base[NAME_BYTES - 12]; /* room for a number */

    if (len >= sizeof(base))
        len = sizeof(base) - 1;
    for (size_t i = 0; i < len; i++)
        base[i] = (char)(strchr(" /~#%\"", title[i]) ? '_' : title[i]);
    base[len] = '\0';
    memcpy(name, base, len + 1);
    for (unsigned i = 2; has_definition(schema, name); i++)
        snprintf(name, NAME_BYTES, "%s_%u", base, i);
}

/* The name of a struct's definition, made when it is met first; NULL when there are too many. */
static const char *find_definition(struct schema *schema, const struct shape *shape)
{
    struct definition *definition;

    for (size_t i = 0; i < schema->n_definitions; i++) {
        if (schema->definitions[i].shape == shape)
            return schema->definitions[i].name;
    }
    if (schema->n_definitions == DEFINITIONS_MAX)
        return NULL;
    definition = &schema->definitions[schema->n_definitions];
    definition->shape = shape;
    name_definition(schema, shape->title, definition->name);
    schema->n_definitions++;
    return definition->name;
}

static void print_reference(struct schema *schema, const char *name)
{
    struct text path;

    text_init(&path, 128);
    text_format(&path, "#/$defs/%s", name);
    json_string(&schema->json, "$ref", text_span(&path));
    text_fini(&path);
}

static void print_scalar_reference(struct schema *schema, enum shape_kind kind)
{
    for (size_t i = 0; i < sizeof(scalars) / sizeof(*scalars); i++) {
        if (scalars[i].kind == kind)
            print_reference(schema, scalars[i].name);
    }
}

static void print_scalar_definition(struct schema *schema, size_t i)
{
    struct json *json = &schema->json;

    json_open(json, scalars[i].name, '{');
    json_string(json, "description", span_of(scalars[i].description));
    json_open_row(json, "type", '[');
    for (size_t t = 0; t < 3 && scalars[i].types[t]; t++)
        json_string(json, NULL, span_of(scalars[i].types[t]));
    json_close(json, ']');
    if (strcmp(scalars[i].types[0], "integer") == 0 || strcmp(scalars[i].types[0], "number") == 0)
        json_number(json, "minimum", 0);
    if (scalars[i].maximum)
        json_literal(json, "maximum", span_of(scalars[i].maximum));
    if (scalars[i].pattern)
        json_string(json, "pattern", span_of(scalars[i].pattern));
    json_close(json, '}');
}

/* -- defaults and examples ------------------------------------------------------------ */

static void print_value(struct schema *schema, const char *name, const struct shape *shape,
                        const struct tree *node);

static const struct shape *shape_of_entry(const struct shape *shape, struct sluice_span key)
{
    if (shape && shape->kind == SHAPE_MAP)
        return shape->element;
    if (!shape || shape->kind != SHAPE_STRUCT)
        return NULL;
    for (const struct field *field = shape->fields; field->name; field++) {
        if (span_equal(key, span_of(field->name)))
            return field->shape;
    }
    return NULL;
}

static bool is_digits(struct sluice_span text)
{
    uint64_t number;

    return span_number(text, UINT64_MAX, &number) == OK && (text.len == 1 || text.ptr[0] != '0');
}

static void print_scalar_value(struct schema *schema, const char *name, const struct shape *shape,
                               const struct tree *node)
{
    bool boolean = span_equal(node->text, SPAN("true")) || span_equal(node->text, SPAN("false"));

    if (shape && shape->kind == SHAPE_STRUCT && shape->scalar)
        shape = shape_of_entry(shape, span_of(shape->scalar));
    if (shape && shape->kind == SHAPE_LIST)
        shape = shape->element;
    if ((boolean || is_digits(node->text)) &&
        (!shape || shape->kind == SHAPE_BOOL || shape->kind == SHAPE_UINT ||
         shape->kind == SHAPE_CUSTOM)) {
        json_literal(&schema->json, name, node->text);
    } else {
        json_string(&schema->json, name, node->text);
    }
}

static void print_children(struct schema *schema, const struct shape *shape,
                           const struct tree *node)
{
    for (const struct tree *child = node->first; child; child = child->next) {
        if (node->kind == TREE_MAP) {
            print_value(schema, child->key.ptr, shape_of_entry(shape, child->key), child);
        } else {
            print_value(schema, NULL, shape && shape->kind == SHAPE_LIST ? shape->element : NULL,
                        child);
        }
    }
}

/* Recursion ends at the depth that tree_build() allows. */
static void print_value(struct schema *schema, const char *name, const struct shape *shape,
                        const struct tree *node)
{
    if (node->kind == TREE_SCALAR) {
        print_scalar_value(schema, name, shape, node);
        return;
    }
    json_open_row(&schema->json, name, node->kind == TREE_LIST ? '[' : '{');
    print_children(schema, shape, node);
    json_close(&schema->json, node->kind == TREE_LIST ? ']' : '}');
}

static void print_field(struct schema *schema, const struct field *field)
{
    struct json *json = &schema->json;
    const struct tree *value;

    json_open(json, field->name, '{');
    print_shape(schema, field->shape);
    if (field->help)
        json_string(json, "description", span_of(field->help));
    value = field->preset ? preset_parse(field->preset, field->shape, &schema->arena, schema->notes)
                          : NULL;
    if (value)
        print_value(schema, "default", field->shape, value);
    value = field->example
                ? preset_parse(field->example, field->shape, &schema->arena, schema->notes)
                : NULL;
    if (value) {
        json_open_row(json, "examples", '[');
        print_value(schema, NULL, field->shape, value);
        json_close(json, ']');
    }
    json_close(json, '}');
}

/* -- shapes -------------------------------------------------------------------------------- */

/* The value of a variant may be left out: "- NAME:". */
static void print_variant(struct schema *schema, const struct field *variant)
{
    struct json *json = &schema->json;

    json_open(json, variant->name, '{');
    json_open(json, "anyOf", '[');
    json_open(json, NULL, '{');
    print_shape(schema, variant->shape);
    json_close(json, '}');
    json_open_row(json, NULL, '{');
    json_string(json, "type", SPAN("null"));
    json_close(json, '}');
    json_close(json, ']');
    if (variant->help)
        json_string(json, "description", span_of(variant->help));
    json_close(json, '}');
}

/* One key beside the fields, whatever it is called: not none, and not two. */
static void print_variants(struct schema *schema, const struct shape *shape)
{
    struct json *json = &schema->json;
    uint64_t n_fields = 0;

    for (const struct field *field = shape->fields; field->name; field++)
        n_fields++;
    for (const struct field *variant = shape->variants; variant->name; variant++)
        print_variant(schema, variant);
    json_close(json, '}');
    json_number(json, "minProperties", 1);
    json_number(json, "maxProperties", n_fields + 1);
}

static void print_object(struct schema *schema, const struct shape *shape)
{
    struct json *json = &schema->json;
    bool required = false;

    json_string(json, "type", SPAN("object"));
    if (!shape->variants)
        json_literal(json, "additionalProperties", SPAN("false"));
    json_open(json, "properties", '{');
    for (const struct field *field = shape->fields; field->name; field++) {
        print_field(schema, field);
        required = required || field->required;
    }
    if (shape->variants) {
        print_variants(schema, shape);
    } else {
        json_close(json, '}');
    }
    if (!required)
        return;
    json_open_row(json, "required", '[');
    for (const struct field *field = shape->fields; field->name; field++) {
        if (field->required)
            json_string(json, NULL, span_of(field->name));
    }
    json_close(json, ']');
}

/* A map, or where the table allows it the scalar that stands for it. */
static void print_struct(struct schema *schema, const struct shape *shape)
{
    struct json *json = &schema->json;

    if (!shape->scalar && !shape->variants) {
        print_object(schema, shape);
        return;
    }
    json_open(json, "anyOf", '[');
    json_open(json, NULL, '{');
    print_object(schema, shape);
    json_close(json, '}');
    json_open(json, NULL, '{');
    if (shape->variants) {
        json_string(json, "type", SPAN("string"));
    } else {
        print_shape(schema, shape_of_entry(shape, span_of(shape->scalar)));
    }
    json_close(json, '}');
    json_close(json, ']');
}

static void print_struct_or_reference(struct schema *schema, const struct shape *shape)
{
    const char *name = shape->title ? find_definition(schema, shape) : NULL;

    if (name) {
        print_reference(schema, name);
    } else {
        print_struct(schema, shape);
    }
}

static void print_list(struct schema *schema, const struct shape *shape)
{
    struct json *json = &schema->json;

    json_open(json, "anyOf", '[');
    json_open(json, NULL, '{');
    json_string(json, "type", SPAN("array"));
    if (shape->min)
        json_number(json, "minItems", shape->min);
    if (shape->max)
        json_number(json, "maxItems", shape->max);
    json_open(json, "items", '{');
    print_shape(schema, shape->element);
    json_close(json, '}');
    json_close(json, '}');
    json_open(json, NULL, '{');
    print_shape(schema, shape->element);
    json_close(json, '}');
    json_close(json, ']');
}

static void print_map(struct schema *schema, const struct shape *shape)
{
    struct json *json = &schema->json;

    json_string(json, "type", SPAN("object"));
    json_open_row(json, "propertyNames", '{');
    json_number(json, "minLength", 1);
    json_close(json, '}');
    json_open(json, "additionalProperties", '{');
    print_shape(schema, shape->element);
    json_close(json, '}');
}

static void print_uint(struct schema *schema, const struct shape *shape)
{
    struct json *json = &schema->json;

    json_open(json, "anyOf", '[');
    json_open_row(json, NULL, '{');
    json_string(json, "type", SPAN("integer"));
    json_number(json, "minimum", shape->min);
    if (shape->max)
        json_number(json, "maximum", shape->max);
    json_close(json, '}');
    json_open_row(json, NULL, '{');
    print_scalar_reference(schema, SHAPE_UINT);
    json_close(json, '}');
    json_close(json, ']');
}

/* Most readers of YAML make booleans of on and off, and numbers of digits, before a schema does. */
static void print_choice(struct schema *schema, const struct choice *choice)
{
    struct json *json = &schema->json;
    struct sluice_span name = span_of(choice->name);

    json_string(json, NULL, name);
    if (is_digits(name)) {
        json_literal(json, NULL, name);
    } else if (span_equal(name, SPAN("on")) || span_equal(name, SPAN("yes")) ||
               span_equal(name, SPAN("true"))) {
        json_literal(json, NULL, SPAN("true"));
    } else if (span_equal(name, SPAN("off")) || span_equal(name, SPAN("no")) ||
               span_equal(name, SPAN("false"))) {
        json_literal(json, NULL, SPAN("false"));
    }
}

static void print_choices(struct schema *schema, const struct shape *shape)
{
    struct json *json = &schema->json;

    json_open(json, "anyOf", '[');
    json_open_row(json, NULL, '{');
    json_open_row(json, "enum", '[');
    for (const struct choice *choice = shape->choices; choice->name; choice++)
        print_choice(schema, choice);
    json_close(json, ']');
    json_close(json, '}');
    json_open_row(json, NULL, '{');
    print_scalar_reference(schema, SHAPE_CHOICE);
    json_close(json, '}');
    json_close(json, ']');
}

/* Bounds of numbers; what texts stand for is not compared, but that a zero is too small. */
static void print_bounds(struct schema *schema, const struct shape *shape)
{
    struct json *json = &schema->json;

    if (shape->min && shape->kind != SHAPE_DURATION)
        json_number(json, "minimum", shape->min);
    if (shape->max && shape->kind != SHAPE_DURATION)
        json_number(json, "maximum", shape->max);
    if (shape->min == 0 || shape->kind == SHAPE_CUSTOM)
        return;
    json_open(json, "not", '{');
    json_open(json, "anyOf", '[');
    json_open_row(json, NULL, '{');
    json_literal(json, "const", SPAN("0"));
    json_close(json, '}');
    json_open_row(json, NULL, '{');
    json_string(json, "type", SPAN("string"));
    json_string(json, "pattern", SPAN("^0+[A-Za-z]*$"));
    json_close(json, '}');
    json_close(json, ']');
    json_close(json, '}');
}

/* What the parse function takes beyond its pattern is not known; without one, anything. */
static void print_custom(struct schema *schema, const struct shape *shape)
{
    struct text pattern;

    if (!shape->pattern)
        return;
    text_init(&pattern, 4096);
    text_format(&pattern, "(%s)|" ENV, shape->pattern);
    json_open_row(&schema->json, "type", '[');
    json_string(&schema->json, NULL, SPAN("string"));
    json_string(&schema->json, NULL, SPAN("number"));
    json_string(&schema->json, NULL, SPAN("boolean"));
    json_close(&schema->json, ']');
    json_string(&schema->json, "pattern", text_span(&pattern));
    print_bounds(schema, shape);
    text_fini(&pattern);
}

/* Recursion follows the tables and ends at structs with a title. */
static void print_shape(struct schema *schema, const struct shape *shape)
{
    switch (shape->kind) {
    case SHAPE_STRUCT:
        print_struct_or_reference(schema, shape);
        break;
    case SHAPE_LIST:
        print_list(schema, shape);
        break;
    case SHAPE_MAP:
        print_map(schema, shape);
        break;
    case SHAPE_UINT:
        print_uint(schema, shape);
        break;
    case SHAPE_CHOICE:
        print_choices(schema, shape);
        break;
    case SHAPE_CUSTOM:
        print_custom(schema, shape);
        break;
    case SHAPE_LATER:
        if (schema->later)
            print_shape(schema, schema->later);
        break;
    case SHAPE_DURATION:
    case SHAPE_SIZE:
        print_scalar_reference(schema, shape->kind);
        print_bounds(schema, shape);
        break;
    case SHAPE_BOOL:
    case SHAPE_RATIO:
    case SHAPE_TEXT:
    case SHAPE_SECRET:
        print_scalar_reference(schema, shape->kind);
        break;
    }
}

static void print_definitions(struct schema *schema)
{
    struct json *json = &schema->json;

    json_open(json, "$defs", '{');
    for (size_t i = 0; i < schema->n_definitions; i++) {
        json_open(json, schema->definitions[i].name, '{');
        print_struct(schema, schema->definitions[i].shape); /* may add definitions */
        json_close(json, '}');
    }
    for (size_t i = 0; i < sizeof(scalars) / sizeof(*scalars); i++)
        print_scalar_definition(schema, i);
    json_close(json, '}');
}

void schema_print(const struct shape *shape, const char *title, const struct shape *later,
                  struct text *out)
{
    struct schema schema = {.json = {.out = out}, .notes = notes_new(), .later = later};
    struct json *json = &schema.json;

    arena_init(&schema.arena, NULL, 0);
    schema.definitions = arena_new(&schema.arena, DEFINITIONS_MAX * sizeof(struct definition));
    json_open(json, NULL, '{');
    json_string(json, "$schema", SPAN("https://json-schema.org/draft/2020-12/schema"));
    json_string(json, "title", span_of(title));
    if (shape->kind == SHAPE_STRUCT) {
        print_struct(&schema, shape);
    } else {
        print_shape(&schema, shape);
    }
    print_definitions(&schema);
    json_close(json, '}');
    text_add_char(out, '\n');
    arena_fini(&schema.arena);
    notes_free(&schema.notes);
}
