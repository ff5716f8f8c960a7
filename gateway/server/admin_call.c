#include "server/admin_call.h"

#include "base/alloc.h"
#include "core/loop.h"
#include "http/target.h"

#include <stdio.h>
#include <sys/socket.h>

enum { CONNECT_MS = 5000, ANSWER_MS = 120 * 1000, URL_MAX = 4096 };

/* -- where it listens ---------------------------------------------------------- */

/* Make base and unix_path of bind; false when it is no address. */
static bool read_bind(struct admin_place *place)
{
    struct sluice_span bind = span_of(place->bind);
    struct sluice_span host;
    struct text base;
    uint16_t port = 0;

    if (span_starts(bind, SPAN("unix:"))) {
        place->unix_path = alloc_text(bind.ptr + 5, bind.len - 5);
        place->base = alloc_text("http://localhost", 16);
        return bind.len > 5;
    }
    if (target_authority(bind, &host, &port) || host.len == 0 || port == 0)
        return false;
    if (span_equal(host, SPAN("0.0.0.0")))
        host = SPAN("127.0.0.1");
    if (span_equal(host, SPAN("[::]")))
        host = SPAN("[::1]");
    text_init(&base, URL_MAX);
    text_format(&base, "http://%.*s:%u", (int)host.len, host.ptr, port);
    place->base = alloc_text(base.ptr, base.len);
    text_fini(&base);
    return true;
}

/* The address of the configuration. */
static int find_bind(const struct args *args, char **bind)
{
    struct gateway_source source = command_source(args);
    struct notes *notes = notes_new();
    struct gateway_loaded loaded;
    enum err err = gateway_load(&source, notes, &loaded);
    const struct admin_conf *admin = &loaded.conf.admin;
    int code = EXIT_FINE;

    if (err) {
        command_print_notes(notes);
        code = command_fail(EXIT_REFUSED,
                            "the configuration is wrong as this command sees it, so the gateway "
                            "was not asked; --admin ADDR asks without reading it");
    } else if (admin->off) {
        code = command_fail(
            EXIT_FAILED, "%s: the admin listener is off; %s", gateway_source_name(&source),
            args->command->run == command_reload ? "send SIGHUP to the gateway instead"
                                                 : "nothing can be asked");
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

int admin_place_find(const struct args *args, struct admin_place *place)
{
    const char *told = args->value[OPTION_ADMIN];
    int code = EXIT_FINE;

    if (told) {
        place->bind = alloc_text(told, span_of(told).len);
    } else {
        code = find_bind(args, &place->bind);
    }
    if (code != EXIT_FINE || read_bind(place))
        return code;
    return command_usage(args->command,
                         "'%s' is not an address such as 127.0.0.1:9901 or "
                         "unix:/run/sluice/admin.sock",
                         place->bind);
}

void admin_place_fini(struct admin_place *place)
{
    alloc_free(place->bind);
    alloc_free(place->base);
    alloc_free(place->unix_path);
    *place = (struct admin_place){0};
}

/* -- asking ---------------------------------------------------------------------- */

struct fetch *admin_call_start(struct fetcher *fetcher, const struct admin_place *place,
                               const char *method, const char *target, fetch_done_fn *done,
                               void *arg)
{
    struct fetch_request request = {.method = method,
                                    .unix_path = place->unix_path,
                                    .connect_ms = CONNECT_MS,
                                    .total_ms = ANSWER_MS,
                                    .max_bytes = COMMAND_BYTES,
                                    .done = done,
                                    .arg = arg};
    struct fetch *fetch;
    struct text url;

    text_init(&url, URL_MAX);
    text_format(&url, "%s%s", place->base, target);
    request.url = url.ptr;
    fetch = fetch_start(fetcher, &request);
    text_fini(&url);
    return fetch;
}

/* One that is waited for. */
struct awaited {
    struct admin_answer *answer;
    struct loop *loop; /* borrowed: runs until it is there */
};

static void on_answer(void *awaited_, const struct fetch_answer *fetched)
{
    struct awaited *awaited = awaited_;
    struct admin_answer *answer = awaited->answer;

    answer->err = fetched->err;
    answer->status = fetched->status;
    text_add(&answer->body, fetched->body);
    snprintf(answer->why, sizeof(answer->why), "%s", fetched->why);
    loop_stop(awaited->loop);
}

bool admin_call(const struct admin_place *place, const char *method, const char *target,
                struct admin_answer *answer)
{
    struct loop *loop = loop_new();
    struct fetcher *fetcher = fetcher_new(loop, 1);
    struct awaited awaited = {answer, loop};

    *answer = (struct admin_answer){.status = 0};
    text_init(&answer->body, COMMAND_BYTES);
    admin_call_start(fetcher, place, method, target, on_answer, &awaited);
    loop_run(loop);
    fetcher_free(&fetcher);
    loop_free(&loop);
    return answer->err == OK;
}

void admin_answer_fini(struct admin_answer *answer)
{
    text_fini(&answer->body);
}

int admin_call_unanswered(const struct admin_place *place, const char *why)
{
    return command_fail(EXIT_FAILED,
                        "the admin listener at %s does not answer: %s. Is the gateway "
                        "running? If it listens elsewhere, use --admin ADDR",
                        place->bind, why);
}

int admin_call_foreign(const struct admin_place *place, unsigned status)
{
    return command_fail(EXIT_FAILED,
                        "what listens at %s answered with status %u and is no sluice; see "
                        "admin.bind, or use --admin ADDR",
                        place->bind, status);
}
