/*
 * command_connections.c - ask the admin listener which connections there are; show them as a table,
 * or as JSON. Operands are the page's own filters, so the gateway says what is wrong with one.
 */
#include "http/octet.h"
#include "server/admin_call.h"
#include "server/columns.h"
#include "server/terminal.h"

#include <string.h>

enum { TARGET_MAX = 3500, TABLE_BYTES = 16 << 20 };

/* -- cells ------------------------------------------------------------------------ */

enum connection_column {
    COLUMN_ID,
    COLUMN_WHO,
    COLUMN_WHERE,
    COLUMN_PROTOCOL,
    COLUMN_STATE,
    COLUMN_TLS,
    COLUMN_NAME,
    COLUMN_AGE,
    COLUMN_IDLE,
    COLUMN_REQUESTS,
    COLUMN_STREAMS,
    COLUMN_IN,
    COLUMN_OUT,
    COLUMN_FOR,
    COLUMN_COUNT
};

static const struct column of_clients[] = {
    [COLUMN_ID] = {"ID", true},
    [COLUMN_WHO] = {"CLIENT", false},
    [COLUMN_WHERE] = {"LISTENER", false},
    [COLUMN_PROTOCOL] = {"PROTOCOL", false},
    [COLUMN_STATE] = {"STATE", false},
    [COLUMN_TLS] = {"TLS", false},
    [COLUMN_NAME] = {"SERVER NAME", false},
    [COLUMN_AGE] = {"AGE", true},
    [COLUMN_IDLE] = {"IDLE", true},
    [COLUMN_REQUESTS] = {"REQUESTS", true},
    [COLUMN_STREAMS] = {"STREAMS", true},
    [COLUMN_IN] = {"IN", true},
    [COLUMN_OUT] = {"OUT", true},
    [COLUMN_FOR] = {"FORWARDS TO", false},
};

static const struct column to_endpoints[] = {
    [COLUMN_ID] = {"WORKER", true},         [COLUMN_WHO] = {"ENDPOINT", false},
    [COLUMN_WHERE] = {"UPSTREAM", false},   [COLUMN_PROTOCOL] = {"PROTOCOL", false},
    [COLUMN_STATE] = {"STATE", false},      [COLUMN_TLS] = {"TLS", false},
    [COLUMN_NAME] = {"SERVER NAME", false}, [COLUMN_AGE] = {"AGE", true},
    [COLUMN_IDLE] = {"IDLE", true},         [COLUMN_REQUESTS] = {"REQUESTS", true},
    [COLUMN_STREAMS] = {"STREAMS", true},   [COLUMN_IN] = {"IN", true},
    [COLUMN_OUT] = {"OUT", true},           [COLUMN_FOR] = {"SERVES", false},
};

static bool is_up(const json_t *row)
{
    return json_object_get(row, "endpoint") != NULL;
}

static enum tone add_state(const json_t *row, struct text *out)
{
    const char *state = cell_text(row, "state");

    cell_add_shown(out, state);
    if (strcmp(state, "active") == 0 || strcmp(state, "tunnel") == 0)
        return TONE_GOOD;
    return strcmp(state, "idle") == 0 ? TONE_PLAIN : TONE_CARE;
}

/* The endpoint of the first stream, and how many there are more. */
static void add_endpoint(const json_t *row, struct text *out)
{
    const json_t *first = json_array_get(json_object_get(row, "streams"), 0);

    if (is_up(row)) {
        if (json_object_get(row, "connection"))
            text_format(out, "%lld", cell_number(row, "connection"));
        return;
    }
    if (!first)
        return;
    cell_add_shown(out, cell_text(first, "upstream"));
    text_add_char(out, ' ');
    cell_add_shown(out, cell_text(first, "endpoint"));
    if (cell_number(row, "open_streams") > 1)
        text_format(out, " and %lld more", cell_number(row, "open_streams") - 1);
}

static void add_idle(const json_t *row, struct text *out)
{
    if (cell_number(row, "idle_ms") > 0)
        cell_add_duration(out, cell_number(row, "idle_ms"));
}

static void add_bytes(const json_t *row, const char *name, struct text *out)
{
    if (json_object_get(row, name))
        cell_add_bytes(out, cell_number(row, name));
}

static void add_streams(const json_t *row, struct text *out)
{
    if (json_object_get(row, "open_streams"))
        text_format(out, "%lld", cell_number(row, "open_streams"));
}

static enum tone add_cell(const json_t *row, unsigned column, struct text *out)
{
    const json_t *tls = json_object_get(row, "tls");

    switch ((enum connection_column)column) {
    case COLUMN_ID:
        text_format(out, "%lld", cell_number(row, is_up(row) ? "worker" : "id"));
        break;
    case COLUMN_WHO:
        cell_add_shown(out, cell_text(row, is_up(row) ? "endpoint" : "client"));
        break;
    case COLUMN_WHERE:
        cell_add_shown(out, cell_text(row, is_up(row) ? "upstream" : "listener"));
        break;
    case COLUMN_PROTOCOL:
        cell_add_shown(out, cell_text(row, "protocol"));
        break;
    case COLUMN_STATE:
        return add_state(row, out);
    case COLUMN_TLS:
        cell_add_shown(out, cell_text(tls, "version"));
        text_add(out, json_is_true(json_object_get(tls, "resumed")) ? SPAN(" resumed") : SPAN(""));
        break;
    case COLUMN_NAME:
        cell_add_shown(out, cell_text(tls, "server_name"));
        break;
    case COLUMN_AGE:
        cell_add_duration(out, cell_number(row, "age_ms"));
        break;
    case COLUMN_IDLE:
        add_idle(row, out);
        break;
    case COLUMN_REQUESTS:
        text_format(out, "%lld", cell_number(row, "requests"));
        break;
    case COLUMN_STREAMS:
        add_streams(row, out);
        break;
    case COLUMN_IN:
        add_bytes(row, "bytes_in", out);
        break;
    case COLUMN_OUT:
        add_bytes(row, "bytes_out", out);
        break;
    case COLUMN_FOR:
        add_endpoint(row, out);
        break;
    case COLUMN_COUNT:
        break;
    }
    return TONE_PLAIN;
}

/* -- the table ------------------------------------------------------------------------ */

static void add_table(const json_t *whole, struct text *out)
{
    const json_t *rows = json_object_get(whole, "connections");
    const json_t *silent = json_object_get(whole, "silent_workers");
    struct columns columns = {.out = out,
                              .colour = terminal_has_colour(),
                              .column = is_up(json_array_get(rows, 0)) ? to_endpoints : of_clients,
                              .n = COLUMN_COUNT,
                              .cell = add_cell};

    for (size_t i = 0; i < json_array_size(rows); i++)
        columns_measure(&columns, json_array_get(rows, i));
    if (json_array_size(rows) > 0)
        columns_add_titles(&columns);
    for (size_t i = 0; i < json_array_size(rows); i++)
        columns_add_row(&columns, json_array_get(rows, i));
    text_format(out, "%lld of %lld shown, of %lld connections\n", cell_number(whole, "shown"),
                cell_number(whole, "matched"), cell_number(whole, "total"));
    if (json_array_size(silent) > 0) {
        text_format(out, "%zu workers did not answer: their connections are missing\n",
                    json_array_size(silent));
    }
}

/* Of a problem report, what is wrong with a filter. */
static int refused(const json_t *whole, const struct admin_place *place, unsigned status)
{
    if (status == 422 && cell_text(whole, "detail")[0])
        return command_fail(EXIT_USAGE, "%s", cell_text(whole, "detail"));
    return admin_call_foreign(place, status);
}

static int show(const struct admin_answer *answer, const struct admin_place *place, bool as_json)
{
    json_t *whole = json_loadb(answer->body.len ? answer->body.ptr : "", answer->body.len, 0, NULL);
    struct text out;
    int code;

    if (answer->status != 200 || !json_is_array(json_object_get(whole, "connections"))) {
        code = refused(whole, place, answer->status);
    } else {
        text_init(&out, TABLE_BYTES);
        if (as_json) {
            text_add(&out, text_span(&answer->body));
        } else {
            add_table(whole, &out);
        }
        code = command_out(&out);
    }
    json_decref(whole);
    return code;
}

/* -- the command ------------------------------------------------------------------------ */

/* "name=va%20lue" */
static void add_filter(const char *filter, struct text *target)
{
    const char *value = strchr(filter, '=') + 1;

    text_add(target, span_make(filter, (size_t)(value - filter)));
    for (; *value; value++) {
        if (octet_is(*value, OCTET_PLAIN) || strchr("/:", *value)) {
            text_add_char(target, *value);
        } else {
            text_format(target, "%%%02X", (unsigned)(unsigned char)*value);
        }
    }
}

int command_connections(const struct args *args)
{
    struct admin_place place = {0};
    struct admin_answer answer = {.status = 0};
    char buffer[TARGET_MAX];
    struct text target;
    int code;

    text_init_fixed(&target, buffer, sizeof(buffer));
    text_add(&target, SPAN("/connections?"));
    for (unsigned i = 0; i < args->n_operands; i++) {
        text_add(&target, i > 0 ? SPAN("&") : SPAN(""));
        add_filter(args->operand[i], &target);
    }
    if (target.cut)
        return command_usage(args->command, "these filters are too long");
    code = admin_place_find(args, &place);
    if (code == EXIT_FINE) {
        code = admin_call(&place, "GET", target.ptr, &answer)
                   ? show(&answer, &place, args->value[OPTION_JSON] != NULL)
                   : admin_call_unanswered(&place, answer.why);
    }
    admin_answer_fini(&answer);
    admin_place_fini(&place);
    return code;
}
