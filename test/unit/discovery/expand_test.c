#include "discovery/expand.h"

#include "base/rng.h"
#include "core/loop.h"

#include "dns.h"
#include "unit.h"
#include "until.h"

enum { AGAIN_MS = 20 };

struct scene {
    struct loop *loop;
    struct rng rng;
    struct dns dns;
    struct names *names;
    struct expansion *expansion;
    struct found *found; /* the last that was told, or NULL */
    char why[256];
    unsigned told;
};

static void on_told(void *it_, struct found **found, const char *why)
{
    struct scene *it = it_;

    found_unref(&it->found);
    it->found = *found;
    *found = NULL;
    snprintf(it->why, sizeof(it->why), "%s", why);
    it->told++;
}

static void scene_open(struct scene *it)
{
    struct dns_conf conf;

    *it = (struct scene){.loop = loop_new()};
    rng_init(&it->rng);
    dns_open(&it->dns, it->loop);
    it->names = names_new(it->loop, &it->rng);
    conf = dns_conf_of(&it->dns, AGAIN_MS, AGAIN_MS);
    /* The list of servers is borrowed from the scene, which outlives the expansion. */
    it->expansion = expansion_new(it->loop, it->names, &conf, on_told, it);
}

static void scene_close(struct scene *it)
{
    expansion_free(&it->expansion);
    found_unref(&it->found);
    names_free(&it->names);
    dns_close(&it->dns);
    loop_free(&it->loop);
}

static void set(struct scene *it, const char *const *address, size_t n)
{
    struct found *raw = found_new();

    for (size_t i = 0; i < n; i++) {
        struct found_endpoint *endpoint = found_add(raw);

        endpoint->address = arena_copy(&raw->arena, span_of(address[i]));
        endpoint->weight = (uint32_t)i + 1;
        endpoint->zone = SPAN("z1");
    }
    expansion_set(it->expansion, raw);
    found_unref(&raw);
}

static bool has_found(void *it)
{
    return ((struct scene *)it)->found != NULL;
}

static bool is_told(void *it)
{
    return ((struct scene *)it)->told > 0;
}

static void expect(const struct scene *it, size_t i, const char *address, const char *host,
                   uint32_t weight)
{
    const struct found_endpoint *endpoint = &it->found->endpoint[i];

    ck_assert_uint_lt(i, it->found->n);
    ck_assert_msg(span_equal(endpoint->address, span_of(address)), "%.*s",
                  (int)endpoint->address.len, endpoint->address.ptr);
    ck_assert(span_equal(endpoint->host, span_of(host)));
    ck_assert_uint_eq(endpoint->weight, weight);
    ck_assert(span_equal(endpoint->zone, SPAN("z1")));
}

START_TEST(a_name_becomes_all_its_addresses_and_literals_stay)
{
    static const char *const raw[] = {"127.0.0.1:9", "app.test:80", "b.test:81"};
    struct scene it;

    scene_open(&it);
    it.dns.name[0] = (struct dns_name){.name = "app.test", .a = {"10.0.0.2", "10.0.0.1"}, .n_a = 2};
    it.dns.name[1] = (struct dns_name){.name = "b.test", .a = {"10.0.1.1"}, .n_a = 1};
    set(&it, raw, 3);
    ck_assert_uint_eq(it.told, 0); /* never from inside */
    loop_until(it.loop, has_found, &it);
    ck_assert_uint_eq(it.found->n, 4);
    expect(&it, 0, "127.0.0.1:9", "", 1);
    expect(&it, 1, "10.0.0.1:80", "app.test", 2);
    expect(&it, 2, "10.0.0.2:80", "app.test", 2);
    expect(&it, 3, "10.0.1.1:81", "b.test", 3);
    ck_assert_str_eq(it.why, "");
    ck_assert(span_equal(it.found->version, SPAN("dns ttl 60")));
    scene_close(&it);
}
END_TEST

START_TEST(nothing_is_published_while_a_name_was_never_answered)
{
    static const char *const raw[] = {"127.0.0.1:9", "app.test:80"};
    struct scene it;

    scene_open(&it);
    it.dns.name[0] = (struct dns_name){.name = "app.test", .a = {"10.0.0.1"}, .n_a = 1};
    set(&it, raw, 2);
    loop_until(it.loop, is_told, &it);
    if (it.dns.name[0].asked == 0)
        ck_assert_ptr_null(it.found);
    loop_until(it.loop, has_found, &it);
    ck_assert_uint_eq(it.found->n, 2);
    scene_close(&it);
}
END_TEST

START_TEST(a_name_that_is_not_there_is_left_out_and_named)
{
    static const char *const raw[] = {"nowhere.test:80", "127.0.0.1:9"};
    struct scene it;

    scene_open(&it);
    set(&it, raw, 2);
    loop_until(it.loop, has_found, &it);
    ck_assert_uint_eq(it.found->n, 1);
    expect(&it, 0, "127.0.0.1:9", "", 2);
    ck_assert_ptr_nonnull(strstr(it.why, "nowhere.test: "));
    scene_close(&it);
}
END_TEST

static bool has_second_address(void *it_)
{
    const struct scene *it = it_;

    return it->found && it->found->n == 2;
}

START_TEST(a_change_of_a_name_is_told_by_itself)
{
    static const char *const raw[] = {"app.test:80"};
    struct scene it;

    scene_open(&it);
    it.dns.name[0] = (struct dns_name){.name = "app.test", .a = {"10.0.0.1"}, .n_a = 1};
    set(&it, raw, 1);
    loop_until(it.loop, has_found, &it);
    it.dns.name[0].a[1] = "10.0.0.7";
    it.dns.name[0].n_a = 2;
    loop_until(it.loop, has_second_address, &it);
    expect(&it, 1, "10.0.0.7:80", "app.test", 1);
    scene_close(&it);
}
END_TEST

UNIT_MAIN("discovery/expand", a_name_becomes_all_its_addresses_and_literals_stay,
          nothing_is_published_while_a_name_was_never_answered,
          a_name_that_is_not_there_is_left_out_and_named, a_change_of_a_name_is_told_by_itself)
