/*
 * splits.h - feed a head to a parser whole, split at every byte and byte by byte.
 *
 * Every call gets its bytes in a block of exactly their size (so that a sanitizer sees a read
 * too far) at a new address, and a fresh head and table: only the scan state may carry over.
 */
#ifndef TEST_SPLITS_H
#define TEST_SPLITS_H

#include "http/h1_parse.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPLIT_LINES = 64, SPLIT_TEXT = 4096 };

/* What one call said, in words. */
struct split_answer {
    enum h1_result result;
    char text[SPLIT_TEXT]; /* the rule, or the head */
};

/* Offer bytes once. */
typedef void split_offer_fn(struct h1_scan *scan, struct sluice_span bytes,
                            const struct h1_limits *limits, struct field_line *lines,
                            const void *arg, struct split_answer *answer);

static inline void split_say(struct split_answer *answer, const char *text)
{
    size_t at = strlen(answer->text);

    snprintf(answer->text + at, sizeof(answer->text) - at, "%s", text);
}

static inline void split_say_span(struct split_answer *answer, const char *label,
                                  struct sluice_span text)
{
    char buffer[1024];

    snprintf(buffer, sizeof(buffer), "%s%.*s", label, (int)text.len, text.ptr);
    split_say(answer, buffer);
}

static inline void split_say_fields(struct split_answer *answer, const struct fields *fields)
{
    uint64_t present = 0;

    for (unsigned i = 0; i < fields->n; i++) {
        const struct field_line *line = &fields->line[i];

        present |= field_bit(line->id);
        ck_assert_uint_eq(line->id, name_find(field_name(line)));
        split_say_span(answer, line->mark & FIELD_DROPPED ? " (" : " [", field_name(line));
        split_say_span(answer, "=", field_value(line));
        split_say(answer, line->mark & FIELD_DROPPED ? ")" : "]");
    }
    ck_assert_msg(fields->absent == ~present, "absent is not what is not there");
}

static inline void split_offer(split_offer_fn *offer, struct h1_scan *scan, const char *bytes,
                               size_t len, const struct h1_limits *limits, const void *arg,
                               struct split_answer *answer)
{
    struct field_line *lines = malloc(SPLIT_LINES * sizeof(*lines));
    char *copy = malloc(len + (len == 0));

    memset(lines, 0xa5, SPLIT_LINES * sizeof(*lines));
    memcpy(copy, bytes, len);
    memset(answer, 0, sizeof(*answer));
    offer(scan, (struct sluice_span){copy, len}, limits, lines, arg, answer);
    if (answer->result == H1_WRONG)
        split_say(answer, h1_rule_text((enum h1_rule)scan->rule));
    free(copy);
    free(lines);
}

static inline void split_same(const struct split_answer *got, const struct split_answer *want,
                              const char *bytes, size_t from, size_t to)
{
    ck_assert_msg(got->result == want->result && strcmp(got->text, want->text) == 0,
                  "cut at %zu, offered %zu of <<%s>>: %d %s, but whole: %d %s", from, to, bytes,
                  (int)got->result, got->text, (int)want->result, want->text);
}

/* The answer must be the same for every way to split, with every scan; returned in *answer. */
static inline void split_check(split_offer_fn *offer, const char *bytes, size_t len,
                               const struct h1_limits *limits, const void *arg,
                               struct split_answer *answer)
{
    static const char *const scans[] = {"scalar", "sse4.2", "avx2"};
    struct split_answer *whole = calloc(len + 1, sizeof(*whole)), *got = malloc(sizeof(*got));

    for (size_t s = 0; s < sizeof(scans) / sizeof(scans[0]); s++) {
        struct h1_scan steps = {0};
        bool ended = false;

        h1_scan_choose(scans[s]);
        for (size_t n = 0; n <= len; n++) {
            struct h1_scan scan = {0};

            split_offer(offer, &scan, bytes, n, limits, arg, s == 0 ? &whole[n] : got);
            if (s != 0)
                split_same(got, &whole[n], bytes, 0, n);
        }
        for (size_t n = 0; n <= len; n++) {
            struct h1_scan scan = {0};

            split_offer(offer, &scan, bytes, n, limits, arg, got);
            split_same(got, &whole[n], bytes, 0, n);
            if (got->result != H1_AGAIN)
                break;
            split_offer(offer, &scan, bytes, len, limits, arg, got);
            split_same(got, &whole[len], bytes, n, len);
        }
        for (size_t n = 0; n <= len && !ended; n++) {
            split_offer(offer, &steps, bytes, n, limits, arg, got);
            split_same(got, &whole[n], bytes, n - 1, n);
            ended = got->result != H1_AGAIN;
        }
    }
    *answer = whole[len];
    free(whole);
    free(got);
}

#endif /* TEST_SPLITS_H */
