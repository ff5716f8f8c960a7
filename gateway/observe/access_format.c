/*
 * access_format.c - follow a compiled format: constant bytes, then a value, step by step.
 *
 * A line is gathered on the stack and handed over in large pieces; numbers and the time are
 * printed by hand. Both are measurable: this runs once per exchange on a worker.
 *
 * What a peer chose is bounded twice: each value, and all values of a line together. So a
 * line always fits, and nobody hides a request from the log by making it long.
 */
#include "observe/access_format.h"

#include <string.h>

enum {
    ROOM_BYTES = 1024,
    JSON_WORST = 6, /* bytes that one byte may become: \u00XX */
    PATTERN_WORST = 4
};

struct line {
    struct text *out;
    size_t budget; /* what values may still add */
    size_t len;
    char room[ROOM_BYTES];
};

/* -- bytes -------------------------------------------------------------- */

static void flush(struct line *line)
{
    text_add(line->out, span_make(line->room, line->len));
    line->len = 0;
}

/* What no longer fits. */
__attribute__((noinline)) static void add_after_flush(struct line *line, struct sluice_span bytes)
{
    flush(line);
    if (bytes.len > ROOM_BYTES) {
        text_add(line->out, bytes);
        return;
    }
    memcpy(line->room, bytes.ptr, bytes.len);
    line->len = bytes.len;
}

/* As memcpy(), which is a call: names and values are short, and there are fifty in a line. */
static inline void copy(char *to, const char *from, size_t n)
{
    if (n > 16) {
        memcpy(to, from, n);
    } else if (n >= 8) {
        uint64_t first, last;

        memcpy(&first, from, 8);
        memcpy(&last, from + n - 8, 8);
        memcpy(to, &first, 8);
        memcpy(to + n - 8, &last, 8);
    } else if (n >= 4) {
        uint32_t first, last;

        memcpy(&first, from, 4);
        memcpy(&last, from + n - 4, 4);
        memcpy(to, &first, 4);
        memcpy(to + n - 4, &last, 4);
    } else {
        for (size_t i = 0; i < n; i++)
            to[i] = from[i];
    }
}

static inline void add(struct line *line, struct sluice_span bytes)
{
    if (bytes.len > ROOM_BYTES - line->len) {
        add_after_flush(line, bytes);
        return;
    }
    copy(line->room + line->len, bytes.ptr, bytes.len);
    line->len += bytes.len;
}

static void add_char(struct line *line, char c)
{
    if (line->len == ROOM_BYTES)
        flush(line);
    line->room[line->len++] = c;
}

/* -- numbers ------------------------------------------------------------ */

static void add_number(struct line *line, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    add(line, span_make(digits + at, sizeof digits - at));
}

/* Exactly n digits into out. */
static void put_digits(char *out, unsigned n, unsigned number)
{
    while (n--) {
        out[n] = (char)('0' + number % 10);
        number /= 10;
    }
}

/* Microseconds as "12.345" milliseconds. */
static void add_ms(struct line *line, uint64_t us)
{
    char digits[4] = ".";

    add_number(line, us / 1000);
    put_digits(digits + 1, 3, (unsigned)(us % 1000));
    add(line, span_make(digits, sizeof digits));
}

/*
 * "2026-01-31T12:34:56". The year is made to begin in March, so that the leap day is its
 * last; 400 years ("an era") have 146,097 days. Good until the year 9999.
 */
static void tell_second(struct access_second *told, uint64_t s)
{
    char *text = told->text;
    unsigned second = (unsigned)(s % 86400);
    unsigned day = (unsigned)(s / 86400) + 719468; /* since 0000-03-01 */
    unsigned era = day / 146097;
    unsigned era_day = day % 146097;
    unsigned era_year = (era_day - era_day / 1460 + era_day / 36524 - era_day / 146096) / 365;
    unsigned year_day = era_day - (365 * era_year + era_year / 4 - era_year / 100);
    unsigned from_march = (5 * year_day + 2) / 153;
    unsigned month = from_march < 10 ? from_march + 3 : from_march - 9;

    memcpy(text, "0000-00-00T00:00:00", sizeof(told->text));
    put_digits(text, 4, era * 400 + era_year + (month <= 2));
    put_digits(text + 5, 2, month);
    put_digits(text + 8, 2, year_day - (153 * from_march + 2) / 5 + 1);
    put_digits(text + 11, 2, second / 3600);
    put_digits(text + 14, 2, second / 60 % 60);
    put_digits(text + 17, 2, second % 60);
    told->s = s;
}

/* Most lines are of the second that the line before was of. */
static void add_time(struct line *line, struct access_second *told, uint64_t wall_us)
{
    struct access_second own = {0};
    char ms[] = ".000Z";
    uint64_t s = wall_us / 1000000;

    if (!told)
        told = &own;
    if (told->s != s || told->text[0] == '\0')
        tell_second(told, s);
    put_digits(ms + 1, 3, (unsigned)(wall_us / 1000 % 1000));
    add(line, span_make(told->text, sizeof(told->text)));
    add(line, span_make(ms, sizeof ms - 1));
}

/* -- text --------------------------------------------------------------- */

#define EACH(octet) (UINT64_C(0x0101010101010101) * (octet))

/*
 * Does one of eight octets have to be escaped? A bit 7 is set by what is below 0x20, above 0x7e, a
 * quote or a backslash. A borrow may set one too many, but only above one that is right.
 */
static inline uint64_t odd_of(uint64_t octets)
{
    uint64_t quote = octets ^ EACH('"'), slash = octets ^ EACH('\\');
    uint64_t low = ((octets - EACH(0x20)) & ~octets) | ((quote - EACH(1)) & ~quote) |
                   ((slash - EACH(1)) & ~slash);

    return (low | (octets + EACH(1)) | octets) & EACH(0x80);
}

/* Printable ASCII that neither form has to escape. */
static bool is_plain(struct sluice_span bytes)
{
    uint64_t octets = EACH(' '), odd = 0;

    if (bytes.len < 8) {
        for (size_t i = 0; i < bytes.len; i++)
            octets = octets << 8 | (unsigned char)bytes.ptr[i];
        return odd_of(octets) == 0;
    }
    for (size_t at = 0; at + 8 <= bytes.len; at += 8) {
        memcpy(&octets, bytes.ptr + at, 8);
        odd |= odd_of(octets);
    }
    memcpy(&octets, bytes.ptr + bytes.len - 8, 8); /* overlaps, no matter */
    return (odd | odd_of(octets)) == 0;
}

/* At most max bytes, not ending within a UTF-8 sequence. */
static struct sluice_span shorten(struct sluice_span bytes, size_t max)
{
    size_t len = max;

    if (bytes.len <= max)
        return bytes;
    for (int i = 0; i < 3 && len && ((unsigned char)bytes.ptr[len] & 0xc0) == 0x80; i++)
        len--;
    return span_make(bytes.ptr, len);
}

/* One line, no control bytes, no quote that could end a quoted column early. */
static void add_pattern_bytes(struct line *line, struct sluice_span bytes)
{
    static const char hex[] = "0123456789abcdef";

    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.ptr[i];

        if (c == '"' || c == '\\') {
            char escaped[2] = {'\\', (char)c};

            add(line, span_make(escaped, sizeof escaped));
            line->budget -= sizeof escaped;
        } else if (c < 0x20 || c > 0x7e) {
            char escaped[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};

            add(line, span_make(escaped, sizeof escaped));
            line->budget -= sizeof escaped;
        } else {
            add_char(line, (char)c);
            line->budget--;
        }
    }
}

static void add_json_bytes(struct line *line, struct sluice_span bytes)
{
    size_t before;

    flush(line);
    before = line->out->len;
    text_add_json(line->out, bytes);
    line->budget -= line->out->len - before;
}

static void add_text(struct line *line, enum access_form form, struct sluice_span bytes)
{
    struct sluice_span shown = shorten(bytes, ACCESS_VALUE_MAX);

    if (form == ACCESS_JSON)
        add_char(line, '"');
    if (is_plain(shown)) {
        shown = shorten(shown, line->budget);
        add(line, shown);
        line->budget -= shown.len;
    } else if (form == ACCESS_JSON) {
        shown = shorten(shown, line->budget / JSON_WORST);
        add_json_bytes(line, shown);
    } else {
        shown = shorten(shown, line->budget / PATTERN_WORST);
        add_pattern_bytes(line, shown);
    }
    if (shown.len < bytes.len)
        add(line, SPAN("..."));
    if (form == ACCESS_JSON)
        add_char(line, '"');
}

/* -- values ------------------------------------------------------------- */

static void add_missing(struct line *line, enum access_form form)
{
    add(line, form == ACCESS_JSON ? SPAN("null") : SPAN("-"));
}

/* The text that a step says; false when it is missing. */
static bool find_text(const struct access_step *step, const struct access_record *record,
                      const void *value, struct sluice_span *text)
{
    const char *chars;

    if (step->kind == ACCESS_SPAN) {
        memcpy(text, value, sizeof *text);
        return text->len > 0;
    }
    if (step->kind == ACCESS_CHARS) {
        memcpy(&chars, value, sizeof chars);
        *text = span_of(chars);
        return chars != NULL;
    }
    if (step->kind == ACCESS_QUERY) {
        *text = record->query;
        return record->has_query;
    }
    if (step->kind == ACCESS_FACT)
        return record->find_fact && record->find_fact(record, (enum access_fact)step->offset, text);
    if (step->kind == ACCESS_ATTRIBUTE)
        return record->find_attribute && record->find_attribute(record, step->name, text);
    return record->find_field && record->find_field(record, step->of_response, step->name, text);
}

static void add_int(struct line *line, enum access_form form, enum access_kind kind, int64_t number)
{
    if (number < 0) {
        add_missing(line, form);
    } else if (kind == ACCESS_MS) {
        add_ms(line, (uint64_t)number);
    } else {
        add_number(line, (uint64_t)number);
    }
}

static void add_quoted_time(struct line *line, enum access_form form, struct access_second *told,
                            uint64_t wall_us)
{
    if (form == ACCESS_JSON)
        add_char(line, '"');
    add_time(line, told, wall_us);
    if (form == ACCESS_JSON)
        add_char(line, '"');
}

static void add_value(struct line *line, enum access_form form, const struct access_step *step,
                      const struct access_record *record)
{
    const void *value = (const char *)record + (step->kind == ACCESS_FACT ? 0 : step->offset);
    struct sluice_span text = {NULL, 0};

    switch (step->kind) {
    case ACCESS_TIME:
        add_quoted_time(line, form, record->second, *(const uint64_t *)value);
        break;
    case ACCESS_INT:
    case ACCESS_MS:
        add_int(line, form, step->kind, *(const int64_t *)value);
        break;
    case ACCESS_UINT:
        add_number(line, *(const uint64_t *)value);
        break;
    case ACCESS_UINT32:
        add_number(line, *(const uint32_t *)value);
        break;
    case ACCESS_BOOL:
        add(line, *(const bool *)value ? SPAN("true") : SPAN("false"));
        break;
    case ACCESS_SPAN:
    case ACCESS_CHARS:
    case ACCESS_QUERY:
    case ACCESS_FIELD:
    case ACCESS_FACT:
    case ACCESS_ATTRIBUTE:
        if (find_text(step, record, value, &text)) {
            add_text(line, form, text);
        } else {
            add_missing(line, form);
        }
        break;
    }
}

void access_format_write(const struct access_format *format, const struct access_record *record,
                         struct text *out)
{
    struct line line;

    if (!format)
        return;
    line.out = out;
    line.budget = ACCESS_VALUES_MAX;
    line.len = 0;
    for (size_t i = 0; i < format->n_steps; i++) {
        add(&line, format->steps[i].before);
        add_value(&line, format->form, &format->steps[i], record);
    }
    add(&line, format->last);
    flush(&line);
}

bool access_format_wants_response(const struct access_format *format)
{
    for (size_t i = 0; format && i < format->n_steps; i++) {
        if (format->steps[i].kind == ACCESS_FIELD && format->steps[i].of_response)
            return true;
    }
    return false;
}
