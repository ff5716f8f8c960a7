/*
 * reference.c - the tables as a page in Markdown.
 *
 * Structs are met breadth first, each gets one section under the path where it is met
 * first; other places link there.
 */
#include "config/shape.h"

#include "config/scalar.h"

#include <string.h>

enum { SECTIONS_MAX = 512 };

struct section {
    const struct shape *shape;
    struct sluice_span path; /* "routes[].match" */
};

struct reference {
    struct text *out;
    struct arena arena;       /* for the sections */
    struct section *sections; /* room for SECTIONS_MAX */
    size_t n_sections;
    const struct shape *later; /* or NULL: nobody knows */
};

/* -- sections ---------------------------------------------------------------------- */

static const struct section *find_section(const struct reference *reference,
                                          const struct shape *shape)
{
    for (size_t i = 0; i < reference->n_sections; i++) {
        if (reference->sections[i].shape == shape)
            return &reference->sections[i];
    }
    return NULL;
}

/* What is printed of a shape: what was kept for later, by who knows. */
static const struct shape *known(const struct reference *reference, const struct shape *shape)
{
    return shape->kind == SHAPE_LATER && reference->later ? reference->later : shape;
}

/* Make sections for the structs below a value that stands at path. */
static void add_section(struct reference *reference, const struct shape *shape,
                        struct sluice_span path)
{
    struct sluice_span inner = path;

    shape = known(reference, shape);
    while (shape->kind == SHAPE_LIST || shape->kind == SHAPE_MAP) {
        inner = arena_format(&reference->arena, shape->kind == SHAPE_LIST ? "%.*s[]" : "%.*s.NAME",
                             (int)inner.len, inner.ptr);
        shape = shape->element;
    }
    if (shape->kind != SHAPE_STRUCT || find_section(reference, shape) ||
        reference->n_sections == SECTIONS_MAX)
        return;
    reference->sections[reference->n_sections++] = (struct section){shape, inner};
}

static void add_sections_of(struct reference *reference, struct sluice_span above,
                            const struct field *fields)
{
    for (const struct field *field = fields; field && field->name; field++) {
        struct sluice_span path = arena_format(&reference->arena, "%.*s%s%s", (int)above.len,
                                               above.ptr, above.len ? "." : "", field->name);

        add_section(reference, field->shape, path);
    }
}

/* -- cells -------------------------------------------------------------------------- */

/* Text inside a table: a bar would end the cell. */
static void add_cell(struct text *out, struct sluice_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '|') {
            text_add(out, SPAN("\\|"));
        } else if (text.ptr[i] == '\n') {
            text_add_char(out, ' ');
        } else {
            text_add_char(out, text.ptr[i]);
        }
    }
}

static void add_code(struct text *out, const char *text)
{
    text_add_char(out, '`');
    add_cell(out, span_of(text));
    text_add_char(out, '`');
}

/* The id that a heading gets: lower case, and only letters, digits, '-' and '_'. */
static void add_anchor(struct text *out, struct sluice_span heading)
{
    for (size_t i = 0; i < heading.len; i++) {
        char c = heading.ptr[i];

        if (c >= 'A' && c <= 'Z') {
            text_add_char(out, (char)(c - 'A' + 'a'));
        } else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-') {
            text_add_char(out, c);
        }
    }
}

static void add_bounds(struct text *out, const struct shape *shape)
{
    struct text number;

    if (shape->min == 0 && shape->max == 0)
        return;
    text_init(&number, 64);
    scalar_format(shape, shape->min, &number);
    text_add(out, shape->max ? SPAN(", ") : SPAN(", at least "));
    text_add(out, text_span(&number));
    if (shape->max) {
        text_reset(&number);
        scalar_format(shape, shape->max, &number);
        text_add(out, SPAN(" to "));
        text_add(out, text_span(&number));
    }
    text_fini(&number);
}

static void add_struct_type(const struct reference *reference, const struct shape *shape)
{
    const struct section *section = find_section(reference, shape);

    text_format(reference->out, "[%s](#", shape->title ? shape->title : "map");
    if (section)
        add_anchor(reference->out, section->path);
    text_add_char(reference->out, ')');
    if (!shape->scalar)
        return;
    text_add(reference->out, SPAN(", or its "));
    add_code(reference->out, shape->scalar);
    text_add(reference->out, SPAN(" alone"));
}

static void add_scalar_type(const struct reference *reference, const struct shape *shape)
{
    static const char *const names[] = {
        [SHAPE_BOOL] = "boolean",  [SHAPE_UINT] = "number", [SHAPE_DURATION] = "duration",
        [SHAPE_SIZE] = "size",     [SHAPE_RATIO] = "ratio", [SHAPE_TEXT] = "text",
        [SHAPE_SECRET] = "secret", [SHAPE_CHOICE] = "",     [SHAPE_STRUCT] = "",
        [SHAPE_LIST] = "",         [SHAPE_MAP] = "",        [SHAPE_CUSTOM] = "value",
        [SHAPE_LATER] = "value",
    };

    if (shape->kind == SHAPE_CHOICE) {
        for (const struct choice *choice = shape->choices; choice->name; choice++) {
            text_add(reference->out, choice == shape->choices ? SPAN("") : SPAN(", "));
            add_code(reference->out, choice->name);
        }
        return;
    }
    add_cell(reference->out, span_of(shape->what ? shape->what : names[shape->kind]));
    if (shape->what)
        return;
    if (shape->kind == SHAPE_UINT || shape->kind == SHAPE_DURATION || shape->kind == SHAPE_SIZE)
        add_bounds(reference->out, shape);
}

static void add_type(const struct reference *reference, const struct shape *shape)
{
    shape = known(reference, shape);
    while (shape->kind == SHAPE_LIST || shape->kind == SHAPE_MAP) {
        text_add(reference->out,
                 shape->kind == SHAPE_LIST ? SPAN("list of ") : SPAN("map from names to "));
        shape = shape->element;
    }
    if (shape->kind == SHAPE_STRUCT) {
        add_struct_type(reference, shape);
    } else {
        add_scalar_type(reference, shape);
    }
}

static void print_row(const struct reference *reference, const struct field *field)
{
    struct text *out = reference->out;

    text_add(out, SPAN("| "));
    add_code(out, field->name);
    text_add(out, SPAN(" | "));
    add_type(reference, field->shape);
    text_add(out, SPAN(" | "));
    if (field->required) {
        text_add(out, SPAN("required"));
    } else if (field->preset) {
        add_code(out, *field->preset ? field->preset : "\"\"");
    }
    text_add(out, field->required || field->preset ? SPAN(" | ") : SPAN("| "));
    add_cell(out, span_of(field->help));
    text_add(out, field->help ? SPAN(" |\n") : SPAN("|\n"));
}

/* -- a section ---------------------------------------------------------------------------- */

static void print_choices(struct text *out, const struct field *field)
{
    const struct choice *choice = field->shape->choices;

    if (field->shape->kind != SHAPE_CHOICE || !choice->help)
        return;
    text_format(out, "\n`%s`:\n\n", field->name);
    for (; choice->name; choice++)
        text_format(out, "- `%s`: %s\n", choice->name, choice->help ? choice->help : "");
}

/* "key: example", or the lines of a longer one below the key. */
static void print_example(struct text *out, const struct field *field)
{
    struct sluice_span rest = span_of(field->example);
    size_t end = span_find(rest, '\n');

    if (end == rest.len) {
        text_format(out, "%s: %s\n", field->name, field->example);
        return;
    }
    text_format(out, "%s:\n", field->name);
    while (rest.len > 0) {
        end = span_find(rest, '\n');
        text_format(out, "  %.*s\n", (int)end, rest.ptr);
        end += end < rest.len;
        rest = span_make(rest.ptr + end, rest.len - end);
    }
}

/* Does the field exclude one before it? */
static bool is_other(const struct shape *shape, const struct field *field)
{
    for (const char *const *name = shape->others; name && *name; name++) {
        if (strcmp(*name, field->name) == 0)
            return true;
    }
    return false;
}

/* One example of the fields that go together, then one of each that excludes some of them. */
static void print_examples(struct text *out, const struct shape *shape)
{
    bool begun = false;

    for (const struct field *field = shape->fields; field->name; field++) {
        if (!field->example || is_other(shape, field))
            continue;
        if (!begun)
            text_add(out, SPAN("\nExample:\n\n```yaml\n"));
        begun = true;
        print_example(out, field);
    }
    if (begun)
        text_add(out, SPAN("```\n"));
    for (const struct field *field = shape->fields; field->name; field++) {
        if (!field->example || !is_other(shape, field))
            continue;
        text_add(out, SPAN("\nOr:\n\n```yaml\n"));
        print_example(out, field);
        text_add(out, SPAN("```\n"));
    }
}

static void print_variants(const struct reference *reference, const struct shape *shape)
{
    struct text *out = reference->out;

    if (!shape->variants)
        return;
    text_add(out,
             SPAN("\nBeside these stands one of the following, or another name with what belongs "
                  "to it; a name alone may also stand for the whole:\n\n"
                  "| key | type | meaning |\n| --- | --- | --- |\n"));
    for (const struct field *field = shape->variants; field->name; field++) {
        text_add(out, SPAN("| "));
        add_code(out, field->name);
        text_add(out, SPAN(" | "));
        add_type(reference, field->shape);
        text_add(out, SPAN(" | "));
        add_cell(out, span_of(field->help));
        text_add(out, SPAN(" |\n"));
    }
}

static void print_section(const struct reference *reference, const struct section *section)
{
    struct text *out = reference->out;

    if (section->path.len)
        text_format(out, "\n## `%.*s`\n", (int)section->path.len, section->path.ptr);
    text_add(out, SPAN("\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n"));
    for (const struct field *field = section->shape->fields; field->name; field++)
        print_row(reference, field);
    for (const struct field *field = section->shape->fields; field->name; field++)
        print_choices(out, field);
    print_variants(reference, section->shape);
    print_examples(out, section->shape);
}

void reference_print(const struct shape *shape, const char *title, const struct shape *later,
                     struct text *out)
{
    struct reference reference = {.out = out, .later = later};

    arena_init(&reference.arena, NULL, 0);
    reference.sections = arena_new(&reference.arena, SECTIONS_MAX * sizeof(struct section));
    add_section(&reference, shape, SPAN(""));
    for (size_t i = 0; i < reference.n_sections; i++) {
        const struct shape *of = reference.sections[i].shape;

        add_sections_of(&reference, reference.sections[i].path, of->fields);
        add_sections_of(&reference, reference.sections[i].path, of->variants);
    }
    text_format(out, "# %s\n", title);
    for (size_t i = 0; i < reference.n_sections; i++)
        print_section(&reference, &reference.sections[i]);
    arena_fini(&reference.arena);
}
