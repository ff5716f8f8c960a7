/* command_mem.c - ask the admin listener where the memory is; show it as a table, or as JSON. */
#include "server/admin_call.h"

#include <jansson.h>

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
    if (json_object_get(kind, "kernel_bytes")) {
        text_format(out, "  with %lld of the kernel's", number(kind, "kernel_bytes"));
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

static int show(const struct admin_answer *answer, const struct admin_place *place, bool as_json)
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
    struct admin_answer answer = {.status = 0};
    int code = admin_place_find(args, &place);

    if (code == EXIT_FINE) {
        code = admin_call(&place, "GET", "/memory", &answer)
                   ? show(&answer, &place, args->value[OPTION_JSON] != NULL)
                   : admin_call_unanswered(&place, answer.why);
    }
    admin_answer_fini(&answer);
    admin_place_fini(&place);
    return code;
}
