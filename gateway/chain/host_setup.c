/*
 * host_setup.c - services while a configuration is checked or started.
 */
#include "chain/host_message.h"
#include "chain/plugin.h"
#include "chain/set.h"
#include "chain/template.h"

#include <stdarg.h>
#include <stdlib.h>

enum { MESSAGE_BYTES = 2048 };

/* -- places in the file ------------------------------------------------------------- */

/* Cut "keys" or "[2]" off a path such as "keys[2].file"; false at its end. */
static bool next_step(struct sluice_span *path, struct sluice_span *key, uint64_t *index)
{
    size_t n = 0;

    *key = (struct sluice_span){NULL, 0};
    if (path->len > 0 && path->ptr[0] == '.')
        *path = span_make(path->ptr + 1, path->len - 1);
    if (path->len == 0)
        return false;
    if (path->ptr[0] == '[') {
        n = span_find(*path, ']');
        if (n == path->len || span_number(span_make(path->ptr + 1, n - 1), UINT32_MAX, index))
            return false;
        *path = span_make(path->ptr + n + 1, path->len - n - 1);
        return true;
    }
    while (n < path->len && path->ptr[n] != '.' && path->ptr[n] != '[')
        n++;
    *key = span_make(path->ptr, n);
    *path = span_make(path->ptr + n, path->len - n);
    return n > 0;
}

static const struct tree *child_at(const struct tree *list, uint64_t index)
{
    const struct tree *child = list->first;

    if (list->kind == TREE_SCALAR)
        return index == 0 ? list : NULL; /* one scalar alone is a list of one */
    for (; child && index > 0; index--)
        child = child->next;
    return child;
}

/* Where option was written, or the nearest thing around it that was. */
static struct mark place_of(const struct sluice_setup *setup, const char *option)
{
    struct sluice_span path = span_of(option), key;
    const struct tree *node = setup->node;
    struct mark at = node && node->at.line ? node->at : setup->at;
    uint64_t index = 0;

    if (!option)
        return setup->at;
    while (node && next_step(&path, &key, &index)) {
        node = key.ptr ? tree_find(node, key) : child_at(node, index);
        if (node && node->at.line)
            at = node->at;
    }
    return at;
}

void host_conf_error(struct sluice_setup *setup, const char *option, const char *hint,
                     const char *format, ...)
{
    struct text text;
    va_list args;

    text_init(&text, MESSAGE_BYTES);
    va_start(args, format);
    text_vformat(&text, format, args);
    va_end(args);
    notes_error(setup->notes, place_of(setup, option), hint, "plugin '%s': %s",
                setup->entry->plugin->name, text.ptr ? text.ptr : "");
    text_fini(&text);
}

void host_conf_warn(struct sluice_setup *setup, const char *option, const char *hint,
                    const char *format, ...)
{
    struct text text;
    va_list args;

    text_init(&text, MESSAGE_BYTES);
    va_start(args, format);
    text_vformat(&text, format, args);
    va_end(args);
    notes_warn(setup->notes, place_of(setup, option), hint, "plugin '%s': %s",
               setup->entry->plugin->name, text.ptr ? text.ptr : "");
    text_fini(&text);
}

/* -- the rest --------------------------------------------------------------------------- */

void *host_conf_alloc(struct sluice_setup *setup, size_t bytes)
{
    return arena_new(setup->arena, bytes);
}

struct sluice_span host_conf_place(struct sluice_setup *setup)
{
    return setup->entry->place;
}

uint32_t host_workers(struct sluice_setup *setup)
{
    return setup->home->n_workers > 0 ? setup->home->n_workers : 1;
}

uint32_t host_attribute(struct sluice_setup *setup, struct sluice_span name)
{
    return attribute_number(&setup->set->attributes, name);
}

const struct sluice_template *host_template_make(struct sluice_setup *setup, const char *option,
                                                 struct sluice_span text)
{
    const struct sluice_template *made;
    struct text why;

    text_init(&why, MESSAGE_BYTES);
    made = template_new(text, &setup->set->attributes, setup->arena, &why);
    if (!made) {
        host_conf_error(setup, option,
                        "write ${consumer.name}, ${request.field.NAME}, ${client.address/24/64} or "
                        "${NAME.NAME:-default}",
                        "%s", why.ptr ? why.ptr : "this text cannot be used");
    }
    text_fini(&why);
    return made;
}

struct sluice_span host_target_text(const struct sluice_target *target)
{
    return target->text;
}
