#include "net/resolve.h"

#include "unit.h"

#include <sys/socket.h>

static struct arena arena;

static enum err look(const char *text, struct addr **addrs, size_t *n, const char **why)
{
    arena_init(&arena, NULL, 0);
    return resolve(span_of(text), &arena, addrs, n, why);
}

START_TEST(an_address_is_itself)
{
    static const char *const texts[] = {"1.2.3.4:80", "[::1]:80", "unix:/x"};

    for (size_t i = 0; i < 3; i++) {
        char text[ADDR_TEXT];
        struct addr *addrs;
        const char *why;
        size_t n;

        ck_assert_int_eq(look(texts[i], &addrs, &n, &why), OK);
        ck_assert_uint_eq(n, 1);
        addr_format(&addrs[0], text, sizeof(text));
        ck_assert_str_eq(text, texts[i]);
        arena_fini(&arena);
    }
}
END_TEST

START_TEST(a_name_gives_each_address_once_with_the_port)
{
    struct addr *addrs;
    const char *why;
    size_t n;

    ck_assert_int_eq(look("localhost:8081", &addrs, &n, &why), OK);
    ck_assert_uint_ge(n, 1);
    for (size_t i = 0; i < n; i++) {
        ck_assert_uint_eq(addrs[i].port, 8081);
        for (size_t j = 0; j < i; j++) {
            ck_assert(!addr_equal(&addrs[i], &addrs[j]));
        }
    }
    arena_fini(&arena);
}
END_TEST

START_TEST(what_cannot_be_connected_to_is_malformed)
{
    static const char *const texts[] = {
        "",        "localhost",   "localhost:",      ":80",   "localhost:0", "1.2.3.4:0",
        "[::1]:0", "localhost:x", "localhost:65536", "a:b:80"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct addr *addrs;
        const char *why = NULL;
        size_t n;

        ck_assert_msg(look(texts[i], &addrs, &n, &why) == ERR_PROTOCOL, "'%s'", texts[i]);
        ck_assert_ptr_nonnull(why);
        arena_fini(&arena);
    }
}
END_TEST

START_TEST(a_name_of_nobody_is_missing)
{
    struct addr *addrs;
    const char *why = NULL;
    size_t n;

    /* RFC 6761: "invalid" has no address anywhere. */
    ck_assert_int_eq(look("nobody.invalid:80", &addrs, &n, &why), ERR_MISSING);
    ck_assert_ptr_nonnull(why);
    arena_fini(&arena);
}
END_TEST

UNIT_MAIN("net/resolve", an_address_is_itself, a_name_gives_each_address_once_with_the_port,
          what_cannot_be_connected_to_is_malformed, a_name_of_nobody_is_missing)
