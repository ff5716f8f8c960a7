/*
 * request_head_fuzz.c - a request head: every scan and every split read it alike, and what was
 * read, once written, is read as the same request.
 *
 * Input: a byte that says where to cut, then the head.
 */
#include "base/check.h"
#include "http/h1_parse.h"
#include "http/h1_write.h"
#include "http/rules.h"
#include "http/target.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

enum { LINES = 16, OUT = 8192 };

static const struct h1_limits limits = {256, 2048, LINES};

struct outcome {
    struct h1_scan scan;
    struct request request;
    struct field_line lines[LINES];
    size_t head_bytes;
    enum h1_result result;
};

static void offer(struct outcome *outcome, struct sluice_span bytes)
{
    memset(outcome->lines, 0, sizeof(outcome->lines));
    outcome->request = (struct request){.fields = {.line = outcome->lines, .cap = LINES}};
    outcome->result =
        h1_parse_request(&outcome->scan, bytes, &limits, &outcome->request, &outcome->head_bytes);
}

/* A part is empty, a path that an absolute form leaves out ("/" or "*"), or in the bytes. */
static void check_inside(struct sluice_span part, struct sluice_span bytes)
{
    CHECK(part.len <= 1 || (part.ptr >= bytes.ptr && part.ptr + part.len <= bytes.ptr + bytes.len));
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
    CHECK(a->result == b->result && a->scan.rule == b->scan.rule);
    if (a->result != H1_DONE)
        return;
    CHECK(a->head_bytes == b->head_bytes && a->request.framing == b->request.framing);
    CHECK(a->request.body_bytes == b->request.body_bytes);
    CHECK(a->request.keep_alive == b->request.keep_alive && a->request.form == b->request.form);
    CHECK(span_equal(a->request.target, b->request.target));
    CHECK(span_equal(a->request.path, b->request.path));
    CHECK(span_equal(a->request.query, b->request.query));
    CHECK(span_equal(a->request.authority, b->request.authority));
    CHECK(a->request.fields.n == b->request.fields.n);
    CHECK(memcmp(a->lines, b->lines, a->request.fields.n * sizeof(a->lines[0])) == 0);
}

/* Forward it, and read what was forwarded. */
static void check_written(const struct request *request)
{
    static char out[OUT];
    struct outcome again = {0};
    struct request sent = *request;
    size_t len;

    rules_drop_hop_by_hop(&sent.fields);
    len = h1_write_request(out, OUT, &sent, sent.target, sent.authority, sent.framing,
                           sent.body_bytes, H1_CONNECTION_NONE);
    CHECK(len != 0);
    again.request.fields = (struct fields){.line = again.lines, .cap = LINES};
    again.result =
        h1_parse_request(&again.scan, span_make(out, len), &(struct h1_limits){OUT, OUT, LINES},
                         &again.request, &again.head_bytes);
    if (again.result == H1_WRONG) /* only what the caller answers for, or a table too small */
        CHECK(again.scan.rule == H1_RULE_HOST_MISSING || again.scan.rule == H1_RULE_FIELD_COUNT);
    if (again.result != H1_DONE)
        return;
    CHECK(again.head_bytes == len);
    CHECK(again.request.method == sent.method && again.request.framing == sent.framing);
    CHECK(again.request.body_bytes == sent.body_bytes);
    CHECK(span_equal(again.request.target, sent.target));
    CHECK(span_equal(again.request.authority, sent.authority));
}

static void check_path(struct sluice_span path)
{
    struct arena arena;
    struct sluice_span normal, twice;

    arena_init(&arena, NULL, 0);
    if (target_normalise(path, TARGET_MERGE_SLASHES, &arena, &normal) == OK) {
        CHECK(target_normalise(normal, TARGET_MERGE_SLASHES, &arena, &twice) == OK);
        CHECK(span_equal(normal, twice));
    }
    arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
    static const char *const scans[] = {"scalar", "sse4.2", "avx2"};
    struct outcome whole = {0}, other;
    struct sluice_span bytes = {(const char *)input + 1, len - 1};

    if (len < 2)
        return 0;
    h1_scan_choose("scalar");
    offer(&whole, bytes);
    for (size_t i = 0; i < sizeof(scans) / sizeof(scans[0]); i++) {
        h1_scan_choose(scans[i]);
        other = (struct outcome){0};
        offer(&other, (struct sluice_span){bytes.ptr, input[0] % len});
        if (other.result == H1_AGAIN)
            offer(&other, bytes);
        check_same(&whole, &other);
    }
    if (whole.result != H1_DONE)
        return 0;
    CHECK(whole.head_bytes <= bytes.len && whole.head_bytes <= limits.head_bytes);
    check_inside(whole.request.target, bytes);
    check_inside(whole.request.path, bytes);
    check_inside(whole.request.query, bytes);
    check_inside(whole.request.authority, bytes);
    check_path(whole.request.path);
    check_written(&whole.request);
    return 0;
}
