/*
 * preset.c - defaults and examples as trees.
 *
 * Bare scalars are not sent through YAML: it is faster, and "[::]:8080" or "a: b" need no
 * quotes in the tables.
 */
#include "config/preset.h"

#include "config/scalar.h"
#include "config/tree_build.h"

static bool is_yaml(const char *text, const struct shape *shape)
{
    if (text[0] == '"' || text[0] == '\'')
        return true;
    if (scalar_is(shape))
        return false;
    return shape->kind != SHAPE_CUSTOM || text[0] == '[' || text[0] == '{';
}

struct tree *preset_parse(const char *text, const struct shape *shape, struct arena *arena,
                          struct notes *notes)
{
    struct tree_build build = {.arena = arena, .notes = notes, .preset = true};
    struct tree *tree = NULL;

    if (is_yaml(text, shape))
        return tree_build(&build, span_of(text), 0, &tree) ? NULL : tree;
    tree = arena_try(arena, sizeof(*tree));
    if (!tree)
        return NULL;
    tree->text = span_of(text);
    tree->quoted = true; /* the bare word null is a text here */
    return tree;
}
