/*
 * page_action.c - what an operator asks for: reload, drain, another log level.
 */
#include "admin/pages.h"
#include "base/log.h"
#include "config/json.h"
#include "config/tree.h"

void page_reload(const struct ask *ask, struct answer *answer)
{
    const struct admin_host *host = ask->host;
    bool applied = host->reload(host->owner);
    const struct snapshot *snapshot = host->snapshot(host->owner);
    struct json json = {.out = &answer->body};
    struct admin_reload last = {0};

    host->last_reload(host->owner, &last);
    answer->status = applied ? 200 : 422;
    json_open(&json, NULL, '{');
    json_literal(&json, "ok", applied ? SPAN("true") : SPAN("false"));
    json_number(&json, "generation", snapshot ? snapshot->generation : 0);
    json_literal(&json, "notes", last.notes_json ? text_span(last.notes_json) : SPAN("[]"));
    json_string(&json, "text", last.notes_text ? text_span(last.notes_text) : SPAN(""));
    json_close(&json, '}');
    text_add_char(&answer->body, '\n');
}

void page_drain(const struct ask *ask, struct answer *answer)
{
    ask->host->drain(ask->host->owner);
    answer->status = 202;
    text_add(&answer->body, SPAN("{\"ok\": true}\n"));
}

/* The value of a name in a query; levels are letters, so nothing needs decoding. */
static struct sluice_span query_value(struct sluice_span query, struct sluice_span name)
{
    struct sluice_span piece;

    while (span_split(&query, '&', &piece)) {
        size_t equals = span_find(piece, '=');

        if (equals < piece.len && span_equal(span_make(piece.ptr, equals), name))
            return span_make(piece.ptr + equals + 1, piece.len - equals - 1);
    }
    return SPAN("");
}

/* The log tells its level but not its form, and is told both. */
static enum log_form log_form_in_force(const struct admin_host *host)
{
    const struct tree *log = tree_find(host->tree(host->owner), SPAN("log"));
    const struct tree *format =
        log && log->kind == TREE_MAP ? tree_find(log, SPAN("format")) : NULL;
    bool json = format && format->kind == TREE_SCALAR && span_equal(format->text, SPAN("json"));

    return json ? LOG_JSON : LOG_TEXT;
}

void page_log(const struct ask *ask, struct answer *answer)
{
    struct sluice_span name = query_value(ask->query, SPAN("level"));
    struct json json = {.out = &answer->body};
    enum log_level level;

    if (!log_level_find(name, &level)) {
        answer_problem(answer, 422, "Say ?level= and one of error, warn, info, debug, trace.");
        return;
    }
    log_set(level, log_form_in_force(ask->host));
    log_info("log level changed", F_STR("level", log_level_name(level)));
    json_open_row(&json, NULL, '{');
    json_string(&json, "level", span_of(log_level_name(level)));
    json_close(&json, '}');
    text_add_char(&answer->body, '\n');
}
