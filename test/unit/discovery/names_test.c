#include "discovery/names.h"

#include "base/rng.h"
#include "core/loop.h"

#include "dns.h"
#include "unit.h"
#include "until.h"

enum { AGAIN_MS = 20, NEVER_MS = 3600 * 1000 };

struct scene {
    struct loop *loop;
    struct rng rng;
    struct dns dns;
    struct names *names;
    struct name_watch watch, other;
    unsigned told, told_other;
};

static void on_news(struct name_watch *watch)
{
    list_entry(watch, struct scene, watch)->told++;
}

static void on_other(struct name_watch *watch)
{
    list_entry(watch, struct scene, other)->told_other++;
}

static void scene_open(struct scene *it)
{
    *it = (struct scene){.loop = loop_new()};
    rng_init(&it->rng);
    dns_open(&it->dns, it->loop);
    it->names = names_new(it->loop, &it->rng);
    name_watch_init(&it->watch, on_news);
    name_watch_init(&it->other, on_other);
}

static void scene_close(struct scene *it)
{
    name_watch_stop(&it->watch);
    name_watch_stop(&it->other);
    names_free(&it->names);
    dns_close(&it->dns);
    loop_free(&it->loop);
}

static bool is_told(void *it)
{
    return ((struct scene *)it)->told > 0;
}

/* The news after the next telling. */
static struct name_news next_news(struct scene *it)
{
    struct name_news news;

    it->told = 0;
    loop_until(it->loop, is_told, it);
    name_news(&it->watch, &news);
    return news;
}

static void start(struct scene *it, const char *name, uint64_t again_ms, bool srv)
{
    struct dns_conf conf = dns_conf_of(&it->dns, again_ms, again_ms);

    name_watch_start(&it->watch, it->names, &conf, span_of(name), srv);
}

static void expect_address(const struct name_news *news, size_t i, const char *ip)
{
    char text[ADDR_TEXT], wanted[ADDR_TEXT];
    struct addr addr = news->record[i].addr;

    ck_assert_uint_lt(i, news->n);
    addr.port = 1;
    text[addr_format(&addr, text, sizeof(text))] = 0;
    snprintf(wanted, sizeof(wanted), "%s:1", ip);
    ck_assert_str_eq(text, wanted);
}

START_TEST(addresses_come_in_order_and_without_repeats)
{
    struct name_news news;
    struct scene it;

    scene_open(&it);
    it.dns.name[0] =
        (struct dns_name){.name = "app.test", .a = {"10.0.0.9", "10.0.0.1", "10.0.0.9"}, .n_a = 3};
    start(&it, "app.test", NEVER_MS, false);
    name_news(&it.watch, &news);
    ck_assert(!news.asked);
    ck_assert_uint_eq(news.n, 0);
    news = next_news(&it);
    ck_assert(news.asked);
    ck_assert_uint_eq(news.n, 2);
    expect_address(&news, 0, "10.0.0.1");
    expect_address(&news, 1, "10.0.0.9");
    ck_assert_uint_eq(news.ttl_s, 60);
    ck_assert_uint_gt(news.as_of_wall_us, 0);
    ck_assert_str_eq(news.why, "");
    scene_close(&it);
}
END_TEST

START_TEST(servers_come_by_priority)
{
    struct name_news news;
    struct scene it;

    scene_open(&it);
    it.dns.name[0] = (struct dns_name){
        .name = "srv.test", .srv = {{20, 5, 81, "b.test"}, {10, 7, 80, "a.test"}}, .n_srv = 2};
    start(&it, "srv.test", NEVER_MS, true);
    news = next_news(&it);
    ck_assert_uint_eq(news.n, 2);
    ck_assert_str_eq(news.record[0].target, "a.test");
    ck_assert_uint_eq(news.record[0].port, 80);
    ck_assert_uint_eq(news.record[0].weight, 7);
    ck_assert_uint_eq(news.record[1].priority, 20);
    scene_close(&it);
}
END_TEST

START_TEST(who_wants_the_same_name_shares_one_question)
{
    struct name_news news;
    struct scene it;
    struct dns_conf conf;

    scene_open(&it);
    it.dns.name[0] = (struct dns_name){.name = "app.test", .a = {"10.0.0.1"}, .n_a = 1};
    start(&it, "app.test", NEVER_MS, false);
    conf = dns_conf_of(&it.dns, NEVER_MS, NEVER_MS);
    name_watch_start(&it.other, it.names, &conf, SPAN("app.test"), false);
    next_news(&it);
    ck_assert_uint_eq(it.told_other, 1);
    ck_assert_uint_eq(it.dns.name[0].asked, 1);
    name_news(&it.other, &news);
    expect_address(&news, 0, "10.0.0.1");
    scene_close(&it);
}
END_TEST

START_TEST(a_name_is_asked_for_again_and_follows)
{
    struct name_news news;
    struct scene it;

    scene_open(&it);
    it.dns.name[0] = (struct dns_name){.name = "app.test", .a = {"10.0.0.1"}, .n_a = 1};
    start(&it, "app.test", AGAIN_MS, false);
    news = next_news(&it);
    expect_address(&news, 0, "10.0.0.1");
    it.dns.name[0].a[0] = "10.0.0.2";
    news = next_news(&it);
    ck_assert_uint_eq(news.n, 1);
    expect_address(&news, 0, "10.0.0.2");
    scene_close(&it);
}
END_TEST

START_TEST(neither_failure_nor_nothing_takes_back_what_was_known)
{
    static const uint8_t failures[] = {DNS_SERVFAIL, DNS_NXDOMAIN};
    struct name_news news;
    struct scene it;

    scene_open(&it);
    it.dns.name[0] = (struct dns_name){.name = "app.test", .a = {"10.0.0.1"}, .n_a = 1};
    start(&it, "app.test", AGAIN_MS, false);
    next_news(&it);
    for (size_t i = 0; i < sizeof(failures); i++) {
        uint64_t as_of_wall_us;

        name_news(&it.watch, &news);
        as_of_wall_us = news.as_of_wall_us;
        it.dns.name[0].failure = failures[i];
        news = next_news(&it);
        ck_assert_uint_eq(news.n, 1);
        expect_address(&news, 0, "10.0.0.1");
        ck_assert_str_ne(news.why, "");
        ck_assert_uint_eq(news.as_of_wall_us, as_of_wall_us);
    }
    it.dns.name[0].failure = 0;
    it.dns.name[0].a[0] = "10.0.0.3";
    news = next_news(&it);
    expect_address(&news, 0, "10.0.0.3");
    ck_assert_str_eq(news.why, "");
    scene_close(&it);
}
END_TEST

START_TEST(a_name_that_is_not_there_is_told_with_its_reason)
{
    struct name_news news;
    struct scene it;

    scene_open(&it);
    start(&it, "nowhere.test", NEVER_MS, false);
    news = next_news(&it);
    ck_assert(news.asked);
    ck_assert_uint_eq(news.n, 0);
    ck_assert_uint_eq(news.as_of_wall_us, 0);
    ck_assert_str_ne(news.why, "");
    scene_close(&it);
}
END_TEST

START_TEST(who_stops_is_told_nothing_more)
{
    struct scene it;
    struct dns_conf conf;

    scene_open(&it);
    it.dns.name[0] = (struct dns_name){.name = "app.test", .a = {"10.0.0.1"}, .n_a = 1};
    start(&it, "app.test", AGAIN_MS, false);
    conf = dns_conf_of(&it.dns, AGAIN_MS, AGAIN_MS);
    name_watch_start(&it.other, it.names, &conf, SPAN("app.test"), false);
    name_watch_stop(&it.other);
    next_news(&it);
    next_news(&it);
    ck_assert_uint_eq(it.told_other, 0);
    name_watch_stop(&it.watch);
    scene_close(&it);
}
END_TEST

UNIT_MAIN("discovery/names", addresses_come_in_order_and_without_repeats, servers_come_by_priority,
          who_wants_the_same_name_shares_one_question, a_name_is_asked_for_again_and_follows,
          neither_failure_nor_nothing_takes_back_what_was_known,
          a_name_that_is_not_there_is_told_with_its_reason, who_stops_is_told_nothing_more)
