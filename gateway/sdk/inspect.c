/* inspect.c - a descriptor, printed in three ways. Tables are walked by the file's own row size. */
#include "sdk/inspect.h"

#include "abi/sluice_test.h"

#include <string.h>

enum { DEPTH_MAX = 16, ROWS_MAX = 256, WHY_ROOM = 512 };

static const char *const kinds[] = {[SLUICE_OPTION_BOOL] = "true or false",
                                    [SLUICE_OPTION_UINT] = "number",
                                    [SLUICE_OPTION_DURATION] = "duration",
                                    [SLUICE_OPTION_SIZE] = "size",
                                    [SLUICE_OPTION_RATIO] = "ratio",
                                    [SLUICE_OPTION_TEXT] = "text",
                                    [SLUICE_OPTION_SECRET] = "secret",
                                    [SLUICE_OPTION_CHOICE] = "choice",
                                    [SLUICE_OPTION_STRUCT] = "struct",
                                    [SLUICE_OPTION_LIST] = "list",
                                    [SLUICE_OPTION_MAP] = "map",
                                    [SLUICE_OPTION_FILE] = "file",
                                    [SLUICE_OPTION_TEMPLATE] = "template",
                                    [SLUICE_OPTION_TARGET] = "target",
                                    [SLUICE_OPTION_UPSTREAM] = "upstream",
                                    [SLUICE_OPTION_NETWORK] = "network",
                                    [SLUICE_OPTION_RATE] = "rate"};

static const char *kind_name(uint32_t kind)
{
    return kind > SLUICE_OPTION_END && kind <= SLUICE_OPTION_RATE ? kinds[kind] : "?";
}

/* -- opening ------------------------------------------------------------------------ */

enum err inspect_open(const char *path, struct inspected *plugin, struct text *why)
{
    char reason[WHY_ROOM];
    const struct sluice_plugin *exported = sluice_test_load(path, reason, sizeof(reason));

    if (!exported) {
        text_add(why, span_of(reason));
        return ERR_CONFIG;
    }
    if (exported->size < offsetof(struct sluice_plugin, conf_check) ||
        exported->option_size < sizeof(uint32_t) * 2) {
        text_add(why, SPAN("its descriptor is too small to be one; begin it with "
                           "SLUICE_PLUGIN_HEAD"));
        return ERR_CONFIG;
    }
    *plugin = (struct inspected){.exported = exported, .path = path};
    memcpy(&plugin->about, exported,
           exported->size < sizeof(plugin->about) ? exported->size : sizeof(plugin->about));
    return OK;
}

/* -- walking the options ---------------------------------------------------------------- */

/* One option, with the names above it: "delay.time", "limits[].rate", "claims.NAME.field". */
struct walked {
    const struct sluice_option *row;
    const char *path;
};

typedef void walk_fn(void *arg, const struct walked *walked);

struct walk {
    size_t row_size;
    char path[256];
    unsigned depth;
    walk_fn *each;
    void *arg;
};

static bool has_fields(const struct sluice_option *row)
{
    return row->fields &&
           (row->kind == SLUICE_OPTION_STRUCT || row->kind == SLUICE_OPTION_MAP ||
            (row->kind == SLUICE_OPTION_LIST && row->element == SLUICE_OPTION_STRUCT));
}

static const struct sluice_option *row_at(const struct sluice_option *table, size_t row_size,
                                          size_t i)
{
    return (const struct sluice_option *)(const void *)((const char *)table + i * row_size);
}

static void add_step(struct walk *walk, const char *step, const char *between)
{
    struct text path;
    size_t len = strlen(walk->path);

    text_init_fixed(&path, walk->path + len, sizeof(walk->path) - len);
    text_format(&path, "%s%s", len ? between : "", step);
}

static void walk_table(struct walk *walk, const struct sluice_option *table)
{
    if (walk->depth++ < DEPTH_MAX) {
        for (size_t i = 0; i < ROWS_MAX; i++) {
            const struct sluice_option *row = row_at(table, walk->row_size, i);
            size_t len = strlen(walk->path);

            if (row->kind == SLUICE_OPTION_END)
                break;
            add_step(walk, row->name ? row->name : "?", ".");
            walk->each(walk->arg, &(struct walked){row, walk->path});
            if (row->kind == SLUICE_OPTION_LIST)
                add_step(walk, "[]", "");
            if (row->kind == SLUICE_OPTION_MAP)
                add_step(walk, "NAME", ".");
            if (has_fields(row))
                walk_table(walk, row->fields);
            walk->path[len] = '\0';
        }
    }
    walk->depth--;
}

static void each_option(const struct inspected *plugin, walk_fn *each, void *arg)
{
    struct walk walk = {.row_size = plugin->about.option_size, .each = each, .arg = arg};

    if (plugin->about.options)
        walk_table(&walk, plugin->about.options);
}

/* -- one option in words -------------------------------------------------------------------- */

static void add_choices(const struct sluice_option *row, struct text *out)
{
    for (const struct sluice_choice *choice = row->choices; choice->name; choice++)
        text_format(out, "%s`%s`", choice == row->choices ? "" : ", ", choice->name);
}

static void add_number(const struct sluice_option *row, uint64_t number, struct text *out)
{
    static const struct {
        const char *unit;
        uint64_t factor;
    } units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

    if (row->kind == SLUICE_OPTION_DURATION && number) {
        size_t i = 0;

        while (number % units[i].factor)
            i++;
        text_add_number(out, number / units[i].factor);
        text_format(out, "%s", units[i].unit);
        return;
    }
    text_add_number(out, number);
}

static void add_bounds(const struct sluice_option *row, const char *of, struct text *out)
{
    if (!row->min && !row->max)
        return;
    text_format(out, ", %s", of);
    if (row->min) {
        add_number(row, row->min, out);
        text_add(out, row->max ? SPAN(" to ") : SPAN(" or more"));
    } else {
        text_add(out, SPAN("at most "));
    }
    if (row->max)
        add_number(row, row->max, out);
}

/* "duration, 1ms to 10m", "list of networks, at most 10000". */
static void add_kind(const struct sluice_option *row, struct text *out)
{
    switch (row->kind) {
    case SLUICE_OPTION_CHOICE:
        if (row->choices)
            add_choices(row, out);
        return;
    case SLUICE_OPTION_LIST:
        text_add(out, SPAN("list of "));
        if (row->element == SLUICE_OPTION_CHOICE && row->choices) {
            add_choices(row, out);
        } else {
            text_format(out, "%ss",
                        row->element == SLUICE_OPTION_STRUCT ? "struct" : kind_name(row->element));
        }
        add_bounds(row, "", out);
        return;
    case SLUICE_OPTION_STRUCT:
    case SLUICE_OPTION_MAP:
        text_add(out, row->kind == SLUICE_OPTION_MAP ? SPAN("map by name") : SPAN("struct"));
        return;
    default:
        text_add(out, span_of(kind_name(row->kind)));
        add_bounds(row, "", out);
        return;
    }
}

/* -- for people -------------------------------------------------------------------------------- */

/* Phases and other callbacks, in the order of an exchange. */
static const struct {
    const char *name;
    size_t offset;
} callbacks[] = {
#define CALLBACK(member)                                                                           \
    {                                                                                              \
#member, offsetof(struct sluice_plugin, member)                                            \
    }
    CALLBACK(conf_check),
    CALLBACK(conf_start),
    CALLBACK(conf_fini),
    CALLBACK(worker_start),
    CALLBACK(worker_stop),
    CALLBACK(on_request_head),
    CALLBACK(on_request_body),
    CALLBACK(on_request_trailers),
    CALLBACK(on_attempt),
    CALLBACK(on_attempt_done),
    CALLBACK(on_local_reply),
    CALLBACK(on_response_head),
    CALLBACK(on_response_body),
    CALLBACK(on_response_trailers),
    CALLBACK(on_done),
    CALLBACK(on_report),
    CALLBACK(on_command),
    CALLBACK(on_drain)
#undef CALLBACK
};

static bool has_callback(const struct inspected *plugin, size_t i)
{
    static const char nothing[sizeof(void (*)(void))];

    return memcmp((const char *)&plugin->about + callbacks[i].offset, nothing, sizeof(nothing)) !=
           0;
}

static struct sluice_span text_or(const char *text, const char *instead)
{
    return span_of(text ? text : instead);
}

/* What its header's age means here. */
static const char *fit(const struct inspected *plugin)
{
    /* a variable, because a minor version of 0 cannot be above anything */
    int theirs = plugin->about.abi_minor, ours = SLUICE_ABI_MINOR;

    if (theirs > ours)
        return "newer than this gateway: it must ask SLUICE_HAS() before it uses later services";
    if (theirs < ours)
        return "older than this gateway: it loads, and knows nothing of what came later";
    return "the same as this gateway's";
}

static void option_text(void *arg, const struct walked *walked)
{
    const struct sluice_option *row = walked->row;
    struct text *out = arg;

    text_format(out, "  %s\n      ", walked->path);
    add_kind(row, out);
    if (row->flags & SLUICE_OPTION_REQUIRED) {
        text_add(out, SPAN("; required"));
    } else if (row->preset) {
        text_format(out, "; default %s", row->preset);
    }
    text_format(out, "\n      %s\n", row->help ? row->help : "?");
}

void inspect_text(const struct inspected *plugin, struct text *out)
{
    const struct sluice_plugin *about = &plugin->about;

    text_format(out, "%s %s: %s\n", text_or(about->name, "?").ptr, text_or(about->version, "?").ptr,
                text_or(about->summary, "?").ptr);
    text_format(out, "file       %s\n", plugin->path);
    text_format(out, "ABI        %u.%u, %s (%u.%u)\n", about->abi, about->abi_minor, fit(plugin),
                SLUICE_ABI, SLUICE_ABI_MINOR);
    text_format(out, "memory     conf %u, worker %u, exchange %u bytes\n", about->conf_size,
                about->worker_size, about->ctx_size);
    if (about->flags & SLUICE_PLUGIN_KEEP_LOADED)
        text_add(out, SPAN("unloading  never\n"));
    if (about->doc_url)
        text_format(out, "see        %s\n", about->doc_url);
    text_add(out, SPAN("callbacks "));
    for (size_t i = 0; i < sizeof(callbacks) / sizeof(callbacks[0]); i++) {
        if (has_callback(plugin, i))
            text_format(out, " %s", callbacks[i].name);
    }
    text_add(out, about->options ? SPAN("\noptions\n") : SPAN("\noptions    none\n"));
    each_option(plugin, option_text, out);
}

/* -- for programs ------------------------------------------------------------- */

static void add_member(struct text *out, const char *name, const char *text)
{
    text_format(out, "\"%s\": ", name);
    if (!text) {
        text_add(out, SPAN("null"));
        return;
    }
    text_add_char(out, '"');
    text_add_json(out, span_of(text));
    text_add_char(out, '"');
}

struct json {
    struct text *out;
    bool is_first;
};

static void option_json(void *arg, const struct walked *walked)
{
    const struct sluice_option *row = walked->row;
    struct json *json = arg;
    struct text *out = json->out;

    text_add(out, json->is_first ? SPAN("\n    {") : SPAN(",\n    {"));
    json->is_first = false;
    add_member(out, "path", walked->path);
    text_add(out, SPAN(", "));
    add_member(out, "kind", kind_name(row->kind));
    text_format(out, ", \"required\": %s, ",
                row->flags & SLUICE_OPTION_REQUIRED ? "true" : "false");
    add_member(out, "default", row->preset);
    text_add(out, SPAN(", \"min\": "));
    text_add_number(out, row->min);
    text_add(out, SPAN(", \"max\": "));
    text_add_number(out, row->max);
    text_add(out, SPAN(", "));
    add_member(out, "help", row->help);
    if (row->kind == SLUICE_OPTION_CHOICE && row->choices) {
        text_add(out, SPAN(", \"choices\": ["));
        for (const struct sluice_choice *choice = row->choices; choice->name; choice++)
            text_format(out, "%s\"%s\"", choice == row->choices ? "" : ", ", choice->name);
        text_add_char(out, ']');
    }
    text_add_char(out, '}');
}

void inspect_json(const struct inspected *plugin, struct text *out)
{
    const struct sluice_plugin *about = &plugin->about;
    struct json json = {out, true};
    bool is_first = true;

    text_add(out, SPAN("{\n  "));
    add_member(out, "name", about->name);
    text_add(out, SPAN(",\n  "));
    add_member(out, "version", about->version);
    text_add(out, SPAN(",\n  "));
    add_member(out, "summary", about->summary);
    text_add(out, SPAN(",\n  "));
    add_member(out, "doc_url", about->doc_url);
    text_add(out, SPAN(",\n  "));
    add_member(out, "file", plugin->path);
    text_format(out, ",\n  \"abi\": %u, \"abi_minor\": %u,\n", about->abi, about->abi_minor);
    text_format(out, "  \"gateway_abi\": %u, \"gateway_abi_minor\": %u,\n", SLUICE_ABI,
                SLUICE_ABI_MINOR);
    text_format(out, "  \"conf_size\": %u, \"worker_size\": %u, \"ctx_size\": %u,\n",
                about->conf_size, about->worker_size, about->ctx_size);
    text_format(out, "  \"keep_loaded\": %s,\n  \"callbacks\": [",
                about->flags & SLUICE_PLUGIN_KEEP_LOADED ? "true" : "false");
    for (size_t i = 0; i < sizeof(callbacks) / sizeof(callbacks[0]); i++) {
        if (!has_callback(plugin, i))
            continue;
        text_format(out, "%s\"%s\"", is_first ? "" : ", ", callbacks[i].name);
        is_first = false;
    }
    text_add(out, SPAN("],\n  \"options\": ["));
    each_option(plugin, option_json, &json);
    text_add(out, SPAN("\n  ]\n}\n"));
}

/* -- for a README --------------------------------------------------------------- */

/* Inside a cell: a bar would end it. */
static void add_cell(struct text *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            text_add_char(out, '\\');
        text_add_char(out, *text);
    }
}

static void option_markdown(void *arg, const struct walked *walked)
{
    const struct sluice_option *row = walked->row;
    struct text *out = arg;
    char kind[512];
    struct text words;

    text_init_fixed(&words, kind, sizeof(kind));
    add_kind(row, &words);
    text_format(out, "| `%s` | ", walked->path);
    add_cell(out, kind);
    text_add(out, SPAN(" | "));
    if (row->flags & SLUICE_OPTION_REQUIRED) {
        text_add(out, SPAN("required"));
    } else if (row->preset) {
        text_add_char(out, '`');
        add_cell(out, row->preset);
        text_add_char(out, '`');
    }
    text_add(out, SPAN(" | "));
    add_cell(out, row->help ? row->help : "");
    text_add(out, SPAN(" |\n"));
}

void inspect_markdown(const struct inspected *plugin, struct text *out)
{
    if (!plugin->about.options) {
        text_add(out, SPAN("None.\n"));
        return;
    }
    text_add(out, SPAN("| option | value | default | meaning |\n| --- | --- | --- | --- |\n"));
    each_option(plugin, option_markdown, out);
}
