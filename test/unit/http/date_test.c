#include "http/date.h"

#include "unit.h"

#include <string.h>
#include <time.h>

START_TEST(dates_are_imf_fixdates)
{
    char text[DATE_TEXT + 1] = "";

    date_format(784111777, text);
    ck_assert_str_eq(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    date_format(0, text);
    ck_assert_str_eq(text, "Thu, 01 Jan 1970 00:00:00 GMT");
    date_format(951827696, text);
    ck_assert_str_eq(text, "Tue, 29 Feb 2000 12:34:56 GMT");
}
END_TEST

START_TEST(dates_agree_with_the_c_library)
{
    /* A step of 9 h 10 min and some seconds over the years 1970 to 2200 */
    for (int64_t at = 0; at < INT64_C(7258118400); at += 33017) {
        char text[DATE_TEXT + 1] = "", want[DATE_TEXT + 1];
        time_t moment = (time_t)at;
        struct tm broken;

        ck_assert_ptr_nonnull(gmtime_r(&moment, &broken));
        strftime(want, sizeof(want), "%a, %d %b %Y %H:%M:%S GMT", &broken);
        date_format((uint64_t)at, text);
        if (strcmp(text, want) != 0)
            ck_abort_msg("%s, not %s", text, want);
    }
}
END_TEST

UNIT_MAIN("http/date", dates_are_imf_fixdates, dates_agree_with_the_c_library)
