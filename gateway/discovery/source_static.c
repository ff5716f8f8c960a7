/*
 * source_static.c - endpoints as the configuration lists them. Said once, and true for ever.
 */
#include "base/alloc.h"
#include "discovery/kinds.h"

static bool is_wanted(const struct source_conf *conf)
{
    return conf->endpoints.n > 0;
}

static struct found *list(const struct source_conf *conf)
{
    const struct endpoint_conf *endpoint = conf->endpoints.first;
    struct found *found = found_new();

    for (size_t i = 0; i < conf->endpoints.n; i++) {
        endpoint_conf_add(&endpoint[i], found);
    }
    found_say_version(found, "configuration");
    return found;
}

static void say_key(const struct source_conf *conf, struct text *key)
{
    struct found *found = list(conf);

    for (size_t i = 0; i < found->n; i++) {
        text_format(key, "%.*s %llx ", (int)found->endpoint[i].address.len,
                    found->endpoint[i].address.ptr,
                    (unsigned long long)found_hash_endpoint(&found->endpoint[i]));
    }
    found_unref(&found);
}

static void say_title(const struct source_conf *conf, struct text *title)
{
    (void)conf;
    text_add(title, SPAN("static"));
}

static struct source *open(struct sources *sources, const struct source_conf *conf,
                           struct notes *notes)
{
    struct source *source = alloc_new(sizeof(*source));
    struct found *found = list(conf);

    (void)notes;
    source_init(source, &source_static, sources, conf);
    source->is_constant = true;
    source_publish(source, &found);
    return source;
}

static void close(struct source **source)
{
    source_fini(*source);
    alloc_free(*source);
    *source = NULL;
}

const struct source_kind source_static = {
    .name = "endpoints",
    .is_wanted = is_wanted,
    .say_key = say_key,
    .say_title = say_title,
    .open = open,
    .close = close,
};
