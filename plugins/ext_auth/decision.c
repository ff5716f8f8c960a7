/*
 * decision.c - items are collected twice: to count them and their bytes, and to write them.
 */
#include "decision.h"

#include "kit/span.h"

#include <stdlib.h>

/* -- collecting ------------------------------------------------------------------ */

/* Where items go. out NULL: they are only counted. */
struct collector {
    struct item *out;
    char *text; /* where the next value goes */
    size_t n, bytes;
};

static struct sluice_span keep(struct collector *collector, struct sluice_span text)
{
    struct sluice_span kept = {collector->text, text.len};

    collector->bytes += text.len;
    if (!collector->out)
        return text;
    if (text.len > 0)
        memcpy(collector->text, text.ptr, text.len);
    collector->text += text.len;
    return kept;
}

static void add(struct collector *collector, struct item item)
{
    item.value = keep(collector, item.value);
    if (collector->out)
        collector->out[collector->n] = item;
    collector->n++;
}

static void add_listed(struct collector *collector, const struct sluice_list *list,
                       enum item_kind kind, const struct sluice_pair *field)
{
    const struct sluice_span *names = list->first;

    for (size_t i = 0; i < list->n; i++) {
        if (span_is_word(names[i], field->name)) {
            add(collector, (struct item){kind, 0, names[i], field->value});
            return;
        }
    }
}

static void add_attributes(struct collector *collector, const struct options *options,
                           const struct sluice_pair *field)
{
    const struct attribute_option *attributes = options->attributes.first;
    struct item item = {ITEM_ATTRIBUTE, 0, {NULL, 0}, field->value};

    if (span_is_word(options->consumer.name_field, field->name)) {
        item.id = options->consumer.name_id;
        add(collector, item);
    }
    if (span_is_word(options->consumer.groups_field, field->name)) {
        item.id = options->consumer.groups_id;
        add(collector, item);
    }
    for (size_t i = 0; i < options->attributes.n; i++) {
        if (span_is_word(attributes[i].field, field->name)) {
            item.id = attributes[i].id;
            add(collector, item);
        }
    }
}

static bool is_success(uint32_t status)
{
    return status >= 200 && status < 300;
}

static void collect(struct collector *collector, const struct options *options,
                    const struct sluice_http_response *response)
{
    for (size_t i = 0; i < response->n_fields; i++) {
        const struct sluice_pair *field = &response->fields[i];

        if (is_success(response->status)) {
            add_listed(collector, &options->upstream_fields, ITEM_UPSTREAM, field);
            add_listed(collector, &options->client_fields, ITEM_CLIENT, field);
            add_attributes(collector, options, field);
        } else {
            add_listed(collector, &options->denied_fields, ITEM_DENIED, field);
        }
    }
}

static struct sluice_span field_of(const struct sluice_http_response *response,
                                   struct sluice_span name)
{
    for (size_t i = 0; i < response->n_fields; i++) {
        if (span_is_word(response->fields[i].name, name))
            return response->fields[i].value;
    }
    return (struct sluice_span){NULL, 0};
}

/* -- making ---------------------------------------------------------------------- */

struct decision *decision_new(const struct options *options,
                              const struct sluice_http_response *response)
{
    struct sluice_span type = field_of(response, SLUICE_SPAN("content-type"));
    bool is_allowed = is_success(response->status);
    struct collector collector = {NULL, NULL, 0, 0};
    struct decision *decision;
    size_t bytes;

    collect(&collector, options, response);
    if (!is_allowed)
        collector.bytes += type.len + response->body.len;
    bytes = sizeof(*decision) + collector.n * sizeof(struct item) + collector.bytes;
    decision = malloc(bytes);
    if (!decision)
        return NULL;
    *decision = (struct decision){
        .is_allowed = is_allowed, .status = response->status, .bytes = bytes, .n = collector.n};
    collector = (struct collector){decision->items, (char *)(decision->items + collector.n), 0, 0};
    collect(&collector, options, response);
    if (!is_allowed && response->body.len > 0) {
        decision->content_type = keep(&collector, type);
        decision->body = keep(&collector, response->body);
    }
    return decision;
}

void decision_free(struct decision **decision)
{
    free(*decision);
    *decision = NULL;
}

/* -- how long -------------------------------------------------------------------- */

/* Seconds in milliseconds; more than a number holds is for ever. A malformed one is 0. */
static uint64_t seconds_of(struct sluice_span text)
{
    uint64_t seconds = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return 0;
        if (seconds < UINT32_MAX)
            seconds = seconds * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    return seconds * 1000;
}

/* What one directive leaves of ttl_ms. */
static uint64_t heed(struct sluice_span directive, uint64_t ttl_ms)
{
    const struct sluice_span max_age = SLUICE_SPAN("max-age=");
    struct sluice_span word = {directive.ptr, max_age.len}, rest;
    uint64_t age_ms;

    if (span_is_word(directive, SLUICE_SPAN("no-store")) ||
        span_is_word(directive, SLUICE_SPAN("no-cache")))
        return 0;
    if (directive.len < max_age.len || !span_is_word(word, max_age))
        return ttl_ms;
    rest = (struct sluice_span){directive.ptr + max_age.len, directive.len - max_age.len};
    age_ms = seconds_of(rest);
    return age_ms < ttl_ms ? age_ms : ttl_ms;
}

uint64_t decision_ttl_ms(const struct options *options, const struct sluice_http_response *response)
{
    uint64_t ttl_ms =
        is_success(response->status) ? options->cache.ttl_ms : options->cache.denied_ttl_ms;

    for (size_t i = 0; i < response->n_fields; i++) {
        struct sluice_span rest = response->fields[i].value, directive;

        if (span_is_word(response->fields[i].name, SLUICE_SPAN("set-cookie")))
            return 0; /* a cookie is for one client */
        if (!options->cache.heeds_cache_control ||
            !span_is_word(response->fields[i].name, SLUICE_SPAN("cache-control")))
            continue;
        while (span_cut(&rest, ',', &directive))
            ttl_ms = heed(span_trim(directive), ttl_ms);
    }
    return ttl_ms;
}
