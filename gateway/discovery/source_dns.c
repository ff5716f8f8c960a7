/*
 * source_dns.c - the addresses of a name, or the servers of its SRV records.
 *
 * The first is a list of one name: what resolves the names of all kinds does the rest. SRV records
 * name servers, whose addresses are found in the same way.
 */
#include "base/alloc.h"
#include "discovery/kinds.h"
#include "discovery/names.h"

struct dns_source {
    struct source source;
    struct name_watch watch; /* of SRV records */
};

static bool is_wanted(const struct source_conf *conf)
{
    return conf->dns.name.len > 0;
}

static void say_key(const struct source_conf *conf, struct text *key)
{
    text_format(key, "%s %llu %d ", conf->dns.name.ptr, (unsigned long long)conf->dns.port,
                conf->dns.srv);
    dns_conf_say_key(&conf->dns.how, key);
}

static void say_title(const struct source_conf *conf, struct text *title)
{
    text_format(title, "dns %s%s", conf->dns.srv ? "srv " : "", conf->dns.name.ptr);
}

/* -- SRV ---------------------------------------------------------------- */

/* 0 is the lowest priority of the records, 1 the next, and so on; records are in that order. */
static void add_server(struct found *found, const struct record *record, uint32_t rank)
{
    struct found_endpoint *endpoint = found_add(found);

    if (!endpoint)
        return;
    endpoint->address = arena_format(&found->arena, "%s:%u", record->target, record->port);
    endpoint->priority = rank;
    endpoint->weight = record->weight ? record->weight : 1; /* 0 is "seldom", not "never" */
}

static void on_servers(struct name_watch *watch)
{
    struct dns_source *dns = list_entry(watch, struct dns_source, watch);
    struct found *found;
    struct name_news news;
    uint32_t rank = 0;

    name_news(watch, &news);
    if (news.why[0] != '\0' || news.n == 0) {
        source_fail(&dns->source, "%s", news.why);
        return;
    }
    found = found_new();
    found->as_of_wall_us = news.as_of_wall_us;
    for (size_t i = 0; i < news.n; i++) {
        if (i > 0 && news.record[i].priority != news.record[i - 1].priority)
            rank++;
        add_server(found, &news.record[i], rank);
    }
    found_say_version(found, "srv ttl %u", (unsigned)news.ttl_s);
    source_publish(&dns->source, &found);
}

/* -- life --------------------------------------------------------------- */

static struct source *open(struct sources *sources, const struct source_conf *conf,
                           struct notes *notes)
{
    struct dns_source *dns = alloc_new(sizeof(*dns));
    struct found *found;

    (void)notes;
    source_init(&dns->source, &source_dns, sources, conf);
    dns->source.dns = dns_conf_join(&conf->dns.how, &sources->dns, &dns->source.arena);
    name_watch_init(&dns->watch, on_servers);
    if (conf->dns.srv) {
        name_watch_start(&dns->watch, sources->names, &dns->source.dns, conf->dns.name, true);
        return &dns->source;
    }
    dns->source.is_constant = true;
    found = found_new();
    found_add(found)->address = arena_format(&found->arena, "%s:%llu", conf->dns.name.ptr,
                                             (unsigned long long)conf->dns.port);
    source_publish(&dns->source, &found);
    return &dns->source;
}

static void close(struct source **source)
{
    struct dns_source *dns = list_entry(*source, struct dns_source, source);

    name_watch_stop(&dns->watch);
    source_fini(&dns->source);
    alloc_free(dns);
    *source = NULL;
}

const struct source_kind source_dns = {
    .name = "dns",
    .is_wanted = is_wanted,
    .say_key = say_key,
    .say_title = say_title,
    .open = open,
    .close = close,
};
