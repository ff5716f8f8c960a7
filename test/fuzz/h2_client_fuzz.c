/*
 * h2_client_fuzz.c - what an upstream may answer: nothing of it crashes, and every response that is
 * let through is one response to HTTP/1 too.
 *
 * Input: a byte that says how the owner behaves, one that says how the bytes are cut, then frames;
 * four requests have been sent (streams 1, 3, 5 and 7: GET, HEAD, POST with content, CONNECT).
 */
#include "base/check.h"
#include "http/h1_parse.h"
#include "http/h1_write.h"
#include "http/h2.h"
#include "http/rules.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

enum { OUT = 64 * 1024, LINES = 128, STREAMS = 4 };

enum behaviour { HOLDS = 1, RESETS = 2, LEAVES = 4 };

static const struct h2_settings settings = {.window = 1000,
                                            .connection_window = 65535,
                                            .line_bytes = 512,
                                            .head_bytes = 4096,
                                            .field_count = 32,
                                            .decoder_table = 4096,
                                            .encoder_table = 4096,
                                            .limits = {.interval_ms = 1000,
                                                       .provoked_resets = 50,
                                                       .settings = 50,
                                                       .pings = 50,
                                                       .empty_frames = 50,
                                                       .priorities = 50,
                                                       .tiny_windows = 50,
                                                       .continuations = 4,
                                                       .control_queue = 50}};

struct owner {
    unsigned behaviour;
    bool woken;
    enum method method;
};

static unsigned behaviour_of(const struct h2 *h2)
{
    return ((const struct owner *)h2_owner(h2))->behaviour;
}

static void check_downgrade(const struct response *response, enum method method)
{
    static char out[OUT];
    static struct field_line lines[LINES];
    const struct h1_limits limits = {8192, OUT, LINES};
    struct response sent = *response, again = {.fields = {.line = lines, .cap = LINES}};
    struct h1_scan scan = {0};
    size_t n, head_bytes;

    rules_drop_hop_by_hop(&sent.fields);
    n = h1_write_response(out, sizeof(out), &sent, sent.framing, sent.body_bytes, BODY_UNKNOWN,
                          H1_CONNECTION_NONE);
    CHECK(n > 0);
    CHECK(h1_parse_response(&scan, span_make(out, n), &limits, method, &again, &head_bytes) ==
          H1_DONE);
    CHECK(head_bytes == n && again.status == response->status);
    CHECK(again.framing == response->framing);
}

static void on_response(struct h2_stream *stream, const struct response *response,
                        struct sluice_span bytes)
{
    unsigned behaviour = behaviour_of(stream->h2);
    const enum method *method = stream->user;

    (void)bytes;
    CHECK(response->status >= 100 && response->status != 101 && response->status < 600);
    check_downgrade(response, *method);
    if (behaviour & HOLDS)
        h2_hold(stream);
    if (behaviour & RESETS) {
        h2_reset(stream, H2_CANCEL);
    } else if (behaviour & LEAVES) {
        h2_leave(stream);
    }
}

static void on_request(struct h2_stream *stream, const struct request *request,
                       struct sluice_span bytes)
{
    (void)stream;
    (void)request;
    (void)bytes;
    CHECK(false);
}

static void on_refused(struct h2_stream *stream, enum h1_rule rule)
{
    (void)stream;
    (void)rule;
    CHECK(false);
}

static void on_body(struct h2_stream *stream, struct sluice_span piece)
{
    const enum method *method = stream->user;

    CHECK(piece.len > 0 && *method != METHOD_HEAD);
}

static void on_end(struct h2_stream *stream, const struct fields *trailers)
{
    for (unsigned i = 0; trailers && i < trailers->n; i++)
        CHECK(trailers->line[i].name[0] != ':');
    h2_leave(stream);
}

static void on_lost(struct h2_stream *stream, const struct h2_loss *loss)
{
    (void)stream;
    (void)loss;
}

static void on_drained(struct h2_stream *stream)
{
    h2_send_end(stream, NULL);
    (void)(h2_flush(stream) == OK);
}

static void on_goaway(struct h2 *h2, uint32_t last, uint32_t code)
{
    (void)last;
    (void)code;
    CHECK(h2_stream_room(h2) == 0);
}

static void on_settings(struct h2 *h2)
{
    (void)h2;
}

static void on_cause(struct h2 *h2, enum h2_cause cause)
{
    (void)h2;
    CHECK(cause < H2_CAUSE_COUNT);
}

static void wake(struct h2 *h2)
{
    ((struct owner *)h2_owner(h2))->woken = true;
}

static void put(struct h2 *h2, struct sluice_span bytes)
{
    (void)h2;
    for (size_t i = 0; i < bytes.len; i++) {
        volatile char octet = bytes.ptr[i]; /* for a sanitizer: it must be there */

        (void)octet;
    }
}

static const struct h2_ops ops = {.on_request = on_request,
                                  .on_refused = on_refused,
                                  .on_response = on_response,
                                  .on_body = on_body,
                                  .on_end = on_end,
                                  .on_lost = on_lost,
                                  .on_drained = on_drained,
                                  .on_goaway = on_goaway,
                                  .on_settings = on_settings,
                                  .on_pong = on_settings,
                                  .on_cause = on_cause,
                                  .wake = wake,
                                  .put = put,
                                  .lend = put};

static void ask(struct h2 *h2)
{
    static char content[3000];
    static enum method methods[STREAMS] = {METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_GET};

    for (unsigned i = 0; i < STREAMS; i++) {
        struct request request = {.method = methods[i],
                                  .method_text = span_of(method_name(methods[i]))};
        struct h2_request_head head = {.request = &request,
                                       .scheme = SPAN("http"),
                                       .authority = SPAN("a"),
                                       .target = SPAN("/"),
                                       .protocol = i == 3 ? SPAN("websocket") : SPAN(""),
                                       .length = BODY_UNKNOWN,
                                       .last = i < 2};
        struct h2_stream *stream;

        if (h2_send_request(h2, &head, &methods[i], &stream))
            return;
        if (i == 2) {
            h2_send_body(stream, span_make(content, sizeof(content)));
            (void)(h2_flush(stream) == OK);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
    const struct h2_loss gone = {.code = H2_INTERNAL_ERROR};
    struct h2_bench *bench;
    struct owner owner = {0};
    struct h2 *h2;
    size_t step, at = 2;
    enum err err;

    if (len < 2)
        return 0;
    bench = h2_bench_new();
    owner.behaviour = input[0];
    step = input[1] ? input[1] * (size_t)3 : len;
    h2 = h2_new(bench, H2_CLIENT, &settings, &ops, &owner);
    ask(h2);
    err = h2_feed(h2, span_make("\0\0\0\4\0\0\0\0\0", 9), 1);
    for (unsigned n = 0; err == OK && at < len; n++) {
        size_t piece = len - at < step ? len - at : step;

        err = h2_feed(h2, span_make((const char *)input + at, piece), n);
        at += piece;
        if (owner.woken) {
            owner.woken = false;
            h2_run(h2);
        }
        h2_pull(h2);
    }
    h2_fail(h2, &gone);
    h2_free(&h2);
    h2_bench_free(&bench);
    return 0;
}
