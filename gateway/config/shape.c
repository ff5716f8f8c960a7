/*
 * shape.c - bind a tree to memory through tables.
 *
 * A value is right, wrong inside, or wrong itself. Only what is wrong itself keeps the
 * struct around it from being looked at as a whole: "unknown key 'upsteam'" must not
 * be followed by "a route needs an upstream". Whatever is wrong holds its
 * preset, so a check sees sound memory all the same.
 *
 * A struct's preset lies under what is written: keys that are not written
 * come from it, and only then from the presets of the struct's own table.
 */
#include "config/shape.h"

#include "config/origins.h"
#include "config/preset.h"
#include "config/scalar.h"

#include <string.h>

enum { NAMES_MAX = 128, HINT_BYTES = 2048 };

const struct shape shape_bool = {.kind = SHAPE_BOOL, .size = sizeof(bool)};
const struct shape shape_uint = {.kind = SHAPE_UINT, .size = sizeof(uint64_t)};
const struct shape shape_duration = {.kind = SHAPE_DURATION, .size = sizeof(uint64_t)};
const struct shape shape_size = {.kind = SHAPE_SIZE, .size = sizeof(uint64_t)};
const struct shape shape_ratio = {.kind = SHAPE_RATIO, .size = sizeof(double)};
const struct shape shape_text = {.kind = SHAPE_TEXT, .size = sizeof(struct sluice_span)};
const struct shape shape_secret = {.kind = SHAPE_SECRET, .size = sizeof(struct sluice_span)};
const struct shape shape_texts = {
    .kind = SHAPE_LIST, .size = sizeof(struct items), .element = &shape_text};

const struct shape shape_plugins = {.kind = SHAPE_LATER,
                                    .size = sizeof(const struct tree *),
                                    .title = "plugins",
                                    .what = "a list of plugins"};

/* One struct being bound. */
struct binding {
    struct bind *bind;
    const struct shape *shape;
    const struct tree *node;  /* what is written, or NULL */
    const struct tree *under; /* the preset under it, or NULL */
    void *out;
    bool named; /* an element of a map: begins with struct named */
};

static enum bound bind_value(struct bind *bind, const struct shape *shape, const struct tree *node,
                             const struct tree *under, void *out);

static enum bound worse(enum bound a, enum bound b)
{
    return a > b ? a : b;
}

/* Wrong itself for its own holder means wrong inside for the holder's holder. */
static enum bound inside(enum bound bound)
{
    return bound == BOUND ? BOUND : BOUND_PARTLY;
}

static enum bound out_of_memory(struct bind *bind, struct mark at)
{
    notes_error(bind->notes, at, NULL, "the configuration needs more memory than there is");
    return UNBOUND;
}

/* -- presets ---------------------------------------------------------------------- */

/* The preset of field as a tree without places; NULL when it has none, or a wrong one (noted). */
static const struct tree *preset_of(struct bind *bind, const struct field *field)
{
    return field->preset ? preset_parse(field->preset, field->shape, bind->arena, bind->notes)
                         : NULL;
}

/* -- messages ----------------------------------------------------------------------- */

/* " in route 'orders'", " in 'timeout'" or nothing, for the end of a message. */
static void add_where(const struct binding *binding, struct text *out)
{
    const struct tree *node = binding->node;
    const struct tree *name = tree_find(node, SPAN("name"));
    const char *title = binding->shape->title;
    struct sluice_span key = node ? node->key : SPAN("");

    if (!title) {
        if (key.len)
            text_format(out, " in '%.*s'", SCALAR_SHOWN(key));
        return;
    }
    text_format(out, " in %s", title);
    if (binding->named) {
        text_format(out, " '%.*s'", SCALAR_SHOWN(key));
    } else if (name && name->kind == TREE_SCALAR && !tree_is_null(name)) {
        text_format(out, " '%.*s'", SCALAR_SHOWN(name->text));
    }
}

static size_t list_names(const struct shape *shape, const char **names)
{
    size_t n = 0;

    while (n < NAMES_MAX && shape->fields[n].name) {
        names[n] = shape->fields[n].name;
        n++;
    }
    return n;
}

static void note_unknown(const struct binding *binding, const struct tree *entry, const char *where)
{
    const char *names[NAMES_MAX];
    size_t n = list_names(binding->shape, names);
    const char *nearest = notes_nearest(entry->key, names, n);
    struct text hint;

    text_init(&hint, HINT_BYTES);
    if (nearest)
        text_format(&hint, "did you mean '%s'? ", nearest);
    text_add(&hint, SPAN("allowed: "));
    for (size_t i = 0; i < n; i++)
        text_format(&hint, "%s%s", i ? ", " : "", names[i]);
    notes_error(binding->bind->notes, entry->key_at, hint.ptr, "unknown key '%.*s'%s",
                SCALAR_SHOWN(entry->key), where);
    text_fini(&hint);
}

static void note_missing(const struct binding *binding, const struct field *field,
                         const struct tree *entry)
{
    struct text hint, where;

    text_init(&hint, 256);
    text_init(&where, 256);
    text_format(&hint, "%s", scalar_what(field->shape));
    if (field->example && !strchr(field->example, '\n'))
        text_format(&hint, ", such as %s: %s", field->name, field->example);
    add_where(binding, &where);
    if (entry) {
        notes_error(binding->bind->notes, entry->key_at, hint.ptr, "key '%s'%s has no value",
                    field->name, where.ptr ? where.ptr : "");
    } else {
        notes_error(binding->bind->notes,
                    binding->named ? binding->node->key_at : binding->node->at, hint.ptr,
                    "missing key '%s'%s", field->name, where.ptr ? where.ptr : "");
    }
    text_fini(&where);
    text_fini(&hint);
}

/* -- structs ---------------------------------------------------------------------------- */

/*
 * What a written struct (or a preset of one) says about a field: the map's entry, or the scalar
 * that stands for the whole.
 */
static const struct tree *entry_of(const struct shape *shape, const struct tree *node,
                                   const char *name)
{
    if (!node || tree_is_null(node))
        return NULL;
    if (node->kind == TREE_SCALAR && shape->scalar && strcmp(shape->scalar, name) == 0)
        return node;
    return tree_find(node, span_of(name));
}

static enum bound bind_preset(const struct binding *binding, const struct field *field,
                              const struct tree *preset, void *out)
{
    size_t errors = notes_errors(binding->bind->notes);
    enum bound bound = BOUND;

    if (preset || field->shape->kind == SHAPE_STRUCT)
        bound = bind_value(binding->bind, field->shape, preset, NULL, out);
    if (field->preset && (!preset || bound != BOUND)) {
        /* A bug of ours in a table; it is told like any other error so that it is found. */
        if (notes_errors(binding->bind->notes) == errors)
            (void)out_of_memory(binding->bind, (struct mark){0});
        notes_error(binding->bind->notes, (struct mark){0}, NULL,
                    "the default of '%s' is wrong: %s", field->name, field->preset);
        return UNBOUND;
    }
    return bound;
}

static enum bound bind_field(const struct binding *binding, const struct field *field)
{
    void *out = (char *)binding->out + field->offset;
    const struct tree *entry = entry_of(binding->shape, binding->node, field->name);
    const struct tree *preset = entry_of(binding->shape, binding->under, field->name);
    bool written = entry && !tree_is_null(entry);
    enum bound bound;

    if (!written && field->required && binding->node && !preset) {
        note_missing(binding, field, entry);
        return UNBOUND;
    }
    if (!preset && (!written || field->shape->kind == SHAPE_STRUCT))
        preset = preset_of(binding->bind, field);
    if (!written)
        return bind_preset(binding, field, preset, out);
    bound = bind_value(binding->bind, field->shape, entry, preset, out);
    if (bound == UNBOUND) {
        memset(out, 0, field->shape->size);
        preset = preset ? preset : preset_of(binding->bind, field);
        (void)bind_preset(binding, field, preset, out);
    }
    return bound;
}

static enum bound refuse_unknown_keys(const struct binding *binding)
{
    enum bound bound = BOUND;
    struct text where;

    if (!binding->node || binding->node->kind != TREE_MAP)
        return BOUND;
    text_init(&where, 256);
    for (const struct tree *entry = binding->node->first; entry; entry = entry->next) {
        const struct field *field = binding->shape->fields;

        while (field->name && !span_equal(entry->key, span_of(field->name)))
            field++;
        if (!field->name) {
            if (bound == BOUND) /* once: it looks for the name in the whole map */
                add_where(binding, &where);
            note_unknown(binding, entry, where.ptr ? where.ptr : "");
            bound = UNBOUND;
        }
    }
    text_fini(&where);
    return bound;
}

static bool is_struct(const struct shape *shape, const struct tree *node)
{
    if (!node || node->kind == TREE_MAP || tree_is_null(node))
        return true;
    return node->kind == TREE_SCALAR && shape->scalar;
}

static enum bound name_element(const struct binding *binding)
{
    struct sluice_span name = binding->node->key;
    struct named *named = binding->out;

    if (binding->node->key.len == 0) {
        notes_error(binding->bind->notes, binding->node->key_at, NULL, "a name must not be empty");
        return UNBOUND;
    }
    name = arena_copy(binding->bind->arena, name);
    memcpy(binding->out, &name, sizeof(name)); /* the first member of struct named, or all of it */
    if (!binding->shape->bare_name)
        named->at = binding->node->key_at;
    return name.ptr ? BOUND : out_of_memory(binding->bind, binding->node->key_at);
}

static enum bound bind_struct(const struct binding *binding)
{
    const struct shape *shape = binding->shape;
    size_t errors;
    enum bound own, bound;

    memset(binding->out, 0, shape->size);
    if (!is_struct(shape, binding->node))
        return scalar_unexpected(binding->bind, shape, binding->node);
    own = refuse_unknown_keys(binding);
    if (binding->named)
        own = worse(own, name_element(binding));
    for (const struct field *field = shape->fields; field->name; field++)
        own = worse(own, bind_field(binding, field));
    bound = inside(own);
    errors = notes_errors(binding->bind->notes);
    if (shape->check && binding->node && own != UNBOUND)
        shape->check(binding->bind, binding->node, binding->out);
    return notes_errors(binding->bind->notes) > errors ? BOUND_PARTLY : bound;
}

/* -- lists and maps ------------------------------------------------------------------------ */

/* Room for n elements at out, a struct items. */
static enum bound new_items(struct bind *bind, const struct shape *shape, const struct tree *node,
                            size_t n, struct items *items)
{
    *items = (struct items){NULL, 0};
    if (n == 0)
        return BOUND;
    items->first = arena_try(bind->arena, n * shape->element->size);
    if (!items->first)
        return out_of_memory(bind, node->at);
    items->n = n;
    return BOUND;
}

static enum bound check_count(struct bind *bind, const struct shape *shape, const struct tree *node,
                              size_t n)
{
    if (n < shape->min) {
        notes_error(bind->notes, node->at, NULL, "expected at least %llu here, found %zu",
                    (unsigned long long)shape->min, n);
        return BOUND_PARTLY;
    }
    if (shape->max && n > shape->max) {
        notes_error(bind->notes, node->at, NULL, "expected at most %llu here, found %zu",
                    (unsigned long long)shape->max, n);
        return BOUND_PARTLY;
    }
    return BOUND;
}

static enum bound bind_element(struct bind *bind, const struct shape *element,
                               const struct tree *node, void *out)
{
    enum bound bound = bind_value(bind, element, node, NULL, out);

    if (bound == UNBOUND && element->kind == SHAPE_STRUCT)
        (void)bind_value(bind, element, NULL, NULL, out);
    return inside(bound);
}

static enum bound bind_list(struct bind *bind, const struct shape *shape, const struct tree *node,
                            struct items *items)
{
    bool list = node->kind == TREE_LIST;
    size_t n = list ? node->n_children : !tree_is_null(node);
    enum bound bound = new_items(bind, shape, node, n, items);
    const struct tree *child = list ? node->first : node;
    char *out = items->first;

    if (bound == UNBOUND)
        return bound;
    bound = check_count(bind, shape, node, n);
    for (size_t i = 0; i < items->n && out; i++) {
        bound = worse(bound, bind_element(bind, shape->element, child, out));
        child = child->next;
        out += shape->element->size;
    }
    return bound;
}

static enum bound bind_map(struct bind *bind, const struct shape *shape, const struct tree *node,
                           struct items *items)
{
    enum bound bound;
    char *out;

    if (node->kind != TREE_MAP && !tree_is_null(node))
        return scalar_unexpected(bind, shape, node);
    bound = new_items(bind, shape, node, node->n_children, items);
    out = items->first;
    if (bound == UNBOUND)
        return bound;
    for (const struct tree *child = node->first; child && out; child = child->next) {
        struct binding binding = {
            .bind = bind, .shape = shape->element, .node = child, .out = out, .named = true};
        enum bound one = bind_struct(&binding);

        if (one == UNBOUND) {
            (void)bind_value(bind, shape->element, NULL, NULL, out);
            (void)name_element(&binding);
        }
        bound = worse(bound, inside(one));
        out += shape->element->size;
    }
    return bound;
}

/*
 * -- any value
 * -----------------------------------------------------------------------------------
 */

static enum bound bind_custom(struct bind *bind, const struct shape *shape, const struct tree *node,
                              void *out)
{
    size_t errors = notes_errors(bind->notes);

    if (node->wrong)
        return UNBOUND;
    if (shape->parse(bind, node, out) == OK)
        return notes_errors(bind->notes) > errors ? BOUND_PARTLY : BOUND;
    if (notes_errors(bind->notes) == errors)
        return scalar_unexpected(bind, shape, node);
    return UNBOUND;
}

static enum bound bind_written(struct bind *bind, const struct shape *shape,
                               const struct tree *node, void *out)
{
    enum bound bound;

    if (shape->kind == SHAPE_LIST) {
        bound = bind_list(bind, shape, node, out);
    } else if (shape->kind == SHAPE_MAP) {
        bound = bind_map(bind, shape, node, out);
    } else if (shape->kind == SHAPE_CUSTOM) {
        bound = bind_custom(bind, shape, node, out);
    } else if (shape->kind == SHAPE_LATER) {
        memcpy(out, &node, sizeof(const struct tree *));
        bound = BOUND;
    } else {
        bound = scalar_bind(bind, shape, node, out);
    }
    if (bound != UNBOUND)
        origins_add(bind->origins, out, node->at);
    return bound;
}

/* Recursion follows the tables, which are finite. */
static enum bound bind_value(struct bind *bind, const struct shape *shape, const struct tree *node,
                             const struct tree *under, void *out)
{
    struct binding binding = {
        .bind = bind, .shape = shape, .node = node, .under = under, .out = out};

    if (shape->kind == SHAPE_STRUCT)
        return bind_struct(&binding);
    memset(out, 0, shape->size);
    return node ? bind_written(bind, shape, node, out) : BOUND;
}

enum err shape_bind(struct bind *bind, const struct shape *shape, const struct tree *node,
                    void *out)
{
    size_t errors = notes_errors(bind->notes);
    enum bound bound = bind_value(bind, shape, node, NULL, out);

    return bound == BOUND && notes_errors(bind->notes) == errors ? OK : ERR_CONFIG;
}
