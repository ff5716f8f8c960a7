/* catalogue.c - the shape of a list of plugins, made from the plugins' own tables. */
#include "chain/catalogue.h"

#include "base/alloc.h"
#include "base/log.h"
#include "chain/entry.h"
#include "chain/plugin.h"

enum { PLUGINS_MAX = 256, WHY_BYTES = 2048 };

struct catalogue {
    struct chain_home *home; /* owned */
    struct plugin *plugins[PLUGINS_MAX];
    struct field variants[PLUGINS_MAX + 2]; /* any_of, the plugins, the end */
    struct shape entry, list;
    unsigned n;
};

static void add_plugin(void *catalogue_, const char *name)
{
    struct catalogue *catalogue = catalogue_;
    struct plugin *plugin;
    struct text why;

    if (catalogue->n == PLUGINS_MAX)
        return;
    text_init(&why, WHY_BYTES);
    if (plugin_load(catalogue->home, NULL, 0, span_of(name), &why, &plugin)) {
        log_warn("plugin left out", F_STR("plugin", name), F_SPAN("why", text_span(&why)));
    } else {
        catalogue->plugins[catalogue->n++] = plugin;
        catalogue->variants[catalogue->n] = (struct field){
            .name = plugin->name, .shape = plugin->shape, .help = plugin->about.summary};
    }
    text_fini(&why);
}

struct catalogue *catalogue_new(void)
{
    struct catalogue *catalogue = alloc_new(sizeof(*catalogue));

    catalogue->home = home_new(NULL, 0);
    catalogue->list = (struct shape){
        .kind = SHAPE_LIST, .size = sizeof(struct items), .element = &catalogue->entry};
    catalogue->entry = (struct shape){.kind = SHAPE_STRUCT,
                                      .fields = entry_fields,
                                      .title = "plugin",
                                      .variants = catalogue->variants};
    catalogue->variants[0] = (struct field){
        .name = "any_of",
        .shape = &catalogue->list,
        .help =
            "The first of these that lets a request pass is enough. Only `name` stands beside."};
    plugin_each_name(catalogue->home, NULL, 0, add_plugin, catalogue);
    return catalogue;
}

void catalogue_free(struct catalogue **catalogue)
{
    struct catalogue *old = *catalogue;

    *catalogue = NULL;
    if (!old)
        return;
    for (unsigned i = 0; i < old->n; i++)
        plugin_unref(&old->plugins[i]);
    home_free(&old->home);
    alloc_free(old);
}

const struct shape *catalogue_shape(const struct catalogue *catalogue)
{
    return &catalogue->list;
}
