/*
 * entry.c - "- NAME: { options }" with what stands beside it.
 *
 * An entry is bound as one struct: what every entry may say, and under the plugin's name its
 * options. So a wrong key beside the plugin and a wrong key inside are told alike.
 */
#include "chain/entry.h"

#include "base/log.h"
#include "chain/options.h"
#include "chain/plugin.h"
#include "chain/set.h"
#include "chain/state.h"

#include <stdalign.h>
#include <stdio.h>
#include <string.h>

enum { OWN_MAX = 16, LABEL_BYTES = 256, PATH_DEPTH = 32 };

/* -- what every entry may say ---------------------------------------------------- */

static const struct choice on_error_choices[] = {
    {"closed", ENTRY_CLOSED, "The request is answered with 500."},
    {"open", ENTRY_OPEN, "The request goes on without it."},
    {NULL, 0, NULL},
};
static const struct shape on_error_shape = {
    .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = on_error_choices};
static const struct shape wait_shape = {
    .kind = SHAPE_DURATION, .size = sizeof(uint64_t), .min = 1, .max = 3600000};

#define AT(member) offsetof(struct entry_written, member)

const struct field entry_fields[] = {
    {.name = "name",
     .shape = &shape_text,
     .offset = AT(name),
     .help = "What it is called; the plugin's name when not given. An entry replaces the one of "
             "the same name further out; with another name, both run.",
     .example = "burst_limit"},
    {.name = "disabled",
     .shape = &shape_bool,
     .offset = AT(disabled),
     .preset = "false",
     .help =
         "Leave it out, and the one of this name further out with it. Its options may lack what "
         "is required."},
    {.name = "on_error",
     .shape = &on_error_shape,
     .offset = AT(on_error),
     .preset = "closed",
     .help = "What happens to a request when the plugin cannot do its work."},
    {.name = "wait",
     .shape = &wait_shape,
     .offset = AT(wait_ms),
     .preset = "2s",
     .help = "How long a request may be held by it at a time; then it counts as unable."},
    {.name = "when",
     .shape = &when_shape,
     .offset = AT(when),
     .help = "Leave requests alone that this does not hold for. All of it must hold."},
    {.name = NULL},
};

#undef AT

static bool is_own_key(struct sluice_span key)
{
    for (const struct field *field = entry_fields; field->name; field++) {
        if (span_equal(key, span_of(field->name)))
            return true;
    }
    return false;
}

/* -- which plugin ---------------------------------------------------------------------- */

/* The child that names the plugin; NULL and a note when there is none, or two. */
static const struct tree *find_named(struct chain_build *build, const struct tree *node)
{
    struct notes *notes = build->wanted->notes;
    const struct tree *found = NULL;

    for (const struct tree *child = node->first; child; child = child->next) {
        if (is_own_key(child->key))
            continue;
        if (found) {
            notes_error(notes, child->key_at,
                        "write a dash before each plugin; beside it may stand: name, disabled, "
                        "on_error, wait, when",
                        "an entry names one plugin, not '%.*s' and '%.*s'", (int)found->key.len,
                        found->key.ptr, (int)child->key.len, child->key.ptr);
            return NULL;
        }
        found = child;
    }
    if (!found) {
        notes_error(notes, node->at, "write - NAME, or - NAME: { ... }",
                    "this entry names no plugin");
    }
    return found;
}

/* -- binding -------------------------------------------------------------------------------- */

static uint32_t phases_of(const struct sluice_plugin *about)
{
    return (about->on_request_head ? 1u << SLUICE_PHASE_REQUEST_HEAD : 0) |
           (about->on_request_body ? 1u << SLUICE_PHASE_REQUEST_BODY : 0) |
           (about->on_request_trailers ? 1u << SLUICE_PHASE_REQUEST_TRAILERS : 0) |
           (about->on_attempt ? 1u << SLUICE_PHASE_ATTEMPT : 0) |
           (about->on_attempt_done ? 1u << SLUICE_PHASE_ATTEMPT_DONE : 0) |
           (about->on_local_reply ? 1u << SLUICE_PHASE_LOCAL_REPLY : 0) |
           (about->on_response_head ? 1u << SLUICE_PHASE_RESPONSE_HEAD : 0) |
           (about->on_response_body ? 1u << SLUICE_PHASE_RESPONSE_BODY : 0) |
           (about->on_response_trailers ? 1u << SLUICE_PHASE_RESPONSE_TRAILERS : 0) |
           (about->on_done ? 1u << SLUICE_PHASE_DONE : 0);
}

/*
 * The entry as a map, with a map under the plugin's name: "- x" and "- x:" mean that the plugin's
 * options are all presets, but required ones are missed.
 */
static struct tree *as_map(struct arena *arena, const struct tree *node, const struct tree *named)
{
    struct tree *map = arena_new(arena, sizeof(*map));
    struct tree **last = &map->first;

    *map = *node;
    map->kind = TREE_MAP;
    map->first = NULL;
    map->next = NULL;
    map->n_children = 0;
    for (const struct tree *child = node->kind == TREE_MAP ? node->first : named; child;
         child = child->next) {
        struct tree *copy = arena_new(arena, sizeof(*copy));

        *copy = *child;
        copy->next = NULL;
        if (child == named && tree_is_null(child)) {
            *copy = (struct tree){.kind = TREE_MAP,
                                  .at = child->at.line ? child->at : child->key_at,
                                  .key = child->key,
                                  .key_at = child->key_at};
        }
        *last = copy;
        last = &copy->next;
        map->n_children++;
        if (node->kind != TREE_MAP)
            break;
    }
    return map;
}

/* The same options, none of them required: what is switched off needs none. */
static const struct shape *undemanding(struct arena *arena, const struct shape *options)
{
    struct shape *shape = arena_new(arena, sizeof(*shape));
    struct field *fields;
    size_t n = 0;

    while (options->fields[n].name)
        n++;
    fields = arena_new(arena, (n + 1) * sizeof(*fields));
    for (size_t i = 0; i < n; i++) {
        fields[i] = options->fields[i];
        fields[i].required = false;
    }
    *shape = *options;
    shape->fields = fields;
    return shape;
}

/* Binding the entry tells what is wrong with it. */
static bool says_disabled(struct arena *arena, const struct tree *map)
{
    struct bind bind = {.arena = arena, .notes = notes_new()};
    bool disabled;

    if (shape_bind(&bind, &shape_bool, tree_find(map, SPAN("disabled")), &disabled))
        disabled = false;
    notes_free(&bind.notes);
    return disabled;
}

/* The shape of an entry with these options, which lie at *offset. */
static struct shape *shape_of(struct arena *arena, const char *name, const struct shape *options,
                              size_t *offset)
{
    struct shape *shape = arena_new(arena, sizeof(*shape));
    struct field *fields = arena_new(arena, (OWN_MAX + 2) * sizeof(*fields));
    const size_t align = alignof(max_align_t);
    size_t n = 0;

    *offset = (sizeof(struct entry_written) + align - 1) / align * align;
    for (; entry_fields[n].name; n++)
        fields[n] = entry_fields[n];
    fields[n] = (struct field){.name = name, .shape = options, .offset = *offset};
    *shape = (struct shape){
        .kind = SHAPE_STRUCT, .size = *offset + options->size, .fields = fields, .title = "plugin"};
    return shape;
}

static enum err bind_entry(struct chain_build *build, struct chain_entry *entry,
                           const struct tree *node, const struct tree *named)
{
    struct arena *arena = build->wanted->arena;
    struct bind bind = {.arena = arena,
                        .notes = build->wanted->notes,
                        .origins = build->wanted->origins,
                        .user = build};
    const struct tree *map = as_map(arena, node, named);
    const struct shape *options = entry->plugin->shape, *shape;
    size_t offset;
    char *out;
    enum err err;

    if (says_disabled(arena, map))
        options = undemanding(arena, options);
    shape = shape_of(arena, entry->plugin->name, options, &offset);
    out = arena_new(arena, shape->size + sizeof(max_align_t));
    err = shape_bind(&bind, shape, map, out);
    entry->written = (struct entry_written *)(void *)out;
    entry->conf = out + offset;
    entry->has_when = !when_is_always(&entry->written->when);
    entry->options = tree_find(map, named->key);
    entry->name =
        entry->written->name.len > 0 ? entry->written->name : span_of(entry->plugin->name);
    return err;
}

struct chain_entry *entry_new(struct chain_build *build, const struct tree *node,
                              struct sluice_span place)
{
    struct arena *arena = build->wanted->arena;
    struct chain_entry *entry;
    struct tree alone;
    const struct tree *named = NULL;

    if (node->kind == TREE_MAP) {
        named = find_named(build, node);
    } else if (node->kind == TREE_SCALAR && !tree_is_null(node)) {
        alone = (struct tree){
            .kind = TREE_SCALAR, .at = node->at, .key = node->text, .key_at = node->at};
        named = &alone;
    } else {
        notes_error(build->wanted->notes, node->at, "write - NAME, or - NAME: { ... }",
                    "this is no entry of a list of plugins");
    }
    if (!named)
        return NULL;
    entry = arena_new(arena, sizeof(*entry));
    entry->plugin = set_plugin(build, named->key, named->key_at);
    if (!entry->plugin)
        return NULL;
    entry->about = &entry->plugin->about;
    entry->at = named->key_at;
    entry->phases = phases_of(entry->about);
    entry->place = place;
    for (unsigned i = 0; i < CHAIN_PHASES; i++) {
        entry->words[i] = (struct crash_words){.what = "plugin",
                                               .name = entry->about->name,
                                               .phase = run_phase_name((enum sluice_phase)i),
                                               .id = entry->plugin->id,
                                               .place = place.ptr};
    }
    if (bind_entry(build, entry, node, named))
        return NULL;
    return entry;
}

/* -- the plugin's own say ------------------------------------------------------------------- */

static struct sluice_setup setup_of(struct chain_build *build, struct chain_entry *entry)
{
    return (struct sluice_setup){.home = build->wanted->home,
                                 .set = build->set,
                                 .entry = entry,
                                 .arena = build->wanted->arena,
                                 .notes = build->wanted->notes,
                                 .node = entry->options,
                                 .at = entry->at};
}

void entry_check(struct chain_build *build, struct chain_entry *entry)
{
    struct sluice_setup setup = setup_of(build, entry);

    if (entry->written->disabled)
        return; /* and may lack what is required */
    entry->is_checked = true;
    if (entry->about->conf_check)
        entry->about->conf_check(&host_table, &setup, entry->conf);
}

void entry_start(struct chain_build *build, struct chain_entry *entry)
{
    struct sluice_setup setup = setup_of(build, entry);
    size_t errors = notes_errors(setup.notes);

    if (entry->written->disabled)
        return;
    setup.is_start = true;
    if (!entry->about->conf_start || entry->about->conf_start(&host_table, &setup, entry->conf))
        return;
    if (notes_errors(setup.notes) == errors) {
        notes_error(setup.notes, entry->at, NULL, "plugin '%s' refuses to start",
                    entry->plugin->name);
    }
}

void entry_fini(struct chain_entry *entry)
{
    if (entry->is_checked && entry->about->conf_fini)
        entry->about->conf_fini(&host_table, entry->conf);
    entry->is_checked = false;
}
