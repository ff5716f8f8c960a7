#include "http/target.h"

#include "unit.h"

#include <string.h>

/* normal NULL: malformed. */
static void check_path(const char *path, enum target_slashes slashes, const char *normal)
{
    struct arena arena;
    struct sluice_span got;
    enum err err;

    arena_init(&arena, NULL, 0);
    err = target_normalise(span_of(path), slashes, &arena, &got);
    if (normal == NULL) {
        ck_assert_msg(err == ERR_PROTOCOL, "\"%s\" is let through", path);
    } else {
        ck_assert_msg(err == OK, "\"%s\" is refused", path);
        ck_assert_msg(span_equal(got, span_of(normal)), "\"%s\" became \"%.*s\"", path,
                      (int)got.len, got.ptr);
        ck_assert_msg(strcmp(path, normal) != 0 || got.ptr == path, "\"%s\" was copied", path);
        err = target_normalise(got, slashes, &arena, &got);
        ck_assert_msg(err == OK && span_equal(got, span_of(normal)), "\"%s\" is not normal",
                      normal);
    }
    arena_fini(&arena);
}

static void check_paths(const char *const (*paths)[2], size_t n, enum target_slashes slashes)
{
    for (size_t i = 0; i < n; i++)
        check_path(paths[i][0], slashes, paths[i][1]);
}

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* The same whether slashes are merged or not. */
static const char *const paths[][2] = {
    {"/", "/"},
    {"/a/b/c", "/a/b/c"},
    {"/a/", "/a/"},
    {"/-._~!$&'()*+,;=:@", "/-._~!$&'()*+,;=:@"},
    {"/.a/..b/c./d../...", "/.a/..b/c./d../..."},
    {"/.", "/"},
    {"/./", "/"},
    {"/./a", "/a"},
    {"/a/.", "/a/"},
    {"/a/./", "/a/"},
    {"/a/./b", "/a/b"},
    {"/a/..", "/"},
    {"/a/../", "/"},
    {"/a/../b", "/b"},
    {"/a/b/..", "/a/"},
    {"/a/b/../", "/a/"},
    {"/a/b/../..", "/"},
    {"/a/b/../../c", "/c"},
    {"/a/b/c/./../../g", "/a/g"},
    {"/b/c/g;x=1/../y", "/b/c/y"},
    {"/b/c/g;x=1/./y", "/b/c/g;x=1/y"},
    {"/%61%7A%41%30%2d%2E%5f%7e", "/azA0-._~"},
    {"/%2f%5c%3a", "/%2F%5C%3A"},
    {"/a%20b", "/a%20b"},
    {"/%2e", "/"},
    {"/a/%2E%2e/b", "/b"},
    {"/a/.%2e/b", "/b"},
    {"/a/%2e./b", "/b"},
    {"/a/%2e/b", "/a/b"},
    {"/a/..%2fb", "/a/..%2Fb"},
    {"/a/%2e%2e%2fb", "/a/..%2Fb"},
    {"/a/%252e%252e/b", "/a/%252e%252e/b"},
    {"/a/%252E%252E/b", "/a/%252E%252E/b"},
    {"/%25%32%65", "/%252e"},
    {"/a/..;/b", "/a/..;/b"},
    {"/a/;/../b", "/a/b"},
    {"/a/..%5cb", "/a/..%5Cb"},
    {"/%c0%ae%c0%ae/", "/%C0%AE%C0%AE/"},
    {"/%e9%01%7f", "/%E9%01%7F"},
    {"/..", NULL},
    {"/../", NULL},
    {"/../a", NULL},
    {"/a/../..", NULL},
    {"/a/../../b", NULL},
    {"/./..", NULL},
    {"/%2e%2e", NULL},
    {"/%2e%2e/a", NULL},
    {"/a/%2e%2e/%2e%2e", NULL},
    {"", NULL},
    {"a", NULL},
    {"*", NULL},
    {"%2fa", NULL},
    {"/%", NULL},
    {"/%4", NULL},
    {"/%4g", NULL},
    {"/%g4", NULL},
    {"/%%41", NULL},
    {"/%u0041", NULL},
    {"/%00", NULL},
    {"/a%00b", NULL},
    {"/%+1", NULL},
    {"/a b", NULL},
    {"/a\tb", NULL},
    {"/a\\b", NULL},
    {"/a\"", NULL},
    {"/<", NULL},
    {"/[a]", NULL},
    {"/{a}", NULL},
    {"/a|b", NULL},
    {"/a^b", NULL},
    {"/a`b", NULL},
    {"/a?b", NULL},
    {"/a#b", NULL},
    {"/\x7f", NULL},
    {"/\xc3\xa9", NULL},
};

START_TEST(paths_have_one_normal_form)
{
    check_paths(paths, COUNT(paths), TARGET_MERGE_SLASHES);
    check_paths(paths, COUNT(paths), TARGET_KEEP_SLASHES);
}
END_TEST

START_TEST(slashes_are_merged_if_asked)
{
    static const char *const merged[][2] = {
        {"//", "/"},         {"//a", "/a"},       {"/a//b", "/a/b"},      {"/a///b//", "/a/b/"},
        {"/a//../b", "/b"},  {"//..", NULL},      {"/a//", "/a/"},        {"/a/.//b", "/a/b"},
        {"/a//..//b", "/b"}, {"/a/b//..", "/a/"}, {"/a%2f/b", "/a%2F/b"},
    };

    check_paths(merged, COUNT(merged), TARGET_MERGE_SLASHES);
}
END_TEST

START_TEST(slashes_are_kept_if_asked)
{
    static const char *const kept[][2] = {
        {"//", "//"},          {"//a", "//a"},       {"/a//b", "/a//b"}, {"/a//../b", "/a/b"},
        {"/a//../../b", "/b"}, {"/a/.//b", "/a//b"}, {"//..", "/"},      {"//../..", NULL},
    };

    check_paths(kept, COUNT(kept), TARGET_KEEP_SLASHES);
}
END_TEST

START_TEST(a_full_arena_is_told)
{
    struct arena arena;
    struct sluice_span got;

    arena_init(&arena, NULL, 1);
    ck_assert_int_eq(target_normalise(SPAN("/a/../b"), TARGET_MERGE_SLASHES, &arena, &got),
                     ERR_MEMORY);
    arena_fini(&arena);
}
END_TEST

START_TEST(queries_are_checked)
{
    static const char *const good[] = {"", "a=b&c", "/?:@!$'()*+,;=-._~", "[]|^`{}", "%20%00%ff"};
    static const char *const bad[] = {"%", "%2", "a%", "%zz", "\\",   "\"",  "<",
                                      ">", "#",  " ",  "\t",  "\x7f", "\x80"};

    for (size_t i = 0; i < COUNT(good); i++)
        ck_assert_msg(target_query_is_valid(span_of(good[i])), "%s", good[i]);
    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert_msg(!target_query_is_valid(span_of(bad[i])), "%s", bad[i]);
}
END_TEST

START_TEST(authorities_are_cut)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
    } good[] = {
        {"", "", 0},
        {"a", "a", 0},
        {"Api.Example_1.com:8080", "Api.Example_1.com", 8080},
        {"a.", "a", 0},
        {"a.b.:80", "a.b", 80},
        {"a:", "a", 0},
        {"a:00080", "a", 80},
        {"a:65535", "a", 65535},
        {"127.0.0.1:1", "127.0.0.1", 1},
        {"xn--9ca~", "xn--9ca~", 0},
        {"[::]", "[::]", 0},
        {"[::1]:443", "[::1]", 443},
        {"[1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7:8]", 0},
        {"[1:2:3:4:5:6:7::]", "[1:2:3:4:5:6:7::]", 0},
        {"[::2:3:4:5:6:7:8]", "[::2:3:4:5:6:7:8]", 0},
        {"[fe80::ABcd:1]", "[fe80::ABcd:1]", 0},
        {"[::ffff:1.2.3.255]", "[::ffff:1.2.3.255]", 0},
        {"[1:2:3:4:5:6:1.2.3.4]", "[1:2:3:4:5:6:1.2.3.4]", 0},
    };

    for (size_t i = 0; i < COUNT(good); i++) {
        struct sluice_span host;
        uint16_t port;

        ck_assert_msg(target_authority(span_of(good[i].text), &host, &port) == OK, "%s",
                      good[i].text);
        ck_assert_msg(span_equal(host, span_of(good[i].host)), "%s", good[i].text);
        ck_assert_uint_eq(port, good[i].port);
    }
}
END_TEST

START_TEST(malformed_authorities_are_refused)
{
    static const char *const bad[] = {
        ".",
        "..",
        "a..",
        "a..b",
        ".a",
        "a:b",
        "a:-1",
        "a:+1",
        "a:0",
        "a:65536",
        "a:99999",
        "a:000001",
        "a: 80",
        ":80",
        ":",
        "a:80:",
        "u@a",
        "u:p@a",
        "a b",
        "a/b",
        "a\\b",
        "a%41",
        "a,b",
        "a;b",
        "a*",
        "\x7f",
        "\xc3\xa9",
        "[]",
        "[",
        "]",
        "[::1",
        "::1",
        "[::1]x",
        "[::1]:x",
        "[::1]80",
        "[:1]",
        "[1:]",
        "[:::]",
        "[::1::]",
        "[1:2:3]",
        "[12345::]",
        "[g::]",
        "[1:2:3:4:5:6:7:8:9]",
        "[1:2:3:4:5:6:7:8::]",
        "[::1:2:3:4:5:6:7:8]",
        "[1.2.3.4]",
        "[::1.2.3]",
        "[::1.2.3.4.5]",
        "[::256.1.1.1]",
        "[::01.1.1.1]",
        "[fe80::1%25eth0]",
        "[v1.a]",
        "[::1.2.3.4:1]",
        "[1:2:3:4:5:6:7:1.2.3.4]",
    };
    static char name[300];
    struct sluice_span host;
    uint16_t port;

    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert_msg(target_authority(span_of(bad[i]), &host, &port) == ERR_PROTOCOL, "%s",
                      bad[i]);
    memset(name, 'a', sizeof(name));
    ck_assert_int_eq(target_authority((struct sluice_span){name, 255}, &host, &port), OK);
    ck_assert_int_eq(target_authority((struct sluice_span){name, 256}, &host, &port), ERR_PROTOCOL);
}
END_TEST

START_TEST(query_parameters_are_found_and_decoded)
{
    static const struct {
        const char *query, *name, *value; /* value NULL: not found */
    } cases[] = {
        {"a=1&b=2", "b", "2"},
        {"a=1&a=2", "a", "1"},
        {"a&b=2", "a", ""},
        {"a=&b=2", "a", ""},
        {"a=b=c", "a", "b=c"},
        {"a%62=x+y%2B%26", "ab", "x y+&"},
        {"&&a=1", "a", "1"},
        {"x+y=1", "x y", "1"},
        {"a=%zz%4", "a", "%zz%4"},
        {"", "a", NULL},
        {"ab=1", "a", NULL},
        {"a=1", "ab", NULL},
        {"b=a=1", "a", NULL},
        {"A=1", "a", NULL},
        {"a=12345678", "a", "12345678"},
        {"a=123456789", "a", NULL},
        {"a=%31%32345678", "a", "12345678"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char scratch[8];
        struct sluice_span value;
        bool found = target_query_find(span_of(cases[i].query), span_of(cases[i].name), scratch,
                                       sizeof(scratch), &value);

        ck_assert_msg(found == (cases[i].value != NULL), "%s in %s", cases[i].name, cases[i].query);
        ck_assert_msg(!found || span_equal(value, span_of(cases[i].value)), "%s", cases[i].query);
    }
}
END_TEST

UNIT_MAIN("http/target", paths_have_one_normal_form, slashes_are_merged_if_asked,
          slashes_are_kept_if_asked, a_full_arena_is_told, queries_are_checked, authorities_are_cut,
          malformed_authorities_are_refused, query_parameters_are_found_and_decoded)
