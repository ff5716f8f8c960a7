/*
 * The tree: each node stands for the bytes on the way from the root; a node's rules are those
 * whose path ends right there. A look-up walks down once as far as the path leads. If it
 * used up the path, the exact rules of the last node come first. The prefixes of
 * the path lie on the same way: from the deepest node with prefix rules, "up" leads to the
 * next shorter one, so they come longest first. A prefix counts only at the end of a segment.
 */
#include "route/match_path.h"

#include "base/check.h"

#include <string.h>

struct path_node {
    struct sluice_span label; /* bytes from the parent to here */
    size_t depth;             /* bytes from the root to here */
    unsigned char *key;       /* first byte of each child's label */
    struct path_node **child; /* n_children of them, cap allocated */
    struct rules exact, prefix;
    struct path_node *parent;
    const struct path_node *up; /* the nearest node above with prefix rules, or NULL */
    struct path_node *next_of_all;
    unsigned n_children, cap;
};

/* -- building ------------------------------------------------------------ */

static struct path_node *node_new(struct paths *paths, struct path_node *parent,
                                  struct sluice_span label, struct arena *arena)
{
    struct path_node *node = arena_new(arena, sizeof(*node));

    node->label = label;
    node->parent = parent;
    node->depth = (parent ? parent->depth : 0) + label.len;
    node->next_of_all = paths->all;
    paths->all = node;
    return node;
}

static void add_child(struct path_node *node, struct path_node *child, struct arena *arena)
{
    if (node->n_children == node->cap) {
        unsigned cap = node->cap ? node->cap * 2 : 2;
        unsigned char *key = arena_new(arena, cap);
        struct path_node **children = arena_new(arena, cap * sizeof(struct path_node *));

        if (node->key && node->child) {
            memcpy(key, node->key, node->n_children);
            memcpy(children, node->child, node->n_children * sizeof(struct path_node *));
        }
        node->key = key;
        node->child = children;
        node->cap = cap;
    }
    CHECK(node->key && node->child);
    node->key[node->n_children] = (unsigned char)child->label.ptr[0];
    node->child[node->n_children++] = child;
}

/* Where the child whose label begins with this byte is kept, or NULL. */
static struct path_node **child_at(const struct path_node *node, char first)
{
    const unsigned char *key;

    if (!node->n_children)
        return NULL;
    key = memchr(node->key, (unsigned char)first, node->n_children);
    return key ? &node->child[key - node->key] : NULL;
}

/* Put a node between *place and its parent, len bytes down the label. */
static struct path_node *split(struct paths *paths, struct path_node **place, size_t len,
                               struct arena *arena)
{
    struct path_node *below = *place;
    struct path_node *between =
        node_new(paths, below->parent, span_make(below->label.ptr, len), arena);

    below->label = span_make(below->label.ptr + len, below->label.len - len);
    below->parent = between;
    add_child(between, below, arena);
    *place = between;
    return between;
}

static size_t common_len(struct sluice_span a, struct sluice_span b)
{
    size_t max = a.len < b.len ? a.len : b.len;
    size_t len = 0;

    while (len < max && a.ptr[len] == b.ptr[len])
        len++;
    return len;
}

/* The node for a path, made when there is none. */
static struct path_node *node_for(struct paths *paths, struct sluice_span path, struct arena *arena)
{
    struct path_node *node = paths->root;

    while (path.len) {
        struct path_node **place = child_at(node, path.ptr[0]);
        size_t len;

        if (!place) {
            struct path_node *leaf = node_new(paths, node, path, arena);

            add_child(node, leaf, arena);
            return leaf;
        }
        len = common_len((*place)->label, path);
        node = len < (*place)->label.len ? split(paths, place, len, arena) : *place;
        path = span_make(path.ptr + len, path.len - len);
    }
    return node;
}

void paths_add(struct paths *paths, const struct route *route, struct arena *arena)
{
    if (!paths->root)
        paths->root = node_new(paths, NULL, SPAN(""), arena);
    switch (route->match.path_kind) {
    case ROUTE_PATH_ANY:
        rules_add(&paths->any, route, arena);
        break;
    case ROUTE_PATH_REGEX:
        rules_add(&paths->regex, route, arena);
        break;
    case ROUTE_PATH_EXACT:
        rules_add(&node_for(paths, route->match.path, arena)->exact, route, arena);
        break;
    case ROUTE_PATH_PREFIX:
        rules_add(&node_for(paths, route->match.path, arena)->prefix, route, arena);
        break;
    }
}

void paths_finish(struct paths *paths)
{
    rules_sort(&paths->regex);
    rules_sort(&paths->any);
    for (struct path_node *node = paths->all; node; node = node->next_of_all) {
        const struct path_node *up = node->parent;

        rules_sort(&node->exact);
        rules_sort(&node->prefix);
        while (up && !up->prefix.n)
            up = up->parent;
        node->up = up;
    }
}

/* -- finding ------------------------------------------------------------- */

/* Walk down as far as the path leads. *exact: the node where the path ends, or NULL.
 * Returns the deepest node with prefix rules on the way, or NULL. */
static const struct path_node *descend(const struct path_node *node, struct sluice_span path,
                                       const struct path_node **exact)
{
    const struct path_node *deepest = NULL;
    size_t at = 0;

    *exact = NULL;
    while (at < path.len) {
        struct path_node *const *place = child_at(node, path.ptr[at]);
        struct sluice_span label;

        if (!place)
            return deepest;
        label = (*place)->label;
        if (path.len - at < label.len || memcmp(path.ptr + at, label.ptr, label.len) != 0)
            return deepest;
        node = *place;
        at += label.len;
        if (node->prefix.n)
            deepest = node;
    }
    *exact = node;
    return deepest;
}

const struct route *paths_find(const struct paths *paths, struct search *search)
{
    struct sluice_span path = search->request->path;
    const struct route *route = NULL;
    const struct path_node *exact;
    const struct path_node *node;

    if (paths->root) {
        node = descend(paths->root, path, &exact);
        if (exact)
            route = rules_first(&exact->exact, search);
        for (; node && !route; node = node->up) {
            if (match_at_segment(path, node->depth))
                route = rules_first(&node->prefix, search);
        }
    }
    if (!route)
        route = rules_first(&paths->regex, search);
    if (!route)
        route = rules_first(&paths->any, search);
    return route;
}

/* -- for the warnings ------------------------------------------------------ */

void paths_each(const struct paths *paths, paths_each_fn *each, void *arg)
{
    for (const struct path_node *node = paths->all; node; node = node->next_of_all) {
        each(arg, paths, &node->exact, ROUTE_PATH_EXACT);
        each(arg, paths, &node->prefix, ROUTE_PATH_PREFIX);
    }
    each(arg, paths, &paths->regex, ROUTE_PATH_REGEX);
    each(arg, paths, &paths->any, ROUTE_PATH_ANY);
}

void paths_each_prefix_of(const struct paths *paths, struct sluice_span start, paths_each_fn *each,
                          void *arg)
{
    const struct path_node *exact;
    const struct path_node *node;

    if (!start.len)
        start = SPAN("/");
    for (node = descend(paths->root, start, &exact); node; node = node->up) {
        /*
         * "/item" is no prefix of "/items", with which a subject that starts with "/item" may go on
         */
        bool is_sure = start.ptr[node->depth - 1] == '/' ||
                       (node->depth < start.len && start.ptr[node->depth] == '/');

        if (is_sure)
            each(arg, paths, &node->prefix, ROUTE_PATH_PREFIX);
    }
}
