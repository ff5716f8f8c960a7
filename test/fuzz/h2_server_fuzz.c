/*
 * h2_server_fuzz.c - what a client may send: nothing of it crashes, and every request that is let
 * through is one request to HTTP/1 too, with the same method, target, host and fields.
 *
 * Input: a byte that says how the owner behaves, one that says how the bytes are cut, then frames
 * (the preface is put before them).
 */
#include "base/check.h"
#include "http/h1_parse.h"
#include "http/h1_write.h"
#include "http/h2.h"
#include "http/rules.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

enum { OUT = 64 * 1024, LINES = 128 };

enum behaviour { ANSWERS = 1, HOLDS = 2, RESETS = 4, LEAVES = 8, BLOCKS = 16, TRAILS = 32 };

static const struct h2_settings settings = {.max_streams = 8,
                                            .window = 1000,
                                            .connection_window = 65535,
                                            .line_bytes = 512,
                                            .head_bytes = 4096,
                                            .field_count = 32,
                                            .decoder_table = 4096,
                                            .encoder_table = 4096,
                                            .extended_connect = true,
                                            .limits = {.interval_ms = 1000,
                                                       .resets = 50,
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
    size_t put_bytes;
};

static unsigned behaviour_of(const struct h2 *h2)
{
    return ((const struct owner *)h2_owner(h2))->behaviour;
}

/* Written to HTTP/1 and read again, it is the same, and nothing is left. */
static void check_downgrade(const struct request *request)
{
    static char out[OUT];
    static struct field_line lines[LINES];
    const struct h1_limits limits = {8192, OUT, LINES};
    struct request sent = *request, again = {.fields = {.line = lines, .cap = LINES}};
    struct h1_scan scan = {0};
    size_t n, head_bytes;

    if (request->method == METHOD_CONNECT)
        return; /* never forwarded */
    rules_drop_hop_by_hop(&sent.fields);
    n = h1_write_request(out, sizeof(out), &sent, sent.target, sent.authority, sent.framing,
                         sent.body_bytes, H1_CONNECTION_NONE);
    CHECK(n > 0);
    CHECK(h1_parse_request(&scan, span_make(out, n), &limits, &again, &head_bytes) == H1_DONE);
    CHECK(head_bytes == n);
    CHECK(span_equal(again.method_text, request->method_text));
    CHECK(span_equal(again.target, request->target));
    CHECK(span_equal(again.authority, request->authority));
    CHECK(again.framing == request->framing && again.body_bytes == request->body_bytes);
    CHECK(again.form == request->form && span_equal(again.path, request->path));
}

static void answer(struct h2_stream *stream)
{
    struct field_line line = {"X-Sum", "1", 1, 5, FIELD_OTHER, 0};
    struct fields trailers = {.line = &line, .n = 1, .cap = 1};
    struct response response = {.status = 200};
    bool trails = (behaviour_of(stream->h2) & TRAILS) != 0;

    if (h2_send_response(stream, &response, BODY_UNKNOWN, false))
        return;
    h2_send_body(stream, SPAN("hello"));
    h2_send_end(stream, trails ? &trailers : NULL);
    (void)(h2_flush(stream) == OK);
}

static void on_request(struct h2_stream *stream, const struct request *request,
                       struct sluice_span bytes)
{
    unsigned behaviour = behaviour_of(stream->h2);

    CHECK(bytes.len > 0);
    check_downgrade(request);
    if (behaviour & HOLDS)
        h2_hold(stream);
    if (behaviour & ANSWERS)
        answer(stream);
    if (behaviour & RESETS) {
        h2_reset(stream, H2_CANCEL);
    } else if (behaviour & LEAVES) {
        h2_leave(stream);
    }
}

static void on_refused(struct h2_stream *stream, enum h1_rule rule)
{
    CHECK(rule != H1_RULE_NONE);
    answer(stream);
    h2_leave(stream);
}

static void on_body(struct h2_stream *stream, struct sluice_span piece)
{
    CHECK(piece.len > 0);
    if ((behaviour_of(stream->h2) & HOLDS) && piece.ptr[0] == 'h')
        h2_hold(stream);
}

static void on_end(struct h2_stream *stream, const struct fields *trailers)
{
    for (unsigned i = 0; trailers && i < trailers->n; i++)
        CHECK(trailers->line[i].name[0] != ':');
    answer(stream);
    h2_leave(stream);
}

static void on_lost(struct h2_stream *stream, const struct h2_loss *loss)
{
    (void)stream;
    (void)loss;
}

static void on_drained(struct h2_stream *stream)
{
    (void)stream;
}

static void on_goaway(struct h2 *h2, uint32_t last, uint32_t code)
{
    (void)h2;
    (void)last;
    (void)code;
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
    struct owner *owner = h2_owner(h2);

    owner->put_bytes += bytes.len;
    for (size_t i = 0; i < bytes.len; i++) {
        volatile char octet = bytes.ptr[i]; /* for a sanitizer: it must be there */

        (void)octet;
    }
}

static const struct h2_ops ops = {.on_request = on_request,
                                  .on_refused = on_refused,
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

static void turn(struct h2 *h2, struct owner *owner, unsigned n)
{
    if ((owner->behaviour & BLOCKS) && n % 3 == 1)
        h2_block(h2);
    if (owner->woken) {
        owner->woken = false;
        h2_run(h2);
    }
    h2_pull(h2);
    if ((owner->behaviour & BLOCKS) && n % 3 == 2)
        h2_unblock(h2);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
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
    h2 = h2_new(bench, H2_SERVER, &settings, &ops, &owner);
    err = h2_feed(h2, span_make(preface, sizeof(preface) - 1 + 1), 1);
    for (unsigned n = 0; err == OK && at < len; n++) {
        size_t piece = len - at < step ? len - at : step;

        err = h2_feed(h2, span_make((const char *)input + at, piece), n);
        at += piece;
        turn(h2, &owner, n);
    }
    h2_unblock(h2);
    turn(h2, &owner, 0);
    h2_fail(h2, &gone);
    h2_free(&h2);
    h2_bench_free(&bench);
    return 0;
}
