/*
 * describe_options.c - the options of an entry as written, with their presets, without secrets.
 *
 * Values are told as the file has them, not as they were bound: that is what an operator knows. A
 * value is hidden when its shape is a secret, and below a key that was chosen by who wrote the
 * file and sounds like one, such as "authorization" in a map of fields.
 */
#include "chain/describe.h"
#include "chain/plugin.h"
#include "chain/set.h"

enum { NAME_MAX_BYTES = 256, VALUE_MAX_BYTES = 512 };

struct telling {
    chain_option_fn *tell;
    void *arg;
};

static const struct field *field_of(const struct shape *shape, struct sluice_span key)
{
    if (!shape || shape->kind != SHAPE_STRUCT)
        return NULL;
    for (const struct field *field = shape->fields; field->name; field++) {
        if (span_equal(span_of(field->name), key))
            return field;
    }
    return NULL;
}

/* shape NULL: not known. Recursion ends at the 32 levels of a tree. */
static void print(const struct tree *node, const struct shape *shape, bool hides, struct text *out)
{
    bool is_map = node->kind == TREE_MAP;

    hides = hides || (shape && shape->kind == SHAPE_SECRET);
    if (node->kind == TREE_SCALAR) {
        text_add(out, hides ? SPAN("***") : node->text);
        return;
    }
    text_add(out, is_map ? SPAN("{ ") : SPAN("[ "));
    for (const struct tree *child = node->first; child; child = child->next) {
        const struct field *field = is_map ? field_of(shape, child->key) : NULL;
        const struct shape *inner = field ? field->shape : shape ? shape->element : NULL;

        if (is_map)
            text_format(out, "%.*s: ", (int)child->key.len, child->key.ptr);
        print(child, inner, hides || (is_map && !field && tree_key_is_secret(child->key)), out);
        text_add(out, child->next ? SPAN(", ") : SPAN(" "));
    }
    text_add_char(out, is_map ? '}' : ']');
}

static void tell(const struct telling *telling, struct sluice_span name, const struct field *field,
                 const struct tree *node)
{
    char bytes[VALUE_MAX_BYTES];
    struct chain_option option = {.name = name};
    struct text value;

    if (!node && !field->preset)
        return;
    text_init_fixed(&value, bytes, sizeof(bytes));
    if (node) {
        print(node, field->shape, false, &value);
        option.at = node->key_at;
    } else {
        text_add(&value, span_of(field->preset));
    }
    option.value = text_span(&value);
    telling->tell(telling->arg, &option);
}

/* Recursion ends at the 8 levels of a table of options. */
static void tell_fields(const struct telling *telling, const struct shape *shape,
                        struct sluice_span before, const struct tree *map)
{
    char bytes[NAME_MAX_BYTES];
    struct text name;

    for (const struct field *field = shape->fields; field->name; field++) {
        const struct tree *node = tree_find(map, span_of(field->name));
        bool is_struct = field->shape->kind == SHAPE_STRUCT;

        text_init_fixed(&name, bytes, sizeof(bytes));
        text_format(&name, "%.*s%s", (int)before.len, before.ptr, field->name);
        if (is_struct && (node ? node->kind == TREE_MAP : !field->preset)) {
            text_add_char(&name, '.');
            tell_fields(telling, field->shape, text_span(&name), node);
        } else {
            tell(telling, text_span(&name), field, node);
        }
    }
}

void chain_place_options(const struct chain *chain, unsigned i, chain_option_fn *tell_one,
                         void *arg)
{
    const struct chain_entry *entry = chain->entry[i];
    const struct shape *shape = entry->plugin->shape;
    const struct tree *map = entry->options;
    const struct telling telling = {tell_one, arg};
    const struct field *alone = NULL;

    if (map && map->kind != TREE_MAP) { /* a scalar stands for one of them */
        alone = shape->scalar ? field_of(shape, span_of(shape->scalar)) : NULL;
        if (alone)
            tell(&telling, span_of(alone->name), alone, map);
        map = NULL;
    }
    if (!alone)
        tell_fields(&telling, shape, SPAN(""), map);
}
