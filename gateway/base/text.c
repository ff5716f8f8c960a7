#include "base/text.h"

#include "base/alloc.h"
#include "base/check.h"

#include <stdio.h>
#include <string.h>

enum { FIRST_CAP = 64, NUMBER_DIGITS = 20 };

void text_init(struct text *text, size_t max)
{
    *text = (struct text){.max = max < SIZE_MAX ? max : SIZE_MAX - 1};
}

void text_init_fixed(struct text *text, char *buffer, size_t size)
{
    *text = (struct text){.ptr = buffer, .cap = size, .max = size - 1, .fixed = true};
    buffer[0] = '\0';
}

void text_fini(struct text *text)
{
    if (!text->fixed)
        alloc_free(text->ptr);
    *text = (struct text){.max = text->max};
}

/* Make cap at least len + more + 1; false when out of memory. */
static bool grow(struct text *text, size_t more)
{
    size_t want = text->len + more + 1;
    size_t cap = text->cap > 0 ? text->cap : FIRST_CAP;
    char *ptr;

    if (want <= text->cap)
        return true;
    CHECK(!text->fixed); /* its maximum is what its buffer holds */
    while (cap < want)
        cap = cap <= SIZE_MAX / 2 ? cap * 2 : want;
    if (cap > text->max + 1)
        cap = text->max + 1;
    ptr = alloc_resize_try(text->ptr, cap);
    if (!ptr)
        return false;
    text->ptr = ptr;
    text->cap = cap;
    return true;
}

/* Make room for more bytes; return how many of them may be added, and cut when not all. */
static size_t reserve(struct text *text, size_t more)
{
    size_t room = text->max - text->len;

    if (text->cut)
        return 0;
    if (more > room) {
        text->cut = true;
    } else {
        room = more;
    }
    if (room > 0 && !grow(text, room)) {
        text->cut = true;
        return 0;
    }
    return room;
}

void text_add(struct text *text, struct sluice_span bytes)
{
    size_t room = reserve(text, bytes.len);

    if (room == 0)
        return;
    memcpy(text->ptr + text->len, bytes.ptr, room);
    text->len += room;
    text->ptr[text->len] = '\0';
}

void text_add_char(struct text *text, char c)
{
    text_add(text, span_make(&c, 1));
}

void text_add_number(struct text *text, uint64_t number)
{
    char digits[NUMBER_DIGITS];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    text_add(text, span_make(digits + at, sizeof(digits) - at));
}

void text_format(struct text *text, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    text_vformat(text, format, args);
    va_end(args);
}

void text_vformat(struct text *text, const char *format, va_list args)
{
    va_list again;
    size_t whole, room;
    int len;

    va_copy(again, args);
    len = vsnprintf(NULL, 0, format, again);
    va_end(again);
    whole = len > 0 ? (size_t)len : 0;
    room = reserve(text, whole);
    if (room > 0)
        vsnprintf(text->ptr + text->len, room + 1, format, args);
    text->len += room;
    if (len < 0)
        text->cut = true;
}

/* -- JSON -------------------------------------------------------------- */

/* What a first byte promises: how many follow, and the bounds of the second (RFC 3629 4). */
struct lead {
    unsigned char first, last, more, low, high;
};

static const struct lead leads[] = {
    {0xc2, 0xdf, 1, 0x80, 0xbf}, {0xe0, 0xe0, 2, 0xa0, 0xbf}, {0xe1, 0xec, 2, 0x80, 0xbf},
    {0xed, 0xed, 2, 0x80, 0x9f}, {0xee, 0xef, 2, 0x80, 0xbf}, {0xf0, 0xf0, 3, 0x90, 0xbf},
    {0xf1, 0xf3, 3, 0x80, 0xbf}, {0xf4, 0xf4, 3, 0x80, 0x8f},
};

/* Bytes of the character beyond ASCII that bytes begins with; 0 when it is no UTF-8. */
static size_t utf8_len(struct sluice_span bytes)
{
    const unsigned char *at = (const unsigned char *)bytes.ptr;

    for (size_t i = 0; i < sizeof(leads) / sizeof(leads[0]); i++) {
        const struct lead *lead = &leads[i];

        if (at[0] < lead->first || at[0] > lead->last)
            continue;
        if (bytes.len <= lead->more || at[1] < lead->low || at[1] > lead->high)
            return 0;
        for (size_t k = 2; k <= lead->more; k++) {
            if ((at[k] & 0xc0) != 0x80)
                return 0;
        }
        return (size_t)lead->more + 1;
    }
    return 0;
}

/* C1 controls are two bytes in UTF-8; some terminals obey them. */
static bool is_c1(const char *ptr, size_t len)
{
    return len == 2 && (unsigned char)ptr[0] == 0xc2 && (unsigned char)ptr[1] < 0xa0;
}

/* The letter that stands for c after a backslash, or NUL. */
static char short_escape(char c)
{
    switch (c) {
    case '"':
    case '\\':
        return c;
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return '\0';
    }
}

/* Add all of it or cut the text before it. */
static void add_whole(struct text *text, struct sluice_span bytes)
{
    if (bytes.len > text->max - text->len)
        text->cut = true;
    text_add(text, bytes);
}

/* Add what stands for the first character of bytes; return how many bytes it was. */
static size_t add_escaped(struct text *text, struct sluice_span bytes)
{
    unsigned char c = (unsigned char)bytes.ptr[0];
    size_t len = c < 0x80 ? 1 : utf8_len(bytes);
    char escape[8];

    if (short_escape((char)c)) {
        escape[0] = '\\';
        escape[1] = short_escape((char)c);
        add_whole(text, span_make(escape, 2));
    } else if (c < 0x20 || c == 0x7f || is_c1(bytes.ptr, len)) {
        snprintf(escape, sizeof(escape), "\\u%04x", (unsigned char)bytes.ptr[len - 1]);
        add_whole(text, span_make(escape, 6));
    } else if (len == 0) {
        add_whole(text, SPAN("\\ufffd"));
        len = 1;
    } else {
        add_whole(text, span_make(bytes.ptr, len));
    }
    return len;
}

static bool is_plain(char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

void text_add_json(struct text *text, struct sluice_span bytes)
{
    while (bytes.len > 0 && !text->cut) {
        size_t len = 0;

        while (len < bytes.len && is_plain(bytes.ptr[len]))
            len++;
        if (len > 0) {
            text_add(text, span_make(bytes.ptr, len));
        } else {
            len = add_escaped(text, bytes);
        }
        bytes.ptr += len;
        bytes.len -= len;
    }
}

size_t text_clean(struct sluice_span bytes, char *out, size_t room)
{
    size_t n = 0;

    while (bytes.len > 0 && n < room) {
        unsigned char c = (unsigned char)bytes.ptr[0];
        size_t len = c < 0x80 ? 1 : utf8_len(bytes);
        bool is_bad = c < 0x20 || c == 0x7f || len == 0 || is_c1(bytes.ptr, len);

        if (len == 0)
            len = 1;
        if (!is_bad && len > room - n)
            break;
        if (is_bad) {
            out[n++] = '?';
        } else {
            memcpy(out + n, bytes.ptr, len);
            n += len;
        }
        bytes.ptr += len;
        bytes.len -= len;
    }
    return n;
}

/* -- the rest ---------------------------------------------------------- */

void text_reset(struct text *text)
{
    text->len = 0;
    text->cut = false;
    if (text->ptr)
        text->ptr[0] = '\0';
}

void text_skip(struct text *text, size_t n)
{
    CHECK(n <= text->len);
    if (n == 0)
        return;
    text->len -= n;
    memmove(text->ptr, text->ptr + n, text->len + 1); /* with its NUL */
}

struct sluice_span text_span(const struct text *text)
{
    return span_make(text->ptr, text->len);
}
