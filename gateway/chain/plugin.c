/*
 * plugin.c - finding, copying and loading shared objects.
 *
 * The loader knows a library by its path before it looks at the file: a private copy keeps its
 * descriptor, and with it its path in /proc/self/fd, for as long as it is loaded.
 */
#include "chain/plugin.h"

#include "base/alloc.h"
#include "base/log.h"
#include "chain/home.h"
#include "chain/options.h"
#include "chain/shared.h"
#include "core/helpers.h"
#include "observe/series.h"

#include <dlfcn.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, NAME_MAX_BYTES = 64, NAMES_FOUND_MAX = 256 };

/* What minor version 0 has: no plugin may say less of itself. */
enum {
    ABOUT_LEAST = offsetof(struct sluice_plugin, on_drain),
    OPTION_LEAST = sizeof(struct sluice_option)
};

/* -- the descriptor ------------------------------------------------------------- */

static bool is_name(struct sluice_span name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_')
            return false;
    }
    return name.len > 0 && name.len <= NAME_MAX_BYTES;
}

static enum err check_numbers(const struct sluice_plugin *exported, struct text *why)
{
    if (exported->size < offsetof(struct sluice_plugin, flags)) {
        text_format(why, "it exports no descriptor of a plugin (its size says %u)", exported->size);
        return ERR_CONFIG;
    }
    if (exported->abi != SLUICE_ABI) {
        text_format(why,
                    "it was built for plugin ABI %u, this gateway speaks ABI %u: build it again "
                    "with this gateway's sluice_plugin.h",
                    exported->abi, SLUICE_ABI);
        return ERR_CONFIG;
    }
    if (exported->size < (uint32_t)ABOUT_LEAST) {
        text_format(why, "its descriptor has %u bytes, ABI %u.0 has at least %u", exported->size,
                    SLUICE_ABI, (unsigned)ABOUT_LEAST);
        return ERR_CONFIG;
    }
    if (exported->options && exported->option_size < (uint32_t)OPTION_LEAST) {
        text_format(why, "its options have %u bytes each, ABI %u.0 has at least %u",
                    exported->option_size, SLUICE_ABI, (unsigned)OPTION_LEAST);
        return ERR_CONFIG;
    }
    return OK;
}

enum err plugin_check(const struct sluice_plugin *exported, struct sluice_span name,
                      struct sluice_plugin *about, struct text *why)
{
    size_t size = sizeof(*about);

    if (check_numbers(exported, why))
        return ERR_CONFIG;
    if (exported->size < size)
        size = exported->size;
    memset(about, 0, sizeof(*about));
    memcpy(about, exported, size);
    if (!about->name || !span_equal(span_of(about->name), name)) {
        text_format(why, "it calls itself '%s', the file is called '%.*s'",
                    about->name ? about->name : "", (int)name.len, name.ptr);
        return ERR_CONFIG;
    }
    if (!about->version)
        about->version = "";
    if (!about->summary)
        about->summary = "";
    if (about->options && about->conf_size == 0) {
        text_add(why, SPAN("it has options, and conf_size 0 to keep them in"));
        return ERR_CONFIG;
    }
    return OK;
}

/* -- home ------------------------------------------------------------------------ */

/* The folder of the running binary and what is behind it. */
static void add_own_folder(struct text *dirs, const char *tail)
{
    char path[PATH_BYTES];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

    if (n <= 0)
        return;
    while (n > 0 && path[n - 1] != '/')
        n--;
    if (dirs->len > 0)
        text_add_char(dirs, ':');
    text_add(dirs, span_make(path, (size_t)n));
    text_add(dirs, span_of(tail));
}

struct chain_home *home_new(struct tally *tally, unsigned n_workers)
{
    struct chain_home *home = alloc_new(sizeof(*home));
    const char *named = getenv("SLUICE_PLUGINS");

    list_init(&home->plugins);
    home->tally = tally;
    home->n_workers = n_workers;
    home->shared = shared_new();
    home->series = series_new(n_workers);
    home->helpers = helpers_new();
    text_init(&home->dirs, 4L * PATH_BYTES);
    if (named)
        text_add(&home->dirs, span_of(named));
    add_own_folder(&home->dirs, "plugins");
    add_own_folder(&home->dirs, "../lib/sluice/plugins");
    return home;
}

static void unload(struct plugin *plugin)
{
    list_remove(&plugin->link);
    arena_fini(&plugin->arena);
    if (plugin->handle)
        dlclose(plugin->handle);
    if (plugin->fd >= 0)
        close(plugin->fd);
    alloc_free(plugin->name);
    alloc_free(plugin->path);
    alloc_free(plugin);
}

void home_free(struct chain_home **home)
{
    struct chain_home *old = *home;

    *home = NULL;
    if (!old)
        return;
    list_each_safe (node, after, &old->plugins) {
        struct plugin *plugin = list_entry(node, struct plugin, link);

        /* Its threads may outlive us: leave the code where it is. */
        if (plugin->about.flags & SLUICE_PLUGIN_KEEP_LOADED)
            plugin->handle = NULL;
        unload(plugin);
    }
    home_quiet(old);
    shared_free(&old->shared);
    series_free(&old->series);
    text_fini(&old->dirs);
    alloc_free(old);
}

void home_set_helpers(struct chain_home *home, unsigned threads, size_t queue)
{
    enum err err = helpers_set(home->helpers, threads, queue);

    if (err)
        log_error("helper threads cannot be started", F_UINT("wanted", threads), F_ERR(err));
}

void home_quiet(struct chain_home *home)
{
    helpers_free(&home->helpers);
}

/* -- files --------------------------------------------------------------------------- */

/* A walk over all folders in order of search. */
struct walk {
    const struct sluice_span *dirs;
    size_t n_dirs, at;
    struct sluice_span rest; /* of home->dirs */
};

static struct walk walk_of(const struct chain_home *home, const struct sluice_span *dirs,
                           size_t n_dirs)
{
    return (struct walk){dirs, n_dirs, 0, text_span(&home->dirs)};
}

static bool walk_next(struct walk *walk, struct sluice_span *dir)
{
    if (walk->at < walk->n_dirs) {
        *dir = walk->dirs[walk->at++];
        return true;
    }
    while (span_split(&walk->rest, ':', dir)) {
        if (dir->len > 0)
            return true;
    }
    return false;
}

/* Open the first NAME.so that there is; path says which. ERR_MISSING: none. */
static enum err find_file(struct walk walk, struct sluice_span name, char path[PATH_BYTES], int *fd)
{
    struct sluice_span dir;

    while (walk_next(&walk, &dir)) {
        int n = snprintf(path, PATH_BYTES, "%.*s/%.*s.so", (int)dir.len, dir.ptr, (int)name.len,
                         name.ptr);

        if (n <= 0 || n >= PATH_BYTES)
            continue;
        *fd = open(path, O_RDONLY | O_CLOEXEC);
        if (*fd >= 0)
            return OK;
        if (errno != ENOENT && errno != ENOTDIR)
            return ERR_SYSTEM;
    }
    return ERR_MISSING;
}

static void say_missing(struct walk walk, struct sluice_span name, struct text *why)
{
    struct sluice_span dir;
    bool first = true;

    text_format(why, "there is no %.*s.so in", (int)name.len, name.ptr);
    while (walk_next(&walk, &dir)) {
        text_format(why, "%s%.*s", first ? " " : ", ", (int)dir.len, dir.ptr);
        first = false;
    }
}

static enum err write_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t written = write(fd, bytes, n);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return ERR_SYSTEM;
        bytes += written;
        n -= (size_t)written;
    }
    return OK;
}

/* The whole file as a private copy, and a number that stands for its content. */
static enum err copy_file(int from, const char *name, int *copy, uint64_t *id)
{
    struct stat about;
    void *bytes;
    enum err err;

    if (fstat(from, &about) < 0)
        return ERR_SYSTEM;
    if (!S_ISREG(about.st_mode) || about.st_size <= 0 || about.st_size > PLUGIN_FILE_MAX) {
        errno = EFBIG;
        return ERR_SYSTEM;
    }
    /* Read, not mapped: a file that shrinks meanwhile must not end the process. */
    bytes = alloc_try((size_t)about.st_size);
    if (!bytes)
        return ERR_MEMORY;
    if (pread(from, bytes, (size_t)about.st_size, 0) != about.st_size) {
        alloc_free(bytes);
        errno = EIO;
        return ERR_SYSTEM;
    }
    *id = span_hash(span_make(bytes, (size_t)about.st_size), 0x736c75696365u);
    *copy = memfd_create(name, MFD_CLOEXEC);
    err = *copy < 0 ? ERR_SYSTEM : write_all(*copy, bytes, (size_t)about.st_size);
    alloc_free(bytes);
    if (err && *copy >= 0)
        close(*copy);
    return err;
}

/* -- loading -------------------------------------------------------------------------- */

static struct plugin *find_loaded(struct chain_home *home, struct sluice_span name, const char *id)
{
    list_each (node, &home->plugins) {
        struct plugin *plugin = list_entry(node, struct plugin, link);

        if (strcmp(plugin->id, id) == 0 && span_equal(span_of(plugin->name), name))
            return plugin;
    }
    return NULL;
}

/* The private copy becomes code. */
static enum err open_code(struct plugin *plugin, struct text *why)
{
    char path[64];
    const struct sluice_plugin *exported;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", plugin->fd);
    plugin->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!plugin->handle) {
        text_format(why, "it cannot be loaded: %s", dlerror());
        return ERR_CONFIG;
    }
    exported = dlsym(plugin->handle, "sluice_plugin");
    if (!exported) {
        text_add(why, SPAN("it exports no 'sluice_plugin': is it a plugin of this gateway?"));
        return ERR_CONFIG;
    }
    if (plugin_check(exported, span_of(plugin->name), &plugin->about, why))
        return ERR_CONFIG;
    return options_shape(&plugin->about, &plugin->arena, &plugin->shape, why);
}

static enum err load_file(struct chain_home *home, struct sluice_span name, const char *path,
                          int from, struct text *why, struct plugin **plugin)
{
    char text[NAME_MAX_BYTES + 16], id[PLUGIN_ID_TEXT];
    uint64_t number;
    int copy = -1;
    enum err err;

    snprintf(text, sizeof(text), "sluice-%.*s", (int)name.len, name.ptr);
    err = copy_file(from, text, &copy, &number);
    if (err) {
        text_format(why, "%s cannot be copied: %s", path, strerror(errno));
        return ERR_CONFIG;
    }
    snprintf(id, sizeof(id), "%016llx", (unsigned long long)number);
    *plugin = find_loaded(home, name, id);
    if (*plugin) {
        close(copy);
        (*plugin)->refs++;
        return OK;
    }
    *plugin = alloc_new(sizeof(**plugin));
    (*plugin)->home = home;
    (*plugin)->fd = copy;
    (*plugin)->name = alloc_text(name.ptr, name.len);
    (*plugin)->path = alloc_text(path, strlen(path));
    (*plugin)->refs = 1;
    memcpy((*plugin)->id, id, sizeof(id));
    arena_init(&(*plugin)->arena, NULL, 0);
    list_append(&home->plugins, &(*plugin)->link);
    text_format(why, "%s: ", path);
    err = open_code(*plugin, why);
    if (err) {
        unload(*plugin);
        *plugin = NULL;
        return err;
    }
    log_debug("plugin loaded", F_STR("plugin", (*plugin)->name), F_STR("id", id),
              F_STR("path", path));
    return OK;
}

enum err plugin_load(struct chain_home *home, const struct sluice_span *dirs, size_t n_dirs,
                     struct sluice_span name, struct text *why, struct plugin **plugin)
{
    struct walk walk = walk_of(home, dirs, n_dirs);
    char path[PATH_BYTES];
    int fd;
    enum err err;

    *plugin = NULL;
    if (!is_name(name)) {
        text_add(why, SPAN("a plugin's name has letters in lower case, digits and '_' only"));
        return ERR_MISSING;
    }
    err = find_file(walk, name, path, &fd);
    if (err == ERR_MISSING) {
        say_missing(walk, name, why);
        return err;
    }
    if (err) {
        text_format(why, "%s cannot be opened: %s", path, strerror(errno));
        return ERR_CONFIG;
    }
    err = load_file(home, name, path, fd, why, plugin);
    close(fd);
    return err;
}

void plugin_unref(struct plugin **plugin)
{
    struct plugin *old = *plugin;

    *plugin = NULL;
    if (!old || --old->refs > 0 || (old->about.flags & SLUICE_PLUGIN_KEEP_LOADED))
        return;
    log_debug("plugin unloaded", F_STR("plugin", old->name), F_STR("id", old->id));
    unload(old);
}

/* -- what there is ------------------------------------------------------------------------ */

static int order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t add_names(struct sluice_span dir, char **names, size_t n)
{
    char path[PATH_BYTES];
    const struct dirent *entry;
    DIR *folder;

    snprintf(path, sizeof(path), "%.*s", (int)dir.len, dir.ptr);
    folder = opendir(path);
    if (!folder)
        return n;
    while (n < NAMES_FOUND_MAX && (entry = readdir(folder)) != NULL) {
        struct sluice_span name = span_of(entry->d_name);

        if (!span_ends(name, SPAN(".so")))
            continue;
        name.len -= 3;
        if (is_name(name))
            names[n++] = alloc_text(name.ptr, name.len);
    }
    closedir(folder);
    return n;
}

void plugin_each_name(const struct chain_home *home, const struct sluice_span *dirs, size_t n_dirs,
                      plugin_name_fn *each, void *arg)
{
    struct walk walk = walk_of(home, dirs, n_dirs);
    char *names[NAMES_FOUND_MAX];
    struct sluice_span dir;
    size_t n = 0;

    while (walk_next(&walk, &dir))
        n = add_names(dir, names, n);
    if (n > 0)
        qsort(names, n, sizeof(*names), order);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(names[i], names[i - 1]) != 0)
            each(arg, names[i]);
    }
    for (size_t i = 0; i < n; i++)
        alloc_free(names[i]);
}
