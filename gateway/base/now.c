/*
 * now.c - the calendar is worked out here because gmtime_r() takes a lock in glibc, and every
 * worker writes times.
 */
#include "base/now.h"

#include <string.h>
#include <time.h>

enum { DAYS_4_YEARS = 1461, DAYS_100_YEARS = 36524, DAYS_400_YEARS = 146097 };

#define SECOND_US   ((uint64_t)1000000)
#define LAST_SECOND ((uint64_t)253402300799) /* of the year 9999: more digits would not fit */

static uint64_t clock_us(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time); /* cannot fail: both clocks exist everywhere */
    return (uint64_t)time.tv_sec * SECOND_US + (uint64_t)time.tv_nsec / 1000;
}

uint64_t now_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

uint64_t now_coarse_ms(void)
{
    return clock_us(CLOCK_MONOTONIC_COARSE) / 1000;
}

uint64_t now_wall_us(void)
{
    return clock_us(CLOCK_REALTIME);
}

struct date {
    unsigned year, month, day;
};

/*
 * Years begin in March here, so that the leap day is the last of its year; 1970-01-01 is day
 * 719468 since 0000-03-01. From March on the months' lengths repeat: 153 days in 5 months.
 */
static struct date date_of(uint64_t days)
{
    unsigned n = (unsigned)days + 719468;
    unsigned era = n / DAYS_400_YEARS;
    unsigned of_era = n % DAYS_400_YEARS;
    unsigned year = (of_era - of_era / (DAYS_4_YEARS - 1) + of_era / DAYS_100_YEARS -
                     of_era / (DAYS_400_YEARS - 1)) /
                    365;
    unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * of_year + 2) / 153;
    struct date date;

    date.day = of_year - (153 * month + 2) / 5 + 1;
    date.month = month < 10 ? month + 3 : month - 9;
    date.year = era * 400 + year + (date.month <= 2 ? 1 : 0);
    return date;
}

/* Write number as digits decimal digits, zeros in front. */
static char *put(char *out, unsigned number, unsigned digits)
{
    for (unsigned i = digits; i > 0; i--) {
        out[i - 1] = (char)('0' + number % 10);
        number /= 10;
    }
    return out + digits;
}

void now_format(uint64_t wall_us, char out[NOW_TEXT])
{
    uint64_t seconds = wall_us / SECOND_US;
    unsigned of_day;
    struct date date;

    if (seconds > LAST_SECOND)
        seconds = LAST_SECOND;
    date = date_of(seconds / 86400);
    of_day = (unsigned)(seconds % 86400);
    out = put(out, date.year, 4);
    *out++ = '-';
    out = put(out, date.month, 2);
    *out++ = '-';
    out = put(out, date.day, 2);
    *out++ = 'T';
    out = put(out, of_day / 3600, 2);
    *out++ = ':';
    out = put(out, of_day / 60 % 60, 2);
    *out++ = ':';
    out = put(out, of_day % 60, 2);
    *out++ = '.';
    out = put(out, (unsigned)(wall_us % SECOND_US), 6);
    memcpy(out, "Z", 2);
}
