/*
 * source.c - what all kinds of sources share: who reads, what is known, how old it is.
 *
 * raw is what a source has published, found what its readers get. They are the same set unless
 * addresses are host names. So there are two reasons to be in trouble: the kind's own, and names'.
 */
#include "discovery/source.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"
#include "base/map.h"
#include "base/now.h"
#include "discovery/expand.h"
#include "discovery/kinds.h"
#include "discovery/names.h"

enum { KEY_MAX = 64 * 1024 * 1024, TITLE_MAX = 256, WHY_MAX = 640 };

static const struct source_kind *const kinds[] = {&source_static, &source_file, &source_dns,
                                                  &source_consul};

enum { N_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

const struct source_kind *source_kind_of(const struct source_conf *conf)
{
    for (size_t i = 0; i < N_KINDS; i++) {
        if (kinds[i]->is_wanted(conf))
            return kinds[i];
    }
    return NULL;
}

static void list_kinds(const struct source_conf *conf, struct text *out, const char *last)
{
    for (size_t i = 0; i < N_KINDS; i++) {
        if (!conf || kinds[i]->is_wanted(conf))
            text_format(out, "%s%s", out->len ? last : "", kinds[i]->name);
    }
}

void source_conf_check(struct bind *bind, struct mark at, const struct source_conf *conf)
{
    char all_bytes[TITLE_MAX], here_bytes[TITLE_MAX];
    struct text all, here;
    size_t n = 0;

    for (size_t i = 0; i < N_KINDS; i++) {
        n += kinds[i]->is_wanted(conf);
    }
    if (n == 1)
        return;
    text_init_fixed(&all, all_bytes, sizeof(all_bytes));
    text_init_fixed(&here, here_bytes, sizeof(here_bytes));
    list_kinds(NULL, &all, ", ");
    list_kinds(conf, &here, " and ");
    if (n == 0) {
        notes_error(bind->notes, at, arena_format(bind->arena, "write one of: %s", all_bytes).ptr,
                    "the upstream does not say where its endpoints come from");
    } else {
        notes_error(bind->notes, at, "keep one of them",
                    "the upstream has several sources of endpoints: %s", here_bytes);
    }
}

bool source_ages(const struct source *source)
{
    return !source->is_constant || source->names || (source->found && !source->found->literal);
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

const struct source_status *source_status(const struct source *source)
{
    return &source->seen;
}

/* -- how it is doing ---------------------------------------------------- */

static const char *text_of(const struct text *text)
{
    return text->len > 0 ? text->ptr : "";
}

static uint64_t as_of(const struct source *source)
{
    uint64_t names = UINT64_MAX;
    uint64_t own = source->is_constant ? UINT64_MAX : source->own.as_of_wall_us;

    if (!source->found)
        return 0;
    if (source->found != source->raw)
        names = source->found->as_of_wall_us;
    if (names == UINT64_MAX && own == UINT64_MAX)
        return source->own.as_of_wall_us;
    return names < own ? names : own;
}

/* The kind's own word, and what became of names. */
static void judge(struct source *source)
{
    source->seen = source->own;
    source->seen.why = text_of(&source->own_why);
    source->seen.as_of_wall_us = as_of(source);
    if (source->names_why.len > 0 && source->own.state == SOURCE_FRESH) {
        source->seen.state = SOURCE_STALE;
        source->seen.why = text_of(&source->names_why);
    }
    if (!source->found)
        source->seen.state = SOURCE_WAITING;
}

static void say_news(const struct source *source, enum source_state before)
{
    const struct source_status *now = &source->seen;

    if (now->why[0] != '\0') {
        log_warn(now->state == SOURCE_HELD ? "source is not believed" : "source failed",
                 F_STR("source", source->title), F_STR("cause", now->why),
                 F_BOOL("kept", source->found != NULL));
    } else if (before == SOURCE_STALE || before == SOURCE_HELD) {
        log_info("source is fresh again", F_STR("source", source->title));
    }
}

/*
 * Takes over one of the two reasons. A source that fails all the time says the same reason once.
 */
static void set_why(struct source *source, struct text *why, const char *is)
{
    enum source_state before = source->seen.state;
    bool is_news = !span_equal(text_span(why), span_of(is));

    text_reset(why);
    text_add(why, span_of(is));
    judge(source);
    if (is_news || (source->seen.why[0] != '\0' && source->seen.state != before))
        say_news(source, before);
}

static void set_own(struct source *source, enum source_state state, const char *why)
{
    source->own.state = state;
    set_why(source, &source->own_why, why);
}

/* -- what is known ------------------------------------------------------ */

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

/* A set with literal addresses. */
static void set_found(struct source *source, struct found *found)
{
    struct found *old = source->found;

    if (old == found)
        return;
    source->found = found_ref(found);
    if (!old || old->hash != found->hash) {
        source->own.updates++;
        judge(source);
        tell_readers(source);
    }
    found_unref(&old);
}

static void on_names(void *source_, struct found **found, const char *why)
{
    struct source *source = source_;

    if (why[0] != '\0')
        source->own.errors++;
    if (*found) {
        (*found)->hash = found_hash(*found);
        (*found)->literal = true;
        set_found(source, *found);
    }
    set_why(source, &source->names_why, why);
}

/* The names of raw are asked for, and their addresses become found. */
static void ask_names(struct source *source)
{
    if (!source->names) {
        source->names = expansion_new(source->sources->loop, source->sources->names, &source->dns,
                                      on_names, source);
    }
    expansion_set(source->names, source->raw);
}

static void take_over(struct source *source, struct found **found)
{
    struct found *old = source->raw;

    (*found)->hash = found_hash(*found);
    source->own.as_of_wall_us = (*found)->as_of_wall_us;
    if (old && old->hash == (*found)->hash) {
        found_unref(found);
        return;
    }
    (*found)->literal = is_literal(*found);
    source->raw = *found;
    *found = NULL;
    if (source->raw->literal) {
        expansion_free(&source->names);
        text_reset(&source->names_why);
        set_found(source, source->raw);
    } else {
        ask_names(source);
    }
    found_unref(&old);
}

void source_publish(struct source *source, struct found **found)
{
    take_over(source, found);
    set_own(source, SOURCE_FRESH, "");
}

void source_publish_kept(struct source *source, struct found **found)
{
    take_over(source, found);
    set_own(source, SOURCE_STALE, "kept from before the start");
}

void source_confirm(struct source *source)
{
    CHECK(source->raw);
    source->own.as_of_wall_us = now_wall_us();
    set_own(source, SOURCE_FRESH, "");
}

void source_fail(struct source *source, const char *format, ...)
{
    char bytes[WHY_MAX];
    struct text why;
    va_list args;

    source->own.errors++;
    text_init_fixed(&why, bytes, sizeof(bytes));
    va_start(args, format);
    text_vformat(&why, format, args);
    va_end(args);
    set_own(source, SOURCE_STALE, bytes);
}

void source_hold(struct source *source, const char *format, ...)
{
    char bytes[WHY_MAX];
    struct text why;
    va_list args;

    text_init_fixed(&why, bytes, sizeof(bytes));
    va_start(args, format);
    text_vformat(&why, format, args);
    va_end(args);
    set_own(source, SOURCE_HELD, bytes);
}

/* -- life --------------------------------------------------------------- */

/* How names are asked for by default belongs to it: any kind may publish names. */
static void say_key(const struct sources *sources, const struct source_kind *kind,
                    const struct source_conf *conf, struct text *key)
{
    text_init(key, KEY_MAX);
    text_format(key, "%s ", kind->name);
    dns_conf_say_key(&sources->dns, key);
    kind->say_key(conf, key);
}

void source_init(struct source *source, const struct source_kind *kind, struct sources *sources,
                 const struct source_conf *conf)
{
    char bytes[TITLE_MAX];
    struct text key, title;

    source->kind = kind;
    source->sources = sources;
    source->own.why = source->seen.why = "";
    list_init(&source->readers);
    arena_init(&source->arena, NULL, 0);
    text_init(&source->own_why, WHY_MAX);
    text_init(&source->names_why, WHY_MAX);
    source->dns = dns_conf_copy(&sources->dns, &source->arena);
    say_key(sources, kind, conf, &key);
    source->key = alloc_text(key.ptr, key.len);
    text_fini(&key);
    text_init_fixed(&title, bytes, sizeof(bytes));
    kind->say_title(conf, &title);
    source->title = alloc_text(bytes, title.len);
    map_set(sources->by_key, span_of(source->key), source);
}

void source_fini(struct source *source)
{
    CHECK(list_is_empty(&source->readers));
    map_remove(source->sources->by_key, span_of(source->key));
    expansion_free(&source->names);
    found_unref(&source->raw);
    found_unref(&source->found);
    text_fini(&source->own_why);
    text_fini(&source->names_why);
    arena_fini(&source->arena);
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
    say_key(sources, kind, conf, &key);
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
    sources->names = names_new(loop, &sources->rng);
    sources->dns = dns_conf_default();
    arena_init(&sources->arena, NULL, 0);
    return sources;
}

void sources_free(struct sources **sources)
{
    if (!*sources)
        return;
    CHECK(map_count((*sources)->by_key) == 0);
    names_free(&(*sources)->names);
    map_free(&(*sources)->by_key);
    arena_fini(&(*sources)->arena);
    alloc_free(*sources);
    *sources = NULL;
}

void sources_set_dns(struct sources *sources, const struct dns_conf *conf)
{
    struct arena old = sources->arena;

    arena_init(&sources->arena, NULL, 0);
    sources->dns = dns_conf_copy(conf, &sources->arena);
    arena_fini(&old);
}
