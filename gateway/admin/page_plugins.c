/*
 * page_plugins.c - the plugins: what is loaded, where it stands, what it reports; and commands.
 *
 * What places report is asked of every worker, and shown worker by worker: only a plugin knows what
 * of it belongs to all.
 */
#include "admin/pages.h"
#include "admin/said.h"
#include "chain/describe.h"
#include "config/json.h"
#include "proxy/report.h"

#include <stdio.h>
#include <string.h>

enum { DETAIL_MAX = 2000, SHOWN_MAX = 20 };

/* -- what places say ------------------------------------------------------------------ */

/* As it is when it is JSON; else as a string, so that the page stays readable. */
static void add_said(struct json *json, struct sluice_span said, bool cut)
{
    if (!cut && said_is_json(said)) {
        json_literal(json, "report", said);
    } else if (cut) {
        json_string(json, "wrong", SPAN("it said more than a page keeps"));
    } else {
        json_string(json, "wrong", SPAN("it said no JSON"));
        json_string(json, "text", said);
    }
}

static void add_reports(struct json *json, const struct inquiry *inquiry, unsigned n_workers,
                        unsigned place)
{
    json_open(json, "reports", '[');
    for (unsigned i = 0; i < n_workers; i++) {
        bool cut;
        struct sluice_span said = report_of(inquiry, i, place, &cut);

        if (said.len == 0)
            continue;
        json_open_row(json, NULL, '{');
        json_number(json, "worker", i);
        add_said(json, said, cut);
        json_close(json, '}');
    }
    json_close(json, ']');
}

/* -- GET /plugins ------------------------------------------------------------------------ */

static void add_seconds(struct json *json, double seconds)
{
    char number[40];

    snprintf(number, sizeof(number), "%.6f", seconds);
    json_literal(json, "seconds", span_of(number));
}

static void add_file(struct json *json, const struct chain_set *set, unsigned i)
{
    struct chain_file file;
    struct chain_file_numbers numbers;
    struct chain_phase_numbers phase;

    chain_set_file(set, i, &file);
    chain_set_numbers(set, i, &numbers);
    json_open(json, NULL, '{');
    json_string(json, "name", span_of(file.name));
    json_string(json, "version", span_of(file.version));
    json_string(json, "summary", span_of(file.summary));
    json_string(json, "path", span_of(file.path));
    json_string(json, "content", span_of(file.content));
    json_number(json, "replies", numbers.replies);
    json_number(json, "waits", numbers.waits);
    json_number(json, "wait_timeouts", numbers.wait_timeouts);
    json_number(json, "stale", numbers.stale);
    json_open(json, "phases", '{');
    for (unsigned j = 0; chain_set_phase(set, i, j, &phase); j++) {
        if (phase.calls == 0)
            continue;
        json_open_row(json, phase.phase, '{');
        json_number(json, "calls", phase.calls);
        json_number(json, "failures", phase.failures);
        json_number(json, "slow", phase.slow);
        add_seconds(json, phase.seconds);
        json_close(json, '}');
    }
    json_close(json, '}');
    json_close(json, '}');
}

static void add_place(struct json *json, const struct chain_set *set, unsigned i,
                      const struct inquiry *inquiry, unsigned n_workers)
{
    struct chain_place place;

    chain_set_place(set, i, &place);
    json_open(json, NULL, '{');
    json_string(json, "id", place.id);
    json_string(json, "place", place.label);
    json_string(json, "name", place.name);
    json_string(json, "plugin", span_of(place.plugin));
    json_string(json, "on_error", place.fails_open ? SPAN("open") : SPAN("closed"));
    json_number(json, "wait_ms", place.wait_ms);
    json_literal(json, "disabled", place.is_disabled ? SPAN("true") : SPAN("false"));
    json_literal(json, "takes_commands", place.obeys ? SPAN("true") : SPAN("false"));
    json_number(json, "replies", place.replies);
    json_number(json, "failures", place.failures);
    json_number(json, "wait_timeouts", place.wait_timeouts);
    add_reports(json, inquiry, n_workers, i);
    json_close(json, '}');
}

static void add_all(const struct ask *ask, const struct snapshot *snapshot,
                    const struct inquiry *inquiry, struct answer *answer)
{
    const struct chain_set *set = snapshot ? snapshot->chains : NULL;
    unsigned n_workers = ask->host->crew->n_workers;
    struct json json = {.out = &answer->body};

    json_open(&json, NULL, '{');
    json_number(&json, "generation", snapshot ? snapshot->generation : 0);
    json_open(&json, "plugins", '[');
    for (unsigned i = 0; i < chain_set_n_files(set); i++)
        add_file(&json, set, i);
    json_close(&json, ']');
    json_open(&json, "places", '[');
    for (unsigned i = 0; i < chain_set_places(set); i++)
        add_place(&json, set, i, inquiry, n_workers);
    json_close(&json, ']');
    (void)answer_silent(&json, inquiry, n_workers);
    json_close(&json, '}');
    text_add_char(&answer->body, '\n');
}

void page_plugins(const struct ask *ask, struct answer *answer)
{
    struct snapshot *snapshot = ask->host->snapshot(ask->host->owner);

    if (snapshot && snapshot->chains) {
        answer->question = report_ask(snapshot, REPORT_ALL, (struct sluice_span){NULL, 0});
    } else {
        add_all(ask, snapshot, NULL, answer);
    }
}

void finish_plugins(const struct ask *ask, const struct inquiry *inquiry, struct answer *answer)
{
    add_all(ask, report_snapshot(inquiry), inquiry, answer);
}

/* -- POST /plugins/PLACE ------------------------------------------------------------------- */

/* "...: route.a.fault, route.b.fault." */
static void tell_places(const struct chain_set *set, struct sluice_span name, struct text *detail)
{
    struct chain_place place;
    unsigned n = 0;

    for (unsigned i = 0; i < chain_set_places(set) && n < SHOWN_MAX; i++) {
        chain_set_place(set, i, &place);
        if (name.len > 0 && !span_equal(place.name, name) && !span_equal(place.id, name))
            continue;
        text_format(detail, "%s%.*s", n++ ? ", " : "", (int)place.id.len, place.id.ptr);
    }
    text_add_char(detail, '.');
}

static void refuse(struct answer *answer, unsigned status, const struct chain_set *set,
                   struct sluice_span name)
{
    struct text detail;

    text_init(&detail, DETAIL_MAX);
    if (status == 404 && chain_set_places(set) == 0) {
        text_add(&detail, SPAN("There are no plugins."));
    } else if (status == 404) {
        text_add(&detail, SPAN("There is no such place; there are "));
        tell_places(set, SPAN(""), &detail);
    } else {
        text_add(&detail, SPAN("More than one place is called that; say which: "));
        tell_places(set, name, &detail);
    }
    answer_problem(answer, status, detail.ptr ? detail.ptr : "");
    text_fini(&detail);
}

/* Commands are typed: the end of a line does not belong to them. */
static struct sluice_span trim(struct sluice_span command)
{
    while (command.len > 0 && strchr(" \t\r\n", command.ptr[command.len - 1]))
        command.len--;
    return span_trim(command);
}

void page_plugin(const struct ask *ask, struct answer *answer)
{
    struct snapshot *snapshot = ask->host->snapshot(ask->host->owner);
    const struct chain_set *set = snapshot ? snapshot->chains : NULL;
    struct sluice_span command = trim(ask->body);
    struct chain_place place;
    unsigned index = 0;
    unsigned n = chain_set_find(set, ask->rest, &index);

    if (n != 1) {
        refuse(answer, n == 0 ? 404 : 409, set, ask->rest);
        return;
    }
    chain_set_place(set, index, &place);
    if (!place.obeys) {
        answer_problem(answer, 422, "This plugin takes no commands.");
    } else if (command.len == 0) {
        answer_problem(answer, 422, "Send the command as content.");
    } else {
        answer->question = report_ask(snapshot, (int)index, command);
    }
}

void finish_plugin(const struct ask *ask, const struct inquiry *inquiry, struct answer *answer)
{
    unsigned n_workers = ask->host->crew->n_workers;
    unsigned index = (unsigned)report_place(inquiry);
    struct json json = {.out = &answer->body};
    struct chain_place place;
    bool refused = false, cut;

    chain_set_place(report_snapshot(inquiry)->chains, index, &place);
    for (unsigned i = 0; i < n_workers; i++)
        refused = said_is_refusal(report_of(inquiry, i, index, &cut)) || refused;
    json_open(&json, NULL, '{');
    json_string(&json, "id", place.id);
    json_literal(&json, "ok", refused ? SPAN("false") : SPAN("true"));
    add_reports(&json, inquiry, n_workers, index);
    if (answer_silent(&json, inquiry, n_workers) > 0)
        answer->status = 504;
    if (refused)
        answer->status = 422;
    json_close(&json, '}');
    text_add_char(&answer->body, '\n');
}
