#include "unit.h"

#include "sluice_test.h"

#include <stdio.h>
#include <string.h>

static enum sluice_verdict from(struct sluice_test *test, const char *address)
{
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");
    enum sluice_verdict verdict;

    sluice_test_attribute_set(ex, "client.address", address);
    verdict = sluice_test_request_head(ex);
    sluice_test_done(ex, true);
    return verdict;
}

static bool passes(struct sluice_test *test, const char *address)
{
    return from(test, address) == SLUICE_NEXT;
}

START_TEST(the_longest_prefix_decides)
{
    struct sluice_test *test = sluice_test_started(
        &sluice_plugin, "allow=[10.0.0.0/8, 10.1.2.3, '2001:db8::/32', '2001:db8:1:2::/64']",
        "deny=[10.1.0.0/16, '2001:db8:1::/48']", NULL);

    ck_assert(passes(test, "10.0.0.0"));
    ck_assert(passes(test, "10.0.255.255"));
    ck_assert(!passes(test, "10.1.0.0"));
    ck_assert(!passes(test, "10.1.2.2"));
    ck_assert(passes(test, "10.1.2.3"));
    ck_assert(!passes(test, "10.1.2.4"));
    ck_assert(!passes(test, "10.1.255.255"));
    ck_assert(passes(test, "10.2.0.0"));
    ck_assert(passes(test, "10.255.255.255"));
    ck_assert(!passes(test, "11.0.0.0"));
    ck_assert(!passes(test, "9.255.255.255"));
    ck_assert(passes(test, "2001:db8::1"));
    ck_assert(!passes(test, "2001:db8:1:1::1"));
    ck_assert(passes(test, "2001:db8:1:2::1"));
    ck_assert(!passes(test, "2001:db8:1:3::"));
    ck_assert(passes(test, "2001:db8:2::"));
    ck_assert(!passes(test, "2001:db9::"));
    ck_assert(passes(test, "::ffff:10.2.0.1"));
    sluice_test_free(&test);
}
END_TEST

START_TEST(edges_of_the_address_space)
{
    struct sluice_test *test = sluice_test_started(
        &sluice_plugin, "deny=[0.0.0.0/1, 255.255.255.255, '::/128', 'ffff::/16']",
        "allow=[0.0.0.0/32]", "otherwise=allow", NULL);

    ck_assert(passes(test, "0.0.0.0"));
    ck_assert(!passes(test, "0.0.0.1"));
    ck_assert(!passes(test, "127.255.255.255"));
    ck_assert(passes(test, "128.0.0.0"));
    ck_assert(passes(test, "255.255.255.254"));
    ck_assert(!passes(test, "255.255.255.255"));
    ck_assert(!passes(test, "::"));
    ck_assert(passes(test, "::1"));
    ck_assert(!passes(test, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
    sluice_test_free(&test);
}
END_TEST

START_TEST(otherwise_follows_the_lists)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "deny=[10.0.0.1]", NULL);

    ck_assert(passes(test, "10.0.0.2"));
    ck_assert(!passes(test, "10.0.0.1"));
    ck_assert(passes(test, ""));
    sluice_test_free(&test);
    test = sluice_test_started(&sluice_plugin, "allow=[10.0.0.1]", NULL);
    ck_assert(!passes(test, "10.0.0.2"));
    ck_assert(!passes(test, "no address"));
    sluice_test_free(&test);
    test = sluice_test_started(&sluice_plugin, "otherwise=deny", NULL);
    ck_assert(!passes(test, "10.0.0.2"));
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_network_in_both_lists_is_denied)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "allow=[10.0.0.0/8, 10.0.0.0/8]",
                                                   "deny=[10.0.0.0/8]", NULL);

    ck_assert(!passes(test, "10.0.0.2"));
    sluice_test_free(&test);
}
END_TEST

START_TEST(the_peer_may_be_looked_at_instead)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "allow=[192.0.2.1]", "address=peer", NULL);

    ck_assert(passes(test, "203.0.113.1"));
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_denial_says_so)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "deny=[192.0.2.1]", "status=451",
                                                   "message=Go away.", NULL);
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");

    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_REPLIED);
    ck_assert_uint_eq(sluice_test_reply(ex)->status, 451);
    ck_assert_str_eq(sluice_test_reply(ex)->body.ptr, "Go away.");
    ck_assert_str_eq(sluice_test_notes(ex), "ip_denied");
    ck_assert(sluice_test_metric(test, "decisions_total", "denied") == 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_dry_run_counts_and_lets_pass)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "deny=[192.0.2.1]", "dry_run=true", NULL);
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");

    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_notes(ex), "ip_would_deny");
    ck_assert(sluice_test_metric(test, "decisions_total", "would_deny") == 1);
    sluice_test_free(&test);
}
END_TEST

static void write_file(char *path, size_t room, const char *text)
{
    FILE *file;
    int fd;

    snprintf(path, room, "/tmp/ip_filter_test.XXXXXX");
    fd = mkstemp(path);
    file = fdopen(fd, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

START_TEST(files_are_read_line_by_line)
{
    char path[64], row[128];
    struct sluice_test *test;

    write_file(path, sizeof(path),
               "# a list\n10.0.0.0/24 ; SBL1\r\n\n  2001:db8::/32\t# v6\n192.0.2.7,note\n10.9.9.9");
    snprintf(row, sizeof(row), "deny_files=[%s]", path);
    test = sluice_test_started(&sluice_plugin, row, NULL);
    ck_assert(!passes(test, "10.0.0.9"));
    ck_assert(!passes(test, "2001:db8::9"));
    ck_assert(!passes(test, "192.0.2.7"));
    ck_assert(!passes(test, "10.9.9.9"));
    ck_assert(passes(test, "10.0.1.9"));
    ck_assert_ptr_nonnull(strstr(sluice_test_report(test), "\"networks\": 4"));
    sluice_test_free(&test);
    unlink(path);
}
END_TEST

START_TEST(a_bad_line_is_told_with_its_number)
{
    char path[64], row[128];
    struct sluice_test *test = sluice_test_new(&sluice_plugin);

    write_file(path, sizeof(path), "10.0.0.0/24\n10.0.0.0/33\nexample.com\n");
    snprintf(row, sizeof(row), "deny_files=%s", path);
    sluice_test_set(test, row);
    ck_assert(!sluice_test_check(test));
    ck_assert_ptr_nonnull(strstr(sluice_test_errors(test), "line 2: '10.0.0.0/33' is neither"));
    ck_assert_ptr_nonnull(strstr(sluice_test_errors(test), "line 3: 'example.com'"));
    sluice_test_free(&test);
    unlink(path);
}
END_TEST

/* What a linear search over the networks says of an address. */
struct plain {
    uint32_t begin, bits, n;
};

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 3 ^ *state << 11;
}

START_TEST(a_large_set_answers_as_a_plain_search)
{
    enum { N = 120000, PROBES = 400 };
    static struct plain plain[N];
    char path[64], row[128];
    uint32_t state = 7;
    struct sluice_test *test;
    FILE *file;

    write_file(path, sizeof(path), "");
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    for (size_t i = 0; i < N; i++) {
        uint32_t bits = 12 + next(&state) % 21, mask = UINT32_MAX << (32 - bits);
        uint32_t begin = (next(&state) & mask) | UINT32_C(0x0a000000);

        begin &= mask;
        plain[i] = (struct plain){begin, bits, 0};
        fprintf(file, "%u.%u.%u.%u/%u\n", begin >> 24, begin >> 16 & 255, begin >> 8 & 255,
                begin & 255, bits);
    }
    fclose(file);
    snprintf(row, sizeof(row), "deny_files=%s", path);
    test = sluice_test_started(&sluice_plugin, row, NULL);
    for (int probe = 0; probe < PROBES; probe++) {
        const struct plain *near = &plain[next(&state) % N];
        uint32_t address = near->begin + next(&state) % 5 - 2;
        char text[32];
        bool denied = false;

        for (size_t i = 0; i < N && !denied; i++)
            denied = (address ^ plain[i].begin) >> (32 - plain[i].bits) == 0;
        snprintf(text, sizeof(text), "%u.%u.%u.%u", address >> 24, address >> 16 & 255,
                 address >> 8 & 255, address & 255);
        ck_assert_msg(passes(test, text) == !denied, "%s", text);
    }
    sluice_test_free(&test);
    unlink(path);
}
END_TEST

START_TEST(no_networks_is_worth_a_warning)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, NULL);

    ck_assert_ptr_nonnull(strstr(sluice_test_warnings(test), "every address passes"));
    sluice_test_free(&test);
}
END_TEST

UNIT_MAIN("plugins/ip_filter", the_longest_prefix_decides, edges_of_the_address_space,
          otherwise_follows_the_lists, a_network_in_both_lists_is_denied,
          the_peer_may_be_looked_at_instead, a_denial_says_so, a_dry_run_counts_and_lets_pass,
          files_are_read_line_by_line, a_bad_line_is_told_with_its_number,
          a_large_set_answers_as_a_plain_search, no_networks_is_worth_a_warning)
