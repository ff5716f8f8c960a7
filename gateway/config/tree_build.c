/*
 * tree_build.c - libyaml's events become nodes.
 *
 * A stack of open lists and maps (at most TREE_DEPTH_MAX) replaces recursion. A node is
 * linked into its parent when it is complete, so a text that breaks off leaves a
 * sound tree of what came before.
 *
 * An alias copies what it names: all copies count as nodes, so a few lines
 * that name each other ten times over end at TREE_NODES_MAX and not in all memory.
 */
#include "config/tree_build.h"

#include "base/alloc.h"
#include "base/map.h"

#include <yaml.h>

#include <string.h>

struct frame {
    struct tree *node; /* in the arena; list or map, still open */
    struct tree *last; /* its newest child */
    bool has_key;      /* of a map: a key waits for its value */
    bool merges;       /* of a map: that key, or one before, is << */
    struct sluice_span key;
    struct mark key_at;
};

struct reader {
    struct tree_build *build;
    struct sluice_span yaml;
    unsigned file;
    struct map *anchors; /* owned: name to node */
    struct frame frames[TREE_DEPTH_MAX];
    unsigned depth; /* frames in use */
    struct tree *root;
    unsigned n_documents;
    bool wrong; /* an error was noted, reading goes on */
};

static struct mark mark_at(const struct reader *reader, yaml_mark_t start, yaml_mark_t end)
{
    size_t width =
        start.line == end.line && end.column > start.column ? end.column - start.column : 1;

    if (reader->build->preset)
        return (struct mark){0};
    return (struct mark){.file = reader->file,
                         .line = (unsigned)start.line + 1,
                         .column = (unsigned)start.column + 1,
                         .width = (unsigned)width};
}

static struct mark event_mark(const struct reader *reader, const yaml_event_t *event)
{
    return mark_at(reader, event->start_mark, event->end_mark);
}

/* Note an error after which the text is not read further. */
static enum err stop(struct reader *reader, struct mark at, const char *hint, const char *message)
{
    notes_error(reader->build->notes, at, hint, "%s", message);
    reader->build->cut = true;
    return ERR_PROTOCOL;
}

/* Note an error after which reading goes on. */
static void complain(struct reader *reader, struct mark at, const char *hint, const char *message)
{
    notes_error(reader->build->notes, at, hint, "%s", message);
    reader->wrong = true;
}

static enum err out_of_memory(struct reader *reader, struct mark at)
{
    (void)stop(reader, at, NULL, "the configuration needs more memory than there is");
    return ERR_MEMORY;
}

/* -- nodes ---------------------------------------------------------------------- */

static enum err count_node(struct reader *reader, struct mark at)
{
    if (++reader->build->n_nodes <= TREE_NODES_MAX)
        return OK;
    return stop(reader, at, "aliases count as often as they are used",
                "the configuration has more than 1,000,000 values");
}

static enum err new_node(struct reader *reader, enum tree_kind kind, struct mark at,
                         struct tree **node)
{
    enum err err = count_node(reader, at);

    if (err)
        return err;
    *node = arena_try(reader->build->arena, sizeof(**node));
    if (!*node)
        return out_of_memory(reader, at);
    (*node)->kind = kind;
    (*node)->at = at;
    return OK;
}

static void append_child(struct frame *parent, struct tree *node)
{
    if (parent->last) {
        parent->last->next = node;
    } else {
        parent->node->first = node;
    }
    parent->last = node;
    parent->node->n_children++;
}

/* A complete node takes its place: in the innermost open list or map, or as the root. */
static void attach(struct reader *reader, struct tree *node)
{
    struct frame *parent = reader->depth ? &reader->frames[reader->depth - 1] : NULL;

    if (!parent) {
        reader->root = node;
        return;
    }
    if (parent->node->kind == TREE_MAP) {
        node->key = parent->key;
        node->key_at = parent->key_at;
        parent->has_key = false;
    }
    append_child(parent, node);
}

static bool awaits_key(const struct reader *reader)
{
    const struct frame *parent = reader->depth ? &reader->frames[reader->depth - 1] : NULL;

    return parent && parent->node->kind == TREE_MAP && !parent->has_key;
}

static void remember_anchor(struct reader *reader, const yaml_char_t *anchor, struct tree *node)
{
    if (anchor)
        map_set(reader->anchors, span_of((const char *)anchor), node);
}

/* -- merge keys ------------------------------------------------------------------------- */

/* Append copies of the entries of from to the map of frame. */
static enum err merge_map(struct reader *reader, struct frame *frame, const struct tree *from)
{
    if (from->kind != TREE_MAP) {
        complain(reader, from->at, "write <<: *anchor", "'<<' takes a map or a list of maps");
        return OK;
    }
    for (const struct tree *entry = from->first; entry; entry = entry->next) {
        struct tree *copy = NULL;
        enum err err = new_node(reader, entry->kind, entry->at, &copy);

        if (err)
            return err;
        *copy = *entry;
        copy->next = NULL;
        append_child(frame, copy);
    }
    return OK;
}

/* Take the << entries out of the map; *merged is a list of them. */
static void take_merge_entries(struct frame *frame, struct tree **merged)
{
    struct tree *entry = frame->node->first;

    frame->node->first = frame->last = NULL;
    frame->node->n_children = 0;
    while (entry) {
        struct tree *next = entry->next;

        entry->next = NULL;
        if (!span_equal(entry->key, SPAN("<<"))) {
            append_child(frame, entry);
        } else {
            *merged = entry;
            merged = &entry->next;
        }
        entry = next;
    }
}

/* What is written in the map itself wins over what << brings, and the first << over later ones. */
static enum err merge_all(struct reader *reader, struct frame *frame)
{
    struct tree *merged = NULL;
    enum err err = OK;

    take_merge_entries(frame, &merged);
    for (const struct tree *entry = merged; entry && !err; entry = entry->next) {
        if (entry->kind != TREE_LIST) {
            err = merge_map(reader, frame, entry);
            continue;
        }
        for (const struct tree *map = entry->first; map && !err; map = map->next)
            err = merge_map(reader, frame, map);
    }
    return err;
}

static enum err finish_map(struct reader *reader, struct frame *frame)
{
    unsigned n_own;
    enum err err = OK;

    if (frame->merges) {
        struct tree *map = frame->node;

        n_own = map->n_children;
        for (const struct tree *entry = map->first; entry; entry = entry->next)
            n_own -= span_equal(entry->key, SPAN("<<"));
        err = merge_all(reader, frame);
    } else {
        n_own = frame->node->n_children;
    }
    if (err)
        return err;
    err = tree_check_keys(reader->build, frame->node, n_own);
    if (err == ERR_CONFIG)
        reader->wrong = true;
    return err == ERR_CONFIG ? OK : err;
}

/* -- events -------------------------------------------------------------------------------- */

static void refuse_tag(struct reader *reader, const yaml_event_t *event, const yaml_char_t *tag)
{
    if (tag) {
        complain(reader, event_mark(reader, event), "leave it out: the key says what a value means",
                 "YAML tags are not supported");
    }
}

static enum err on_key(struct reader *reader, const yaml_event_t *event)
{
    struct frame *frame = &reader->frames[reader->depth - 1];
    struct sluice_span key =
        span_make((const char *)event->data.scalar.value, event->data.scalar.length);

    refuse_tag(reader, event, event->data.scalar.tag);
    frame->key_at = event_mark(reader, event);
    if (event->data.scalar.anchor) {
        complain(reader, frame->key_at, "anchor the value: key: &name value",
                 "a key cannot have an anchor");
    }
    if (memchr(key.ptr, '\0', key.len))
        complain(reader, frame->key_at, NULL, "a key with a NUL byte in it");
    frame->key = arena_copy(reader->build->arena, key);
    if (!frame->key.ptr)
        return out_of_memory(reader, frame->key_at);
    frame->has_key = true;
    if (event->data.scalar.plain_implicit && span_equal(key, SPAN("<<")))
        frame->merges = true;
    return OK;
}

static enum err on_scalar(struct reader *reader, const yaml_event_t *event)
{
    struct sluice_span text =
        span_make((const char *)event->data.scalar.value, event->data.scalar.length);
    struct tree *node = NULL;
    enum err err;

    if (awaits_key(reader))
        return on_key(reader, event);
    err = new_node(reader, TREE_SCALAR, event_mark(reader, event), &node);
    if (err)
        return err;
    refuse_tag(reader, event, event->data.scalar.tag);
    if (memchr(text.ptr, '\0', text.len))
        complain(reader, node->at, NULL, "a value with a NUL byte in it");
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    node->text = arena_copy(reader->build->arena, text);
    if (!node->text.ptr)
        return out_of_memory(reader, node->at);
    err = tree_expand(reader->build, node);
    if (err == ERR_MEMORY)
        return out_of_memory(reader, node->at);
    if (err)
        reader->wrong = node->wrong = true;
    remember_anchor(reader, event->data.scalar.anchor, node);
    attach(reader, node);
    return OK;
}

static enum err open_node(struct reader *reader, const yaml_event_t *event, enum tree_kind kind)
{
    bool map = kind == TREE_MAP;
    struct mark at = event_mark(reader, event);
    struct tree *node = NULL;
    enum err err;

    if (awaits_key(reader)) {
        return stop(reader, at, "a value that begins with { or [ needs quotes, as in \"{{x}}\"",
                    "a list or a map cannot be a key");
    }
    if (reader->depth == TREE_DEPTH_MAX)
        return stop(reader, at, NULL, "more than 32 lists and maps inside each other");
    err = new_node(reader, kind, at, &node);
    if (err)
        return err;
    refuse_tag(reader, event, map ? event->data.mapping_start.tag : event->data.sequence_start.tag);
    remember_anchor(
        reader, map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor, node);
    reader->frames[reader->depth++] = (struct frame){.node = node};
    if (reader->depth == 1)
        reader->root = node; /* so that a text that breaks off leaves what it had */
    return OK;
}

static enum err close_node(struct reader *reader, const yaml_event_t *event)
{
    struct frame *frame = &reader->frames[reader->depth ? reader->depth - 1 : 0];
    enum err err = OK;

    if (reader->depth == 0 || !frame->node) /* libyaml promises that it does not happen */
        return stop(reader, event_mark(reader, event), NULL, "an end without a beginning");
    if (frame->node->kind == TREE_MAP)
        err = finish_map(reader, frame);
    if (err == ERR_MEMORY && !reader->build->cut)
        return out_of_memory(reader, frame->node->at);
    if (err)
        return err;
    reader->depth--;
    attach(reader, frame->node);
    return OK;
}

/* Copy a node with all below it; recursion ends at TREE_DEPTH_MAX. */
static enum err copy_node(struct reader *reader, const struct tree *node, unsigned depth,
                          struct mark alias_at, struct tree **copy)
{
    struct tree **link;
    enum err err;

    if (node->kind != TREE_SCALAR && depth > TREE_DEPTH_MAX)
        return stop(reader, alias_at, NULL, "more than 32 lists and maps inside each other");
    err = new_node(reader, node->kind, alias_at, copy);
    if (err)
        return err;
    **copy = *node;
    (*copy)->first = (*copy)->next = NULL;
    link = &(*copy)->first;
    for (const struct tree *child = node->first; child; child = child->next) {
        err = copy_node(reader, child, depth + 1, alias_at, link);
        if (err)
            return err;
        link = &(*link)->next;
    }
    return OK;
}

static bool is_open(const struct reader *reader, const struct tree *node)
{
    for (unsigned i = 0; i < reader->depth; i++) {
        if (reader->frames[i].node == node)
            return true;
    }
    return false;
}

static enum err on_alias(struct reader *reader, const yaml_event_t *event)
{
    struct sluice_span name = span_of((const char *)event->data.alias.anchor);
    const struct tree *target = map_find(reader->anchors, name);
    struct mark at = event_mark(reader, event);
    struct tree *copy = NULL;
    enum err err;

    if (awaits_key(reader))
        return stop(reader, at, NULL, "an alias cannot be a key");
    if (!target) {
        return stop(reader, at, "an anchor (&name) must come before its alias (*name)",
                    "this alias names no anchor of this file");
    }
    if (is_open(reader, target))
        return stop(reader, at, NULL, "this alias stands inside the very value that it names");
    err = copy_node(reader, target, reader->depth + 1, at, &copy);
    if (err)
        return err;
    if (copy->kind != TREE_SCALAR)
        copy->at = at; /* what is wrong with a scalar is wrong where it is written */
    attach(reader, copy);
    return OK;
}

static enum err on_event(struct reader *reader, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (reader->n_documents++ > 0) {
            return stop(reader, event_mark(reader, event),
                        "remove what follows '---', or move it to an included file",
                        "a configuration is one YAML document");
        }
        return OK;
    case YAML_SCALAR_EVENT:
        return on_scalar(reader, event);
    case YAML_SEQUENCE_START_EVENT:
        return open_node(reader, event, TREE_LIST);
    case YAML_MAPPING_START_EVENT:
        return open_node(reader, event, TREE_MAP);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return close_node(reader, event);
    case YAML_ALIAS_EVENT:
        return on_alias(reader, event);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return OK;
    }
    return OK;
}

/*
 * -- syntax errors ------------------------------------------------------------------------------
 */

/* The place of a byte, for errors that come before there are characters. */
static struct mark mark_of_byte(const struct reader *reader, size_t offset)
{
    struct mark at = {.file = reader->file, .line = 1, .column = 1};

    if (reader->build->preset)
        return (struct mark){0};
    for (size_t i = 0; i < offset && i < reader->yaml.len; i++) {
        at.column += ((unsigned char)reader->yaml.ptr[i] & 0xc0) != 0x80;
        if (reader->yaml.ptr[i] == '\n') {
            at.line++;
            at.column = 1;
        }
    }
    return at;
}

static const char *syntax_hint(const struct reader *reader, const yaml_parser_t *parser)
{
    static const struct {
        const char *problem, *hint;
    } hints[] = {
        {"mapping values are not allowed",
         "quote a value that contains ': ', or check the indentation"},
        {"did not find expected key", "check the indentation of this line and the one before"},
        {"could not find expected ':'", "is a ':' missing, or the space after it?"},
        {"did not find expected ',' or '}'",
         "inside { } a value with { } in it needs quotes: \"${NAME}\""},
        {"did not find expected ',' or ']'",
         "inside [ ] a value with [ ] or { } in it needs quotes: \"${NAME}\""},
    };
    struct sluice_span problem = span_of(parser->problem);
    size_t at = parser->problem_mark.index;

    if (span_has(problem, SPAN("cannot start any token")) && at < reader->yaml.len) {
        return reader->yaml.ptr[at] == '\t' ? "indent with spaces, not with tabs"
                                            : "put the value in quotes";
    }
    for (size_t i = 0; i < sizeof(hints) / sizeof(*hints); i++) {
        if (span_has(problem, span_of(hints[i].problem)))
            return hints[i].hint;
    }
    return NULL;
}

static enum err syntax_error(struct reader *reader, const yaml_parser_t *parser)
{
    const char *problem = parser->problem ? parser->problem : "unknown error";

    reader->build->cut = true;
    if (parser->error == YAML_MEMORY_ERROR)
        return out_of_memory(reader, mark_of_byte(reader, parser->offset));
    if (parser->error == YAML_READER_ERROR) {
        notes_error(reader->build->notes, mark_of_byte(reader, parser->problem_offset),
                    "save the file as UTF-8", "this is not valid YAML: %s", problem);
        return ERR_PROTOCOL;
    }
    notes_error(reader->build->notes, mark_at(reader, parser->problem_mark, parser->problem_mark),
                syntax_hint(reader, parser), "this is not valid YAML: %s%s%s", problem,
                parser->context ? " " : "", parser->context ? parser->context : "");
    return ERR_PROTOCOL;
}

/*
 * -- driving
 * -------------------------------------------------------------------------------------
 */

static enum err read_events(struct reader *reader, yaml_parser_t *parser)
{
    bool ended = false;
    enum err err = OK;

    while (!ended && !err) {
        yaml_event_t event;

        if (!yaml_parser_parse(parser, &event))
            return syntax_error(reader, parser);
        err = on_event(reader, &event);
        ended = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    return err;
}

/* An empty text is an empty map. */
static enum err root_of(struct reader *reader, struct tree **tree)
{
    struct mark start = {.file = reader->file, .line = 1, .column = 1};

    if (reader->root && !(reader->root->kind == TREE_SCALAR && tree_is_null(reader->root))) {
        *tree = reader->root;
        return OK;
    }
    if (reader->build->preset)
        start = (struct mark){0};
    return new_node(reader, TREE_MAP, start, tree);
}

enum err tree_build(struct tree_build *build, struct sluice_span yaml, unsigned file,
                    struct tree **tree)
{
    struct reader *reader = alloc_new(sizeof(*reader));
    yaml_parser_t parser;
    enum err err = ERR_MEMORY;

    *tree = NULL;
    /* libyaml insists on a pointer, even to nothing. */
    if (yaml.len == 0)
        yaml = SPAN("");
    *reader = (struct reader){.build = build, .yaml = yaml, .file = file, .anchors = map_new()};
    if (yaml_parser_initialize(&parser)) {
        /* Said outright: libyaml would take a first byte of FE or FF for UTF-16. */
        yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&parser, (const yaml_char_t *)yaml.ptr, yaml.len);
        err = read_events(reader, &parser);
        yaml_parser_delete(&parser);
    }
    if (err != ERR_MEMORY) {
        enum err root_err = root_of(reader, tree);

        err = err ? err : root_err;
    }
    if (!err && reader->wrong)
        err = ERR_CONFIG;
    map_free(&reader->anchors);
    alloc_free(reader);
    return err;
}
