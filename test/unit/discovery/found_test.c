#include "discovery/found.h"

#include "unit.h"

static struct found_endpoint *add(struct found *found, const char *address)
{
    struct found_endpoint *endpoint = found_add(found);

    ck_assert_ptr_nonnull(endpoint);
    endpoint->address = arena_copy(&found->arena, span_of(address));
    return endpoint;
}

START_TEST(the_order_of_endpoints_does_not_matter)
{
    struct found *one = found_new(), *other = found_new();

    add(one, "127.0.0.1:1");
    add(one, "127.0.0.1:2")->weight = 5;
    add(other, "127.0.0.1:2")->weight = 5;
    add(other, "127.0.0.1:1");
    ck_assert_uint_eq(found_hash(one), found_hash(other));
    other->endpoint[0].weight = 4;
    ck_assert_uint_ne(found_hash(one), found_hash(other));
    found_unref(&one);
    found_unref(&other);
    ck_assert_ptr_null(one);
}
END_TEST

/* Every fact of an endpoint counts, and counts where it stands. */
START_TEST(every_fact_is_compared)
{
    struct found *found = found_new();
    struct sluice_span tags[] = {SPAN("a"), SPAN("b")};
    struct found_pair meta[] = {{SPAN("a"), SPAN("b")}};
    struct found_endpoint changed[9];
    const size_t n = sizeof(changed) / sizeof(changed[0]);
    uint64_t hash[9];

    add(found, "127.0.0.1:1");
    for (size_t i = 0; i < n; i++)
        changed[i] = found->endpoint[0];
    changed[1].weight = 0;
    changed[2].priority = 1;
    changed[3].state = FOUND_DRAINING;
    changed[4].id = SPAN("x");
    changed[5].zone = SPAN("x");
    changed[6].host = SPAN("x");
    changed[7].tags = tags;
    changed[7].n_tags = 2;
    changed[8].meta = meta;
    changed[8].n_meta = 1;
    for (size_t i = 0; i < n; i++) {
        hash[i] = found_hash_endpoint(&changed[i]);
        for (size_t j = 0; j < i; j++)
            ck_assert_uint_ne(hash[i], hash[j]);
    }
    found_unref(&found);
}
END_TEST

START_TEST(a_copy_lives_in_the_set_it_is_copied_to)
{
    struct found *from = found_new(), *to = found_new();
    struct found_endpoint *endpoint = add(from, "127.0.0.1:1");
    uint64_t hash;

    endpoint->n_tags = 1;
    endpoint->tags = arena_new(&from->arena, sizeof(*endpoint->tags));
    endpoint->tags[0] = arena_copy(&from->arena, SPAN("canary"));
    endpoint->n_meta = 1;
    endpoint->meta = arena_new(&from->arena, sizeof(*endpoint->meta));
    endpoint->meta[0].name = arena_copy(&from->arena, SPAN("version"));
    endpoint->meta[0].value = arena_copy(&from->arena, SPAN("2"));
    endpoint->state = FOUND_WARNING;
    hash = found_hash(from);
    ck_assert_ptr_nonnull(found_add_copy(to, endpoint));
    found_unref(&from);
    ck_assert_uint_eq(found_hash(to), hash);
    found_unref(&to);
}
END_TEST

START_TEST(a_set_is_bounded)
{
    struct found *found = found_new();

    for (size_t i = 0; i < FOUND_MAX; i++)
        ck_assert_ptr_nonnull(found_add(found));
    ck_assert_ptr_null(found_add(found));
    ck_assert_uint_eq(found->n, FOUND_MAX);
    found_unref(&found);
}
END_TEST

START_TEST(addresses_are_literals_or_names_with_a_port)
{
    static const char *const literal[] = {"127.0.0.1:80", "[::1]:80", "unix:/run/x.sock"};
    static const char *const name[] = {"localhost:80", "a.b-c.example:1", "x_y.local:65535",
                                       "1and1.example:80"};
    static const char *const bad[] = {"127.0.0.1",   "127.0.0.1:0", ":80",        "a b:80",
                                      "::1:80",      "a:b:80",      "a:0",        "a:65536",
                                      "256.1.1.1:8", "-a:80",       "[::1]:0",    "",
                                      "1.2.3:80",    "a:80x",       "example.com"};
    struct sluice_span host;
    uint16_t port;

    for (size_t i = 0; i < sizeof(literal) / sizeof(literal[0]); i++) {
        ck_assert_ptr_null(found_check_address(span_of(literal[i])));
        ck_assert(found_is_literal(span_of(literal[i])));
    }
    for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
        ck_assert_ptr_null(found_check_address(span_of(name[i])));
        ck_assert(!found_is_literal(span_of(name[i])));
        ck_assert(found_split_name(span_of(name[i]), &host, &port));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(found_check_address(span_of(bad[i])), "'%s' is no address", bad[i]);
    ck_assert(found_split_name(SPAN("a.b:8080"), &host, &port));
    ck_assert(span_equal(host, SPAN("a.b")));
    ck_assert_uint_eq(port, 8080);
}
END_TEST

START_TEST(a_version_is_said_in_words)
{
    struct found *found = found_new();

    ck_assert_uint_eq(found->version.len, 0);
    found_say_version(found, "consul index %d", 42);
    ck_assert(span_equal(found->version, SPAN("consul index 42")));
    ck_assert_str_eq(found_state_name(FOUND_FAILING), "failing");
    found_unref(&found);
}
END_TEST

UNIT_MAIN("discovery/found", the_order_of_endpoints_does_not_matter, every_fact_is_compared,
          a_copy_lives_in_the_set_it_is_copied_to, a_set_is_bounded,
          addresses_are_literals_or_names_with_a_port, a_version_is_said_in_words)
