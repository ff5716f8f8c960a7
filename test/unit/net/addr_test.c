#include "net/addr.h"

#include "unit.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static enum err parse(const char *text, struct addr *addr)
{
    static struct arena arena; /* of a forked test: gone with it */

    return addr_parse(span_of(text), &arena, addr);
}

/* As ranges in tables: what is written, and an address with what is expected of it. */
static bool is_in(const char *network, const char *ip)
{
    struct addr_range range, one;

    ck_assert_int_eq(addr_range_parse(span_of(network), &range), OK);
    ck_assert_int_eq(addr_range_parse(span_of(ip), &one), OK);
    return addr_range_has(&range, &one.base);
}

START_TEST(what_is_parsed_prints_the_same)
{
    static const char *const texts[] = {"127.0.0.1:80",  "0.0.0.0:0",         "[::1]:8080",
                                        "[::]:65535",    "[2001:db8::1]:443", "unix:/run/x.sock",
                                        "unix:relative", "255.255.255.255:1"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char text[ADDR_TEXT];
        struct addr addr;

        ck_assert_int_eq(parse(texts[i], &addr), OK);
        ck_assert_uint_eq(addr_format(&addr, text, sizeof(text)), strlen(texts[i]));
        ck_assert_str_eq(text, texts[i]);
    }
}
END_TEST

START_TEST(what_is_no_address_with_a_port_is_refused)
{
    static const char *const texts[] = {"",
                                        ":",
                                        ":80",
                                        "127.0.0.1",
                                        "127.0.0.1:",
                                        "127.0.0.1:65536",
                                        "127.0.0.1:-1",
                                        "127.0.0.1:+1",
                                        "127.0.0.1: 1",
                                        "127.0.0.1:8 ",
                                        "localhost:80",
                                        "::1:80",
                                        "[::1]",
                                        "[::1]80",
                                        "[127.0.0.1]:80",
                                        "[]:80",
                                        "[::1:80",
                                        "256.0.0.1:80",
                                        "1.2.3:80",
                                        "unix:",
                                        "127.0.0.1:0x50",
                                        " 127.0.0.1:80"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct addr addr;

        ck_assert_msg(parse(texts[i], &addr) == ERR_PROTOCOL, "'%s'", texts[i]);
    }
}
END_TEST

START_TEST(a_unix_path_too_long_for_the_kernel_is_refused)
{
    char text[5 + 108 + 1] = "unix:";
    struct addr addr;

    memset(text + 5, 'x', 107);
    ck_assert_int_eq(parse(text, &addr), OK);
    memset(text + 5, 'x', 108);
    ck_assert_int_eq(parse(text, &addr), ERR_PROTOCOL);
}
END_TEST

START_TEST(a_network_has_the_addresses_that_share_its_bits)
{
    static const struct {
        const char *network, *ip;
        bool in;
    } rows[] = {
        {"10.0.0.0/8", "10.255.255.255", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.1.2.0/23", "10.1.3.255", true},
        {"10.1.2.0/23", "10.1.4.0", false},
        {"10.1.2.3", "10.1.2.3", true},
        {"10.1.2.3", "10.1.2.2", false},
        {"10.1.2.3/31", "10.1.2.2", true},
        {"0.0.0.0/0", "8.8.8.8", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "::1", true},
        {"::/0", "1.2.3.4", false},
        {"fd00::/8", "fdff::1", true},
        {"fd00::/8", "fe00::1", false},
        {"2001:db8::/33", "2001:db8:7fff::", true},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"::1/128", "::1", true},
        {"::1/128", "::2", false},
        {"10.0.0.0/8", "::ffff:10.1.2.3", true}, /* came in by an IPv6 socket */
        {"10.0.0.0/8", "::ffff:11.1.2.3", false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_msg(is_in(rows[i].network, rows[i].ip) == rows[i].in, "%s in %s", rows[i].ip,
                      rows[i].network);
    }
}
END_TEST

START_TEST(what_is_no_network_is_refused)
{
    static const char *const texts[] = {"",           "/8",           "10.0.0.0/",   "10.0.0.0/33",
                                        "::1/129",    "10.0.0.0/8/8", "10.0.0.0/-1", "localhost",
                                        "10.0.0.0/ 8"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct addr_range range;

        ck_assert_msg(addr_range_parse(span_of(texts[i]), &range) == ERR_PROTOCOL, "'%s'",
                      texts[i]);
    }
}
END_TEST

START_TEST(a_network_never_has_a_unix_peer)
{
    const struct addr unix_peer = {.family = AF_UNIX};
    struct addr_range range;

    ck_assert_int_eq(addr_range_parse(SPAN("0.0.0.0/0"), &range), OK);
    ck_assert(!addr_range_has(&range, &unix_peer));
    ck_assert_int_eq(addr_range_parse(SPAN("::/0"), &range), OK);
    ck_assert(!addr_range_has(&range, &unix_peer));
}
END_TEST

START_TEST(the_ip_alone_is_printed_without_brackets)
{
    static const char *const rows[][2] = {
        {"127.0.0.1:80", "127.0.0.1"}, {"[::1]:80", "::1"}, {"unix:/x", "unix"}};
    char text[ADDR_TEXT];
    struct addr none = {.family = 0};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct addr addr;

        ck_assert_int_eq(parse(rows[i][0], &addr), OK);
        ck_assert_uint_eq(addr_format_ip(&addr, text, sizeof(text)), strlen(rows[i][1]));
        ck_assert_str_eq(text, rows[i][1]);
    }
    ck_assert_uint_gt(addr_format_ip(&none, text, sizeof(text)), 0);
}
END_TEST

START_TEST(a_mapped_address_is_printed_as_ipv4)
{
    char text[ADDR_TEXT];
    struct addr addr;

    ck_assert_int_eq(parse("[::ffff:1.2.3.4]:80", &addr), OK);
    addr_format_ip(&addr, text, sizeof(text));
    ck_assert_str_eq(text, "1.2.3.4");
    addr_format(&addr, text, sizeof(text));
    ck_assert_str_eq(text, "1.2.3.4:80");
}
END_TEST

START_TEST(a_long_unix_path_is_cut_to_the_room)
{
    char text[10];
    struct addr addr;

    ck_assert_int_eq(parse("unix:/a/longer/path", &addr), OK);
    ck_assert_uint_eq(addr_format(&addr, text, sizeof(text)), 9);
    ck_assert_str_eq(text, "unix:/a/l");
}
END_TEST

START_TEST(addresses_are_equal_by_family_port_and_bytes)
{
    static const char *const texts[] = {"1.2.3.4:80", "1.2.3.4:81", "1.2.3.5:80", "[::1]:80",
                                        "[::2]:80",   "unix:/a",    "unix:/b"};
    enum { N = sizeof(texts) / sizeof(texts[0]) };

    for (size_t i = 0; i < N; i++) {
        for (size_t j = 0; j < N; j++) {
            struct addr a, b;

            ck_assert_int_eq(parse(texts[i], &a), OK);
            ck_assert_int_eq(parse(texts[j], &b), OK);
            ck_assert_int_eq(addr_equal(&a, &b), i == j);
        }
    }
}
END_TEST

START_TEST(the_kernels_form_and_back_is_the_same)
{
    static const char *const texts[] = {"1.2.3.4:80", "[2001:db8::5]:65535"};

    for (size_t i = 0; i < 2; i++) {
        struct sockaddr_storage storage;
        struct sockaddr *sockaddr = (struct sockaddr *)&storage;
        struct addr addr, back;

        ck_assert_int_eq(parse(texts[i], &addr), OK);
        addr.scope = i == 1 ? 7 : 0;
        ck_assert_uint_eq(addr_to_sockaddr(&addr, sockaddr),
                          i == 0 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        addr_from_sockaddr(sockaddr, &back);
        ck_assert(addr_equal(&addr, &back));
    }
}
END_TEST

START_TEST(a_unix_path_reaches_the_kernel)
{
    struct sockaddr_storage storage;
    struct addr addr;

    ck_assert_int_eq(parse("unix:/run/x", &addr), OK);
    addr_to_sockaddr(&addr, (struct sockaddr *)&storage);
    ck_assert_str_eq(((struct sockaddr_un *)&storage)->sun_path, "/run/x");
}
END_TEST

UNIT_MAIN("net/addr", what_is_parsed_prints_the_same, what_is_no_address_with_a_port_is_refused,
          a_unix_path_too_long_for_the_kernel_is_refused,
          a_network_has_the_addresses_that_share_its_bits, what_is_no_network_is_refused,
          a_network_never_has_a_unix_peer, the_ip_alone_is_printed_without_brackets,
          a_mapped_address_is_printed_as_ipv4, a_long_unix_path_is_cut_to_the_room,
          addresses_are_equal_by_family_port_and_bytes, the_kernels_form_and_back_is_the_same,
          a_unix_path_reaches_the_kernel)
