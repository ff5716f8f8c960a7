/* command_reload.c - ask the admin listener of the running gateway, and tell its answer. */
#include "server/admin_call.h"

#include <jansson.h>
#include <stdio.h>

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

static int tell(const struct admin_answer *answer, const struct admin_place *place)
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
    struct admin_answer answer = {.status = 0};
    int code;

    code = admin_call(place, "POST", "/reload", &answer) ? tell(&answer, place)
                                                         : admin_call_unanswered(place, answer.why);
    admin_answer_fini(&answer);
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
