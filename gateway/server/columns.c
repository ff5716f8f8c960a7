#include "server/columns.h"

/* -- pieces of JSON ------------------------------------------------------------------ */

const char *cell_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

long long cell_number(const json_t *object, const char *name)
{
    return (long long)json_integer_value(json_object_get(object, name));
}

void cell_add_shown(struct text *out, const char *words)
{
    for (const char *at = words; *at; at++) {
        unsigned char c = (unsigned char)at[0], next = (unsigned char)at[1];
        bool is_c1 = c == 0xc2 && next >= 0x80 && next < 0xa0;

        text_add(out, c < ' ' || c == 0x7f || is_c1 ? SPAN("?") : span_make(at, 1));
        at += is_c1;
    }
}

void cell_add_duration(struct text *out, long long ms)
{
    static const struct {
        const char *unit;
        long long ms, below;
    } units[] = {{"ms", 1, 1000},
                 {"s", 1000, 120},
                 {"m", 60000, 120},
                 {"h", 3600000, 48},
                 {"d", 86400000, 0}};
    size_t i = 0;

    while (units[i].below && ms / units[i].ms >= units[i].below)
        i++;
    text_format(out, "%lld%s", ms / units[i].ms, units[i].unit);
}

/* Powers of 1024, with one digit behind the point below 10. */
void cell_add_bytes(struct text *out, long long bytes)
{
    static const char units[] = "KMGTP";
    double number = (double)bytes;
    size_t i = 0;

    if (bytes < 1024) {
        text_format(out, "%lld", bytes);
        return;
    }
    for (number /= 1024; number >= 1000 && units[i + 1]; i++)
        number /= 1024;
    text_format(out, number < 10 ? "%.1f%c" : "%.0f%c", number, units[i]);
}

/* -- colours ----------------------------------------------------------------------------- */

static const char *start_of(enum tone tone)
{
    static const char *const starts[] = {
        [TONE_PLAIN] = "",         [TONE_GOOD] = "\033[32m", [TONE_CARE] = "\033[33m",
        [TONE_BAD] = "\033[31;1m", [TONE_HEAD] = "\033[1m",  [TONE_FAINT] = "\033[2m",
    };

    return starts[tone];
}

/* -- columns ----------------------------------------------------------------------------- */

/* Columns that a terminal needs for UTF-8, wide characters apart. */
static size_t width_of(struct sluice_span text)
{
    size_t width = 0;

    for (size_t i = 0; i < text.len; i++) {
        width += ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
    }
    return width;
}

void columns_measure(struct columns *columns, const json_t *row)
{
    for (unsigned i = 0; i < columns->n; i++) {
        char buffer[CELL_MAX];
        struct text cell;
        size_t width;

        text_init_fixed(&cell, buffer, sizeof(buffer));
        (void)columns->cell(row, i, &cell);
        width = width_of(text_span(&cell));
        if (width > columns->width[i])
            columns->width[i] = width;
    }
}

void columns_add_toned(const struct columns *columns, enum tone tone, struct sluice_span words)
{
    bool colour = columns->colour && tone != TONE_PLAIN && words.len > 0;

    text_add(columns->out, span_of(colour ? start_of(tone) : ""));
    text_add(columns->out, words);
    text_add(columns->out, colour ? SPAN("\033[0m") : SPAN(""));
}

static void add_blanks(const struct columns *columns, size_t n)
{
    text_format(columns->out, "%*s", (int)n, "");
}

/* One cell at its place; the last of a line is not padded. */
static void put(const struct columns *columns, unsigned i, enum tone tone, struct sluice_span words)
{
    size_t width = width_of(words);
    size_t blanks = columns->width[i] > width ? columns->width[i] - width : 0;

    text_add(columns->out, SPAN("  "));
    if (columns->column[i].right)
        add_blanks(columns, blanks);
    columns_add_toned(columns, tone, words);
    if (!columns->column[i].right && i + 1 < columns->n)
        add_blanks(columns, blanks);
}

void columns_end_line(const struct columns *columns)
{
    struct text *out = columns->out;

    while (!out->cut && out->len > 0 && out->ptr[out->len - 1] == ' ')
        out->ptr[--out->len] = 0;
    text_add_char(out, '\n');
}

void columns_add_titles(struct columns *columns)
{
    for (unsigned i = 0; i < columns->n; i++) {
        struct sluice_span title = span_of(columns->column[i].title);

        if (columns->width[i] == 0)
            continue;
        if (columns->width[i] < title.len)
            columns->width[i] = title.len;
        put(columns, i, TONE_FAINT, title);
    }
    columns_end_line(columns);
}

void columns_add_row(const struct columns *columns, const json_t *row)
{
    for (unsigned i = 0; i < columns->n; i++) {
        char buffer[CELL_MAX];
        struct text cell;
        enum tone tone;

        if (columns->width[i] == 0)
            continue;
        text_init_fixed(&cell, buffer, sizeof(buffer));
        tone = columns->cell(row, i, &cell);
        put(columns, i, tone, text_span(&cell));
    }
    columns_end_line(columns);
}
