/* command_reload.c - ask the admin listener of the running gateway, and tell its answer. */
#include "base/alloc.h"
#include "core/loop.h"
#include "http/target.h"
#include "net/fetch.h"
#include "server/command.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/socket.h>

enum { CONNECT_MS = 5000, ANSWER_MS = 120 * 1000 };

/* An answer of the admin listener. */
struct answer {
    enum err err;
    unsigned status;
    struct text body;
    char why[256];
    struct loop *loop; /* borrowed: runs until it is there */
};

/* -- where it listens ---------------------------------------------------------- */

/* "http://127.0.0.1:9901/reload" and, for a unix socket, its path in *path. */
static bool find_url(struct sluice_span bind, struct text *url, struct sluice_span *path)
{
    struct sluice_span host;
    uint16_t port = 0;

    if (span_starts(bind, SPAN("unix:"))) {
        *path = span_make(bind.ptr + 5, bind.len - 5);
        text_add(url, SPAN("http://localhost/reload"));
        return path->len > 0;
    }
    if (target_authority(bind, &host, &port) || host.len == 0 || port == 0)
        return false;
    if (span_equal(host, SPAN("0.0.0.0")))
        host = SPAN("127.0.0.1");
    if (span_equal(host, SPAN("[::]")))
        host = SPAN("[::1]");
    text_format(url, "http://%.*s:%u/reload", (int)host.len, host.ptr, port);
    return true;
}

/* The address of the configuration, in the heap. */
static int find_bind(const struct args *args, char **bind)
{
    struct gateway_source source = command_source(args);
    struct notes *notes = notes_new();
    struct gateway_loaded loaded;
    enum err err = gateway_load(&source, notes, &loaded);
    const struct admin_conf *admin = &loaded.conf.admin;
    int code = EXIT_FINE;

    *bind = NULL;
    if (err) {
        command_print_notes(notes);
        code = command_fail(EXIT_REFUSED,
                            "the configuration is wrong as this command sees it, so the gateway "
                            "was not asked; --admin ADDR asks without reading it");
    } else if (admin->off) {
        code = command_fail(EXIT_FAILED,
                            "%s: the admin listener is off; send SIGHUP to the gateway instead",
                            gateway_source_name(&source));
    } else if (admin->addr.family != AF_UNIX && admin->addr.port == 0) {
        code = command_fail(EXIT_FAILED,
                            "%s: the admin listener has a port chosen at its start; the gateway's "
                            "log tells it: use --admin ADDR:PORT",
                            gateway_source_name(&source));
    } else {
        *bind = alloc_text(admin->bind.ptr, admin->bind.len);
    }
    gateway_unload(&loaded);
    notes_free(&notes);
    return code;
}

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

static bool post(const char *url, const char *path, struct answer *answer)
{
    const struct fetch_request request = {.method = "POST",
                                          .url = url,
                                          .unix_path = path,
                                          .connect_ms = CONNECT_MS,
                                          .total_ms = ANSWER_MS,
                                          .max_bytes = COMMAND_BYTES,
                                          .done = on_answer,
                                          .arg = answer};
    struct fetcher *fetcher;

    answer->loop = loop_new();
    fetcher = fetcher_new(answer->loop, 1);
    fetch_start(fetcher, &request);
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

static int tell(const struct answer *answer, const char *bind)
{
    json_t *told = json_loadb(answer->body.len ? answer->body.ptr : "", answer->body.len, 0, NULL);
    const json_t *ok = json_object_get(told, "ok");
    struct text out;
    int code;

    if (!json_is_boolean(ok)) {
        code = command_fail(EXIT_FAILED,
                            "what listens at %s answered with status %u and is no sluice; see "
                            "admin.bind, or use --admin ADDR",
                            bind, answer->status);
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

static int ask(const struct args *args, const char *bind)
{
    struct answer answer = {.status = 0};
    struct sluice_span path = {NULL, 0};
    struct text url;
    int code;

    text_init(&url, 1024);
    text_init(&answer.body, COMMAND_BYTES);
    if (!find_url(span_of(bind), &url, &path)) {
        code = command_usage(args->command,
                             "'%s' is not an address such as 127.0.0.1:9901 or "
                             "unix:/run/sluice/admin.sock",
                             bind);
    } else if (post(url.ptr, path.ptr, &answer)) {
        code = tell(&answer, bind);
    } else {
        code = command_fail(EXIT_FAILED,
                            "the admin listener at %s does not answer: %s. Is the gateway "
                            "running? If it listens elsewhere, use --admin ADDR",
                            bind, answer.why);
    }
    text_fini(&answer.body);
    text_fini(&url);
    return code;
}

int command_reload(const struct args *args)
{
    char *bind = NULL;
    int code;

    if (args->value[OPTION_ADMIN])
        return ask(args, args->value[OPTION_ADMIN]);
    code = find_bind(args, &bind);
    if (code == EXIT_FINE)
        code = ask(args, bind);
    alloc_free(bind);
    return code;
}
