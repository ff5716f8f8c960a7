/*
 * response_head_fuzz.c - a response head and a trailer section: every scan and every split read
 * them alike, and what was read, once written, is read as the same response.
 *
 * Input: a byte that says where to cut, one for the request's method, then the head.
 */
#include "base/check.h"
#include "http/h1_parse.h"
#include "http/h1_write.h"
#include "http/rules.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

enum { LINES = 16, OUT = 8192 };

static const struct h1_limits limits = {256, 2048, LINES};

struct outcome {
    struct h1_scan scan;
    struct response response;
    struct field_line lines[LINES];
    size_t head_bytes;
    enum h1_result result;
};

static void offer(struct outcome *outcome, struct sluice_span bytes, enum method method)
{
    memset(outcome->lines, 0, sizeof(outcome->lines));
    outcome->response = (struct response){.fields = {.line = outcome->lines, .cap = LINES}};
    outcome->result = h1_parse_response(&outcome->scan, bytes, &limits, method, &outcome->response,
                                        &outcome->head_bytes);
}

static void offer_trailers(struct outcome *outcome, struct sluice_span bytes)
{
    memset(outcome->lines, 0, sizeof(outcome->lines));
    outcome->response = (struct response){.fields = {.line = outcome->lines, .cap = LINES}};
    outcome->result = h1_parse_trailers(&outcome->scan, bytes, &limits, &outcome->response.fields,
                                        &outcome->head_bytes);
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
    CHECK(a->result == b->result && a->scan.rule == b->scan.rule);
    if (a->result != H1_DONE)
        return;
    CHECK(a->head_bytes == b->head_bytes && a->response.framing == b->response.framing);
    CHECK(a->response.body_bytes == b->response.body_bytes);
    CHECK(a->response.status == b->response.status);
    CHECK(a->response.keep_alive == b->response.keep_alive);
    CHECK(span_equal(a->response.reason, b->response.reason));
    CHECK(a->response.fields.n == b->response.fields.n);
    CHECK(memcmp(a->lines, b->lines, a->response.fields.n * sizeof(a->lines[0])) == 0);
}

static void check_written(const struct response *response, enum method method)
{
    static char out[OUT];
    struct outcome again = {0};
    struct response sent = *response;
    size_t len;

    rules_drop_hop_by_hop(&sent.fields);
    len = h1_write_response(out, OUT, &sent, sent.framing, sent.body_bytes, -1, H1_CONNECTION_NONE);
    CHECK(len != 0);
    again.response.fields = (struct fields){.line = again.lines, .cap = LINES};
    again.result =
        h1_parse_response(&again.scan, span_make(out, len), &(struct h1_limits){OUT, OUT, LINES},
                          method, &again.response, &again.head_bytes);
    if (again.result == H1_WRONG) /* the framing field did not fit into the table */
        CHECK(again.scan.rule == H1_RULE_FIELD_COUNT);
    if (again.result != H1_DONE)
        return;
    CHECK(again.head_bytes == len && again.response.status == sent.status);
    CHECK(again.response.framing == sent.framing);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
    static const char *const scans[] = {"scalar", "sse4.2", "avx2"};
    struct outcome whole = {0}, section = {0}, other;
    struct sluice_span bytes = {(const char *)input + 2, len - 2}, part;
    enum method method;

    if (len < 3)
        return 0;
    method = (enum method)(input[1] % (METHOD_PATCH + 1));
    part = (struct sluice_span){bytes.ptr, input[0] % (len - 1)};
    h1_scan_choose("scalar");
    offer(&whole, bytes, method);
    offer_trailers(&section, bytes);
    for (size_t i = 0; i < sizeof(scans) / sizeof(scans[0]); i++) {
        h1_scan_choose(scans[i]);
        other = (struct outcome){0};
        offer(&other, part, method);
        if (other.result == H1_AGAIN)
            offer(&other, bytes, method);
        check_same(&whole, &other);
        other = (struct outcome){0};
        offer_trailers(&other, part);
        if (other.result == H1_AGAIN)
            offer_trailers(&other, bytes);
        check_same(&section, &other);
    }
    if (whole.result != H1_DONE)
        return 0;
    CHECK(whole.head_bytes <= bytes.len && whole.head_bytes <= limits.head_bytes);
    check_written(&whole.response, method);
    return 0;
}
