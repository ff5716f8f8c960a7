#include "base/now.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECOND_US UINT64_C(1000000)

START_TEST(now_us_never_goes_back)
{
    uint64_t before = now_us();

    for (int i = 0; i < 100000; i++) {
        uint64_t now = now_us();

        ck_assert_uint_ge(now, before);
        before = now;
    }
}
END_TEST

START_TEST(now_wall_us_is_the_systems_time)
{
    uint64_t before = (uint64_t)time(NULL);
    uint64_t seconds = now_wall_us() / SECOND_US;

    ck_assert_uint_ge(seconds + 1, before);
    ck_assert_uint_le(seconds, (uint64_t)time(NULL) + 1);
}
END_TEST

START_TEST(now_format_writes_known_moments)
{
    char out[NOW_TEXT];

    now_format(0, out);
    ck_assert_str_eq(out, "1970-01-01T00:00:00.000000Z");
    now_format(UINT64_C(1769862896789012), out);
    ck_assert_str_eq(out, "2026-01-31T12:34:56.789012Z");
    now_format(UINT64_MAX, out);
    ck_assert_uint_eq(strlen(out), NOW_TEXT - 1);
    ck_assert_int_eq(strncmp(out, "9999-12-31T23:59:59.", 20), 0);
}
END_TEST

/* Every day of four hundred years, after which the calendar repeats, and some on. */
START_TEST(now_format_agrees_with_the_c_library)
{
    for (int64_t day = 0; day < 150000; day++) {
        time_t seconds = (time_t)(day * 86400 + day % 86400);
        char out[NOW_TEXT], want[32];
        struct tm parts;

        ck_assert_ptr_nonnull(gmtime_r(&seconds, &parts));
        strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.000001Z", &parts);
        now_format((uint64_t)seconds * SECOND_US + 1, out);
        ck_assert_str_eq(out, want);
    }
}
END_TEST

UNIT_MAIN("base/now", now_us_never_goes_back, now_wall_us_is_the_systems_time,
          now_format_writes_known_moments, now_format_agrees_with_the_c_library)
