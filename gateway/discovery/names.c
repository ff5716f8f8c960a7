/*
 * names.c - each name goes round: asked, answered, at rest until it is due again.
 *
 * Addresses are two questions, one a family. Each keeps its own last answer, so that a resolver
 * that fails for one family takes nothing of it back; "no such record" for one family counts only
 * when the other has some.
 */
#include "discovery/names.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/map.h"
#include "base/now.h"
#include "base/rng.h"
#include "base/text.h"
#include "core/alarm.h"
#include "core/loop.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum {
    PARTS = 2, /* questions of a name: A and AAAA; or SRV alone */
    FIRST_PAUSE_MS = 1000,
    LAST_PAUSE_MS = 30000,
    UNKNOWN_TTL_S = 30, /* of /etc/hosts */
    KEY_MAX = 8192,
    SERVERS_MAX = 4096,
    WHY_MAX = 128,
};

struct names {
    struct loop *loop;    /* borrowed */
    struct rng *rng;      /* borrowed */
    struct map *by_key;   /* owned, of struct name */
    struct map *asking;   /* owned, of struct asker */
    struct list unwanted; /* of struct name: those without a watch */
    struct soon sweep;    /* frees them */
    bool has_ipv6;        /* this machine has an address of it that others can be reached by */
};

/* A resolver and how many names use it. */
struct asker {
    struct resolver *resolver; /* owned; NULL: it cannot be had */
    char *key;                 /* owned */
    unsigned refs;
};

/* The last good answer of one question. */
struct part {
    struct question *question; /* while it is open */
    enum resolver_type type;
    struct record *record; /* owned */
    size_t n;
    enum err err; /* of the last round */
    uint32_t ttl_s;
    char why[WHY_MAX];
};

struct name {
    struct names *names;        /* borrowed */
    struct list link;           /* names->unwanted */
    struct list watches;        /* of struct name_watch */
    char *key, *text, *servers; /* owned */
    struct asker *asker;        /* of this round */
    struct part part[PARTS];
    unsigned n_parts, n_open;
    uint64_t min_ms, max_ms, timeout_ms;
    uint64_t pause_ms; /* after the next failure */
    struct alarm due;
    struct record *record; /* owned: of all parts together */
    size_t n;
    uint32_t ttl_s;
    uint64_t as_of_wall_us;
    bool asked;
    const char *why; /* borrowed from a part, or a literal */
};

/* -- resolvers ---------------------------------------------------------- */

/* Another number when the system's own servers may have changed. */
static uint64_t system_stamp(void)
{
    struct stat about;

    if (stat("/etc/resolv.conf", &about) < 0)
        return 0;
    return (uint64_t)about.st_mtim.tv_sec * 1000000000u + (uint64_t)about.st_mtim.tv_nsec +
           about.st_ino;
}

static void asker_unref(struct names *names, struct asker **asker)
{
    struct asker *old = *asker;

    *asker = NULL;
    if (!old || --old->refs > 0)
        return;
    map_remove(names->asking, span_of(old->key));
    resolver_free(&old->resolver);
    alloc_free(old->key);
    alloc_free(old);
}

static struct asker *asker_get(struct names *names, const struct name *name)
{
    char bytes[KEY_MAX];
    struct text key;
    struct asker *asker;

    text_init_fixed(&key, bytes, sizeof(bytes));
    text_format(&key, "%s %llu %llu", name->servers, (unsigned long long)name->timeout_ms,
                (unsigned long long)(name->servers[0] ? 0 : system_stamp()));
    asker = map_find(names->asking, text_span(&key));
    if (!asker) {
        asker = alloc_new(sizeof(*asker));
        asker->key = alloc_text(key.ptr, key.len);
        asker->resolver = resolver_new(names->loop, name->servers, (unsigned)name->timeout_ms);
        map_set(names->asking, text_span(&key), asker);
    }
    asker->refs++;
    return asker;
}

/* -- the end of a round --------------------------------------------------- */

static int by_content(const void *a_, const void *b_)
{
    const struct record *a = a_;
    const struct record *b = b_;
    int order = (a->addr.family > b->addr.family) - (a->addr.family < b->addr.family);

    if (order == 0)
        order = memcmp(a->addr.ip, b->addr.ip, sizeof(a->addr.ip));
    if (order == 0)
        order = (a->priority > b->priority) - (a->priority < b->priority);
    if (order == 0)
        order = strcmp(a->target, b->target);
    return order ? order : (a->port > b->port) - (a->port < b->port);
}

static void join_parts(struct name *name)
{
    size_t n = 0;

    alloc_free(name->record);
    name->record = alloc_new((name->part[0].n + name->part[1].n + 1) * sizeof(*name->record));
    for (unsigned i = 0; i < name->n_parts; i++) {
        if (name->part[i].n > 0) {
            memcpy(&name->record[n], name->part[i].record, name->part[i].n * sizeof(*name->record));
        }
        n += name->part[i].n;
    }
    qsort(name->record, n, sizeof(*name->record), by_content);
    name->n = 0;
    for (size_t i = 0; i < n; i++) {
        if (name->n == 0 || by_content(&name->record[name->n - 1], &name->record[i]) != 0)
            name->record[name->n++] = name->record[i];
    }
}

static bool has_ok(const struct name *name)
{
    for (unsigned i = 0; i < name->n_parts; i++) {
        if (name->part[i].err == OK)
            return true;
    }
    return false;
}

/* What the parts say together; sets why. */
static void judge(struct name *name)
{
    bool ok = has_ok(name);

    name->why = "";
    name->ttl_s = UINT32_MAX;
    for (unsigned i = 0; i < name->n_parts; i++) {
        struct part *part = &name->part[i];

        if (part->err == OK && part->ttl_s < name->ttl_s)
            name->ttl_s = part->ttl_s;
        if (part->err == ERR_MISSING && ok) {
            part->n = 0;
        } else if (part->err != OK) {
            name->why = part->why;
        }
    }
    if (name->ttl_s == UINT32_MAX)
        name->ttl_s = UNKNOWN_TTL_S;
}

static void tell_watches(struct name *name)
{
    list_each_safe (node, after, &name->watches) {
        struct name_watch *watch = list_entry(node, struct name_watch, link);

        watch->on_news(watch);
    }
}

static uint64_t next_ms(struct name *name)
{
    uint64_t ms = (uint64_t)name->ttl_s * 1000;

    if (name->why[0] != '\0') {
        ms = name->pause_ms / 2 + rng_below(name->names->rng, name->pause_ms / 2 + 1);
        name->pause_ms = name->pause_ms * 2 < LAST_PAUSE_MS ? name->pause_ms * 2 : LAST_PAUSE_MS;
        return ms < name->max_ms ? ms : name->max_ms;
    }
    name->pause_ms = FIRST_PAUSE_MS;
    if (ms < name->min_ms)
        ms = name->min_ms;
    if (ms > name->max_ms)
        ms = name->max_ms;
    return ms + rng_below(name->names->rng, ms / 20 + 1); /* not all at the same moment */
}

static void end_round(struct name *name)
{
    name->asked = true;
    judge(name);
    if (has_ok(name)) {
        join_parts(name);
        if (name->why[0] == '\0')
            name->as_of_wall_us = now_wall_us();
    }
    alarm_arm(name->names->loop, &name->due, next_ms(name));
    tell_watches(name);
}

/* -- a round -------------------------------------------------------------- */

static void on_answer(struct name *name, struct part *part, const struct resolver_answer *answer)
{
    part->question = NULL;
    part->err = answer->err;
    part->ttl_s = answer->ttl_s;
    snprintf(part->why, sizeof(part->why), "%s", answer->why);
    if (answer->err == OK) {
        alloc_free(part->record);
        part->n = answer->n;
        part->record = alloc_new(answer->n * sizeof(*part->record));
        memcpy(part->record, answer->record, answer->n * sizeof(*part->record));
    }
    if (--name->n_open == 0)
        end_round(name);
}

static void on_first(void *name_, const struct resolver_answer *answer)
{
    struct name *name = name_;

    on_answer(name, &name->part[0], answer);
}

static void on_second(void *name_, const struct resolver_answer *answer)
{
    struct name *name = name_;

    on_answer(name, &name->part[1], answer);
}

static void on_due(struct alarm *alarm)
{
    struct name *name = list_entry(alarm, struct name, due);
    struct asker *old = name->asker;

    name->asker = asker_get(name->names, name);
    asker_unref(name->names, &old);
    name->n_open = name->n_parts;
    for (unsigned i = 0; i < name->n_parts && i < PARTS; i++) {
        struct part *part = &name->part[i];

        if (name->asker->resolver) {
            part->question = resolver_ask(name->asker->resolver, part->type, name->text,
                                          i == 0 ? on_first : on_second, name);
        } else {
            const struct resolver_answer none = {.err = ERR_SYSTEM,
                                                 .why = "the resolver cannot be set up"};

            on_answer(name, part, &none);
        }
    }
}

/* -- names ---------------------------------------------------------------- */

static bool finds_ipv6(const struct ifaddrs *found)
{
    for (; found; found = found->ifa_next) {
        const struct sockaddr_in6 *own = (const struct sockaddr_in6 *)(const void *)found->ifa_addr;

        if (own && own->sin6_family == AF_INET6 && !(found->ifa_flags & IFF_LOOPBACK) &&
            !IN6_IS_ADDR_LINKLOCAL(&own->sin6_addr))
            return true;
    }
    return false;
}

static bool machine_has_ipv6(void)
{
    struct ifaddrs *all = NULL;
    bool has;

    if (getifaddrs(&all) < 0)
        return true;
    has = finds_ipv6(all);
    freeifaddrs(all);
    return has;
}

static void set_parts(struct name *name, const struct dns_conf *conf, bool srv)
{
    bool ipv6 = conf->family == DNS_IPV6 || conf->family == DNS_BOTH ||
                (conf->family == DNS_AUTO && name->names->has_ipv6);

    if (srv) {
        name->part[name->n_parts++].type = RESOLVER_SRV;
        return;
    }
    if (conf->family != DNS_IPV6)
        name->part[name->n_parts++].type = RESOLVER_A;
    if (ipv6)
        name->part[name->n_parts++].type = RESOLVER_AAAA;
}

static void say_servers(const struct dns_conf *conf, struct text *out)
{
    const struct sluice_span *server = conf->servers.first;

    for (size_t i = 0; i < conf->servers.n; i++) {
        text_format(out, "%s%.*s", i ? "," : "", (int)server[i].len, server[i].ptr);
    }
}

void dns_conf_say_key(const struct dns_conf *conf, struct text *key)
{
    say_servers(conf, key);
    text_format(key, " %d %llu %llu %llu ", conf->family, (unsigned long long)conf->timeout_ms,
                (unsigned long long)conf->min_ms, (unsigned long long)conf->max_ms);
}

static struct name *name_new(struct names *names, const struct dns_conf *conf,
                             struct sluice_span text, bool srv, struct sluice_span key)
{
    struct name *name = alloc_new(sizeof(*name));
    char bytes[SERVERS_MAX] = "";
    struct text servers;

    text_init_fixed(&servers, bytes, sizeof(bytes));
    say_servers(conf, &servers);
    name->names = names;
    name->key = alloc_text(key.ptr, key.len);
    name->text = alloc_text(text.ptr, text.len);
    name->servers = alloc_text(bytes, servers.len);
    name->min_ms = conf->min_ms;
    name->max_ms = conf->max_ms < conf->min_ms ? conf->min_ms : conf->max_ms;
    name->timeout_ms = conf->timeout_ms;
    name->pause_ms = FIRST_PAUSE_MS;
    name->why = "";
    list_init(&name->link);
    list_init(&name->watches);
    alarm_init(&name->due, on_due);
    set_parts(name, conf, srv);
    map_set(names->by_key, key, name);
    return name;
}

static void name_free(struct name *name)
{
    struct names *names = name->names;

    list_remove(&name->link);
    map_remove(names->by_key, span_of(name->key));
    alarm_disarm(&name->due);
    for (unsigned i = 0; i < name->n_parts; i++) {
        resolver_forget(&name->part[i].question);
        alloc_free(name->part[i].record);
    }
    asker_unref(names, &name->asker);
    alloc_free(name->record);
    alloc_free(name->servers);
    alloc_free(name->text);
    alloc_free(name->key);
    alloc_free(name);
}

/* Not at once: its resolver may be on the call stack, and a reload may want it again. */
static void on_sweep(struct soon *soon)
{
    struct names *names = list_entry(soon, struct names, sweep);

    list_each_safe (node, after, &names->unwanted) {
        name_free(list_entry(node, struct name, link));
    }
}

struct names *names_new(struct loop *loop, struct rng *rng)
{
    struct names *names = alloc_new(sizeof(*names));

    names->loop = loop;
    names->rng = rng;
    names->by_key = map_new();
    names->asking = map_new();
    names->has_ipv6 = machine_has_ipv6();
    list_init(&names->unwanted);
    soon_init(&names->sweep, on_sweep);
    return names;
}

void names_free(struct names **names)
{
    if (!*names)
        return;
    soon_cancel(&(*names)->sweep);
    on_sweep(&(*names)->sweep);
    CHECK(map_count((*names)->by_key) == 0);
    map_free(&(*names)->by_key);
    map_free(&(*names)->asking);
    alloc_free(*names);
    *names = NULL;
}

/* -- watches -------------------------------------------------------------- */

void name_watch_init(struct name_watch *watch, void (*on_news)(struct name_watch *watch))
{
    list_init(&watch->link);
    watch->on_news = on_news;
    watch->name = NULL;
}

void name_watch_start(struct name_watch *watch, struct names *names, const struct dns_conf *conf,
                      struct sluice_span name, bool srv)
{
    char bytes[KEY_MAX];
    struct text key;

    CHECK(!watch->name);
    text_init_fixed(&key, bytes, sizeof(bytes));
    text_format(&key, "%s %.*s ", srv ? "srv" : "host", (int)name.len, name.ptr);
    dns_conf_say_key(conf, &key);
    watch->name = map_find(names->by_key, text_span(&key));
    if (!watch->name) {
        watch->name = name_new(names, conf, name, srv, text_span(&key));
        alarm_arm(names->loop, &watch->name->due, 0);
    }
    list_remove(&watch->name->link);
    list_append(&watch->name->watches, &watch->link);
}

void name_watch_stop(struct name_watch *watch)
{
    struct name *name = watch->name;

    if (!name)
        return;
    watch->name = NULL;
    list_remove(&watch->link);
    if (list_is_empty(&name->watches)) {
        list_append(&name->names->unwanted, &name->link);
        loop_soon(name->names->loop, &name->names->sweep);
    }
}

void name_news(const struct name_watch *watch, struct name_news *news)
{
    const struct name *name = watch->name;

    *news = (struct name_news){.record = name->record,
                               .n = name->n,
                               .ttl_s = name->ttl_s,
                               .as_of_wall_us = name->as_of_wall_us,
                               .asked = name->asked,
                               .why = name->why};
}
