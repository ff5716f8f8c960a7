/*
 * page_config.c - the configuration in force as JSON, without its secrets.
 *
 * What was read from a secret's file is not in the tree, only its name. What was written in place,
 * or came by a variable, is known by the name of its key: hidden is everything below a key that
 * sounds like a secret, except below the names that a user gives to upstreams.
 */
#include "admin/pages.h"
#include "base/now.h"
#include "config/json.h"
#include "config/tree.h"

#include <string.h>

/* May stand in JSON as it is: true, false, or digits that mean the same number to every reader. */
static bool is_literal(const struct tree *node)
{
    const uint64_t exact_max = (uint64_t)1 << 53; /* readers may hold numbers as doubles */
    struct sluice_span text = node->text;
    uint64_t number;

    if (node->quoted)
        return false;
    if (span_equal(text, SPAN("true")) || span_equal(text, SPAN("false")))
        return true;
    return !span_number(text, exact_max, &number) && (text.len == 1 || text.ptr[0] != '0');
}

static void add_scalar(struct json *json, const char *name, const struct tree *node, bool secret)
{
    if (tree_is_null(node)) {
        json_literal(json, name, SPAN("null"));
    } else if (secret) {
        json_string(json, name, SPAN("***"));
    } else if (is_literal(node)) {
        json_literal(json, name, node->text);
    } else {
        json_string(json, name, node->text);
    }
}

/* Recursion ends at the 32 levels of a tree. */
static void add_node(struct json *json, const char *name, const struct tree *node, bool secret)
{
    bool is_map = node->kind == TREE_MAP;
    bool has_names = is_map && json->depth == 2 && name && strcmp(name, "upstreams") == 0;

    if (node->kind == TREE_SCALAR) {
        add_scalar(json, name, node, secret);
        return;
    }
    json_open(json, name, is_map ? '{' : '[');
    for (const struct tree *child = node->first; child; child = child->next) {
        bool hides = secret || (is_map && !has_names && tree_key_is_secret(child->key));

        add_node(json, is_map ? child->key.ptr : NULL, child, hides);
    }
    json_close(json, is_map ? '}' : ']');
}

static void add_moment(struct json *json, const char *name, uint64_t wall_us)
{
    char text[NOW_TEXT];

    now_format(wall_us, text);
    json_string(json, name, span_of(text));
}

static void add_last_reload(struct json *json, const struct admin_host *host)
{
    struct admin_reload last = {0};

    host->last_reload(host->owner, &last);
    if (last.wall_us == 0) {
        json_literal(json, "last_reload", SPAN("null"));
        return;
    }
    json_open(json, "last_reload", '{');
    add_moment(json, "at", last.wall_us);
    json_literal(json, "ok", last.applied ? SPAN("true") : SPAN("false"));
    json_literal(json, "notes", text_span(last.notes_json));
    json_close(json, '}');
}

void page_config(const struct ask *ask, struct answer *answer)
{
    const struct admin_host *host = ask->host;
    const struct snapshot *snapshot = host->snapshot(host->owner);
    const struct tree *tree = host->tree(host->owner);
    struct json json = {.out = &answer->body};

    json_open(&json, NULL, '{');
    json_number(&json, "generation", snapshot ? snapshot->generation : 0);
    json_string(&json, "file", span_of(host->source(host->owner)));
    add_moment(&json, "loaded_at", host->loaded_wall_us(host->owner));
    add_last_reload(&json, host);
    if (tree) {
        add_node(&json, "config", tree, false);
    } else {
        json_literal(&json, "config", SPAN("null"));
    }
    json_close(&json, '}');
    text_add_char(&answer->body, '\n');
}
