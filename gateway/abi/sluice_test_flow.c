/* sluice_test_flow.c - "name=value" rows with flow YAML as values, for options in tests. */
#include "sluice_test_private.h"

#include <stdlib.h>
#include <string.h>

struct reader {
    const char *at;
    unsigned depth;
};

static struct fake_node *read_value(struct reader *reader, bool inside);

static void skip_spaces(struct reader *reader)
{
    reader->at += strspn(reader->at, " \t\r\n");
}

static struct fake_node *new_node(void)
{
    return fake_alloc(sizeof(struct fake_node));
}

void fake_node_free(struct fake_node **node_)
{
    struct fake_node *node = *node_;

    *node_ = NULL;
    while (node) {
        struct fake_node *next = node->next;

        fake_node_free(&node->first);
        fake_drop(node->name);
        fake_drop(node->text);
        fake_drop(node);
        node = next;
    }
}

/* 'a''b' or "a\"b"; NULL: not closed. */
static char *read_quoted(struct reader *reader)
{
    char quote = *reader->at++;
    struct fake_text text = {0};

    fake_add(&text, "", 0);
    for (; *reader->at; reader->at++) {
        if (*reader->at == quote && quote == '\'' && reader->at[1] == quote) {
            reader->at++;
        } else if (*reader->at == quote) {
            reader->at++;
            return text.ptr;
        } else if (*reader->at == '\\' && quote == '"' && reader->at[1]) {
            reader->at++;
            if (*reader->at == 'n' || *reader->at == 't') {
                fake_add(&text, *reader->at == 'n' ? "\n" : "\t", 1);
                continue;
            }
        }
        fake_add(&text, reader->at, 1);
    }
    fake_text_fini(&text);
    return NULL;
}

/* A plain scalar: to the end, or inside a list or map to what ends it there. ${...} is whole. */
static char *read_plain(struct reader *reader, bool inside)
{
    const char *begin = reader->at;
    size_t len;

    while (*reader->at) {
        const char *close = strncmp(reader->at, "${", 2) == 0 ? strchr(reader->at, '}') : NULL;

        if (close) {
            reader->at = close + 1;
            continue;
        }
        if (inside && (strchr(",]}", *reader->at) ||
                       (*reader->at == ':' && (reader->at[1] == ' ' || !reader->at[1]))))
            break;
        reader->at++;
    }
    len = (size_t)(reader->at - begin);
    while (len && strchr(" \t\r\n", begin[len - 1]))
        len--;
    return fake_dup((struct sluice_span){begin, len});
}

static char *read_scalar(struct reader *reader, bool inside)
{
    return *reader->at == '"' || *reader->at == '\'' ? read_quoted(reader)
                                                     : read_plain(reader, inside);
}

/* What stands between [ ] or { }; false: malformed. */
static bool read_elements(struct reader *reader, struct fake_node *node, char close)
{
    struct fake_node **end = &node->first;

    for (reader->at++;;) {
        char *name = NULL;

        skip_spaces(reader);
        if (*reader->at == close) {
            reader->at++;
            return true;
        }
        if (close == '}') {
            name = read_scalar(reader, true);
            skip_spaces(reader);
            if (!name || *reader->at != ':') {
                fake_drop(name);
                return false;
            }
            reader->at++;
        }
        *end = read_value(reader, true);
        if (!*end) {
            fake_drop(name);
            return false;
        }
        (*end)->name = name;
        end = &(*end)->next;
        skip_spaces(reader);
        if (*reader->at == ',') {
            reader->at++;
        } else if (*reader->at != close) {
            return false;
        }
    }
}

static struct fake_node *read_value(struct reader *reader, bool inside)
{
    struct fake_node *node = new_node();
    bool fine;

    skip_spaces(reader);
    if (*reader->at == '[' || *reader->at == '{') {
        node->is_list = *reader->at == '[';
        fine = ++reader->depth <= FAKE_DEPTH &&
               read_elements(reader, node, *reader->at == '[' ? ']' : '}');
        reader->depth--;
    } else {
        node->text = read_scalar(reader, inside);
        fine = node->text != NULL;
    }
    if (!fine)
        fake_node_free(&node);
    return node;
}

bool fake_flow(struct fake_node **node, const char *text)
{
    struct reader reader = {text, 0};

    *node = read_value(&reader, false);
    if (!*node)
        return false;
    skip_spaces(&reader);
    if (*reader.at)
        fake_node_free(node);
    return *node != NULL;
}

/* -- rows ---------------------------------------------------------------------------- */

/* The child of that name, made when it is missing. */
static struct fake_node *child_named(struct fake_node *node, struct sluice_span name)
{
    struct fake_node **at = &node->first;

    fake_drop(node->text);
    node->text = NULL;
    for (; *at; at = &(*at)->next) {
        if ((*at)->name && fake_same(fake_span((*at)->name), name))
            return *at;
    }
    *at = new_node();
    (*at)->name = fake_dup(name);
    return *at;
}

static struct fake_node *child_at(struct fake_node *node, unsigned long index)
{
    struct fake_node **at = &node->first;

    fake_drop(node->text);
    node->text = NULL;
    node->is_list = true;
    for (; *at && index; at = &(*at)->next)
        index--;
    if (index)
        return NULL;
    if (!*at)
        *at = new_node();
    return *at;
}

static struct fake_node *step(struct fake_node *node, const char **path)
{
    size_t len;

    if (**path == '[') {
        char *end;
        unsigned long index = strtoul(*path + 1, &end, 10);

        if (*end != ']')
            return NULL;
        *path = end + 1;
        return child_at(node, index);
    }
    if (**path == '.')
        (*path)++;
    len = strcspn(*path, ".[=");
    if (len == 0)
        return NULL;
    node = child_named(node, (struct sluice_span){*path, len});
    *path += len;
    return node;
}

bool fake_row(struct fake_node **root, const char *row)
{
    struct fake_node *node, *value;
    const char *path = row;

    if (!*root)
        *root = new_node();
    for (node = *root; node && *path && *path != '=';)
        node = step(node, &path);
    if (!node || node == *root || *path != '=' || !fake_flow(&value, path + 1))
        return false;
    fake_node_free(&node->first);
    fake_drop(node->text);
    node->first = value->first;
    node->text = value->text;
    node->is_list = value->is_list;
    fake_drop(value);
    return true;
}
