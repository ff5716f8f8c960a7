#include "admin/gate.h"

#include "unit.h"

START_TEST(literal_addresses_and_localhost_pass)
{
    static const char *const hosts[] = {
        "localhost",       "LocalHost", "localhost:9901", "127.0.0.1",        "192.0.2.7:1",
        "127.0.0.1:65535", "[::1]",     "[::1]:9901",     "[2001:db8::7]:80", "[::ffff:1.2.3.4]"};

    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
        ck_assert_msg(gate_has_host(span_of(hosts[i])), "%s", hosts[i]);
}
END_TEST

START_TEST(names_and_malformed_hosts_do_not)
{
    static const char *const hosts[] = {"",
                                        "evil.example",
                                        "localhost.evil.example",
                                        "evil.localhost",
                                        "127.0.0.1.evil.example",
                                        "127.1",
                                        "0x7f.0.0.1",
                                        "2130706433",
                                        "::1",
                                        "[127.0.0.1]",
                                        "[localhost]",
                                        "[::1",
                                        "[",
                                        "[]",
                                        "[::1]x",
                                        "[::1]:",
                                        "localhost:",
                                        "localhost:x",
                                        "localhost:65536",
                                        "localhost:80:80",
                                        "user@127.0.0.1",
                                        "127.0.0.1/24",
                                        " localhost",
                                        ":80"};

    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
        ck_assert_msg(!gate_has_host(span_of(hosts[i])), "%s", hosts[i]);
}
END_TEST

START_TEST(bytes_beyond_the_span_do_not_count)
{
    ck_assert(gate_has_host(span_make("127.0.0.1.evil.example", 9)));
    ck_assert(!gate_has_host(span_make("127.0.0.1\0x", 11)));
    ck_assert(!gate_has_host(
        span_of("[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd]")));
}
END_TEST

UNIT_MAIN("admin/gate", literal_addresses_and_localhost_pass, names_and_malformed_hosts_do_not,
          bytes_beyond_the_span_do_not_count)
