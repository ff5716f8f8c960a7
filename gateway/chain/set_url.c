/*
 * set_url.c - the upstreams that URLs in options stand for: one for each scheme and address.
 */
#include "chain/host.h"
#include "chain/set.h"

const struct sluice_upstream *set_url(struct chain_set *set, const struct sluice_target *target)
{
    bool is_v6 = span_find(target->host, ':') < target->host.len;
    struct sluice_span endpoint =
        arena_format(set->arena, is_v6 ? "[%.*s]:%.*s" : "%.*s:%.*s", (int)target->host.len,
                     target->host.ptr, (int)target->port.len, target->port.ptr);
    struct set_url *url;

    for (url = set->urls; url; url = url->next) {
        if (url->url.is_tls == target->is_tls && span_equal(url->url.endpoint, endpoint))
            return &url->upstream;
    }
    url = arena_new(set->arena, sizeof(*url));
    url->url = (struct chain_url){.endpoint = endpoint, .is_tls = target->is_tls, .at = target->at};
    url->url.name = arena_format(set->arena, "url:%s://%.*s", target->is_tls ? "https" : "http",
                                 (int)endpoint.len, endpoint.ptr);
    url->upstream.name = url->url.name;
    url->upstream.index = (unsigned)(set->n_upstreams + set->n_urls++);
    if (set->last_url) {
        set->last_url->next = url;
    } else {
        set->urls = url;
    }
    set->last_url = url;
    return &url->upstream;
}

size_t chain_set_urls(const struct chain_set *set)
{
    return set ? set->n_urls : 0;
}

const struct chain_url *chain_set_url(const struct chain_set *set, size_t i)
{
    const struct set_url *url = set->urls;

    for (; i > 0; i--)
        url = url->next;
    return &url->url;
}
