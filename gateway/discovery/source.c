/*
 * source.c - what all kinds of sources share: who reads, what is known, how old it is.
 *
 * raw is what a source has published, found what its readers get. They are the same set unless
 * addresses are host names.
 */
#include "discovery/source.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"
#include "base/map.h"
#include "base/now.h"
#include "discovery/kinds.h"

enum { KEY_MAX = 64 * 1024 * 1024, TITLE_MAX = 256, WHY_MAX = 512 };

static const struct source_kind *const kinds[] = {&source_static};

enum { N_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

const struct source_kind *source_kind_of(const struct source_conf *conf)
{
    for (size_t i = 0; i < N_KINDS; i++) {
        if (kinds[i]->is_wanted(conf))
            return kinds[i];
    }
    return NULL;
}

const char *source_state_name(enum source_state state)
{
    static const char *const names[] = {
        [SOURCE_WAITING] = "waiting",
        [SOURCE_FRESH] = "fresh",
        [SOURCE_STALE] = "stale",
        [SOURCE_HELD] = "held",
    };

    return names[state];
}

/* -- readers ------------------------------------------------------------ */

void source_reader_init(struct source_reader *reader,
                        void (*on_found)(struct source_reader *reader))
{
    list_init(&reader->link);
    reader->on_found = on_found;
    reader->source = NULL;
}

void source_read(struct source_reader *reader, struct source **source)
{
    CHECK(!reader->source);
    reader->source = *source;
    *source = NULL;
    list_append(&reader->source->readers, &reader->link);
}

void source_leave(struct source_reader *reader)
{
    if (!reader->source)
        return;
    list_remove(&reader->link);
    source_unref(&reader->source);
}

struct found *source_found(const struct source *source)
{
    return source->found;
}

/* -- what is known ------------------------------------------------------ */

static void set_state(struct source *source, enum source_state state, struct sluice_span why)
{
    source->status.state = state;
    text_reset(&source->why);
    text_add(&source->why, why);
    source->status.why = source->why.len > 0 ? source->why.ptr : "";
}

static bool is_literal(const struct found *found)
{
    for (size_t i = 0; i < found->n; i++) {
        if (!found_is_literal(found->endpoint[i].address))
            return false;
    }
    return true;
}

/* Readers may leave while they are being told, but only for themselves. */
static void tell_readers(struct source *source)
{
    source->refs++;
    list_each_safe (node, after, &source->readers) {
        struct source_reader *reader = list_entry(node, struct source_reader, link);

        reader->on_found(reader);
    }
    source->refs--;
}

static void take_over(struct source *source, struct found **found)
{
    struct found *old = source->raw;

    (*found)->hash = found_hash(*found);
    (*found)->literal = is_literal(*found);
    source->status.as_of_wall_us = (*found)->as_of_wall_us;
    if (old && old->hash == (*found)->hash) {
        found_unref(found);
        return;
    }
    source->raw = *found;
    *found = NULL;
    found_unref(&source->found);
    source->found = found_ref(source->raw);
    source->status.updates++;
    found_unref(&old);
    tell_readers(source);
}

void source_publish(struct source *source, struct found **found)
{
    if (source->status.state == SOURCE_STALE || source->status.state == SOURCE_HELD)
        log_info("source is fresh again", F_STR("source", source->title));
    set_state(source, SOURCE_FRESH, SPAN(""));
    take_over(source, found);
}

void source_publish_kept(struct source *source, struct found **found)
{
    set_state(source, SOURCE_STALE, SPAN("kept from before the start"));
    take_over(source, found);
}

void source_confirm(struct source *source)
{
    CHECK(source->raw);
    if (source->status.state != SOURCE_FRESH)
        log_info("source is fresh again", F_STR("source", source->title));
    source->status.as_of_wall_us = now_wall_us();
    set_state(source, SOURCE_FRESH, SPAN(""));
}

/* A source that fails all the time says the same reason once. */
static void set_trouble(struct source *source, enum source_state state, const char *format,
                        va_list args)
{
    char bytes[WHY_MAX];
    struct text why;
    bool is_news;

    text_init_fixed(&why, bytes, sizeof(bytes));
    text_vformat(&why, format, args);
    is_news =
        source->status.state != state || !span_equal(text_span(&source->why), text_span(&why));
    set_state(source, state, text_span(&why));
    if (is_news) {
        log_warn(state == SOURCE_HELD ? "source is not believed" : "source failed",
                 F_STR("source", source->title), F_SPAN("cause", text_span(&why)),
                 F_BOOL("kept", source->raw != NULL));
    }
}

void source_fail(struct source *source, const char *format, ...)
{
    va_list args;

    source->status.errors++;
    va_start(args, format);
    set_trouble(source, source->raw ? SOURCE_STALE : SOURCE_WAITING, format, args);
    va_end(args);
}

void source_hold(struct source *source, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    set_trouble(source, SOURCE_HELD, format, args);
    va_end(args);
}

/* -- life --------------------------------------------------------------- */

static void say_key(const struct source_kind *kind, const struct source_conf *conf,
                    struct text *key)
{
    text_init(key, KEY_MAX);
    text_format(key, "%s ", kind->name);
    kind->say_key(conf, key);
}

void source_init(struct source *source, const struct source_kind *kind, struct sources *sources,
                 const struct source_conf *conf)
{
    char bytes[TITLE_MAX];
    struct text key, title;

    source->kind = kind;
    source->sources = sources;
    source->status.why = "";
    list_init(&source->readers);
    text_init(&source->why, WHY_MAX);
    say_key(kind, conf, &key);
    source->key = alloc_text(key.ptr, key.len);
    text_fini(&key);
    text_init_fixed(&title, bytes, sizeof(bytes));
    kind->say_title(conf, &title);
    source->title = alloc_text(title.ptr, title.len);
    map_set(sources->by_key, span_of(source->key), source);
}

void source_fini(struct source *source)
{
    CHECK(list_is_empty(&source->readers));
    map_remove(source->sources->by_key, span_of(source->key));
    found_unref(&source->raw);
    found_unref(&source->found);
    text_fini(&source->why);
    alloc_free(source->key);
    alloc_free(source->title);
}

struct source *sources_get(struct sources *sources, const struct source_conf *conf,
                           struct notes *notes)
{
    const struct source_kind *kind = source_kind_of(conf);
    struct source *source;
    struct text key;

    CHECK(kind);
    say_key(kind, conf, &key);
    source = map_find(sources->by_key, text_span(&key));
    text_fini(&key);
    if (!source)
        source = kind->open(sources, conf, notes);
    if (source)
        source->refs++;
    return source;
}

void source_unref(struct source **source)
{
    struct source *old = *source;

    *source = NULL;
    if (old && --old->refs == 0)
        old->kind->close(&old);
}

/* -- all of them -------------------------------------------------------- */

struct sources *sources_new(struct loop *loop)
{
    struct sources *sources = alloc_new(sizeof(*sources));

    sources->loop = loop;
    sources->by_key = map_new();
    rng_init(&sources->rng);
    return sources;
}

void sources_free(struct sources **sources)
{
    if (!*sources)
        return;
    CHECK(map_count((*sources)->by_key) == 0);
    map_free(&(*sources)->by_key);
    alloc_free(*sources);
    *sources = NULL;
}
