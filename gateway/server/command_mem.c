/* command_mem.c - ask the admin listener where the memory is; show it as a table, or as JSON. */
#include "core/loop.h"
#include "server/admin_call.h"

#include <jansson.h>
#include <stdio.h>

struct answer {
    enum err err;
    unsigned status;
    struct text body;
    char why[256];
    struct loop *loop; /* borrowed: runs until it is there */
};

static void on_answer(void *answer_, const struct fetch_answer *fetched)
{
    struct answer *answer = answer_;

    answer->err = fetched->err;
    answer->status = fetched->status;
    text_add(&answer->body, fetched->body);
    snprintf(answer->why, sizeof(answer->why), "%s", fetched->why);
    loop_stop(answer->loop);
}

static bool get(const struct admin_place *place, struct answer *answer)
{
    struct fetcher *fetcher;

    answer->loop = loop_new();
    fetcher = fetcher_new(answer->loop, 1);
    admin_call_start(fetcher, place, "GET", "/memory", on_answer, answer);
    loop_run(answer->loop);
    fetcher_free(&fetcher);
    loop_free(&answer->loop);
    return answer->err == OK;
}

/* -- the table ------------------------------------------------------------- */

static long long number(const json_t *object, const char *name)
{
    return (long long)json_integer_value(json_object_get(object, name));
}

static void add_line(struct text *out, const char *name, long long bytes)
{
    text_format(out, "%-22s %14lld\n", name, bytes);
}

static void add_kind(struct text *out, const json_t *kind)
{
    const char *name = json_string_value(json_object_get(kind, "kind"));

    text_format(out, "%-22s %14lld", name ? name : "", number(kind, "bytes"));
    if (json_object_get(kind, "each")) {
        text_format(out, " %10lld %10lld %8lld", number(kind, "used"), number(kind, "free"),
                    number(kind, "each"));
    }
    if (json_object_get(kind, "empty_bytes")) {
        text_format(out, " %14lld", number(kind, "empty_bytes"));
    }
    text_add_char(out, '\n');
}

static void add_table(struct text *out, const json_t *memory)
{
    const json_t *process = json_object_get(memory, "process");
    const json_t *heap = json_object_get(memory, "allocator");
    const json_t *kinds = json_object_get(memory, "kinds");

    text_format(out, "%-22s %14s %10s %10s %8s %14s\n", "KIND", "BYTES", "USED", "FREE", "EACH",
                "EMPTY BYTES");
    for (size_t i = 0; i < json_array_size(kinds); i++)
        add_kind(out, json_array_get(kinds, i));
    add_line(out, "other", number(memory, "other_bytes"));
    add_line(out, "allocator's free", number(heap, "free_bytes"));
    text_add_char(out, '\n');
    add_line(out, "PSS", number(process, "pss_bytes"));
    add_line(out, "RSS", number(process, "rss_bytes"));
    add_line(out, "of it nobody's else", number(process, "anonymous_bytes"));
    add_line(out, "connections", number(memory, "connections"));
    if (json_object_get(memory, "bytes_a_connection"))
        add_line(out, "bytes a connection", number(memory, "bytes_a_connection"));
}

static int show(const struct answer *answer, const struct admin_place *place, bool as_json)
{
    json_t *memory =
        json_loadb(answer->body.len ? answer->body.ptr : "", answer->body.len, 0, NULL);
    struct text out;
    int code;

    if (answer->status != 200 || !json_is_array(json_object_get(memory, "kinds"))) {
        code = admin_call_foreign(place, answer->status);
    } else {
        text_init(&out, COMMAND_BYTES);
        if (as_json) {
            text_add(&out, text_span(&answer->body));
        } else {
            add_table(&out, memory);
        }
        code = command_out(&out);
    }
    json_decref(memory);
    return code;
}

int command_mem(const struct args *args)
{
    struct admin_place place = {0};
    struct answer answer = {.status = 0};
    int code = admin_place_find(args, &place);

    text_init(&answer.body, COMMAND_BYTES);
    if (code == EXIT_FINE) {
        code = get(&place, &answer) ? show(&answer, &place, args->value[OPTION_JSON] != NULL)
                                    : admin_call_unanswered(&place, answer.why);
    }
    text_fini(&answer.body);
    admin_place_fini(&place);
    return code;
}
