/*
 * h2_pair.h - a client and a server of HTTP/2 in one process, whose bytes go through memory.
 */
#ifndef TEST_H2_PAIR_H
#define TEST_H2_PAIR_H

#include "http/h2.h"

#include "unit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PIPE_BYTES = 4 * 1024 * 1024, NOTES_BYTES = 64 * 1024 };

/* One end: what it has to send, and what it was told, as text. */
struct end {
    struct h2 *h2;
    char *out;
    size_t out_bytes;
    char notes[NOTES_BYTES];
    size_t notes_len;
    struct h2_stream *stream; /* the last one it heard of */
    size_t body_bytes;
    unsigned lost, causes, pongs;
    bool woken, answers, keeps, lends_once;
};

static struct h2_settings pair_settings = {
    .max_streams = 10,
    .window = 65535,
    .connection_window = 1024 * 1024,
    .line_bytes = 8192,
    .head_bytes = 16384,
    .field_count = 100,
    .decoder_table = 4096,
    .encoder_table = 4096,
    .extended_connect = true,
    .limits = {.interval_ms = 10000,
               .resets = 20,
               .provoked_resets = 20,
               .settings = 20,
               .pings = 20,
               .empty_frames = 20,
               .priorities = 20,
               .tiny_windows = 20,
               .continuations = 8,
               .control_queue = 100},
};

static inline struct end *end_of(const struct h2 *h2)
{
    return h2_owner(h2);
}

__attribute__((format(printf, 2, 3))) static inline void note(struct end *end, const char *format,
                                                              ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(end->notes + end->notes_len, NOTES_BYTES - end->notes_len, format, args);
    va_end(args);
    ck_assert_int_ge(n, 0);
    end->notes_len += (size_t)n;
    ck_assert_uint_lt(end->notes_len, NOTES_BYTES);
}

static inline void note_fields(struct end *end, const struct fields *fields)
{
    for (unsigned i = 0; fields && i < fields->n; i++) {
        const struct field_line *line = &fields->line[i];

        if (!(line->mark & FIELD_DROPPED)) {
            note(end, " %.*s=%.*s", line->name_len, line->name, (int)line->value_len, line->value);
        }
    }
    note(end, "\n");
}

static inline void pair_on_request(struct h2_stream *stream, const struct request *request,
                                   struct sluice_span bytes)
{
    struct end *end = end_of(stream->h2);

    (void)bytes;
    end->stream = stream;
    note(end, "%.*s %.*s host=%.*s framing=%d", (int)request->method_text.len,
         request->method_text.ptr, (int)request->target.len, request->target.ptr,
         (int)request->authority.len, request->authority.ptr, request->framing);
    if (request->protocol.len > 0)
        note(end, " protocol=%.*s", (int)request->protocol.len, request->protocol.ptr);
    note_fields(end, &request->fields);
    if (end->answers) {
        struct response response = {.status = 200};

        ck_assert_int_eq(h2_send_response(stream, &response, 0, true), OK);
        h2_leave(stream);
    }
}

static inline void pair_on_refused(struct h2_stream *stream, enum h1_rule rule)
{
    note(end_of(stream->h2), "refused: %s\n", h1_rule_text(rule));
    end_of(stream->h2)->stream = stream;
    h2_reset(stream, H2_PROTOCOL_ERROR);
}

static inline void pair_on_response(struct h2_stream *stream, const struct response *response,
                                    struct sluice_span bytes)
{
    struct end *end = end_of(stream->h2);

    (void)bytes;
    end->stream = stream;
    note(end, "%u framing=%d length=%d", response->status, response->framing,
         (int)response->body_bytes);
    note_fields(end, &response->fields);
}

static inline void pair_on_body(struct h2_stream *stream, struct sluice_span piece)
{
    struct end *end = end_of(stream->h2);

    end->body_bytes += piece.len;
    if (piece.len < 100)
        note(end, "body %.*s\n", (int)piece.len, piece.ptr);
}

static inline void pair_on_end(struct h2_stream *stream, const struct fields *trailers)
{
    note(end_of(stream->h2), "end");
    note_fields(end_of(stream->h2), trailers);
}

static inline void pair_on_lost(struct h2_stream *stream, const struct h2_loss *loss)
{
    struct end *end = end_of(stream->h2);

    end->lost++;
    end->stream = NULL;
    note(end, "lost %s%s%s%s%s\n", h2_code_name(loss->code), loss->by_peer ? " by peer" : "",
         loss->unprocessed ? " unprocessed" : "", loss->detail ? ": " : "",
         loss->detail ? loss->detail : "");
}

static inline void pair_on_drained(struct h2_stream *stream)
{
    note(end_of(stream->h2), "drained\n");
}

static inline void pair_on_goaway(struct h2 *h2, uint32_t last, uint32_t code)
{
    note(end_of(h2), "goaway %x %s\n", last, h2_code_name(code));
}

static inline void pair_on_settings(struct h2 *h2)
{
    (void)h2;
}

static inline void pair_on_pong(struct h2 *h2)
{
    end_of(h2)->pongs++;
}

static inline void pair_on_cause(struct h2 *h2, enum h2_cause cause)
{
    end_of(h2)->causes |= 1U << cause;
    note(end_of(h2), "cause %s\n", h2_cause_name(cause));
}

static inline void pair_wake(struct h2 *h2)
{
    end_of(h2)->woken = true;
}

static inline void pair_put(struct h2 *h2, struct sluice_span bytes)
{
    struct end *end = end_of(h2);

    ck_assert_uint_le(end->out_bytes + bytes.len, PIPE_BYTES);
    memcpy(end->out + end->out_bytes, bytes.ptr, bytes.len);
    end->out_bytes += bytes.len;
}

static const struct h2_ops pair_ops = {
    .on_request = pair_on_request,
    .on_refused = pair_on_refused,
    .on_response = pair_on_response,
    .on_body = pair_on_body,
    .on_end = pair_on_end,
    .on_lost = pair_on_lost,
    .on_drained = pair_on_drained,
    .on_goaway = pair_on_goaway,
    .on_settings = pair_on_settings,
    .on_pong = pair_on_pong,
    .on_cause = pair_on_cause,
    .wake = pair_wake,
    .put = pair_put,
    .lend = pair_put,
};

struct pair {
    struct h2_bench *bench;
    struct end client, server;
    uint64_t now_us;
    size_t step; /* feed so many bytes at a time; 0: all */
};

static inline void end_open(struct end *end, struct h2_bench *bench, enum h2_role role)
{
    *end = (struct end){.out = malloc(PIPE_BYTES)};
    ck_assert_ptr_nonnull(end->out);
    end->h2 = h2_new(bench, role, &pair_settings, &pair_ops, end);
    ck_assert_ptr_nonnull(end->h2);
}

/* Let bytes go one way; the result of the last feed. */
static inline enum err pass(struct pair *pair, struct end *from, struct end *to)
{
    size_t at = 0, n = from->out_bytes;
    enum err err = OK;

    while (at < n && err == OK) {
        size_t step = pair->step && n - at > pair->step ? pair->step : n - at;

        err = h2_feed(to->h2, span_make(from->out + at, step), pair->now_us);
        at += step;
    }
    from->out_bytes = 0;
    h2_pull(to->h2);
    return err;
}

static inline void run_woken(struct end *end)
{
    if (!end->woken)
        return;
    end->woken = false;
    h2_run(end->h2);
}

/* Until nobody has anything to say. */
static inline void settle(struct pair *pair)
{
    h2_pull(pair->client.h2);
    h2_pull(pair->server.h2);
    for (unsigned i = 0; i < 1000; i++) {
        run_woken(&pair->client);
        run_woken(&pair->server);
        if (pair->client.out_bytes == 0 && pair->server.out_bytes == 0 && !pair->client.woken &&
            !pair->server.woken)
            return;
        (void)pass(pair, &pair->client, &pair->server);
        (void)pass(pair, &pair->server, &pair->client);
    }
    ck_abort_msg("two ends that never stop");
}

static inline struct pair *pair_open(void)
{
    struct pair *pair = calloc(1, sizeof(*pair));

    ck_assert_ptr_nonnull(pair);
    pair->bench = h2_bench_new();
    end_open(&pair->client, pair->bench, H2_CLIENT);
    end_open(&pair->server, pair->bench, H2_SERVER);
    settle(pair);
    return pair;
}

static inline void pair_close(struct pair *pair)
{
    h2_free(&pair->client.h2);
    h2_free(&pair->server.h2);
    free(pair->client.out);
    free(pair->server.out);
    h2_bench_free(&pair->bench);
    free(pair);
}

static inline struct h2_stream *ask(struct pair *pair, const char *method, const char *path,
                                    bool last)
{
    struct request request = {.method = method_find(span_of(method)),
                              .method_text = span_of(method)};
    struct h2_request_head head = {.request = &request,
                                   .scheme = SPAN("http"),
                                   .authority = SPAN("example.com"),
                                   .target = span_of(path),
                                   .length = BODY_UNKNOWN,
                                   .last = last};
    struct h2_stream *stream = NULL;

    ck_assert_int_eq(h2_send_request(pair->client.h2, &head, NULL, &stream), OK);
    return stream;
}

static inline bool said(const struct end *end, const char *text)
{
    return strstr(end->notes, text) != NULL;
}

#endif /* TEST_H2_PAIR_H */
