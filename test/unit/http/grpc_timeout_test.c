#include "http/grpc_timeout.h"

#include "unit.h"

#define MINUTE UINT64_C(60000000)

static const struct {
    const char *text;
    uint64_t us;
} good[] = {
    {"1n", 1},
    {"999n", 1},
    {"1000n", 1},
    {"1001n", 2},
    {"0m", 0},
    {"5u", 5},
    {"250m", 250000},
    {"3S", 3000000},
    {"2M", 2 * MINUTE},
    {"1H", 60 * MINUTE},
    {"00000007S", 7000000},
    {"99999999H", UINT64_C(99999999) * 60 * MINUTE},
    {"99999999n", 100000},
};

START_TEST(each_unit_is_read)
{
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint64_t us = 12345;

        ck_assert_msg(grpc_timeout_parse(span_of(good[i].text), &us) == OK, "%s", good[i].text);
        ck_assert_msg(us == good[i].us, "%s is %llu", good[i].text, (unsigned long long)us);
    }
}
END_TEST

START_TEST(nothing_else_is)
{
    static const char *const wrong[] = {"",    "1",   "S",          "1s",   "1h",   "1 S",
                                        " 1S", "1S ", "-1S",        "+1S",  "1.5S", "0x1S",
                                        "1SS", "S1",  "123456789m", "1,2S", "1\tS"};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint64_t us;

        ck_assert_msg(grpc_timeout_parse(span_of(wrong[i]), &us) == ERR_PROTOCOL, "%s", wrong[i]);
    }
}
END_TEST

static const char *printed(uint64_t ms)
{
    static char room[GRPC_TIMEOUT_TEXT + 1];
    struct sluice_span text = grpc_timeout_format(ms, room);

    ck_assert_uint_le(text.len, 9);
    room[text.len] = '\0';
    return room;
}

START_TEST(what_is_printed_has_eight_digits_at_most_and_promises_no_more)
{
    ck_assert_str_eq(printed(1), "1m");
    ck_assert_str_eq(printed(99999999), "99999999m");
    ck_assert_str_eq(printed(100000000), "100000S");
    ck_assert_str_eq(printed(UINT64_C(100000000) * 1000), "1666666M");
    ck_assert_str_eq(printed(UINT64_C(100000000) * 60000), "1666666H");
    ck_assert_str_eq(printed(UINT64_MAX), "99999999H");
}
END_TEST

START_TEST(a_grpc_call_is_known_by_its_type)
{
    ck_assert(grpc_is_type(SPAN("application/grpc")));
    ck_assert(grpc_is_type(SPAN("application/grpc+proto")));
    ck_assert(grpc_is_type(SPAN("Application/GRPC;charset=x")));
    ck_assert(!grpc_is_type(SPAN("application/grpc-web")));
    ck_assert(!grpc_is_type(SPAN("application/grp")));
    ck_assert(!grpc_is_type(SPAN("application/json")));
    ck_assert(!grpc_is_type(SPAN("")));
}
END_TEST

UNIT_MAIN("http/grpc_timeout", each_unit_is_read, nothing_else_is,
          what_is_printed_has_eight_digits_at_most_and_promises_no_more,
          a_grpc_call_is_known_by_its_type)
