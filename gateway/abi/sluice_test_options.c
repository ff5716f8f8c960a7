/* sluice_test_options.c - a plugin's option table: looked at, and bound to its conf. */
#include "sluice_test_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES = 64 << 20, ROWS = 256 };

/* Where in the options we are: for messages. */
struct bind {
    struct sluice_test *test;
    char path[512];
    unsigned depth;
};

static void bind_value(struct bind *bind, const struct sluice_option *row,
                       const struct fake_node *node, char *out);
static void bind_struct(struct bind *bind, const struct sluice_option *table,
                        const struct fake_node *node, char *out);

static void refuse(struct bind *bind, const char *what)
{
    fake_format(&bind->test->errors, "%s: %s\n", *bind->path ? bind->path : "options", what);
    bind->test->n_errors++;
}

/* Append to the path; returns the length to cut it to afterwards. */
static size_t enter(struct bind *bind, const char *name, size_t index)
{
    size_t before = strlen(bind->path);
    char *end = bind->path + before;
    size_t room = sizeof(bind->path) - before;

    if (name) {
        snprintf(end, room, "%s%s", before ? "." : "", name);
    } else {
        snprintf(end, room, "[%zu]", index);
    }
    return before;
}

static void *keep(struct bind *bind, size_t bytes)
{
    char *made = fake_block_add(&bind->test->conf_memory, bytes);

    memset(made, 0, bytes);
    return made;
}

static struct sluice_span keep_text(struct bind *bind, struct sluice_span text)
{
    char *made = keep(bind, text.len + 1);

    if (text.len)
        memcpy(made, text.ptr, text.len);
    return (struct sluice_span){made, text.len};
}

/* -- scalars ----------------------------------------------------------------------- */

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit durations[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
                                        {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const struct unit sizes[] = {{"", 1},          {"B", 1},           {"KiB", 1024},
                                    {"MiB", 1 << 20}, {"GiB", 1 << 30},   {"KB", 1000},
                                    {"MB", 1000000},  {"GB", 1000000000}, {NULL, 0}};
static const struct unit plain[] = {{"", 1}, {NULL, 0}};

static bool number(const char *text, const struct unit *unit, uint64_t *value)
{
    char *end;
    uint64_t n;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    n = strtoull(text, &end, 10);
    if (errno || (n == 0 && *end == '\0')) {
        *value = 0;
        return errno == 0;
    }
    for (; unit->name; unit++) {
        if (strcmp(unit->name, end) == 0 && n <= UINT64_MAX / unit->factor) {
            *value = n * unit->factor;
            return true;
        }
    }
    return false;
}

static void bind_number(struct bind *bind, const struct sluice_option *row, const char *text,
                        char *out)
{
    const struct unit *unit = row->kind == SLUICE_OPTION_DURATION ? durations
                              : row->kind == SLUICE_OPTION_SIZE   ? sizes
                                                                  : plain;
    uint64_t value = 0;

    if (!number(text, unit, &value)) {
        refuse(bind, "not a number, or a bad unit");
    } else if (value < row->min || (row->max && value > row->max)) {
        refuse(bind, "out of bounds");
    }
    memcpy(out, &value, sizeof(value));
}

static void bind_bool(struct bind *bind, const char *text, char *out)
{
    static const char *const words[] = {"true", "on", "yes", "false", "off", "no"};

    for (unsigned i = 0; i < 6; i++) {
        if (strcmp(text, words[i]) == 0) {
            bool value = i < 3;

            memcpy(out, &value, sizeof(value));
            return;
        }
    }
    refuse(bind, "not true or false");
}

static void bind_ratio(struct bind *bind, const char *text, char *out)
{
    char *end;
    double value = strtod(text, &end);

    if (strcmp(end, "%") == 0) {
        value /= 100;
    } else if (end == text || *end) {
        value = -1;
    }
    if (!(value >= 0 && value <= 1)) {
        refuse(bind, "not a ratio: 0 to 1, or 0% to 100%");
        value = 0;
    }
    memcpy(out, &value, sizeof(value));
}

static void bind_choice(struct bind *bind, const struct sluice_option *row, const char *text,
                        char *out)
{
    for (const struct sluice_choice *choice = row->choices; choice->name; choice++) {
        if (strcmp(choice->name, text) == 0) {
            memcpy(out, &choice->value, sizeof(choice->value));
            return;
        }
    }
    refuse(bind, "not one of the choices");
}

static bool read_file(struct bind *bind, const char *path, struct sluice_span *content)
{
    FILE *file = fopen(path, "rbe");
    struct fake_text text = {0};
    char piece[4096];
    size_t n;

    if (!file) {
        refuse(bind, "cannot read the file");
        return false;
    }
    while ((n = fread(piece, 1, sizeof(piece), file)) > 0 && text.len < FILE_BYTES)
        fake_add(&text, piece, n);
    fclose(file);
    *content = keep_text(bind, (struct sluice_span){text.ptr, text.len});
    fake_text_fini(&text);
    return true;
}

static void bind_secret(struct bind *bind, const char *text, char *out)
{
    struct sluice_span value = {0};

    if (strncmp(text, "file:", 5) != 0) {
        value = keep_text(bind, fake_span(text));
    } else if (read_file(bind, text + 5, &value) && value.len && value.ptr[value.len - 1] == '\n') {
        value.len--;
    }
    memcpy(out, &value, sizeof(value));
}

static void bind_file(struct bind *bind, const char *text, char *out)
{
    struct sluice_file file = {keep_text(bind, fake_span(text)), {"", 0}};

    read_file(bind, text, &file.content);
    memcpy(out, &file, sizeof(file));
}

static void bind_network(struct bind *bind, const char *text, char *out)
{
    struct sluice_network network = {{0}, 128, 0};
    char address[64];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    uint64_t bits = 0, most;

    snprintf(address, sizeof(address), "%.*s", (int)len, text);
    network.is_v4 = inet_pton(AF_INET, address, network.address + 12) == 1;
    if (network.is_v4) {
        memset(network.address + 10, 0xff, 2);
    } else if (inet_pton(AF_INET6, address, network.address) != 1) {
        refuse(bind, "not an address or network");
        return;
    }
    most = network.is_v4 ? 32 : 128;
    bits = most;
    if (slash && (!number(slash + 1, plain, &bits) || bits > most)) {
        refuse(bind, "not a prefix length");
        return;
    }
    network.bits = (uint32_t)(bits + 128 - most);
    for (uint32_t i = network.bits; i < 128; i++)
        network.address[i / 8] &= (uint8_t) ~(0x80U >> (i % 8));
    memcpy(out, &network, sizeof(network));
}

static void bind_rate(struct bind *bind, const char *text, char *out)
{
    struct sluice_rate rate = {0, 0};
    const char *slash = strchr(text, '/');
    char amount[32], period[32];

    if (slash) {
        snprintf(amount, sizeof(amount), "%.*s", (int)(slash - text), text);
        snprintf(period, sizeof(period), "%s%s", slash[1] > '0' && slash[1] <= '9' ? "" : "1",
                 slash + 1);
    }
    if (!slash || !number(amount, plain, &rate.amount) ||
        !number(period, durations, &rate.period_ms) || rate.period_ms == 0)
        refuse(bind, "not a rate: 100/s, 10/10s");
    memcpy(out, &rate, sizeof(rate));
}

/* Things that are known by a text; the pointer is stored. */
static void bind_named(struct bind *bind, const struct sluice_option *row, const char *text,
                       char *out)
{
    struct sluice_template *made = keep(bind, sizeof(*made));
    const char *hole = text;

    made->text = keep(bind, strlen(text) + 1);
    memcpy(made->text, text, strlen(text));
    /* cppcheck-suppress pointerSize ; a pointer is what is stored */
    memcpy(out, &made, sizeof(void *));
    while (row->kind == SLUICE_OPTION_TEMPLATE && (hole = strstr(hole, "${"))) {
        struct sluice_span name = {hole + 2, strcspn(hole + 2, "}:")};

        if (!strchr(hole, '}') || fake_attribute(bind->test, name) == 0) {
            refuse(bind, "not ${attribute} or ${attribute:-default}");
            return;
        }
        hole += 2;
    }
}

static void bind_scalar(struct bind *bind, const struct sluice_option *row, const char *text,
                        char *out)
{
    struct sluice_span value;

    switch ((enum sluice_option_kind)row->kind) {
    case SLUICE_OPTION_BOOL:
        bind_bool(bind, text, out);
        break;
    case SLUICE_OPTION_UINT:
    case SLUICE_OPTION_DURATION:
    case SLUICE_OPTION_SIZE:
        bind_number(bind, row, text, out);
        break;
    case SLUICE_OPTION_RATIO:
        bind_ratio(bind, text, out);
        break;
    case SLUICE_OPTION_TEXT:
        value = keep_text(bind, fake_span(text));
        memcpy(out, &value, sizeof(value));
        break;
    case SLUICE_OPTION_SECRET:
        bind_secret(bind, text, out);
        break;
    case SLUICE_OPTION_CHOICE:
        bind_choice(bind, row, text, out);
        break;
    case SLUICE_OPTION_FILE:
        bind_file(bind, text, out);
        break;
    case SLUICE_OPTION_TEMPLATE:
    case SLUICE_OPTION_TARGET:
    case SLUICE_OPTION_UPSTREAM:
        bind_named(bind, row, text, out);
        break;
    case SLUICE_OPTION_NETWORK:
        bind_network(bind, text, out);
        break;
    case SLUICE_OPTION_RATE:
        bind_rate(bind, text, out);
        break;
    case SLUICE_OPTION_STRUCT:
    case SLUICE_OPTION_LIST:
    case SLUICE_OPTION_MAP:
    case SLUICE_OPTION_END:
        refuse(bind, "a scalar does not fit here");
        break;
    }
}

/* -- structs, lists, maps ----------------------------------------------------------- */

static size_t size_of(uint32_t kind, uint32_t element_size)
{
    switch ((enum sluice_option_kind)kind) {
    case SLUICE_OPTION_BOOL:
        return sizeof(bool);
    case SLUICE_OPTION_UINT:
    case SLUICE_OPTION_DURATION:
    case SLUICE_OPTION_SIZE:
        return sizeof(uint64_t);
    case SLUICE_OPTION_RATIO:
        return sizeof(double);
    case SLUICE_OPTION_TEXT:
    case SLUICE_OPTION_SECRET:
        return sizeof(struct sluice_span);
    case SLUICE_OPTION_CHOICE:
        return sizeof(uint32_t);
    case SLUICE_OPTION_LIST:
    case SLUICE_OPTION_MAP:
        return sizeof(struct sluice_list);
    case SLUICE_OPTION_FILE:
        return sizeof(struct sluice_file);
    case SLUICE_OPTION_TEMPLATE:
    case SLUICE_OPTION_TARGET:
    case SLUICE_OPTION_UPSTREAM:
        return sizeof(void *);
    case SLUICE_OPTION_NETWORK:
        return sizeof(struct sluice_network);
    case SLUICE_OPTION_RATE:
        return sizeof(struct sluice_rate);
    case SLUICE_OPTION_STRUCT:
        return element_size;
    case SLUICE_OPTION_END:
        break;
    }
    return 0;
}

/* As a row of the elements of a list. */
static struct sluice_option element_row(const struct sluice_option *row)
{
    struct sluice_option element = *row;

    element.kind = row->kind == SLUICE_OPTION_MAP ? SLUICE_OPTION_STRUCT : row->element;
    element.offset = 0;
    element.preset = NULL;
    element.min = element.max = 0;
    return element;
}

static void bind_list(struct bind *bind, const struct sluice_option *row,
                      const struct fake_node *node, char *out)
{
    const struct sluice_option element = element_row(row);
    struct sluice_list list = {NULL, 0};
    /* one scalar or map alone is a list of one */
    const struct fake_node *first =
        node->text || (!node->is_list && row->kind == SLUICE_OPTION_LIST) ? node : node->first;
    char *place;

    for (const struct fake_node *at = first; at; at = at == node ? NULL : at->next)
        list.n++;
    if (list.n < row->min || (row->max && list.n > row->max))
        refuse(bind, "too few or too many elements");
    place = keep(bind, list.n * row->element_size + 1);
    list.first = place;
    for (size_t i = 0; i < list.n; i++, first = first->next, place += row->element_size) {
        size_t before = enter(bind, row->kind == SLUICE_OPTION_MAP ? first->name : NULL, i);

        if (row->kind == SLUICE_OPTION_MAP) {
            struct sluice_span name = keep_text(bind, fake_span(first->name ? first->name : ""));

            memcpy(place, &name, sizeof(name));
        }
        bind_value(bind, &element, first, place);
        bind->path[before] = '\0';
    }
    memcpy(out, &list, sizeof(list));
}

static const struct sluice_option *scalar_row(const struct sluice_option *table)
{
    for (; table && table->kind != SLUICE_OPTION_END; table++) {
        if (table->flags & SLUICE_OPTION_SCALAR)
            return table;
    }
    return NULL;
}

static void bind_whole(struct bind *bind, const struct sluice_option *row,
                       const struct fake_node *node, char *out)
{
    const struct sluice_option *short_row = scalar_row(row->fields);
    struct fake_node map = {0}, only = {0};

    if (node->text && !short_row) {
        refuse(bind, "a map is wanted here");
        return;
    }
    if (node->text) {
        only = *node;
        only.next = NULL;
        only.name = fake_dup(fake_span(short_row->name));
        map.first = &only;
    }
    bind_struct(bind, row->fields, node->text ? &map : node, out);
    fake_drop(only.name);
}

static void bind_value(struct bind *bind, const struct sluice_option *row,
                       const struct fake_node *node, char *out)
{
    if (++bind->depth > FAKE_DEPTH) {
        refuse(bind, "too deep");
    } else if (row->kind == SLUICE_OPTION_STRUCT) {
        bind_whole(bind, row, node, out);
    } else if (row->kind == SLUICE_OPTION_LIST || row->kind == SLUICE_OPTION_MAP) {
        bind_list(bind, row, node, out);
    } else if (node->text) {
        bind_scalar(bind, row, node->text, out);
    } else {
        refuse(bind, "a scalar is wanted here");
    }
    bind->depth--;
}

static const struct fake_node *find(const struct fake_node *node, const char *name)
{
    for (const struct fake_node *at = node ? node->first : NULL; at; at = at->next) {
        if (at->name && strcmp(at->name, name) == 0)
            return at;
    }
    return NULL;
}

static void bind_row(struct bind *bind, const struct sluice_option *row,
                     const struct fake_node *written, char *out)
{
    struct fake_node *preset = NULL;

    if (written) {
        bind_value(bind, row, written, out);
    } else if (row->flags & SLUICE_OPTION_REQUIRED) {
        refuse(bind, "missing");
    } else if (row->preset && fake_flow(&preset, row->preset)) {
        bind_value(bind, row, preset, out);
        fake_node_free(&preset);
    } else if (row->kind == SLUICE_OPTION_STRUCT) {
        struct fake_node none = {0};

        /* a required option of a struct that is not written is not missed */
        for (const struct sluice_option *field = row->fields; field->kind; field++) {
            if (field->flags & SLUICE_OPTION_REQUIRED)
                return;
        }
        bind_value(bind, row, &none, out);
    }
}

static void bind_struct(struct bind *bind, const struct sluice_option *table,
                        const struct fake_node *node, char *out)
{
    for (const struct fake_node *at = node ? node->first : NULL; at; at = at->next) {
        const struct sluice_option *row = table;

        while (row && row->kind != SLUICE_OPTION_END &&
               (!at->name || strcmp(row->name, at->name) != 0))
            row++;
        if (!row || row->kind == SLUICE_OPTION_END) {
            size_t before = enter(bind, at->name ? at->name : "?", 0);

            refuse(bind, "unknown option");
            bind->path[before] = '\0';
        }
    }
    for (const struct sluice_option *row = table; row && row->kind != SLUICE_OPTION_END; row++) {
        size_t before = enter(bind, row->name, 0);

        bind_row(bind, row, find(node, row->name), out + row->offset);
        bind->path[before] = '\0';
    }
}

void fake_bind(struct sluice_test *test, const struct fake_node *root, void *conf)
{
    struct bind bind = {.test = test};

    bind_struct(&bind, test->plugin->options, root, conf);
}

/* -- is the table sound? ---------------------------------------------------------------- */

static void check_row(const struct sluice_option *row, size_t room, struct fake_text *why,
                      unsigned depth);

static void check_table(const struct sluice_option *table, size_t room, struct fake_text *why,
                        unsigned depth)
{
    unsigned n = 0;

    for (const struct sluice_option *row = table; row->kind != SLUICE_OPTION_END; row++) {
        if (++n > ROWS || depth > FAKE_DEPTH) {
            fake_format(why, "the table does not end with SLUICE_OPTION_END, or is too deep\n");
            return;
        }
        if (!row->name || !*row->name) {
            fake_format(why, "row %u has no name\n", n);
            continue;
        }
        for (const struct sluice_option *other = table; other < row; other++) {
            if (other->name && strcmp(other->name, row->name) == 0)
                fake_format(why, "%s: there are two of that name\n", row->name);
        }
        check_row(row, room, why, depth);
    }
}

static void check_elements(const struct sluice_option *row, struct fake_text *why, unsigned depth)
{
    bool of_structs = row->kind == SLUICE_OPTION_MAP || row->element == SLUICE_OPTION_STRUCT;

    if (row->kind == SLUICE_OPTION_MAP && row->element != SLUICE_OPTION_STRUCT)
        fake_format(why, "%s: the elements of a map are SLUICE_OPTION_STRUCT\n", row->name);
    if (!row->element_size || row->element_size < size_of(row->element, row->element_size))
        fake_format(why, "%s: element_size does not fit the element\n", row->name);
    if (of_structs && !row->fields) {
        fake_format(why, "%s: fields are missing\n", row->name);
    } else if (of_structs) {
        check_table(row->fields, row->element_size, why, depth + 1);
    }
}

static void check_row(const struct sluice_option *row, size_t room, struct fake_text *why,
                      unsigned depth)
{
    struct fake_node *preset = NULL;

    if (row->kind > SLUICE_OPTION_RATE) {
        fake_format(why, "%s: unknown kind %u\n", row->name, row->kind);
        return;
    }
    if (row->offset + size_of(row->kind, row->element_size) > room)
        fake_format(why, "%s: lies outside of its struct\n", row->name);
    if (!row->help || !*row->help)
        fake_format(why, "%s: help is missing\n", row->name);
    if (row->kind == SLUICE_OPTION_CHOICE && !row->choices)
        fake_format(why, "%s: choices are missing\n", row->name);
    if (row->max && row->min > row->max)
        fake_format(why, "%s: min is above max\n", row->name);
    if (row->preset && (row->flags & SLUICE_OPTION_REQUIRED))
        fake_format(why, "%s: required, so it needs no preset\n", row->name);
    if (row->preset && !fake_flow(&preset, row->preset))
        fake_format(why, "%s: the preset is malformed\n", row->name);
    fake_node_free(&preset);
    if (row->kind == SLUICE_OPTION_STRUCT && !row->fields) {
        fake_format(why, "%s: fields are missing\n", row->name);
    } else if (row->kind == SLUICE_OPTION_STRUCT) {
        check_table(row->fields, room - row->offset, why, depth + 1);
    } else if (row->kind == SLUICE_OPTION_LIST || row->kind == SLUICE_OPTION_MAP) {
        check_elements(row, why, depth);
    }
}

void fake_table_check(const struct sluice_plugin *plugin, struct fake_text *why)
{
    if (plugin->options)
        check_table(plugin->options, plugin->conf_size, why, 0);
}
