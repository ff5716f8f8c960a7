/*
 * consul_fuzz.c - answers of Consul: whatever is read can be dialled, and what is kept of it on
 * disk is read again as the same; checks are told from within the input.
 *
 * Input: the answer. It is read as a list of nodes and as a list of checks.
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

static void on_check(void *input_, const struct consul_check *check)
{
    const struct sluice_span *input = input_;

    CHECK(check->node.len == 0 || (check->node.ptr >= input->ptr &&
                                   check->node.ptr + check->node.len <= input->ptr + input->len));
    CHECK(check->service.len <= input->len);
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
    if (consul_scan(json, on_check, &json) != OK) {
        struct found *none;

        CHECK(consul_state_parse(json, &none) != OK || none);
        found_unref(&none);
    }
    return 0;
}
