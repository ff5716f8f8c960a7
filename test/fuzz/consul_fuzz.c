/*
 * consul_fuzz.c - answers of Consul: whatever is read can be dialled, and what is kept of it on
 * disk is read again as the same; a list of checks is told alike however it is cut.
 *
 * Input: the answer. It is read as a list of nodes, as a list of checks and as what was kept.
 */
#include "base/check.h"
#include "base/text.h"
#include "discovery/consul_parse.h"
#include "discovery/consul_scan.h"
#include "discovery/consul_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

static void check_kept(const struct found *found)
{
    struct found *again = NULL;
    struct text bytes;

    text_init(&bytes, 64 * 1024 * 1024);
    consul_state_format(found, &bytes);
    CHECK(consul_state_parse(text_span(&bytes), &again) == OK);
    CHECK(again->n == found->n);
    CHECK(found_hash(again) == found_hash(found));
    found_unref(&again);
    text_fini(&bytes);
}

struct told {
    size_t n, bytes;
    uint64_t modified;
    enum err err;
};

static void on_check(void *told_, const struct consul_check *check)
{
    struct told *told = told_;

    told->n++;
    told->bytes += check->node.len + check->service.len;
    told->modified += check->modified;
}

static struct told told_in_pieces(struct sluice_span json, size_t most)
{
    struct told told = {0};
    struct consul_scan scan;

    consul_scan_init(&scan, on_check, &told);
    for (size_t at = 0; at < json.len; at += most) {
        size_t left = json.len - at;

        consul_scan_add(&scan, span_make(json.ptr + at, left < most ? left : most));
    }
    told.err = consul_scan_end(&scan);
    consul_scan_fini(&scan);
    return told;
}

/* However a list is cut, the same is told of it. */
static void check_scan(struct sluice_span json)
{
    struct told whole = told_in_pieces(json, json.len + 1);
    struct told cut = told_in_pieces(json, json.len / 7 + 1);

    CHECK(whole.bytes <= json.len);
    CHECK(whole.err == cut.err);
    CHECK(whole.n == cut.n && whole.bytes == cut.bytes && whole.modified == cut.modified);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
    const struct consul_reading reading = {.address = SPAN("wan"),
                                           .zone = SPAN("zone"),
                                           .weight = SPAN("weight"),
                                           .passing = 1,
                                           .warning = 1};
    struct sluice_span json = span_make((const char *)input, len);
    struct consul_rejected rejected;
    struct found *found;

    if (consul_parse(json, &reading, &found, &rejected) == OK) {
        for (size_t i = 0; i < found->n; i++) {
            CHECK(!found_check_address(found->endpoint[i].address));
            CHECK(found->endpoint[i].weight <= FOUND_WEIGHT_MAX);
        }
        check_kept(found);
        found_unref(&found);
    }
    check_scan(json);
    if (consul_state_parse(json, &found) == OK)
        found_unref(&found);
    return 0;
}
