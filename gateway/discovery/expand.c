#include "discovery/expand.h"

#include "base/alloc.h"
#include "base/map.h"
#include "base/text.h"
#include "core/loop.h"

#include <stdio.h>

enum { WHY_MAX = 512 };

struct expansion {
    struct loop *loop;    /* borrowed */
    struct names *names;  /* borrowed */
    struct dns_conf conf; /* spans borrowed from the owner */
    expansion_fn *tell;
    void *arg;         /* borrowed */
    struct found *raw; /* shared */
    struct map *asked; /* owned, of owned struct asked, by name */
    struct soon soon;
};

/* One name of the set. */
struct asked {
    struct name_watch watch;
    struct expansion *expansion; /* borrowed */
};

/* What is said of all names together. */
struct summary {
    bool waiting;
    uint32_t ttl_s;
    uint64_t as_of_wall_us;
    char why[WHY_MAX];
};

/* -- names -------------------------------------------------------------- */

static void on_news(struct name_watch *watch)
{
    struct expansion *expansion = list_entry(watch, struct asked, watch)->expansion;

    loop_soon(expansion->loop, &expansion->soon);
}

static void ask(struct expansion *expansion, struct map *asked, struct sluice_span host)
{
    struct asked *name;

    if (map_find(asked, host))
        return;
    name = map_remove(expansion->asked, host);
    if (!name) {
        name = alloc_new(sizeof(*name));
        name->expansion = expansion;
        name_watch_init(&name->watch, on_news);
        name_watch_start(&name->watch, expansion->names, &expansion->conf, host, false);
    }
    map_set(asked, host, name);
}

static void forget_all(struct map **asked)
{
    struct sluice_span host;
    void *value;
    size_t at = 0;

    while (map_each(*asked, &at, &host, &value)) {
        struct asked *name = value;

        name_watch_stop(&name->watch);
        alloc_free(name);
    }
    map_free(asked);
}

void expansion_set(struct expansion *expansion, struct found *raw)
{
    struct map *asked = map_new();
    struct found *old = expansion->raw;
    struct sluice_span host;
    uint16_t port;

    for (size_t i = 0; i < raw->n; i++) {
        if (found_split_name(raw->endpoint[i].address, &host, &port))
            ask(expansion, asked, host);
    }
    forget_all(&expansion->asked);
    expansion->asked = asked;
    expansion->raw = found_ref(raw);
    found_unref(&old);
    loop_soon(expansion->loop, &expansion->soon);
}

/* -- the set ------------------------------------------------------------ */

static void sum_up(const struct expansion *expansion, struct summary *sum)
{
    struct sluice_span host;
    void *value;
    size_t at = 0;

    *sum = (struct summary){.ttl_s = UINT32_MAX, .as_of_wall_us = UINT64_MAX};
    while (map_each(expansion->asked, &at, &host, &value)) {
        struct name_news news;

        name_news(&((struct asked *)value)->watch, &news);
        sum->waiting |= !news.asked;
        if (news.n > 0 && news.ttl_s < sum->ttl_s)
            sum->ttl_s = news.ttl_s;
        if (news.n > 0 && news.as_of_wall_us < sum->as_of_wall_us)
            sum->as_of_wall_us = news.as_of_wall_us;
        if (news.why[0] != '\0' && sum->why[0] == '\0')
            snprintf(sum->why, sizeof(sum->why), "%.*s: %s", (int)host.len, host.ptr, news.why);
    }
}

static void add_addresses(const struct expansion *expansion, const struct found_endpoint *from,
                          struct sluice_span host, uint16_t port, struct found *found)
{
    const struct asked *name = map_find(expansion->asked, host);
    struct name_news news;

    name_news(&name->watch, &news);
    for (size_t i = 0; i < news.n; i++) {
        struct found_endpoint *to = found_add(found);
        struct addr addr = news.record[i].addr;
        char text[ADDR_TEXT];

        if (!to)
            return;
        addr.port = port;
        *to = *from;
        to->address =
            arena_copy(&found->arena, span_make(text, addr_format(&addr, text, sizeof(text))));
        if (to->host.len == 0)
            to->host = host;
    }
}

/* Texts stay in the raw set, which the new one keeps. */
static struct found *expand(const struct expansion *expansion, const struct summary *sum)
{
    const struct found *raw = expansion->raw;
    struct found *found = found_new();

    found->base = found_ref(expansion->raw);
    found->as_of_wall_us = sum->as_of_wall_us;
    for (size_t i = 0; i < raw->n; i++) {
        const struct found_endpoint *from = &raw->endpoint[i];
        struct sluice_span host;
        uint16_t port;

        if (found_split_name(from->address, &host, &port)) {
            add_addresses(expansion, from, host, port, found);
        } else {
            struct found_endpoint *to = found_add(found);

            if (to)
                *to = *from;
        }
    }
    found_say_version(found, "%.*s%sdns ttl %u", (int)raw->version.len, raw->version.ptr,
                      raw->version.len ? ", " : "", (unsigned)sum->ttl_s);
    return found;
}

static void on_soon(struct soon *soon)
{
    struct expansion *expansion = list_entry(soon, struct expansion, soon);
    struct found *found = NULL;
    struct summary sum;

    sum_up(expansion, &sum);
    if (!sum.waiting)
        found = expand(expansion, &sum);
    if (found && found->n == 0)
        found_unref(&found);
    expansion->tell(expansion->arg, &found, sum.why);
    found_unref(&found);
}

/* -- life --------------------------------------------------------------- */

struct expansion *expansion_new(struct loop *loop, struct names *names, const struct dns_conf *conf,
                                expansion_fn *tell, void *arg)
{
    struct expansion *expansion = alloc_new(sizeof(*expansion));

    expansion->loop = loop;
    expansion->names = names;
    expansion->conf = *conf;
    expansion->tell = tell;
    expansion->arg = arg;
    expansion->asked = map_new();
    soon_init(&expansion->soon, on_soon);
    return expansion;
}

void expansion_free(struct expansion **expansion)
{
    struct expansion *old = *expansion;

    if (!old)
        return;
    *expansion = NULL;
    soon_cancel(&old->soon);
    forget_all(&old->asked);
    found_unref(&old->raw);
    alloc_free(old);
}
