/*
 * tree_env.c - ${NAME}, ${NAME:-default} and $${ in scalars; ${NAME.NAME} is left as it is.
 *
 * What a variable holds is text and stays text: it is not looked at again, so a
 * value can neither bring YAML structure nor name further variables.
 */
#include "config/tree_build.h"

#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 255, SCALAR_MAX = 1 << 20 };

static bool is_name(struct sluice_span name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';

        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return name.len > 0 && name.len <= NAME_MAX_BYTES;
}

static enum err add_variable(struct tree_build *build, const struct tree *node,
                             struct sluice_span name, struct text *out)
{
    char key[NAME_MAX_BYTES + 1];
    struct sluice_span preset = {NULL, 0};
    size_t colon = span_find(name, ':');
    const char *value;

    if (colon + 1 < name.len && name.ptr[colon + 1] == '-') {
        preset = span_make(name.ptr + colon + 2, name.len - colon - 2);
        name.len = colon;
    }
    /* No variable has a dot in its name: it is an attribute, put in when a request is there. */
    if (span_find(name, '.') < name.len) {
        text_format(out, "${%.*s%s", (int)name.len, name.ptr, preset.ptr ? ":-" : "");
        text_add(out, preset);
        text_add_char(out, '}');
        return OK;
    }
    if (!is_name(name) || span_has(preset, SPAN("${"))) {
        notes_error(
            build->notes, node->at,
            "write ${NAME} or ${NAME:-default}, without ${ inside; $${ stands for a plain ${",
            "'${%.*s}' is not a variable", (int)(name.len > 60 ? 60 : name.len), name.ptr);
        return ERR_CONFIG;
    }
    memcpy(key, name.ptr, name.len);
    key[name.len] = '\0';
    value = getenv(key);
    if (preset.ptr && (!value || !*value)) {
        text_add(out, preset);
        return OK;
    }
    if (!value) {
        notes_error(build->notes, node->at, "set it, or give a default: ${NAME:-default}",
                    "the environment variable '%s' is not set", key);
        return ERR_CONFIG;
    }
    text_add(out, span_of(value));
    return OK;
}

/* Position of the next "${", or the end. */
static size_t find_start(struct sluice_span text)
{
    for (size_t i = 0; i + 1 < text.len; i++) {
        if (text.ptr[i] == '$' && text.ptr[i + 1] == '{')
            return i;
    }
    return text.len;
}

static enum err expand(struct tree_build *build, const struct tree *node, struct text *out)
{
    struct sluice_span rest = node->text;
    enum err err = OK;

    while (rest.len > 0 && !err) {
        size_t start = find_start(rest), used;

        if (start == rest.len) {
            text_add(out, rest);
            break;
        }
        if (start > 0 && rest.ptr[start - 1] == '$') {
            text_add(out, span_make(rest.ptr, start - 1));
            text_add(out, SPAN("${"));
            used = start + 2;
        } else {
            struct sluice_span name = span_make(rest.ptr + start + 2, rest.len - start - 2);
            size_t end = span_find(name, '}');

            if (end == name.len) {
                notes_error(build->notes, node->at, "close it with }, or write $${ for a plain ${",
                            "'${' without '}'");
                return ERR_CONFIG;
            }
            text_add(out, span_make(rest.ptr, start));
            err = add_variable(build, node, span_make(name.ptr, end), out);
            used = start + 2 + end + 1;
        }
        rest = span_make(rest.ptr + used, rest.len - used);
    }
    return err;
}

enum err tree_expand(struct tree_build *build, struct tree *node)
{
    struct text out;
    enum err err;

    if (build->preset || find_start(node->text) == node->text.len)
        return OK;
    if (build->remote) {
        notes_error(build->notes, node->at, "put what needs the environment into a file",
                    "${NAME} is not replaced in what comes from elsewhere");
        return ERR_CONFIG;
    }
    text_init(&out, SCALAR_MAX);
    err = expand(build, node, &out);
    build->expanded_bytes += out.len;
    if (!err && (out.cut || build->expanded_bytes > TREE_EXPANDED_MAX)) {
        notes_error(build->notes, node->at, NULL, "the environment makes this value too long");
        err = ERR_CONFIG;
    }
    if (!err) {
        struct sluice_span copy = arena_copy(build->arena, text_span(&out));

        err = copy.ptr ? OK : ERR_MEMORY;
        if (!err)
            node->text = copy;
    }
    text_fini(&out);
    return err;
}
