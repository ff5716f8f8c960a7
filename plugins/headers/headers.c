/*
 * headers - change the fields of requests, of each try upstream, and of responses.
 *
 * Within one list the order is fixed: remove, rename, replace, default, set, add. Values are
 * templates over attributes. A template that comes to nothing adds nothing, and `set` then removes
 * the field, so that a value the client sent never stands in for one that is missing.
 */
#include "kit/span.h"

#include <stdio.h>
#include <string.h>

/* A name, and what becomes of it. */
struct edit {
    struct sluice_span name;
    const struct sluice_template *value;
};

struct renaming {
    struct sluice_span name, to;
};

struct edits {
    struct sluice_list remove;                    /* of struct sluice_span */
    struct sluice_list rename;                    /* of struct renaming */
    struct sluice_list replace, preset, set, add; /* of struct edit */
};

struct conf {
    struct edits request, attempt, response;
    struct sluice_list statuses; /* of struct sluice_span: "404", "5xx" */
};

/* clang-format off */
static const struct sluice_option edit_options[] = {
    {.kind = SLUICE_OPTION_TEMPLATE, .flags = SLUICE_OPTION_SCALAR | SLUICE_OPTION_REQUIRED,
     .name = "value", .offset = offsetof(struct edit, value), .help = "the value, a template",
     .example = "${client.address}"},
    {.kind = SLUICE_OPTION_END}};

static const struct sluice_option renaming_options[] = {
    {.kind = SLUICE_OPTION_TEXT, .flags = SLUICE_OPTION_SCALAR | SLUICE_OPTION_REQUIRED,
     .name = "to", .offset = offsetof(struct renaming, to), .help = "the new name",
     .example = "x-new"},
    {.kind = SLUICE_OPTION_END}};

#define EDITS(row_name, member, row_help, row_example)                                             \
    {                                                                                              \
        .kind = SLUICE_OPTION_MAP, .name = (row_name), .offset = offsetof(struct edits, member),   \
        .max = 1000, .fields = edit_options, .element = SLUICE_OPTION_STRUCT,                      \
        .element_size = sizeof(struct edit), .help = (row_help), .example = (row_example)          \
    }

static const struct sluice_option edits_options[] = {
    {.kind = SLUICE_OPTION_LIST, .name = "remove", .offset = offsetof(struct edits, remove),
     .max = 1000, .element = SLUICE_OPTION_TEXT, .element_size = sizeof(struct sluice_span),
     .help = "fields to remove; x-internal-*: all that begin so",
     .example = "[x-powered-by, 'x-internal-*']"},
    {.kind = SLUICE_OPTION_MAP, .name = "rename", .offset = offsetof(struct edits, rename),
     .max = 1000, .fields = renaming_options, .element = SLUICE_OPTION_STRUCT,
     .element_size = sizeof(struct renaming),
     .help = "fields to rename, old name to new; what the new name held is replaced",
     .example = "{x-old: x-new}"},
    EDITS("replace", replace, "a new value for fields that are there", "{server: sluice}"),
    EDITS("default", preset, "a value for fields that are not there",
          "{accept-language: en}"),
    EDITS("set", set, "one line with this value, whatever was there",
          "{x-client: '${client.address}'}"),
    EDITS("add", add, "one more line", "{via-note: edge}"),
    {.kind = SLUICE_OPTION_END}};

static const struct sluice_option options[] = {
    {.kind = SLUICE_OPTION_STRUCT, .name = "request", .offset = offsetof(struct conf, request),
     .fields = edits_options, .help = "changes to the request, before it is routed upstream",
     .example = "{set: {x-client: '${client.address}'}}"},
    {.kind = SLUICE_OPTION_STRUCT, .name = "attempt", .offset = offsetof(struct conf, attempt),
     .fields = edits_options,
     .help = "changes to the request of each try, where ${upstream.name} and ${endpoint.address} "
             "are known",
     .example = "{set: {x-endpoint: '${endpoint.address}'}}"},
    {.kind = SLUICE_OPTION_STRUCT, .name = "response", .offset = offsetof(struct conf, response),
     .fields = edits_options, .help = "changes to the response",
     .example = "{remove: [server]}"},
    {.kind = SLUICE_OPTION_LIST, .name = "statuses", .offset = offsetof(struct conf, statuses),
     .max = 100, .element = SLUICE_OPTION_TEXT, .element_size = sizeof(struct sluice_span),
     .help = "only responses with one of these are changed; empty: all",
     .example = "[200, 404, 5xx]"},
    {.kind = SLUICE_OPTION_END}};
/* clang-format on */

/* -- checking ------------------------------------------------------------------------- */

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static bool begins(struct sluice_span text, struct sluice_span with)
{
    if (text.len < with.len)
        return false;
    for (size_t i = 0; i < with.len; i++) {
        if (lower(text.ptr[i]) != lower(with.ptr[i]))
            return false;
    }
    return true;
}

static bool same(struct sluice_span a, struct sluice_span b)
{
    return a.len == b.len && begins(a, b);
}

/* Those that the gateway keeps for itself: a change would be refused at run time. */
static bool is_gateways(struct sluice_span name)
{
    static const struct sluice_span names[] = {
        SLUICE_SPAN_INIT("connection"), SLUICE_SPAN_INIT("content-length"),
        SLUICE_SPAN_INIT("keep-alive"), SLUICE_SPAN_INIT("proxy-connection"),
        SLUICE_SPAN_INIT("te"),         SLUICE_SPAN_INIT("trailer"),
        SLUICE_SPAN_INIT("upgrade"),    SLUICE_SPAN_INIT("transfer-encoding")};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (same(name, names[i]))
            return true;
    }
    return false;
}

/* Where in the options we are. */
struct checking {
    const struct sluice_host *host;
    struct sluice_setup *setup;
    const char *section;
};

static void check_name(const struct checking *checking, const char *list, struct sluice_span name)
{
    char option[160];

    snprintf(option, sizeof(option), "%s.%s.%.*s", checking->section, list,
             (int)(name.len < 60 ? name.len : 60), name.ptr);
    if (!span_is_token(name)) {
        checking->host->conf_error(checking->setup, option, NULL, "it is not a field name");
    } else if (is_gateways(name)) {
        checking->host->conf_error(checking->setup, option, NULL,
                                   "the gateway itself keeps this field");
    }
}

static void check_edits(const struct checking *checking, const struct edits *edits)
{
    const struct sluice_span *remove = edits->remove.first;
    const struct renaming *rename = edits->rename.first;
    const struct {
        const char *name;
        const struct sluice_list *list;
    } lists[] = {{"replace", &edits->replace},
                 {"default", &edits->preset},
                 {"set", &edits->set},
                 {"add", &edits->add}};

    for (size_t i = 0; i < edits->remove.n; i++) {
        struct sluice_span name = remove[i];

        name.len -= name.len > 1 && name.ptr[name.len - 1] == '*';
        check_name(checking, "remove", name);
    }
    for (size_t i = 0; i < edits->rename.n; i++) {
        check_name(checking, "rename", rename[i].name);
        check_name(checking, "rename", rename[i].to);
    }
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        const struct edit *edit = lists[i].list->first;

        for (size_t k = 0; k < lists[i].list->n; k++)
            check_name(checking, lists[i].name, edit[k].name);
    }
}

static bool is_status(struct sluice_span text)
{
    return text.len == 3 && text.ptr[0] >= '1' && text.ptr[0] <= '5' &&
           ((text.ptr[1] == 'x' && text.ptr[2] == 'x') ||
            (text.ptr[1] >= '0' && text.ptr[1] <= '9' && text.ptr[2] >= '0' && text.ptr[2] <= '9'));
}

static void conf_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    const struct conf *conf = conf_;
    const struct sluice_span *status = conf->statuses.first;

    check_edits(&(struct checking){host, setup, "request"}, &conf->request);
    check_edits(&(struct checking){host, setup, "attempt"}, &conf->attempt);
    check_edits(&(struct checking){host, setup, "response"}, &conf->response);
    for (size_t i = 0; i < conf->statuses.n; i++) {
        char option[32];

        snprintf(option, sizeof(option), "statuses[%zu]", i);
        if (!is_status(status[i]))
            host->conf_error(setup, option, "write 404 or 5xx", "it is not a status");
    }
}

/* -- changing ---------------------------------------------------------------------------- */

static bool has(const struct sluice_call *call, enum sluice_side side, struct sluice_span name)
{
    struct sluice_span value;

    return call->host->field_get(call, side, name, &value);
}

/* A removal starts over after each, for fields must not change while one walks them. */
static bool remove_prefix(const struct sluice_call *call, enum sluice_side side,
                          struct sluice_span prefix)
{
    struct sluice_pair line;

    for (size_t at = 0; call->host->field_each(call, side, &at, &line);) {
        if (!begins(line.name, prefix) || is_gateways(line.name))
            continue;
        if (!call->host->field_remove(call, side, line.name))
            return false;
        at = 0;
    }
    return true;
}

static bool remove_all(const struct sluice_call *call, enum sluice_side side,
                       const struct sluice_list *list)
{
    const struct sluice_span *name = list->first;

    for (size_t i = 0; i < list->n; i++) {
        size_t len = name[i].len;

        if (len > 1 && name[i].ptr[len - 1] == '*') {
            if (!remove_prefix(call, side, (struct sluice_span){name[i].ptr, len - 1}))
                return false;
        } else if (has(call, side, name[i]) && !call->host->field_remove(call, side, name[i])) {
            return false;
        }
    }
    return true;
}

/* All lines of the old name, in their order. */
static bool rename_one(const struct sluice_call *call, enum sluice_side side,
                       const struct renaming *renaming)
{
    const struct sluice_host *host = call->host;
    struct sluice_span value;

    if (same(renaming->name, renaming->to) || !has(call, side, renaming->name))
        return true;
    if (has(call, side, renaming->to) && !host->field_remove(call, side, renaming->to))
        return false;
    for (size_t nth = 0;; nth++) {
        struct sluice_pair line;
        size_t at = 0, seen = 0;
        bool found = false;

        while (!found && host->field_each(call, side, &at, &line))
            found = same(line.name, renaming->name) && seen++ == nth;
        if (!found)
            break;
        value = host->copy(call, line.value); /* the span ends when fields change */
        if ((line.value.len && !value.len) || !host->field_add(call, side, renaming->to, value))
            return false;
    }
    return host->field_remove(call, side, renaming->name);
}

static bool rename_all(const struct sluice_call *call, enum sluice_side side,
                       const struct sluice_list *list)
{
    const struct renaming *renaming = list->first;

    for (size_t i = 0; i < list->n; i++) {
        if (!rename_one(call, side, &renaming[i]))
            return false;
    }
    return true;
}

enum manner { REPLACE, DEFAULT, SET, ADD };

static bool change_one(const struct sluice_call *call, enum sluice_side side,
                       const struct edit *edit, enum manner manner)
{
    struct sluice_span value;
    bool is_there = manner != ADD && has(call, side, edit->name);

    if ((manner == REPLACE && !is_there) || (manner == DEFAULT && is_there))
        return true;
    value = call->host->render(call, edit->value);
    if (!value.ptr)
        return false;
    if (value.len == 0)
        return manner != SET || !is_there || call->host->field_remove(call, side, edit->name);
    return manner == ADD ? call->host->field_add(call, side, edit->name, value)
                         : call->host->field_set(call, side, edit->name, value);
}

static bool change_all(const struct sluice_call *call, enum sluice_side side,
                       const struct sluice_list *list, enum manner manner)
{
    const struct edit *edit = list->first;

    for (size_t i = 0; i < list->n; i++) {
        if (!change_one(call, side, &edit[i], manner))
            return false;
    }
    return true;
}

static enum sluice_verdict apply(const struct sluice_call *call, enum sluice_side side,
                                 const struct edits *edits)
{
    bool done = remove_all(call, side, &edits->remove) && rename_all(call, side, &edits->rename) &&
                change_all(call, side, &edits->replace, REPLACE) &&
                change_all(call, side, &edits->preset, DEFAULT) &&
                change_all(call, side, &edits->set, SET) &&
                change_all(call, side, &edits->add, ADD);

    if (!done)
        call->host->note(call, SLUICE_SPAN("headers_failed"));
    return done ? SLUICE_NEXT : SLUICE_FAIL;
}

static bool is_meant(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;
    const struct sluice_span *want = conf->statuses.first;
    int64_t status = call->host->fact(call, SLUICE_FACT_STATUS);

    for (size_t i = 0; i < conf->statuses.n; i++) {
        const char *digit = want[i].ptr;
        int64_t number = digit[0] - '0';

        if (digit[1] == 'x' ? status / 100 == number
                            : status == (number * 10 + digit[1] - '0') * 10 + digit[2] - '0')
            return true;
    }
    return conf->statuses.n == 0;
}

/* -- phases ---------------------------------------------------------------------------------- */

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;

    return apply(call, SLUICE_REQUEST, &conf->request);
}

static enum sluice_verdict on_attempt(const struct sluice_call *call,
                                      const struct sluice_attempt *attempt)
{
    const struct conf *conf = call->conf;

    (void)attempt;
    return apply(call, SLUICE_ATTEMPT, &conf->attempt);
}

static enum sluice_verdict on_response_head(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;

    return is_meant(call) ? apply(call, SLUICE_RESPONSE, &conf->response) : SLUICE_NEXT;
}

const struct sluice_plugin sluice_plugin = {
    SLUICE_PLUGIN_HEAD,       .name = "headers",
    .version = "1.0.0",       .summary = "Changes fields of requests and responses.",
    .options = options,       .conf_size = sizeof(struct conf),
    .conf_check = conf_check, .on_request_head = on_request_head,
    .on_attempt = on_attempt, .on_response_head = on_response_head,
};
