/*
 * text.h - growing bytes with a maximum from birth.
 *
 * Adding beyond the maximum (or out of memory) cuts the text and sets cut;
 * callers add freely and ask once at the end.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/span.h"

#include <stdarg.h>

struct text {
    char *ptr; /* owned, NUL-terminated beyond len once anything was added */
    size_t len, cap, max;
    bool cut;
};

void text_init(struct text *text, size_t max);
void text_fini(struct text *text);

void text_add(struct text *text, struct sluice_span bytes);
void text_add_char(struct text *text, char c);
void text_add_number(struct text *text, uint64_t number);
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_vformat(struct text *text, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

/* Add bytes as the inside of a JSON string: quotes, backslashes, controls and invalid UTF-8 escaped. */
void text_add_json(struct text *text, struct sluice_span bytes);

/* Empty, keeping the memory. */
void text_reset(struct text *text);

/* What has been added so far; valid until the next call that adds. */
struct sluice_span text_span(const struct text *text);

#endif /* BASE_TEXT_H */
