/*
 * chain.c - the lists of a configuration become chains.
 *
 * Every entry is made once, whatever serves it; a chain is a list of pointers to entries. Routes
 * that name no plugins share the chain of their listener.
 */
#include "chain/chain.h"

#include "base/log.h"
#include "chain/plugin.h"
#include "chain/set.h"
#include "config/input.h"
#include "observe/tally.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { CHAIN_MAX = 64, WHY_BYTES = 2048, NAMES_MAX = 256 };

/* The entries of one list, in order. */
struct entry_list {
    struct chain_entry **entry;
    unsigned n;
    struct sluice_span id; /* "route.api." */
};

/* -- plugins and entries ----------------------------------------------------------- */

/* Names of what is installed. */
struct installed {
    struct arena *arena;
    const char *name[NAMES_MAX];
    size_t n;
};

static void add_installed(void *installed_, const char *name)
{
    struct installed *installed = installed_;

    if (installed->n < NAMES_MAX)
        installed->name[installed->n++] = arena_copy(installed->arena, span_of(name)).ptr;
}

/* What to do about a name that nothing has; as long as the arena. */
static const char *hint_for_missing(const struct chain_wanted *wanted, struct sluice_span name)
{
    struct installed installed = {.arena = wanted->arena};
    const char *nearest;

    plugin_each_name(wanted->home, wanted->dirs, wanted->n_dirs, add_installed, &installed);
    nearest = notes_nearest(name, installed.name, installed.n);
    return arena_format(wanted->arena,
                        "%s%s%sname one of the plugins that are installed, or its folder in "
                        "plugin_path",
                        nearest ? "did you mean '" : "", nearest ? nearest : "",
                        nearest ? "'? " : "")
        .ptr;
}

struct plugin *set_plugin(struct chain_build *build, struct sluice_span name, struct mark at)
{
    const struct chain_wanted *wanted = build->wanted;
    struct chain_set *set = build->set;
    struct plugin *plugin = NULL;
    struct text why;
    enum err err;

    for (unsigned i = 0; i < set->n_plugins; i++) {
        if (span_equal(span_of(set->plugins[i]->name), name))
            return set->plugins[i];
    }
    text_init(&why, WHY_BYTES);
    err = plugin_load(wanted->home, wanted->dirs, wanted->n_dirs, name, &why, &plugin);
    if (err) {
        notes_error(wanted->notes, at, err == ERR_MISSING ? hint_for_missing(wanted, name) : NULL,
                    "plugin '%.*s': %s", (int)name.len, name.ptr, why.ptr ? why.ptr : "");
    } else {
        set->plugins[set->n_plugins++] = plugin;
    }
    text_fini(&why);
    return plugin;
}

static unsigned count_children(const struct tree *list)
{
    if (!list || tree_is_null(list))
        return 0;
    return list->kind == TREE_LIST ? list->n_children : 1;
}

/* With the members of any_of. */
static unsigned count_entries(const struct tree *list)
{
    unsigned n = count_children(list);
    const struct tree *child = n > 0 && list->kind == TREE_LIST ? list->first : list;

    for (; n > 0 && child; child = list->kind == TREE_LIST ? child->next : NULL)
        n += count_children(tree_find(child, SPAN("any_of")));
    return n;
}

static bool is_named_before(const struct entry_list *list, struct sluice_span name)
{
    for (unsigned i = 0; i < list->n; i++) {
        if (span_equal(list->entry[i]->name, name))
            return true;
    }
    return false;
}

static bool is_of_last_group(const struct entry_list *list, const struct chain_entry *entry)
{
    return entry->group > 0 && list->n > 0 && list->entry[list->n - 1]->group == entry->group;
}

static void add_entry(struct chain_build *build, struct chain_entry *entry, struct entry_list *list)
{
    struct chain_set *set = build->set;
    struct arena *arena = build->wanted->arena;

    entry->id = arena_format(arena, "%.*s%.*s", (int)list->id.len, list->id.ptr,
                             (int)entry->name.len, entry->name.ptr);
    if (entry->group > 0) {
        entry->id =
            arena_format(arena, "%.*s.%s", (int)entry->id.len, entry->id.ptr, entry->plugin->name);
    }
    if (!is_of_last_group(list, entry) && is_named_before(list, entry->name)) {
        notes_error(build->wanted->notes, entry->at, "give one of them a name: of its own",
                    "two plugins of this list are called '%.*s'", (int)entry->name.len,
                    entry->name.ptr);
    }
    entry->index = set->n;
    set->entry[set->n++] = entry;
    list->entry[list->n++] = entry;
}

/* What may stand beside any_of, bound for all of its members. */
static bool check_group(struct chain_build *build, const struct tree *node)
{
    for (const struct tree *child = node->first; child; child = child->next) {
        if (span_equal(child->key, SPAN("any_of")) || span_equal(child->key, SPAN("name")))
            continue;
        notes_error(build->wanted->notes, child->key_at,
                    "beside any_of may stand its name; all else belongs to its members",
                    "unknown key '%.*s' beside any_of", (int)child->key.len, child->key.ptr);
        return false;
    }
    return true;
}

/* "- any_of: [ A, B ]": the first that lets a request pass is enough. */
static void add_group(struct chain_build *build, const struct tree *node, const struct tree *any_of,
                      struct sluice_span place, struct entry_list *list)
{
    const struct tree *name = tree_find(node, SPAN("name"));
    const struct tree *child = any_of->kind == TREE_LIST ? any_of->first : any_of;
    unsigned n = 0, group = ++build->set->n_groups;

    if (!check_group(build, node))
        return;
    for (; child; child = child->next) {
        struct sluice_span inner =
            arena_format(build->wanted->arena, "%.*s.any_of[%u]", (int)place.len, place.ptr, n++);
        struct chain_entry *entry = entry_new(build, child, inner);

        if (!entry)
            continue;
        entry->group = group;
        entry->name = name && name->kind == TREE_SCALAR ? name->text : SPAN("any_of");
        add_entry(build, entry, list);
        if (any_of->kind != TREE_LIST)
            break;
    }
}

static struct entry_list list_of(struct chain_build *build, const struct tree *node,
                                 const char *kind, struct sluice_span name)
{
    struct arena *arena = build->wanted->arena;
    unsigned n = count_children(node);
    struct entry_list list = {
        arena_new(arena, (count_entries(node) + 1) * sizeof(struct chain_entry *)), 0, SPAN("")};
    struct sluice_span label = SPAN("");
    const struct tree *child;

    if (n == 0)
        return list;
    if (n > CHAIN_MAX) {
        notes_error(build->wanted->notes, node->at, NULL, "a list has at most %d plugins",
                    CHAIN_MAX);
        return list;
    }
    if (name.len > 0) {
        label = arena_format(arena, "%s %.*s", kind, (int)name.len, name.ptr);
        list.id = arena_format(arena, "%s.%.*s.", kind, (int)name.len, name.ptr);
    }
    child = node->kind == TREE_LIST ? node->first : node;
    for (unsigned i = 0; i < n; i++) {
        const struct tree *any_of = tree_find(child, SPAN("any_of"));
        struct sluice_span place = arena_format(arena, "%.*s%splugins[%u]", (int)label.len,
                                                label.ptr, label.len ? ", " : "", i);
        struct chain_entry *entry = any_of ? NULL : entry_new(build, child, place);

        if (any_of)
            add_group(build, child, any_of, place, &list);
        if (entry)
            add_entry(build, entry, &list);
        child = child->next;
    }
    return list;
}

/* -- merging -------------------------------------------------------------------------- */

/* Entries of levels from the outside in. */
struct level {
    const struct entry_list *list[3];
    unsigned n;
};

static bool is_replaced(const struct level *level, unsigned at, struct sluice_span name)
{
    for (unsigned i = at + 1; i < level->n; i++) {
        if (is_named_before(level->list[i], name))
            return true;
    }
    return false;
}

static const struct chain *merge(struct chain_build *build, const struct level *level)
{
    struct arena *arena = build->wanted->arena;
    struct chain *chain = arena_new(arena, sizeof(*chain));
    struct chain_entry **entry;
    unsigned n = 0;

    for (unsigned i = 0; i < level->n; i++)
        n += level->list[i]->n;
    entry = arena_new(arena, (n + 1) * sizeof(struct chain_entry *));
    chain->entry = entry;
    for (unsigned i = 0; i < level->n; i++) {
        for (unsigned j = 0; j < level->list[i]->n; j++) {
            struct chain_entry *one = level->list[i]->entry[j];

            if (one->written->disabled || is_replaced(level, i, one->name))
                continue;
            entry[chain->n++] = one;
            chain->phases |= one->phases;
            chain->ctx_bytes += entry_ctx_bytes(one);
        }
    }
    return chain;
}

static void make_backs(struct chain_build *build)
{
    const struct chain_wanted *wanted = build->wanted;
    struct chain_set *set = build->set;

    for (size_t i = 0; i < wanted->n_upstreams; i++) {
        const struct chain_spot *spot = &wanted->upstreams[i];
        struct entry_list list = list_of(build, spot->plugins, "upstream", spot->name);
        const struct level level = {{&list}, 1};
        const struct chain *chain = merge(build, &level);

        set->back[i] = chain->n > 0 ? chain : NULL;
        if (chain->n > set->max_back)
            set->max_back = chain->n;
    }
}

static bool has_back(const struct chain_set *set, const struct chain_spot *route)
{
    for (size_t i = 0; i < route->n_targets; i++) {
        if (set->back[route->targets[i]])
            return true;
    }
    return false;
}

/* The chains of one listener: with no route, and with each. */
static void make_fronts(struct chain_build *build, const struct chain_spot *listener,
                        const struct entry_list *global, const struct entry_list *routes,
                        const struct chain **front)
{
    const struct chain_wanted *wanted = build->wanted;
    struct entry_list own = list_of(build, listener->plugins, "listener", listener->name);
    struct level level = {{global, &own}, 2};
    const struct chain *plain = merge(build, &level);

    front[wanted->n_routes] = plain->n > 0 ? plain : NULL;
    for (size_t i = 0; i < wanted->n_routes; i++) {
        const struct chain *chain = plain;

        if (routes[i].n > 0) {
            level = (struct level){{global, &own, &routes[i]}, 3};
            chain = merge(build, &level);
        }
        front[i] = chain->n > 0 || has_back(build->set, &wanted->routes[i]) ? chain : NULL;
    }
}

static void make_chains(struct chain_build *build)
{
    const struct chain_wanted *wanted = build->wanted;
    struct chain_set *set = build->set;
    struct entry_list global = list_of(build, wanted->plugins, "", SPAN(""));
    struct entry_list *routes = arena_new(wanted->arena, (wanted->n_routes + 1) * sizeof(*routes));

    make_backs(build);
    for (size_t i = 0; i < wanted->n_routes; i++)
        routes[i] = list_of(build, wanted->routes[i].plugins, "route", wanted->routes[i].name);
    for (size_t i = 0; i < wanted->n_listeners; i++) {
        make_fronts(build, &wanted->listeners[i], &global, routes,
                    &set->front[i * (wanted->n_routes + 1)]);
    }
}

/* -- life ------------------------------------------------------------------------------ */

static unsigned count_all(const struct chain_wanted *wanted)
{
    const struct {
        const struct chain_spot *spot;
        size_t n;
    } kinds[] = {{wanted->listeners, wanted->n_listeners},
                 {wanted->routes, wanted->n_routes},
                 {wanted->upstreams, wanted->n_upstreams}};
    unsigned n = count_entries(wanted->plugins);

    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < kinds[i].n; j++)
            n += count_entries(kinds[i].spot[j].plugins);
    }
    return n;
}

static struct chain_set *set_new(const struct chain_wanted *wanted, unsigned n)
{
    struct arena *arena = wanted->arena;
    struct chain_set *set = arena_new(arena, sizeof(*set));
    struct sluice_upstream *upstreams =
        arena_new(arena, (wanted->n_upstreams + 1) * sizeof(*upstreams));

    set->home = wanted->home;
    set->arena = arena;
    set->entry = arena_new(arena, (n + 1) * sizeof(struct chain_entry *));
    set->plugins = arena_new(arena, (n + 1) * sizeof(struct plugin *));
    set->n_listeners = wanted->n_listeners;
    set->n_routes = wanted->n_routes;
    set->n_upstreams = wanted->n_upstreams;
    set->front = arena_new(arena, wanted->n_listeners * (wanted->n_routes + 1) *
                                      sizeof(const struct chain *));
    set->back = arena_new(arena, (wanted->n_upstreams + 1) * sizeof(const struct chain *));
    set->attributes.arena = arena;
    for (size_t i = 0; i < wanted->n_upstreams; i++)
        upstreams[i] = (struct sluice_upstream){wanted->upstreams[i].name, (unsigned)i};
    set->upstreams = upstreams;
    set->is_used = arena_new(arena, wanted->n_upstreams + 1);
    return set;
}

static void start_all(struct chain_build *build)
{
    struct chain_set *set = build->set;

    for (unsigned i = 0; i < set->n; i++) {
        set->entry[i]->tally =
            tally_get(set->home->tally, "plugin", span_of(set->entry[i]->plugin->name),
                      sizeof(struct chain_counters));
        set->entry[i]->own = tally_get(set->home->tally, "plugin place", set->entry[i]->id,
                                       sizeof(struct chain_place_counters));
    }
    for (unsigned i = 0; i < set->n; i++)
        entry_start(build, set->entry[i]);
}

struct chain_set *chain_set_new(const struct chain_wanted *wanted)
{
    struct chain_build build = {.wanted = wanted};
    unsigned n = count_all(wanted);

    if (n == 0)
        return NULL;
    build.set = set_new(wanted, n);
    make_chains(&build);
    for (unsigned i = 0; i < build.set->n; i++)
        entry_check(&build, build.set->entry[i]);
    build.set->files_stamp = chain_set_files(build.set, 0);
    if (!wanted->check_only && notes_errors(wanted->notes) == 0)
        start_all(&build);
    return build.set;
}

void chain_set_free(struct chain_set **set)
{
    struct chain_set *old = *set;

    *set = NULL;
    if (!old)
        return;
    for (unsigned i = 0; i < old->n; i++)
        entry_fini(old->entry[i]);
    for (unsigned i = 0; i < old->n_plugins; i++)
        plugin_unref(&old->plugins[i]);
}

/* -- questions ----------------------------------------------------------------------------- */

const struct chain *chain_front(const struct chain_set *set, unsigned listener, unsigned route)
{
    return set->front[listener * (set->n_routes + 1) + route];
}

bool chain_names_upstream(const struct chain_set *set, size_t upstream)
{
    return set->is_used[upstream];
}

const struct chain *chain_back(const struct chain_set *set, unsigned upstream)
{
    return set->back[upstream];
}

uint32_t chain_set_attribute(const struct chain_set *set, struct sluice_span name)
{
    return attribute_find(&set->attributes, name);
}

/* -- files ---------------------------------------------------------------------------------- */

void set_add_file(struct chain_set *set, const char *path)
{
    struct set_file *file = arena_new(set->arena, sizeof(*file));

    file->path = arena_copy(set->arena, span_of(path)).ptr;
    file->next = set->files;
    set->files = file;
}

uint64_t chain_set_files(const struct chain_set *set, uint64_t stamp)
{
    for (const struct set_file *file = set->files; file; file = file->next) {
        struct stat about = {0};

        if (stat(file->path, &about) < 0)
            about.st_size = -1;
        stamp = stamp * 0x9e3779b97f4a7c15u + (uint64_t)about.st_ino;
        stamp = stamp * 0x9e3779b97f4a7c15u + (uint64_t)about.st_size;
        stamp = stamp * 0x9e3779b97f4a7c15u + (uint64_t)about.st_mtim.tv_sec;
        stamp = stamp * 0x9e3779b97f4a7c15u + (uint64_t)about.st_mtim.tv_nsec;
    }
    return stamp;
}
