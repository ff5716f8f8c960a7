/*
 * text.h - growing bytes with a maximum from birth.
 *
 * Adding beyond the maximum (or out of memory) cuts the text and sets cut, and
 * then nothing more is added: what is there stays a prefix of what was meant.
 * Callers add freely and ask once at the end.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/span.h"

#include <stdarg.h>

struct text {
    char *ptr; /* owned, NUL-terminated beyond len once anything was added */
    size_t len, cap, max;
    bool cut;
    bool fixed; /* ptr is the caller's buffer: borrowed, never grown */
};

void text_init(struct text *text, size_t max);

/* As text_init, in size bytes (at least 1) of the caller's, who keeps them; at most size - 1. */
void text_init_fixed(struct text *text, char *buffer, size_t size);
void text_fini(struct text *text);

void text_add(struct text *text, struct sluice_span bytes);
void text_add_char(struct text *text, char c);
void text_add_number(struct text *text, uint64_t number);
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_vformat(struct text *text, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

/*
 * Add bytes as the inside of a JSON string: quotes, backslashes and controls escaped, each byte
 * that is not UTF-8 replaced by U+FFFD. An escape is never cut in its middle.
 */
void text_add_json(struct text *text, struct sluice_span bytes);

/*
 * Copy at most room bytes of a text that strangers chose to out, with '?' for each control byte
 * and each that is not UTF-8; a character is copied whole or not at all. Returns how many.
 */
size_t text_clean(struct sluice_span bytes, char *out, size_t room);

/* Empty, keeping the memory. */
void text_reset(struct text *text);

/* What has been added so far; valid until the next call that adds. */
/* Forget the first n bytes, at most all. */
void text_skip(struct text *text, size_t n);

struct sluice_span text_span(const struct text *text);

#endif /* BASE_TEXT_H */
