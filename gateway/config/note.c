/*
 * note.c - collect notes; print them sorted, with the source line and a caret.
 *
 * Columns and widths count characters, because that is what libyaml and editors
 * count. The line is shown with its tabs; the padding before the caret repeats
 * them, so the caret stands right whatever a tab is worth.
 */
#include "config/note.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

enum {
    NOTES_MAX = 200,        /* more does not help anybody */
    MESSAGE_MAX = 1024,     /* bytes */
    HINT_MAX = 2048,        /* bytes; lists of allowed names are long */
    SHOWN_COLUMNS = 160,    /* longer source lines are cut around the place */
    SHOWN_BEFORE = 100,     /* columns kept before the place when cut */
    NEAREST_NAME_BYTES = 64 /* longer words are never taken for a slip */
};

struct note {
    bool warning;
    struct mark at;
    unsigned serial; /* keeps notes of one place in the order of adding */
    char *message;   /* owned */
    char *hint;      /* owned, or NULL */
};

struct note_file {
    struct sluice_span path;  /* owned */
    struct sluice_span bytes; /* owned */
};

struct notes {
    struct note *list; /* owned, n of them */
    size_t n;
    struct note_file *files; /* owned, n_files of them */
    size_t n_files;
    size_t errors, warnings; /* also those that were not kept */
    unsigned serial;
};

struct notes *notes_new(void)
{
    return alloc_new(sizeof(struct notes));
}

static void note_fini(struct note *note)
{
    alloc_free(note->message);
    alloc_free(note->hint);
}

static void span_release(struct sluice_span *span)
{
    /* Copied by notes_add_file(); a span only lends its bytes as const. */
    union {
        const char *lent;
        void *own;
    } bytes = {.lent = span->ptr};

    alloc_free(bytes.own);
}

void notes_free(struct notes **notes)
{
    struct notes *old = *notes;

    if (!old)
        return;
    for (size_t i = 0; i < old->n; i++)
        note_fini(&old->list[i]);
    for (size_t i = 0; i < old->n_files; i++) {
        span_release(&old->files[i].path);
        span_release(&old->files[i].bytes);
    }
    alloc_free(old->list);
    alloc_free(old->files);
    alloc_free(old);
    *notes = NULL;
}

unsigned notes_add_file(struct notes *notes, struct sluice_span path, struct sluice_span bytes)
{
    struct note_file *file;

    notes->files = alloc_resize(notes->files, (notes->n_files + 1) * sizeof(*notes->files));
    file = &notes->files[notes->n_files];
    file->path = span_make(alloc_text(path.ptr ? path.ptr : "", path.len), path.len);
    file->bytes = span_make(alloc_text(bytes.ptr ? bytes.ptr : "", bytes.len), bytes.len);
    return (unsigned)notes->n_files++;
}

struct sluice_span notes_file(const struct notes *notes, unsigned file)
{
    return file < notes->n_files ? notes->files[file].path : SPAN("");
}

size_t notes_errors(const struct notes *notes)
{
    return notes->errors;
}

size_t notes_warnings(const struct notes *notes)
{
    return notes->warnings;
}

/* -- adding ----------------------------------------------------------------- */

/* A copy without control bytes: notes show bytes of a file on a terminal and are one line each. */
static char *clean_copy(struct sluice_span text)
{
    char *copy = alloc_text(text.ptr, text.len);

    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)copy[i] < 0x20 || copy[i] == 0x7f)
            copy[i] = ' ';
    }
    return copy;
}

/* Room for one more note, or NULL. Warnings give way to errors. */
static struct note *place_for(struct notes *notes, bool warning)
{
    if (notes->n < NOTES_MAX) {
        if (!notes->list)
            notes->list = alloc_new(NOTES_MAX * sizeof(*notes->list));
        return &notes->list[notes->n++];
    }
    if (warning)
        return NULL;
    for (size_t i = notes->n; i-- > 0;) {
        if (notes->list[i].warning) {
            note_fini(&notes->list[i]);
            return &notes->list[i];
        }
    }
    return NULL;
}

__attribute__((format(printf, 5, 0))) static void add(struct notes *notes, bool warning,
                                                      struct mark at, const char *hint,
                                                      const char *format, va_list args)
{
    struct note *note = place_for(notes, warning);
    struct sluice_span hint_span = span_of(hint);
    struct text message;

    if (!note)
        return;
    text_init(&message, MESSAGE_MAX);
    text_vformat(&message, format, args);
    if (hint_span.len > HINT_MAX)
        hint_span.len = HINT_MAX;
    *note = (struct note){.warning = warning,
                          .at = at,
                          .serial = notes->serial++,
                          .message = clean_copy(text_span(&message)),
                          .hint = hint_span.len ? clean_copy(hint_span) : NULL};
    text_fini(&message);
}

void notes_error(struct notes *notes, struct mark at, const char *hint, const char *format, ...)
{
    va_list args;

    notes->errors++;
    va_start(args, format);
    add(notes, false, at, hint, format, args);
    va_end(args);
}

void notes_warn(struct notes *notes, struct mark at, const char *hint, const char *format, ...)
{
    va_list args;

    notes->warnings++;
    va_start(args, format);
    add(notes, true, at, hint, format, args);
    va_end(args);
}

/* -- order -------------------------------------------------------------------- */

static int compare_numbers(unsigned a, unsigned b)
{
    return a < b ? -1 : a > b;
}

/* Notes without a place come first: they concern the whole. */
static int compare_places(const struct note *a, const struct note *b)
{
    int order = compare_numbers(a->at.line != 0, b->at.line != 0);

    if (order == 0 && a->at.line != 0)
        order = compare_numbers(a->at.file, b->at.file);
    if (order == 0)
        order = compare_numbers(a->at.line, b->at.line);
    if (order == 0)
        order = compare_numbers(a->at.column, b->at.column);
    return order;
}

static int compare_notes(const void *left, const void *right)
{
    const struct note *a = *(const struct note *const *)left;
    const struct note *b = *(const struct note *const *)right;
    int order = compare_places(a, b);

    return order ? order : compare_numbers(a->serial, b->serial);
}

static bool is_same(const struct note *a, const struct note *b)
{
    return compare_places(a, b) == 0 && a->warning == b->warning &&
           strcmp(a->message, b->message) == 0;
}

/*
 * Point sorted (of NOTES_MAX) to the notes in order, a value reached through two aliases once;
 * returns how many.
 */
static size_t sort_notes(const struct notes *notes, const struct note **sorted)
{
    size_t n = 0;

    for (size_t i = 0; i < notes->n; i++)
        sorted[i] = &notes->list[i];
    if (notes->n > 1)
        qsort(sorted, notes->n, sizeof(struct note *), compare_notes);
    for (size_t i = 0; i < notes->n; i++) {
        if (n == 0 || !is_same(sorted[n - 1], sorted[i]))
            sorted[n++] = sorted[i];
    }
    return n;
}

/* -- the source line ----------------------------------------------------------- */

/* Bytes of the line break that text begins with, as YAML 1.1 counts lines; 0: none. */
static size_t break_bytes(struct sluice_span text)
{
    if (span_starts(text, SPAN("\r\n")) || span_starts(text, SPAN("\xc2\x85")))
        return 2;
    if (span_starts(text, SPAN("\n")) || span_starts(text, SPAN("\r")))
        return 1;
    if (span_starts(text, SPAN("\xe2\x80\xa8")) || span_starts(text, SPAN("\xe2\x80\xa9")))
        return 3;
    return 0;
}

static struct sluice_span line_of(const struct notes *notes, struct mark at)
{
    struct sluice_span rest = at.file < notes->n_files ? notes->files[at.file].bytes : SPAN("");
    struct sluice_span line = {rest.ptr, 0};
    unsigned number = 1;

    while (rest.len > 0) {
        size_t skip = break_bytes(rest);

        if (skip && number++ == at.line)
            return line;
        if (skip == 0)
            line.len++;
        rest = span_make(rest.ptr + (skip ? skip : 1), rest.len - (skip ? skip : 1));
        if (skip)
            line = span_make(rest.ptr, 0);
    }
    return number == at.line ? line : SPAN("");
}

static bool is_inside_character(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

/* Byte position of a character, at most the length. */
static size_t byte_of(struct sluice_span line, size_t character)
{
    size_t at = 0;

    for (; at < line.len && character > 0; character--) {
        at++;
        while (at < line.len && is_inside_character(line.ptr[at]))
            at++;
    }
    return at;
}

static size_t count_characters(struct sluice_span line)
{
    size_t n = 0;

    for (size_t i = 0; i < line.len; i++)
        n += !is_inside_character(line.ptr[i]);
    return n;
}

static void add_line(struct text *out, struct sluice_span line)
{
    for (size_t i = 0; i < line.len; i++) {
        char c = line.ptr[i];

        if (((unsigned char)c < 0x20 && c != '\t') || c == 0x7f)
            c = '?';
        text_add_char(out, c);
    }
}

/* The source line and the caret under it. */
static void print_place(const struct notes *notes, const struct note *note, struct text *out)
{
    struct sluice_span line = line_of(notes, note->at);
    size_t column = note->at.column ? note->at.column - 1 : 0;
    size_t width = note->at.width ? note->at.width : 1;
    size_t length = count_characters(line);
    size_t from = 0, to = length;

    if (column > length)
        column = length;
    if (length > SHOWN_COLUMNS) {
        from = column > SHOWN_BEFORE ? column - SHOWN_BEFORE : 0;
        to = from + SHOWN_COLUMNS < length ? from + SHOWN_COLUMNS : length;
    }
    if (width > to - column)
        width = to > column ? to - column : 1;

    size_t start = byte_of(line, from), end = byte_of(line, to), caret = byte_of(line, column);

    text_format(out, "%5u | %s", note->at.line, from ? "..." : "");
    add_line(out, span_make(line.ptr + start, end - start));
    text_format(out, "%s\n      | %s", to < length ? "..." : "", from ? "   " : "");
    for (size_t i = start; i < caret; i++) {
        if (!is_inside_character(line.ptr[i]))
            text_add_char(out, line.ptr[i] == '\t' ? '\t' : ' ');
    }
    for (size_t i = 0; i < width; i++)
        text_add_char(out, '^');
    if (note->hint)
        text_format(out, " %s", note->hint);
    text_add_char(out, '\n');
}

/* -- printing ------------------------------------------------------------------- */

static const char *level_of(const struct note *note)
{
    return note->warning ? "warning" : "error";
}

static void print_note(const struct notes *notes, const struct note *note, struct text *out)
{
    if (note->at.line == 0) {
        text_format(out, "%s: %s\n", level_of(note), note->message);
        if (note->hint)
            text_format(out, "      | %s\n", note->hint);
        return;
    }
    text_add(out, notes_file(notes, note->at.file));
    text_format(out, ":%u:%u: %s: %s\n", note->at.line, note->at.column, level_of(note),
                note->message);
    print_place(notes, note, out);
}

static void print_sum(size_t errors, size_t warnings, struct text *out)
{
    if (errors)
        text_format(out, "%zu error%s", errors, errors == 1 ? "" : "s");
    if (errors && warnings)
        text_add(out, SPAN(", "));
    if (warnings)
        text_format(out, "%zu warning%s", warnings, warnings == 1 ? "" : "s");
}

void notes_print(const struct notes *notes, struct text *out)
{
    const struct note *sorted[NOTES_MAX];
    size_t n = sort_notes(notes, sorted), errors = 0;
    size_t unkept = notes->errors + notes->warnings - notes->n;

    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++) {
        print_note(notes, sorted[i], out);
        errors += !sorted[i]->warning;
    }
    print_sum(errors, n - errors, out);
    if (unkept)
        text_format(out, " (and %zu more that are not shown)", unkept);
    text_add_char(out, '\n');
}

static void add_json_text(struct text *out, const char *name, struct sluice_span value)
{
    text_format(out, "\"%s\":\"", name);
    text_add_json(out, value);
    text_add_char(out, '"');
}

void notes_print_json(const struct notes *notes, struct text *out)
{
    const struct note *sorted[NOTES_MAX];
    size_t n = sort_notes(notes, sorted);

    text_add_char(out, '[');
    for (size_t i = 0; i < n; i++) {
        const struct note *note = sorted[i];
        struct sluice_span file = note->at.line ? notes_file(notes, note->at.file) : SPAN("");

        text_add(out, i ? SPAN(",{") : SPAN("{"));
        add_json_text(out, "level", span_of(level_of(note)));
        text_add_char(out, ',');
        add_json_text(out, "file", file);
        text_format(out, ",\"line\":%u,\"column\":%u,", note->at.line, note->at.column);
        add_json_text(out, "message", span_of(note->message));
        text_add_char(out, ',');
        if (note->hint) {
            add_json_text(out, "hint", span_of(note->hint));
        } else {
            text_add(out, SPAN("\"hint\":null"));
        }
        text_add_char(out, '}');
    }
    text_add_char(out, ']');
}

/* -- one by one --------------------------------------------------------------------- */

void notes_each(const struct notes *notes, notes_entry_fn *tell, void *arg)
{
    const struct note *sorted[NOTES_MAX];
    size_t n = sort_notes(notes, sorted);

    for (size_t i = 0; i < n; i++) {
        const struct note *note = sorted[i];
        const struct notes_entry entry = {
            .warning = note->warning,
            .file = note->at.line ? notes_file(notes, note->at.file) : SPAN(""),
            .line = note->at.line,
            .column = note->at.column,
            .message = note->message,
            .hint = note->hint ? note->hint : "",
        };

        tell(arg, &entry);
    }
}

/* -- the nearest name -------------------------------------------------------------- */

/* Letters without case, '-' as '_': such slips cost nothing. */
static char fold(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    if (c == '-')
        return '_';
    return c;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/*
 * Inserted, removed, changed and swapped letters between a and b, each at most
 * NEAREST_NAME_BYTES.
 */
static unsigned distance(struct sluice_span a, struct sluice_span b)
{
    unsigned rows[3][NEAREST_NAME_BYTES + 1] = {{0}};
    unsigned *before = rows[0], *last = rows[1], *row = rows[2];

    for (size_t j = 0; j <= b.len; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= a.len; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.len; j++) {
            char x = fold(a.ptr[i - 1]), y = fold(b.ptr[j - 1]);

            row[j] = least(least(last[j], row[j - 1]) + 1, last[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == fold(b.ptr[j - 2]) && y == fold(a.ptr[i - 2]))
                row[j] = least(row[j], before[j - 2] + 1);
        }
        unsigned *free_row = before;
        before = last;
        last = row;
        row = free_row;
    }
    return last[b.len];
}

/* How many slips are still likely in words of this length. */
static unsigned allowed_slips(size_t length)
{
    if (length < 3)
        return 0;
    return length < 6 ? 1 : length < 9 ? 2 : 3;
}

/* A word cut short ("conn") or its name with something behind ("timeout_ms"). */
static const char *find_begun(struct sluice_span word, const char *const *names, size_t n_names)
{
    for (size_t i = 0; i < n_names; i++) {
        struct sluice_span name = span_of(names[i]);

        if ((word.len >= 2 && span_starts(name, word)) ||
            (name.len >= 3 && span_starts(word, name)))
            return names[i];
    }
    return NULL;
}

const char *notes_nearest(struct sluice_span word, const char *const *names, size_t n_names)
{
    const char *nearest = NULL;
    unsigned least_slips = NEAREST_NAME_BYTES;

    if (word.len == 0 || word.len > NEAREST_NAME_BYTES)
        return NULL;
    for (size_t i = 0; i < n_names; i++) {
        struct sluice_span name = span_of(names[i]);
        unsigned slips;

        if (name.len > NEAREST_NAME_BYTES)
            continue;
        slips = distance(word, name);
        if (slips < least_slips &&
            slips <= allowed_slips(word.len < name.len ? word.len : name.len)) {
            least_slips = slips;
            nearest = names[i];
        }
    }
    return nearest ? nearest : find_begun(word, names, n_names);
}
