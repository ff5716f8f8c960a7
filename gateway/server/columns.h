/*
 * columns.h - tables on paper and screen: cells that stand below each other, of rows in JSON; and
 * what cells are made of.
 */
#ifndef SERVER_COLUMNS_H
#define SERVER_COLUMNS_H

#include "base/text.h"

#include <jansson.h>

enum { COLUMNS_MAX = 20, CELL_MAX = 256 };

/* -- pieces of JSON ------------------------------------------------------------------ */

/* "" when there is none. */
const char *cell_text(const json_t *object, const char *name);
long long cell_number(const json_t *object, const char *name);

/* Words that strangers may have chosen, without controls: C0, DEL, and C1 as UTF-8 has them. */
void cell_add_shown(struct text *out, const char *words);

/* "850ms", "3s", "12m", "5h", "9d" */
void cell_add_duration(struct text *out, long long ms);

/* "812", "3.4K", "12M" */
void cell_add_bytes(struct text *out, long long bytes);

/* -- columns ------------------------------------------------------------------------- */

enum tone { TONE_PLAIN, TONE_GOOD, TONE_CARE, TONE_BAD, TONE_HEAD, TONE_FAINT };

struct column {
    const char *title;
    bool right; /* numbers */
};

/* Set the first group, zero the rest. */
struct columns {
    struct text *out; /* borrowed */
    bool colour;
    const struct column *column; /* borrowed */
    unsigned n;                  /* at most COLUMNS_MAX */
    /* What stands in a column, and how it is to look. */
    enum tone (*cell)(const json_t *row, unsigned column, struct text *out);

    size_t width[COLUMNS_MAX]; /* 0: nothing to say in the whole table, and left out */
};

/* Of each row, before anything is added. */
void columns_measure(struct columns *columns, const json_t *row);

void columns_add_titles(struct columns *columns);
void columns_add_row(const struct columns *columns, const json_t *row);

/* -- lines between them --------------------------------------------------------------- */

void columns_add_toned(const struct columns *columns, enum tone tone, struct sluice_span words);

/* Without blanks at its end. */
void columns_end_line(const struct columns *columns);

#endif /* SERVER_COLUMNS_H */
