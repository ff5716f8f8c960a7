/*
 * source_consul.c - a source over one feed a datacenter: choose by tags and meta, join by priority.
 */
#include "base/alloc.h"
#include "discovery/consul_feed.h"
#include "discovery/kinds.h"

enum { DATACENTERS_MAX = 16 };

/* A feed as this source reads it; its place is the priority. */
struct place {
    struct consul_reader reader;
    struct consul_source *owner; /* borrowed, around us */
    bool settled;                /* it has said something, or failed to */
};

struct consul_source {
    struct source source; /* first */
    struct arena arena;
    struct sluice_span *tags;
    size_t n_tags;
    struct found_pair *meta;
    size_t n_meta;
    struct place place[DATACENTERS_MAX];
    size_t n_places;
};

/* -- choosing ------------------------------------------------------------------ */

static bool has_tag(const struct found_endpoint *endpoint, struct sluice_span tag)
{
    for (size_t i = 0; i < endpoint->n_tags; i++) {
        if (span_equal(endpoint->tags[i], tag))
            return true;
    }
    return false;
}

static bool has_meta(const struct found_endpoint *endpoint, const struct found_pair *pair)
{
    for (size_t i = 0; i < endpoint->n_meta; i++) {
        if (span_equal(endpoint->meta[i].name, pair->name))
            return span_equal(endpoint->meta[i].value, pair->value);
    }
    return false;
}

static bool is_chosen(const struct consul_source *source, const struct found_endpoint *endpoint)
{
    for (size_t i = 0; i < source->n_tags; i++) {
        if (!has_tag(endpoint, source->tags[i]))
            return false;
    }
    for (size_t i = 0; i < source->n_meta; i++) {
        if (!has_meta(endpoint, &source->meta[i]))
            return false;
    }
    return true;
}

/* What is known of all datacenters; the oldest counts for the age. */
static struct found *join(const struct consul_source *source)
{
    const struct consul_feed *first = source->place[0].reader.feed;
    struct found *found;

    if (source->n_places == 1 && source->n_tags + source->n_meta == 0)
        return found_ref(first->found);
    found = found_new();
    for (size_t i = 0; i < source->n_places; i++) {
        const struct consul_feed *feed = source->place[i].reader.feed;

        if (!feed->found)
            continue;
        if (feed->found->as_of_wall_us < found->as_of_wall_us)
            found->as_of_wall_us = feed->found->as_of_wall_us;
        for (size_t j = 0; j < feed->found->n; j++) {
            struct found_endpoint endpoint = feed->found->endpoint[j];

            endpoint.priority = (uint32_t)i;
            if (is_chosen(source, &endpoint))
                (void)found_add_copy(found, &endpoint);
        }
    }
    found_say_version(found, "%.*s", (int)(first->found ? first->found->version.len : 0),
                      first->found ? first->found->version.ptr : "");
    return found;
}

/* -- telling --------------------------------------------------------------------- */

/* Everybody has spoken, and somebody has something. */
static bool is_ready(const struct consul_source *source)
{
    bool knows = false;

    for (size_t i = 0; i < source->n_places; i++) {
        if (!source->place[i].settled)
            return false;
        knows = knows || source->place[i].reader.feed->found;
    }
    return knows;
}

/* The feed that is worst off: held before failing. NULL: all are fresh. */
static const struct consul_feed *find_worst(const struct consul_source *source)
{
    const struct consul_feed *worst = NULL;

    for (size_t i = 0; i < source->n_places; i++) {
        const struct consul_feed *feed = source->place[i].reader.feed;

        if (feed->state == SOURCE_HELD)
            return feed;
        if (feed->state != SOURCE_FRESH && !worst)
            worst = feed;
    }
    return worst;
}

static void say_state(struct consul_source *source)
{
    const struct consul_feed *worst = find_worst(source);

    if (!worst && source->source.raw) {
        source_confirm(&source->source);
    } else if (worst && worst->state == SOURCE_HELD) {
        source_hold(&source->source, "%s: %s", worst->name.ptr, worst->why);
    } else if (worst) {
        source_fail(&source->source, "%s: %s", worst->name.ptr, worst->why);
    }
}

static void on_event(struct consul_reader *reader, enum consul_event event)
{
    struct place *place = list_entry(reader, struct place, reader);
    struct consul_source *source = place->owner;
    bool was_ready = is_ready(source);
    bool is_kept = reader->feed->state == SOURCE_STALE;
    struct found *found;

    place->settled = true;
    if (is_ready(source) && (event == CONSUL_NEWS || !was_ready)) {
        found = join(source);
        if (is_kept) {
            source_publish_kept(&source->source, &found);
        } else {
            source_publish(&source->source, &found);
        }
        if (find_worst(source) && !is_kept)
            say_state(source);
        return;
    }
    if (event != CONSUL_NEWS)
        say_state(source);
}

/* -- the kind ---------------------------------------------------------------------- */

static bool is_wanted(const struct source_conf *conf)
{
    return conf->consul.service.len > 0 || conf->consul.query.len > 0;
}

static void add_text(struct text *key, struct sluice_span text)
{
    text_format(key, "%zu:", text.len);
    text_add(key, text);
    text_add_char(key, ' ');
}

static void add_texts(struct text *key, const struct items *items)
{
    const struct sluice_span *text = items->first;

    text_format(key, "%zu[", items->n);
    for (size_t i = 0; i < items->n; i++)
        add_text(key, text[i]);
}

static void say_key(const struct source_conf *conf, struct text *key)
{
    const struct consul_source_conf *consul = &conf->consul;
    const struct meta_conf *meta = consul->meta.first;
    const struct sluice_span texts[] = {consul->service, consul->query, consul->filter,
                                        consul->ns,      consul->near,  consul->address,
                                        consul->zone,    consul->weight};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        add_text(key, texts[i]);
    add_texts(key, &consul->tags);
    add_texts(key, &consul->datacenters);
    for (size_t i = 0; i < consul->meta.n; i++) {
        add_text(key, meta[i].named.name);
        add_text(key, meta[i].value);
    }
    text_format(key, "%llu %llu %d %llu", (unsigned long long)consul->passing,
                (unsigned long long)consul->warning, consul->passing_only,
                (unsigned long long)consul->interval_ms);
}

static void say_title(const struct source_conf *conf, struct text *title)
{
    const struct sluice_span *tag = conf->consul.tags.first;

    text_add(title, SPAN("consul "));
    text_add(title, conf->consul.service.len ? conf->consul.service : conf->consul.query);
    for (size_t i = 0; i < conf->consul.tags.n; i++) {
        text_add(title, i ? SPAN(",") : SPAN(" "));
        text_add(title, tag[i]);
    }
}

static void copy_choice(struct consul_source *source, const struct consul_source_conf *conf)
{
    const struct sluice_span *tag = conf->tags.first;
    const struct meta_conf *meta = conf->meta.first;

    source->tags = arena_new(&source->arena, (conf->tags.n + 1) * sizeof(*source->tags));
    for (size_t i = 0; i < conf->tags.n; i++)
        source->tags[source->n_tags++] = arena_copy(&source->arena, tag[i]);
    source->meta = arena_new(&source->arena, (conf->meta.n + 1) * sizeof(*source->meta));
    for (size_t i = 0; i < conf->meta.n; i++) {
        source->meta[i].name = arena_copy(&source->arena, meta[i].named.name);
        source->meta[i].value = arena_copy(&source->arena, meta[i].value);
    }
    source->n_meta = conf->meta.n;
}

static void add_place(struct consul_source *source, const struct consul_source_conf *conf,
                      struct sluice_span datacenter)
{
    struct place *place = &source->place[source->n_places];
    const struct consul_spec spec = {
        .service = conf->service,
        .query = conf->query,
        .filter = conf->filter,
        .datacenter = datacenter,
        .ns = conf->ns,
        .near = conf->near,
        .reading = {.address = conf->address,
                    .zone = conf->zone,
                    .weight = conf->weight,
                    .passing = (uint32_t)conf->passing,
                    .warning = (uint32_t)conf->warning,
                    .passing_only = conf->passing_only},
        .interval_ms = conf->query.len ? conf->interval_ms : 0,
    };
    struct consul_feed *feed = consul_feed_get(source->source.sources->consul, &spec);

    source->n_places++;
    place->owner = source;
    place->reader.on_event = on_event;
    place->settled = feed->found || feed->errors > 0;
    consul_feed_read(&place->reader, &feed);
}

static struct source *open(struct sources *sources, const struct source_conf *conf,
                           struct notes *notes)
{
    const struct consul_source_conf *consul = &conf->consul;
    const struct sluice_span *datacenter = consul->datacenters.first;
    struct consul_source *source = alloc_new(sizeof(*source));
    struct found *found;

    (void)notes;
    source_init(&source->source, &source_consul, sources, conf);
    arena_init(&source->arena, NULL, 0);
    copy_choice(source, consul);
    if (!sources->consul)
        return &source->source; /* only looked at: nobody will ask */
    for (size_t i = 0; i < consul->datacenters.n && i < DATACENTERS_MAX; i++)
        add_place(source, consul, datacenter[i]);
    if (source->n_places == 0)
        add_place(source, consul, SPAN(""));
    if (is_ready(source)) {
        found = join(source);
        source_publish(&source->source, &found);
        if (find_worst(source))
            say_state(source);
    }
    return &source->source;
}

static void close(struct source **source_)
{
    struct consul_source *source = (struct consul_source *)(void *)*source_;

    *source_ = NULL;
    for (size_t i = 0; i < source->n_places; i++)
        consul_feed_leave(&source->place[i].reader);
    source_fini(&source->source);
    arena_fini(&source->arena);
    alloc_free(source);
}

const struct source_kind source_consul = {
    .name = "consul",
    .is_wanted = is_wanted,
    .say_key = say_key,
    .say_title = say_title,
    .open = open,
    .close = close,
};
