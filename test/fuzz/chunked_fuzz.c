/*
 * chunked_fuzz.c - a chunked body whole, cut in two and byte by byte: the same content, the same
 * end; and the content framed anew is read as the same content.
 *
 * Input: a byte that says where to cut, then the body.
 */
#include "base/check.h"
#include "http/h1_body.h"
#include "http/h1_write.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

enum { CONTENT = 4096 };

struct outcome {
    struct h1_body body;
    char content[CONTENT];
    size_t len, used;
    enum h1_result result;
};

/* Offer what is unused of the first end bytes. */
static void offer(struct outcome *outcome, struct sluice_span bytes, size_t end)
{
    while (outcome->result == H1_AGAIN && outcome->used < end) {
        struct sluice_span piece;
        size_t used, left = end - outcome->used;

        outcome->result = h1_body_next(
            &outcome->body, (struct sluice_span){bytes.ptr + outcome->used, left}, &used, &piece);
        CHECK(used <= left && piece.len <= used);
        CHECK(used != 0 || outcome->result != H1_AGAIN);
        if (piece.len != 0)
            memcpy(outcome->content + outcome->len, piece.ptr, piece.len);
        outcome->len += piece.len;
        outcome->used += used;
    }
}

static void begin(struct outcome *outcome)
{
    *outcome = (struct outcome){.result = H1_AGAIN};
    h1_body_init(&outcome->body, FRAMING_CHUNKED, BODY_UNKNOWN);
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
    CHECK(a->result == b->result && a->body.rule == b->body.rule);
    CHECK(a->used == b->used && a->len == b->len);
    CHECK(memcmp(a->content, b->content, a->len) == 0);
}

static void check_written(const struct outcome *whole)
{
    static char out[CONTENT + 64];
    static struct outcome again;
    size_t len = 0;

    if (whole->len != 0) {
        len = h1_write_chunk_head(out, sizeof(out), whole->len);
        memcpy(out + len, whole->content, whole->len);
        len += whole->len;
        memcpy(out + len, "\r\n", 2);
        len += 2;
    }
    len += h1_write_last_chunk(out + len, sizeof(out) - len, NULL);
    begin(&again);
    offer(&again, span_make(out, len), len);
    CHECK(again.result == H1_DONE && again.used + 2 == len && again.len == whole->len);
    CHECK(memcmp(again.content, whole->content, again.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
    static struct outcome whole, other;
    struct sluice_span bytes = {(const char *)input + 1, len - 1};

    if (len < 2 || bytes.len > CONTENT)
        return 0;
    begin(&whole);
    offer(&whole, bytes, bytes.len);
    begin(&other);
    offer(&other, bytes, input[0] % len);
    offer(&other, bytes, bytes.len);
    check_same(&whole, &other);
    begin(&other);
    for (size_t end = 1; end <= bytes.len; end++)
        offer(&other, bytes, end);
    check_same(&whole, &other);
    if (whole.result == H1_DONE)
        check_written(&whole);
    return 0;
}
