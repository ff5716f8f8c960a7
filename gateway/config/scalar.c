/*
 * scalar.c - numbers, durations, sizes, ratios, choices, texts and secrets.
 *
 * Each kind is one reader that either stores the value or says exactly what to
 * write instead.
 */
#include "config/scalar.h"

#include "config/input.h"

#include <string.h>

enum {
    SECRET_MAX = 64 << 10, /* bytes of a secret's file */
    HINT_BYTES = 2048,     /* a list of choices */
    RATIO_DIGITS = 15,     /* all that a double holds */
};

struct unit {
    const char *name;
    uint64_t factor;
};

/* The largest first: scalar_format() takes the first that divides. */
static const struct unit duration_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0},
};

static const struct unit size_units[] = {
    {"TiB", 1ull << 40},
    {"GiB", 1ull << 30},
    {"MiB", 1ull << 20},
    {"KiB", 1ull << 10},
    {"TB", 1000000000000u},
    {"GB", 1000000000u},
    {"MB", 1000000u},
    {"KB", 1000u},
    {"B", 1},
    {"", 1},
    {NULL, 0},
};

/* What people write for the units above. */
static const struct {
    const char *written, *unit;
} duration_slips[] = {
    {"sec", "s"},     {"secs", "s"}, {"second", "s"}, {"seconds", "s"}, {"S", "s"},
    {"min", "m"},     {"mins", "m"}, {"minute", "m"}, {"minutes", "m"}, {"M", "m"},
    {"hr", "h"},      {"hrs", "h"},  {"hour", "h"},   {"hours", "h"},   {"H", "h"},
    {"day", "d"},     {"days", "d"}, {"D", "d"},      {"msec", "ms"},   {"msecs", "ms"},
    {"millis", "ms"}, {"MS", "ms"},  {"Ms", "ms"},
};

/* -- words ------------------------------------------------------------------------ */

bool scalar_is(const struct shape *shape)
{
    switch (shape->kind) {
    case SHAPE_BOOL:
    case SHAPE_UINT:
    case SHAPE_DURATION:
    case SHAPE_SIZE:
    case SHAPE_RATIO:
    case SHAPE_TEXT:
    case SHAPE_SECRET:
    case SHAPE_CHOICE:
        return true;
    case SHAPE_STRUCT:
    case SHAPE_LIST:
    case SHAPE_MAP:
    case SHAPE_CUSTOM:
    case SHAPE_LATER:
        return false;
    }
    return false;
}

const char *scalar_what(const struct shape *shape)
{
    static const char *const words[] = {
        [SHAPE_BOOL] = "true or false",
        [SHAPE_UINT] = "a whole number",
        [SHAPE_DURATION] = "a duration such as 10s",
        [SHAPE_SIZE] = "a size such as 64KiB",
        [SHAPE_RATIO] = "a ratio such as 50% or 0.5",
        [SHAPE_TEXT] = "text",
        [SHAPE_SECRET] = "text or file:PATH",
        [SHAPE_CHOICE] = "one of the names below",
        [SHAPE_STRUCT] = "a map of keys and values",
        [SHAPE_LIST] = "a list",
        [SHAPE_MAP] = "a map of names",
        [SHAPE_CUSTOM] = "another value",
        [SHAPE_LATER] = "another value",
    };

    return shape->what ? shape->what : words[shape->kind];
}

void scalar_list_choices(const struct choice *choices, struct text *out)
{
    for (const struct choice *choice = choices; choice->name; choice++)
        text_format(out, "%s%s", choice == choices ? "" : ", ", choice->name);
}

void scalar_format(const struct shape *shape, uint64_t value, struct text *out)
{
    const struct unit *units = shape->kind == SHAPE_DURATION ? duration_units : size_units;

    text_add_number(out, value);
    if (value == 0 || (shape->kind != SHAPE_DURATION && shape->kind != SHAPE_SIZE))
        return;
    for (; units->name; units++) {
        if (value % units->factor == 0) {
            text_reset(out);
            text_add_number(out, value / units->factor);
            if (units->factor == 1 && shape->kind == SHAPE_SIZE) {
                text_add(out, value == 1 ? SPAN(" byte") : SPAN(" bytes"));
            } else {
                text_add(out, span_of(units->name));
            }
            return;
        }
    }
}

enum bound scalar_unexpected(struct bind *bind, const struct shape *shape, const struct tree *node)
{
    struct text choices;

    if (node->wrong)
        return UNBOUND;
    text_init(&choices, HINT_BYTES);
    if (shape->kind == SHAPE_CHOICE) {
        text_add(&choices, SPAN("allowed: "));
        scalar_list_choices(shape->choices, &choices);
    }
    if (node->kind != TREE_SCALAR) {
        notes_error(bind->notes, node->at, choices.ptr, "expected %s, found a %s",
                    scalar_what(shape), node->kind == TREE_LIST ? "list" : "map");
    } else if (node->text.len == 0 || tree_is_null(node)) {
        notes_error(bind->notes, node->at, choices.ptr, "expected %s, found nothing",
                    scalar_what(shape));
    } else if (shape->kind == SHAPE_SECRET) {
        notes_error(bind->notes, node->at, choices.ptr, "expected %s", scalar_what(shape));
    } else {
        notes_error(bind->notes, node->at, choices.ptr, "expected %s, found '%.*s'",
                    scalar_what(shape), SCALAR_SHOWN(node->text));
    }
    text_fini(&choices);
    return UNBOUND;
}

/* -- numbers -------------------------------------------------------------------------- */

static size_t count_digits(struct sluice_span text)
{
    size_t n = 0;

    while (n < text.len && text.ptr[n] >= '0' && text.ptr[n] <= '9')
        n++;
    return n;
}

static enum err read_with_unit(struct sluice_span text, const struct unit *unit, uint64_t *value)
{
    size_t digits = count_digits(text);
    struct sluice_span name = span_make(text.ptr + digits, text.len - digits);
    uint64_t number;

    if (digits == 0)
        return ERR_CONFIG;
    for (; unit->name; unit++) {
        if (!span_equal(name, span_of(unit->name)))
            continue;
        if (span_number(span_make(text.ptr, digits), UINT64_MAX / unit->factor, &number))
            return ERR_LIMIT;
        *value = number * unit->factor;
        return OK;
    }
    return ERR_CONFIG;
}

static enum err read_duration(struct sluice_span text, uint64_t *ms)
{
    bool zero = text.len > 0 && count_digits(text) == text.len;

    for (size_t i = 0; i < text.len; i++)
        zero = zero && text.ptr[i] == '0';
    if (!zero)
        return read_with_unit(text, duration_units, ms);
    *ms = 0;
    return OK;
}

enum err shape_read_duration(struct sluice_span text, uint64_t *ms)
{
    return read_duration(text, ms) ? ERR_CONFIG : OK;
}

enum err shape_read_size(struct sluice_span text, uint64_t *bytes)
{
    return read_with_unit(text, size_units, bytes) ? ERR_CONFIG : OK;
}

static enum bound note_bound(struct bind *bind, const struct shape *shape, const struct tree *node,
                             bool small)
{
    struct text limit, hint;

    text_init(&limit, 64);
    text_init(&hint, 128);
    scalar_format(shape, small ? shape->min : shape->max ? shape->max : UINT64_MAX, &limit);
    text_format(&hint, "at %s %s", small ? "least" : "most", limit.ptr);
    notes_error(bind->notes, node->at, hint.ptr, "%.*s is too %s", SCALAR_SHOWN(node->text),
                small ? "small" : "large");
    text_fini(&hint);
    text_fini(&limit);
    return UNBOUND;
}

static enum bound store_number(struct bind *bind, const struct shape *shape,
                               const struct tree *node, uint64_t value, void *out)
{
    if (value < shape->min)
        return note_bound(bind, shape, node, true);
    if (shape->max && value > shape->max)
        return note_bound(bind, shape, node, false);
    memcpy(out, &value, sizeof(value));
    return BOUND;
}

static enum bound bind_uint(struct bind *bind, const struct shape *shape, const struct tree *node,
                            void *out)
{
    uint64_t value;

    if (node->text.len == 0 || count_digits(node->text) != node->text.len)
        return scalar_unexpected(bind, shape, node);
    if (span_number(node->text, UINT64_MAX, &value))
        return note_bound(bind, shape, node, false);
    return store_number(bind, shape, node, value, out);
}

/* The unit that was meant by a wrong one, or NULL. */
static const char *meant_unit(struct sluice_span written)
{
    for (size_t i = 0; i < sizeof(duration_slips) / sizeof(*duration_slips); i++) {
        if (span_equal(written, span_of(duration_slips[i].written)))
            return duration_slips[i].unit;
    }
    for (const struct unit *unit = duration_units; unit->name; unit++) {
        if (span_equal(written, span_of(unit->name)))
            return unit->name;
    }
    return NULL;
}

static enum bound wrong_duration(struct bind *bind, const struct shape *shape,
                                 const struct tree *node)
{
    size_t digits = count_digits(node->text);
    struct sluice_span number = span_make(node->text.ptr, digits);
    struct sluice_span rest =
        span_trim(span_make(node->text.ptr + digits, node->text.len - digits));
    const char *unit = meant_unit(rest);
    struct text hint;

    if (digits == 0 || digits > 18)
        return scalar_unexpected(bind, shape, node);
    text_init(&hint, 128);
    if (rest.len == 0) {
        text_format(&hint, "write %.*ss or %.*sms", SCALAR_SHOWN(number), SCALAR_SHOWN(number));
        notes_error(bind->notes, node->at, hint.ptr, "'%.*s' has no unit",
                    SCALAR_SHOWN(node->text));
    } else if (rest.ptr[0] == '.' || rest.ptr[0] == ',') {
        notes_error(bind->notes, node->at, "take a smaller unit: 1500ms for 1.5s",
                    "'%.*s' is not a whole number", SCALAR_SHOWN(node->text));
    } else {
        if (unit) {
            text_format(&hint, "write %.*s%s", SCALAR_SHOWN(number), unit);
        } else {
            text_add(&hint, SPAN("a whole number followed by ms, s, m, h or d"));
        }
        notes_error(bind->notes, node->at, hint.ptr, "'%.*s' is not a duration",
                    SCALAR_SHOWN(node->text));
    }
    text_fini(&hint);
    return UNBOUND;
}

static enum bound bind_duration(struct bind *bind, const struct shape *shape,
                                const struct tree *node, void *out)
{
    uint64_t value = 0;
    enum err err = read_duration(node->text, &value);

    if (err == ERR_LIMIT)
        return note_bound(bind, shape, node, false);
    return err ? wrong_duration(bind, shape, node) : store_number(bind, shape, node, value, out);
}

/* The first letter in upper case; NUL for none. */
static char upper(struct sluice_span text)
{
    char c = '\0';

    if (text.len)
        c = text.ptr[0];
    if (c >= 'a' && c <= 'z')
        c = (char)(c - 'a' + 'A');
    return c;
}

static enum bound wrong_size(struct bind *bind, const struct shape *shape, const struct tree *node)
{
    size_t digits = count_digits(node->text);
    struct sluice_span number = span_make(node->text.ptr, digits);
    struct sluice_span rest =
        span_trim(span_make(node->text.ptr + digits, node->text.len - digits));
    char letter = upper(rest);
    struct text hint;

    if (digits == 0 || digits > 18)
        return scalar_unexpected(bind, shape, node);
    text_init(&hint, 128);
    if (rest.len && rest.ptr[0] == '.') {
        text_add(&hint, SPAN("whole numbers only: 1536KiB for 1.5MiB"));
    } else if (letter != '\0' && strchr("KMGT", letter)) {
        text_format(&hint, "write %.*s%ciB (of 1024) or %.*s%cB (of 1000)", SCALAR_SHOWN(number),
                    letter, SCALAR_SHOWN(number), letter);
    } else {
        text_add(&hint, SPAN("a whole number, alone or followed by KiB, MiB, GiB, KB, MB or GB"));
    }
    notes_error(bind->notes, node->at, hint.ptr, "'%.*s' is not a size", SCALAR_SHOWN(node->text));
    text_fini(&hint);
    return UNBOUND;
}

static enum bound bind_size(struct bind *bind, const struct shape *shape, const struct tree *node,
                            void *out)
{
    uint64_t value = 0;
    enum err err = read_with_unit(node->text, size_units, &value);

    if (err == ERR_LIMIT)
        return note_bound(bind, shape, node, false);
    return err ? wrong_size(bind, shape, node) : store_number(bind, shape, node, value, out);
}

/* Read "12.5" without the locale having a say. */
static enum err read_decimal(struct sluice_span text, double *value)
{
    size_t dot = span_find(text, '.');
    struct sluice_span whole = span_make(text.ptr, dot), rest = {text.ptr, 0};
    uint64_t number = 0, fraction = 0;
    double scale = 1;

    if (dot < text.len)
        rest = span_make(text.ptr + dot + 1, text.len - dot - 1);
    if (whole.len > RATIO_DIGITS || rest.len > RATIO_DIGITS || (dot < text.len && rest.len == 0))
        return ERR_CONFIG;
    if (span_number(whole, UINT64_MAX, &number))
        return ERR_CONFIG;
    if (rest.len && span_number(rest, UINT64_MAX, &fraction))
        return ERR_CONFIG;
    for (size_t i = 0; i < rest.len; i++)
        scale *= 10;
    *value = (double)number + (double)fraction / scale;
    return OK;
}

static enum bound bind_ratio(struct bind *bind, const struct shape *shape, const struct tree *node,
                             void *out)
{
    bool percent = span_ends(node->text, SPAN("%"));
    double value;

    if (read_decimal(span_make(node->text.ptr, node->text.len - percent), &value))
        return scalar_unexpected(bind, shape, node);
    if (percent)
        value /= 100;
    if (value > 1) {
        notes_error(bind->notes, node->at, "0 to 1, or 0% to 100%", "%.*s is too large",
                    SCALAR_SHOWN(node->text));
        return UNBOUND;
    }
    memcpy(out, &value, sizeof(value));
    return BOUND;
}

/* -- words and texts ------------------------------------------------------------------------ */

static enum bound bind_bool(struct bind *bind, const struct shape *shape, const struct tree *node,
                            void *out)
{
    static const char *const words[] = {"false", "off", "no", "true", "on", "yes"};

    for (size_t i = 0; i < 6; i++) {
        bool value = i >= 3;

        if (span_equal_nocase(node->text, span_of(words[i]))) {
            memcpy(out, &value, sizeof(value));
            return BOUND;
        }
    }
    return scalar_unexpected(bind, shape, node);
}

static enum bound wrong_choice(struct bind *bind, const struct shape *shape,
                               const struct tree *node)
{
    const char *names[64];
    size_t n = 0;
    const char *nearest;
    struct text hint;

    while (n < 64 && shape->choices[n].name) {
        names[n] = shape->choices[n].name;
        n++;
    }
    nearest = notes_nearest(node->text, names, n);
    text_init(&hint, HINT_BYTES);
    if (nearest)
        text_format(&hint, "did you mean '%s'? ", nearest);
    text_add(&hint, SPAN("allowed: "));
    scalar_list_choices(shape->choices, &hint);
    notes_error(bind->notes, node->at, hint.ptr, "unknown value '%.*s'", SCALAR_SHOWN(node->text));
    text_fini(&hint);
    return UNBOUND;
}

static enum bound bind_choice(struct bind *bind, const struct shape *shape, const struct tree *node,
                              void *out)
{
    for (const struct choice *choice = shape->choices; choice->name; choice++) {
        if (span_equal(node->text, span_of(choice->name))) {
            memcpy(out, &choice->value, sizeof(choice->value));
            return BOUND;
        }
    }
    return wrong_choice(bind, shape, node);
}

static enum bound store_text(struct bind *bind, const struct tree *node, struct sluice_span text,
                             void *out)
{
    struct sluice_span copy = arena_copy(bind->arena, text);

    if (!copy.ptr) {
        notes_error(bind->notes, node->at, NULL,
                    "the configuration needs more memory than there is");
        return UNBOUND;
    }
    memcpy(out, &copy, sizeof(copy));
    return BOUND;
}

/* A file usually ends with a newline that is no part of the secret. */
static struct sluice_span without_newline(struct sluice_span text)
{
    if (span_ends(text, SPAN("\n")))
        text.len--;
    if (span_ends(text, SPAN("\r")))
        text.len--;
    return text;
}

static enum bound read_secret(struct bind *bind, const struct tree *node, const char *path,
                              void *out)
{
    enum bound bound = UNBOUND;
    struct sluice_span secret;
    struct text bytes;
    char why[INPUT_WHY];
    enum err err;

    text_init(&bytes, SECRET_MAX);
    err = input_read(path, &bytes, NULL, why);
    secret = without_newline(text_span(&bytes));
    if (err) {
        notes_error(bind->notes, node->at, NULL, "cannot read '%s': %s", path, why);
    } else if (secret.len == 0) {
        notes_error(bind->notes, node->at, NULL, "'%s' is empty", path);
    } else if (memchr(secret.ptr, '\0', secret.len)) {
        notes_error(bind->notes, node->at, NULL, "'%s' has a NUL byte in it", path);
    } else {
        bound = store_text(bind, node, secret, out);
    }
    if (bytes.ptr)
        explicit_bzero(bytes.ptr, bytes.cap);
    text_fini(&bytes);
    return bound;
}

static enum bound bind_secret(struct bind *bind, const struct tree *node, void *out)
{
    struct sluice_span from = node->at.line ? notes_file(bind->notes, node->at.file) : SPAN("");
    struct sluice_span name = node->text;
    enum bound bound;
    struct text path;

    if (!span_starts(name, SPAN("file:")))
        return store_text(bind, node, name, out);
    name = span_make(name.ptr + 5, name.len - 5);
    if (name.len == 0) {
        notes_error(bind->notes, node->at, "write file:/run/secrets/NAME", "'file:' names no file");
        return UNBOUND;
    }
    text_init(&path, 4096);
    input_join(from, name, &path);
    bound = read_secret(bind, node, path.ptr, out);
    text_fini(&path);
    return bound;
}

enum bound scalar_bind(struct bind *bind, const struct shape *shape, const struct tree *node,
                       void *out)
{
    if (node->kind != TREE_SCALAR || node->wrong || tree_is_null(node))
        return scalar_unexpected(bind, shape, node);
    switch (shape->kind) {
    case SHAPE_BOOL:
        return bind_bool(bind, shape, node, out);
    case SHAPE_UINT:
        return bind_uint(bind, shape, node, out);
    case SHAPE_DURATION:
        return bind_duration(bind, shape, node, out);
    case SHAPE_SIZE:
        return bind_size(bind, shape, node, out);
    case SHAPE_RATIO:
        return bind_ratio(bind, shape, node, out);
    case SHAPE_TEXT:
        return store_text(bind, node, node->text, out);
    case SHAPE_SECRET:
        return bind_secret(bind, node, out);
    case SHAPE_CHOICE:
        return bind_choice(bind, shape, node, out);
    case SHAPE_STRUCT:
    case SHAPE_LIST:
    case SHAPE_MAP:
    case SHAPE_CUSTOM:
    case SHAPE_LATER:
        return scalar_unexpected(bind, shape, node);
    }
    return UNBOUND;
}
