#include "discovery/source.h"

#include "core/loop.h"

#include "dns.h"
#include "unit.h"
#include "until.h"

enum { AGAIN_MS = 20 };

struct scene {
    struct loop *loop;
    struct dns dns;
    struct sources *sources;
    struct notes *notes;
    struct source_reader reader;
    unsigned told;
};

static void on_found(struct source_reader *reader)
{
    list_entry(reader, struct scene, reader)->told++;
}

static void scene_open(struct scene *it)
{
    struct dns_conf conf;

    *it = (struct scene){.loop = loop_new(), .notes = notes_new()};
    dns_open(&it->dns, it->loop);
    it->sources = sources_new(it->loop);
    conf = dns_conf_of(&it->dns, AGAIN_MS, AGAIN_MS);
    sources_set_dns(it->sources, &conf);
    source_reader_init(&it->reader, on_found);
}

static void scene_close(struct scene *it)
{
    source_leave(&it->reader);
    sources_free(&it->sources);
    dns_close(&it->dns);
    notes_free(&it->notes);
    loop_free(&it->loop);
}

static void read_source(struct scene *it, struct dns_source_conf dns)
{
    const struct source_conf conf = {.dns = dns};
    struct source *source = sources_get(it->sources, &conf, it->notes);

    ck_assert_ptr_nonnull(source);
    source_read(&it->reader, &source);
}

static bool is_told(void *it)
{
    return ((struct scene *)it)->told > 0;
}

static const struct found *next_set(struct scene *it)
{
    it->told = 0;
    loop_until(it->loop, is_told, it);
    return source_found(it->reader.source);
}

static bool is_stale(void *it)
{
    return source_status(((struct scene *)it)->reader.source)->state == SOURCE_STALE;
}

static bool is_fresh(void *it)
{
    return source_status(((struct scene *)it)->reader.source)->state == SOURCE_FRESH;
}

static void expect(const struct found *found, size_t i, const char *address, uint32_t weight,
                   uint32_t priority)
{
    ck_assert_uint_lt(i, found->n);
    ck_assert_msg(span_equal(found->endpoint[i].address, span_of(address)), "%.*s",
                  (int)found->endpoint[i].address.len, found->endpoint[i].address.ptr);
    ck_assert_uint_eq(found->endpoint[i].weight, weight);
    ck_assert_uint_eq(found->endpoint[i].priority, priority);
}

START_TEST(the_addresses_of_a_name_listen_on_its_port)
{
    const struct found *found;
    struct scene it;

    scene_open(&it);
    it.dns.name[0] = (struct dns_name){.name = "app.test", .a = {"10.0.0.2", "10.0.0.1"}, .n_a = 2};
    read_source(&it, (struct dns_source_conf){.name = SPAN("app.test"), .port = 8080});
    ck_assert_ptr_null(source_found(it.reader.source));
    ck_assert_int_eq(source_status(it.reader.source)->state, SOURCE_WAITING);
    found = next_set(&it);
    ck_assert_uint_eq(found->n, 2);
    expect(found, 0, "10.0.0.1:8080", 1, 0);
    expect(found, 1, "10.0.0.2:8080", 1, 0);
    ck_assert(span_equal(found->endpoint[0].host, SPAN("app.test")));
    ck_assert(source_ages(it.reader.source));
    scene_close(&it);
}
END_TEST

/* Priorities become ranks, weight 0 the smallest weight there is, targets their addresses. */
START_TEST(servers_have_ports_weights_and_ranks)
{
    const struct found *found;
    struct scene it;

    scene_open(&it);
    it.dns.name[0] = (struct dns_name){
        .name = "srv.test",
        .srv = {{70, 0, 83, "b.test"}, {5, 9, 81, "a.test"}, {5, 3, 82, "b.test"}},
        .n_srv = 3};
    it.dns.name[1] = (struct dns_name){.name = "a.test", .a = {"10.0.0.1"}, .n_a = 1};
    it.dns.name[2] = (struct dns_name){.name = "b.test", .a = {"10.0.0.2"}, .n_a = 1};
    read_source(&it, (struct dns_source_conf){.name = SPAN("srv.test"), .srv = true});
    found = next_set(&it);
    ck_assert_uint_eq(found->n, 3);
    expect(found, 0, "10.0.0.1:81", 9, 0);
    expect(found, 1, "10.0.0.2:82", 3, 0);
    expect(found, 2, "10.0.0.2:83", 1, 1);
    scene_close(&it);
}
END_TEST

START_TEST(what_is_known_stays_while_dns_fails)
{
    static const bool ways[] = {false, true};

    for (size_t i = 0; i < 2; i++) {
        const struct found *found;
        struct scene it;

        scene_open(&it);
        it.dns.name[0] = (struct dns_name){.name = "app.test",
                                           .a = {"10.0.0.1"},
                                           .n_a = 1,
                                           .srv = {{1, 1, 80, "a.test"}},
                                           .n_srv = 1};
        it.dns.name[1] = (struct dns_name){.name = "a.test", .a = {"10.0.0.1"}, .n_a = 1};
        read_source(&it, (struct dns_source_conf){
                             .name = SPAN("app.test"), .srv = ways[i], .port = ways[i] ? 0 : 80});
        found = next_set(&it);
        expect(found, 0, "10.0.0.1:80", 1, 0);
        it.dns.name[0].failure = DNS_SERVFAIL;
        loop_until(it.loop, is_stale, &it);
        expect(source_found(it.reader.source), 0, "10.0.0.1:80", 1, 0);
        ck_assert_str_ne(source_status(it.reader.source)->why, "");
        ck_assert_uint_gt(source_status(it.reader.source)->errors, 0);
        it.dns.name[0].failure = 0;
        loop_until(it.loop, is_fresh, &it);
        ck_assert_str_eq(source_status(it.reader.source)->why, "");
        scene_close(&it);
    }
}
END_TEST

START_TEST(a_change_is_told_once)
{
    const struct found *found;
    struct scene it;

    scene_open(&it);
    it.dns.name[0] = (struct dns_name){.name = "app.test", .a = {"10.0.0.1"}, .n_a = 1};
    read_source(&it, (struct dns_source_conf){.name = SPAN("app.test"), .port = 80});
    next_set(&it);
    it.dns.name[0].a[0] = "10.0.0.2";
    found = next_set(&it);
    expect(found, 0, "10.0.0.2:80", 1, 0);
    ck_assert_uint_eq(it.told, 1);
    ck_assert_uint_eq(source_status(it.reader.source)->updates, 1 + 1);
    scene_close(&it);
}
END_TEST

UNIT_MAIN("discovery/source_dns", the_addresses_of_a_name_listen_on_its_port,
          servers_have_ports_weights_and_ranks, what_is_known_stays_while_dns_fails,
          a_change_is_told_once)
