/*
 * plugin.h - loaded shared objects, and the home that outlives configurations.
 *
 * A file is read into memory of our own and loaded from there, so that a package that replaces it
 * never changes what is mapped. A file is known by its content: the same content is loaded
 * once, other content under the same name is another plugin, and both live side by side until
 * the last configuration that names the old one has ended.
 *
 * Owns:    the handles.
 * Threads: the control thread.
 */
#ifndef CHAIN_PLUGIN_H
#define CHAIN_PLUGIN_H

#include "abi/sluice_plugin.h"
#include "base/arena.h"
#include "base/list.h"
#include "base/text.h"

struct chain_home;
struct plugin;
struct shape;
struct tally;

enum { PLUGIN_ID_TEXT = 17, PLUGIN_FILE_MAX = 256 * 1024 * 1024 };

struct plugin {
    struct list link;        /* in home->plugins */
    struct chain_home *home; /* borrowed */
    /* Ours: what the file says, with NULL in what an older minor version does not know. */
    struct sluice_plugin about;
    const struct shape *shape; /* of its options, in the arena */
    struct arena arena;        /* as long as the file is loaded */
    void *handle;              /* of dlopen() */
    int fd;                    /* of the private copy: keeps its path from being given again */
    char *name, *path;         /* owned: path is where the file was found */
    char id[PLUGIN_ID_TEXT];   /* of its content, hexadecimal */
    unsigned refs;             /* configurations */
};

/* n_workers 0: only checking. Folders come from SLUICE_PLUGINS and from where the binary is. */
struct chain_home *home_new(struct tally *tally, unsigned n_workers);

/* All configurations must be gone. */
void home_free(struct chain_home **home);

/*
 * Load NAME.so from the first of dirs (NULL: none), SLUICE_PLUGINS and the folders of the
 * installation that has it, or share it when that content is loaded already. On an error why
 * says what is wrong. ERR_MISSING: no such file; ERR_CONFIG: it cannot be used.
 */
CHECKED enum err plugin_load(struct chain_home *home, const struct sluice_span *dirs, size_t n_dirs,
                             struct sluice_span name, struct text *why, struct plugin **plugin);

/* The last one unloads the file, unless the plugin must stay loaded. NULL is fine. */
void plugin_unref(struct plugin **plugin);

/*
 * Fill about from what a file exports as NAME; why says what does not fit and names both sides.
 */
CHECKED enum err plugin_check(const struct sluice_plugin *exported, struct sluice_span name,
                              struct sluice_plugin *about, struct text *why);

/* Call each with the name of every NAME.so that plugin_load() would find, sorted, each once. */
typedef void plugin_name_fn(void *arg, const char *name);
void plugin_each_name(const struct chain_home *home, const struct sluice_span *dirs, size_t n_dirs,
                      plugin_name_fn *each, void *arg);

#endif /* CHAIN_PLUGIN_H */
