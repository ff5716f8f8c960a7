#include "http/grpc_timeout.h"

#include <inttypes.h>
#include <stdio.h>

enum { DIGITS_MAX = 8, NUMBER_MAX = 99999999 };

bool grpc_is_type(struct sluice_span content_type)
{
    struct sluice_span type = SPAN("application/grpc");
    char next = '\0';

    if (content_type.len < type.len ||
        !span_equal_nocase(span_make(content_type.ptr, type.len), type))
        return false;
    if (content_type.len > type.len)
        next = content_type.ptr[type.len];
    return next == '\0' || next == '+' || next == ';' || next == ' ';
}

/* Nanoseconds in one; 0: no unit. */
static uint64_t unit_ns(char unit)
{
    switch (unit) {
    case 'H':
        return UINT64_C(3600000000000);
    case 'M':
        return UINT64_C(60000000000);
    case 'S':
        return UINT64_C(1000000000);
    case 'm':
        return UINT64_C(1000000);
    case 'u':
        return UINT64_C(1000);
    case 'n':
        return UINT64_C(1);
    default:
        return 0;
    }
}

enum err grpc_timeout_parse(struct sluice_span text, uint64_t *us)
{
    uint64_t unit, number;

    if (text.len < 2 || text.len > DIGITS_MAX + 1)
        return ERR_PROTOCOL;
    unit = unit_ns(text.ptr[text.len - 1]);
    if (unit == 0 || span_number(span_make(text.ptr, text.len - 1), NUMBER_MAX, &number))
        return ERR_PROTOCOL;
    /* 99999999 hours in nanoseconds would not fit. */
    *us = unit >= 1000 ? number * (unit / 1000) : (number + 999) / 1000;
    return OK;
}

struct sluice_span grpc_timeout_format(uint64_t ms, char room[GRPC_TIMEOUT_TEXT])
{
    static const struct {
        char name;
        uint64_t ms;
    } units[] = {{'m', 1}, {'S', 1000}, {'M', 60000}, {'H', 3600000}};
    size_t i = 0;
    int n;

    while (i < 3 && ms / units[i].ms > NUMBER_MAX) {
        i++;
    }
    ms /= units[i].ms;
    n = snprintf(room, GRPC_TIMEOUT_TEXT, "%" PRIu64 "%c", ms > NUMBER_MAX ? NUMBER_MAX : ms,
                 units[i].name);
    return span_make(room, (size_t)n);
}
