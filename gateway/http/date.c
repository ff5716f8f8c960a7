/*
 * date.c - the calendar by arithmetic: no locale, no time zone file, no lock.
 */
#include "http/date.h"

#include <string.h>

enum { DAY_S = 86400, DAYS_400_YEARS = 146097, DAYS_TO_MARCH_0000 = 719468 };

static void two_digits(char *out, unsigned number)
{
    out[0] = (char)('0' + number / 10 % 10);
    out[1] = (char)('0' + number % 10);
}

void date_format(uint64_t wall_s, char out[DATE_TEXT])
{
    static const char week[] = "ThuFriSatSunMonTueWed"; /* day 0 was a Thursday */
    static const char months[] = "MarAprMayJunJulAugSepOctNovDecJanFeb";
    uint64_t days = wall_s / DAY_S;
    unsigned second = (unsigned)(wall_s % DAY_S);
    /* Years are counted from March, so that a leap day is the last of its year. */
    uint64_t shifted = days + DAYS_TO_MARCH_0000;
    unsigned of_era = (unsigned)(shifted % DAYS_400_YEARS);
    unsigned year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month = (5 * of_year + 2) / 153; /* 0 is March */
    unsigned day = of_year - (153 * month + 2) / 5 + 1;
    unsigned year =
        (unsigned)(shifted / DAYS_400_YEARS) * 400 + year_of_era + (month >= 10 ? 1 : 0);

    memcpy(out, "Thu, 01 Jan 1970 00:00:00 GMT", DATE_TEXT);
    memcpy(out, week + days % 7 * 3, 3);
    two_digits(out + 5, day);
    memcpy(out + 8, months + (size_t)month * 3, 3);
    two_digits(out + 12, year / 100);
    two_digits(out + 14, year);
    two_digits(out + 17, second / 3600);
    two_digits(out + 20, second / 60 % 60);
    two_digits(out + 23, second % 60);
}
