/* command_reload.c - ask the admin listener of the running gateway, and tell its answer. */
#include "core/loop.h"
#include "server/admin_call.h"

#include <jansson.h>
#include <stdio.h>

/* An answer of the admin listener. */
struct answer {
    enum err err;
    unsigned status;
    struct text body;
    char why[256];
    struct loop *loop; /* borrowed: runs until it is there */
};

/* -- asking ---------------------------------------------------------------------- */

static void on_answer(void *answer_, const struct fetch_answer *fetched)
{
    struct answer *answer = answer_;

    answer->err = fetched->err;
    answer->status = fetched->status;
    text_add(&answer->body, fetched->body);
    snprintf(answer->why, sizeof(answer->why), "%s", fetched->why);
    loop_stop(answer->loop);
}

static bool post(const struct admin_place *place, struct answer *answer)
{
    struct fetcher *fetcher;

    answer->loop = loop_new();
    fetcher = fetcher_new(answer->loop, 1);
    admin_call_start(fetcher, place, "POST", "/reload", on_answer, answer);
    loop_run(answer->loop);
    fetcher_free(&fetcher);
    loop_free(&answer->loop);
    return answer->err == OK;
}

/* -- telling ----------------------------------------------------------------------- */

/* "sluice.yaml:3:1: error: unknown key" for one member of "notes". */
static void add_note(const json_t *note, struct text *out)
{
    const char *file = json_string_value(json_object_get(note, "file"));
    const char *level = json_string_value(json_object_get(note, "level"));
    const char *message = json_string_value(json_object_get(note, "message"));

    if (file && file[0]) {
        text_format(out, "%s:%lld:%lld: ", file,
                    (long long)json_integer_value(json_object_get(note, "line")),
                    (long long)json_integer_value(json_object_get(note, "column")));
    }
    text_format(out, "%s: %s\n", level ? level : "note", message ? message : "");
}

static void print_told(const json_t *told)
{
    const json_t *text = json_object_get(told, "text");
    const json_t *notes = json_object_get(told, "notes");
    struct text out;

    text_init(&out, COMMAND_BYTES);
    if (json_is_string(text)) {
        text_add(&out, span_make(json_string_value(text), json_string_length(text)));
    } else {
        for (size_t i = 0; i < json_array_size(notes); i++)
            add_note(json_array_get(notes, i), &out);
    }
    if (out.len)
        fwrite(out.ptr, out.len, 1, stderr);
    text_fini(&out);
}

static int tell(const struct answer *answer, const struct admin_place *place)
{
    json_t *told = json_loadb(answer->body.len ? answer->body.ptr : "", answer->body.len, 0, NULL);
    const json_t *ok = json_object_get(told, "ok");
    struct text out;
    int code;

    if (!json_is_boolean(ok)) {
        code = admin_call_foreign(place, answer->status);
    } else if (json_is_false(ok)) {
        print_told(told);
        code = command_fail(EXIT_REFUSED, "refused: the gateway goes on as before");
    } else {
        print_told(told);
        text_init(&out, COMMAND_BYTES);
        text_format(&out, "applied: generation %lld\n",
                    (long long)json_integer_value(json_object_get(told, "generation")));
        code = command_out(&out);
    }
    json_decref(told);
    return code;
}

static int ask(const struct admin_place *place)
{
    struct answer answer = {.status = 0};
    int code;

    text_init(&answer.body, COMMAND_BYTES);
    code = post(place, &answer) ? tell(&answer, place) : admin_call_unanswered(place, answer.why);
    text_fini(&answer.body);
    return code;
}

int command_reload(const struct args *args)
{
    struct admin_place place = {0};
    int code = admin_place_find(args, &place);

    if (code == EXIT_FINE)
        code = ask(&place);
    admin_place_fini(&place);
    return code;
}
