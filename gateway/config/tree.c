/*
 * tree.c - files, and the files that they include, become one tree.
 *
 * Each file is read by itself (tree_build) and then joined into the top level of the one
 * that includes it, after that file's own entries and in order of the names. Every error
 * is noted and the next file is read all the same.
 */
#include "config/tree.h"

#include "config/input.h"
#include "config/tree_build.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

enum {
    INCLUDE_DEPTH_MAX = 8,
    INCLUDED_FILES_MAX = 1000,
    PATH_BYTES_MAX = 4096,
};

struct loaded {
    struct input_id id;
    bool open; /* it is being read: including it again would never end */
};

/* One call of tree_read() or tree_parse(). */
struct loader {
    struct tree_build build;
    struct loaded *files; /* in the arena, room for INCLUDED_FILES_MAX */
    unsigned n_files;
    unsigned depth;
    enum err err; /* the worst so far */
};

static enum err load_file(struct loader *loader, const char *path, const struct mark *at,
                          struct tree **tree);

static void remember(struct loader *loader, enum err err)
{
    if (loader->err == OK || err == ERR_MEMORY || (loader->err == ERR_CONFIG && err))
        loader->err = err;
}

/* -- questions ------------------------------------------------------------------ */

struct tree *tree_find(const struct tree *map, struct sluice_span key)
{
    if (!map || map->kind != TREE_MAP)
        return NULL;
    for (struct tree *child = map->first; child; child = child->next) {
        if (span_equal(child->key, key))
            return child;
    }
    return NULL;
}

bool tree_key_is_secret(struct sluice_span key)
{
    static const struct sluice_span words[] = {SPAN("token"), SPAN("passw"),  SPAN("passphrase"),
                                               SPAN("pwd"),   SPAN("secret"), SPAN("key"),
                                               SPAN("auth"),  SPAN("cookie"), SPAN("credential")};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        for (size_t at = 0; at + words[i].len <= key.len; at++) {
            if (span_equal_nocase(span_make(key.ptr + at, words[i].len), words[i]))
                return true;
        }
    }
    return false;
}

bool tree_is_null(const struct tree *node)
{
    static const struct sluice_span words[] = {
        {"", 0}, {"~", 1}, {"null", 4}, {"Null", 4}, {"NULL", 4},
    };

    if (node->kind != TREE_SCALAR || node->quoted)
        return false;
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (span_equal(node->text, words[i]))
            return true;
    }
    return false;
}

/* -- joining ---------------------------------------------------------------------- */

static void append_all(struct tree *to, struct tree *children, unsigned n)
{
    struct tree **link = &to->first;

    while (*link)
        link = &(*link)->next;
    *link = children;
    to->n_children += n;
}

static void join_entry(struct loader *loader, struct tree *map, struct tree *entry)
{
    struct tree *own = tree_find(map, entry->key);
    struct sluice_span path;
    struct text hint;

    if (own && tree_is_null(entry))
        return;
    if (!own) {
        append_all(map, entry, 1);
        return;
    }
    if (own->kind == entry->kind && own->kind != TREE_SCALAR) {
        append_all(own, entry->first, entry->n_children);
        if (own->kind == TREE_MAP)
            remember(loader, tree_check_keys(&loader->build, own, own->n_children));
        return;
    }
    if (tree_is_null(own)) {
        struct tree *next = own->next;

        *own = *entry;
        own->next = next;
        return;
    }
    path = notes_file(loader->build.notes, own->key_at.file);
    text_init(&hint, PATH_BYTES_MAX);
    text_format(&hint, "first set at %.*s:%u:%u; keep one of them", (int)path.len, path.ptr,
                own->key_at.line, own->key_at.column);
    notes_error(loader->build.notes, entry->key_at, hint.ptr, "'%.*s' is set in two files",
                (int)(entry->key.len > 80 ? 80 : entry->key.len), entry->key.ptr);
    remember(loader, ERR_CONFIG);
    text_fini(&hint);
}

static void join(struct loader *loader, struct tree *map, const struct tree *included)
{
    struct tree *entry = included ? included->first : NULL;

    if (included && included->kind != TREE_MAP) {
        notes_error(loader->build.notes, included->at, NULL,
                    "expected a map of keys and values, found %s",
                    included->kind == TREE_LIST ? "a list" : "a single value");
        remember(loader, ERR_CONFIG);
        return;
    }
    while (entry) {
        struct tree *next = entry->next;

        entry->next = NULL;
        join_entry(loader, map, entry);
        entry = next;
    }
}

/* -- including ---------------------------------------------------------------------- */

static void complain(struct loader *loader, const struct mark *at, const char *hint,
                     const char *what, const char *path, const char *why)
{
    notes_error(loader->build.notes, at ? *at : (struct mark){0}, hint, "%s '%s'%s%s", what, path,
                *why ? ": " : "", why);
    remember(loader, ERR_PROTOCOL);
}

static int compare_paths(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static void include_found(struct loader *loader, const glob_t *found, const struct mark *at,
                          struct tree *map)
{
    qsort(found->gl_pathv, found->gl_pathc, sizeof(char *), compare_paths);
    for (size_t i = 0; i < found->gl_pathc && loader->err != ERR_MEMORY; i++) {
        struct tree *included = NULL;

        remember(loader, load_file(loader, found->gl_pathv[i], at, &included));
        join(loader, map, included);
    }
}

static void include_pattern(struct loader *loader, struct sluice_span from,
                            const struct tree *pattern, struct tree *map)
{
    struct text path;
    glob_t found = {0};
    int result;

    text_init(&path, PATH_BYTES_MAX);
    input_join(from, pattern->text, &path);
    if (pattern->text.len == 0 || path.cut) {
        complain(loader, &pattern->at, NULL, "cannot include", pattern->text.ptr, "no such path");
        text_fini(&path);
        return;
    }
    result = glob(path.ptr, GLOB_NOSORT, NULL, &found);
    if (result == 0) {
        include_found(loader, &found, &pattern->at, map);
    } else if (result != GLOB_NOMATCH) {
        complain(loader, &pattern->at, NULL, "cannot include", path.ptr,
                 "the folder is unreadable");
    } else if (!strpbrk(path.ptr, "*?[")) {
        complain(loader, &pattern->at, "a pattern such as conf.d/*.yaml may match nothing",
                 "cannot include", path.ptr, "no such file");
    }
    if (result == 0)
        globfree(&found);
    text_fini(&path);
}

/* Take the entry "include" out of map. */
static struct tree *take_include(struct tree *map)
{
    for (struct tree **link = &map->first; *link; link = &(*link)->next) {
        struct tree *entry = *link;

        if (!span_equal(entry->key, SPAN("include")))
            continue;
        *link = entry->next;
        map->n_children--;
        entry->next = NULL;
        return entry;
    }
    return NULL;
}

/* Join what map includes into it. */
static void follow_includes(struct loader *loader, struct sluice_span from, struct tree *map)
{
    struct tree *include = map->kind == TREE_MAP ? take_include(map) : NULL;
    const struct tree *pattern = include && include->kind == TREE_LIST ? include->first : include;

    if (!include || tree_is_null(include))
        return;
    for (; pattern && loader->err != ERR_MEMORY; pattern = pattern->next) {
        if (pattern->kind == TREE_SCALAR) {
            include_pattern(loader, from, pattern, map);
            continue;
        }
        notes_error(loader->build.notes, pattern->at, "write include: [ \"conf.d/*.yaml\" ]",
                    "expected a file or a pattern, found a %s",
                    pattern->kind == TREE_LIST ? "list" : "map");
        remember(loader, ERR_CONFIG);
    }
}

/* -- one file ---------------------------------------------------------------------------- */

static struct sluice_span without_byte_order_mark(struct sluice_span yaml)
{
    return span_starts(yaml, SPAN("\xef\xbb\xbf")) ? span_make(yaml.ptr + 3, yaml.len - 3) : yaml;
}

static enum err load_text(struct loader *loader, struct sluice_span yaml, struct sluice_span path,
                          struct tree **tree)
{
    struct sluice_span text = without_byte_order_mark(yaml);
    unsigned file = notes_add_file(loader->build.notes, path, text);
    enum err err = tree_build(&loader->build, text, file, tree);

    remember(loader, err);
    if (*tree)
        follow_includes(loader, path, *tree);
    return err;
}

/* False when the file is done with: it was included before, or includes itself. */
static bool enter(struct loader *loader, const struct input_id *id, const char *path,
                  const struct mark *at)
{
    for (unsigned i = 0; i < loader->n_files; i++) {
        const struct loaded *file = &loader->files[i];

        if (file->id.device != id->device || file->id.inode != id->inode)
            continue;
        if (file->open) {
            complain(loader, at, "let the pattern match other files only",
                     "includes in a circle:", path, "");
        }
        return false;
    }
    if (loader->n_files == INCLUDED_FILES_MAX) {
        complain(loader, at, NULL, "cannot include", path, "more than 1000 files");
        return false;
    }
    loader->files[loader->n_files++] = (struct loaded){*id, true};
    return true;
}

/*
 * Read the file at path, named at at (NULL: by the caller), with what it includes. Recursion ends
 * at INCLUDE_DEPTH_MAX.
 */
static enum err load_file(struct loader *loader, const char *path, const struct mark *at,
                          struct tree **tree)
{
    char why[INPUT_WHY];
    struct input_id id;
    struct text yaml;
    enum err err;

    if (loader->depth > INCLUDE_DEPTH_MAX) {
        complain(loader, at, NULL, "cannot include", path, "includes are nested more than 8 deep");
        return ERR_PROTOCOL;
    }
    text_init(&yaml, TREE_FILE_MAX);
    err = input_read(path, &yaml, &id, why);
    if (err) {
        complain(loader, at, NULL, "cannot read", path, why);
        err = ERR_PROTOCOL;
    } else if (enter(loader, &id, path, at)) {
        unsigned own = loader->n_files - 1;

        loader->depth++;
        err = load_text(loader, text_span(&yaml), span_of(path), tree);
        loader->depth--;
        loader->files[own].open = false;
    }
    text_fini(&yaml);
    return err;
}

/* -- life ------------------------------------------------------------------------------------ */

static enum err loader_init(struct loader *loader, struct arena *arena, struct notes *notes)
{
    *loader = (struct loader){.build = {.arena = arena, .notes = notes}};
    loader->files = arena_try(arena, INCLUDED_FILES_MAX * sizeof(*loader->files));
    return loader->files ? OK : ERR_MEMORY;
}

enum err tree_read(const char *path, struct arena *arena, struct notes *notes, struct tree **tree)
{
    struct loader loader;
    enum err err = loader_init(&loader, arena, notes);

    *tree = NULL;
    if (err)
        return err;
    remember(&loader, load_file(&loader, path, NULL, tree));
    return loader.err;
}

enum err tree_parse(struct sluice_span yaml, const char *name, struct arena *arena,
                    struct notes *notes, struct tree **tree)
{
    struct loader loader;
    enum err err = loader_init(&loader, arena, notes);

    *tree = NULL;
    if (err)
        return err;
    if (yaml.len > TREE_FILE_MAX) {
        complain(&loader, NULL, NULL, "cannot read", name, "it is larger than 4096 KiB");
        return loader.err;
    }
    remember(&loader, load_text(&loader, yaml, span_of(name), tree));
    return loader.err;
}

static void refuse(struct loader *loader, const struct tree *entry)
{
    notes_error(loader->build.notes, entry->key_at, "it belongs into a file of this machine",
                "'%.*s' may not be set from elsewhere", (int)entry->key.len, entry->key.ptr);
    remember(loader, ERR_CONFIG);
}

enum err tree_add(const struct tree_piece *piece, const char *const *refused, struct arena *arena,
                  struct notes *notes, struct tree *tree)
{
    struct loader loader = {.build = {.arena = arena, .notes = notes, .remote = true}};
    struct tree *added = NULL;
    struct sluice_span text = without_byte_order_mark(piece->yaml), key = SPAN("include");
    const struct tree *entry;
    unsigned file = notes_add_file(notes, span_of(piece->name), text);

    if (text.len > TREE_FILE_MAX) {
        complain(&loader, NULL, NULL, "cannot read", piece->name, "it is larger than 4096 KiB");
        return loader.err;
    }
    remember(&loader, tree_build(&loader.build, text, file, &added));
    for (size_t i = 0; key.len > 0; i++) {
        entry = tree_find(added, key);
        if (entry)
            refuse(&loader, entry);
        key = refused[i] ? span_of(refused[i]) : SPAN("");
    }
    if (!loader.err)
        join(&loader, tree, added);
    return loader.err;
}
