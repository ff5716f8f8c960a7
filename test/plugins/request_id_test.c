#include "unit.h"

#include "sluice_test.h"

#include <stdio.h>
#include <string.h>

static const char *sent(struct sluice_exchange *ex)
{
    return sluice_test_field(ex, SLUICE_REQUEST, "x-request-id");
}

static struct sluice_exchange *pass(struct sluice_test *test, const char *incoming)
{
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");

    if (incoming)
        sluice_test_field_add(ex, SLUICE_REQUEST, "X-Request-ID", incoming);
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_int_eq(sluice_test_response_head(ex, 200), SLUICE_NEXT);
    sluice_test_done(ex, true);
    return ex;
}

START_TEST(a_new_id_goes_everywhere)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, NULL);
    struct sluice_exchange *ex = pass(test, NULL);
    const char *id = sent(ex);

    ck_assert_uint_eq(strlen(id), 36);
    ck_assert_int_eq(id[14], '7');
    ck_assert_ptr_nonnull(strchr("89ab", id[19]));
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_RESPONSE, "x-request-id"), id);
    ck_assert_str_eq(sluice_test_attribute(ex, "request.id"), id);
    sluice_test_free(&test);
}
END_TEST

START_TEST(uuid7_is_ordered_by_time)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, NULL);
    char before[64];

    snprintf(before, sizeof(before), "%s", sent(pass(test, NULL)));
    ck_assert_int_eq(strncmp(before, "018bcfe5-6800-7000", 18), 0);
    for (int i = 0; i < 50; i++) {
        const char *id;

        sluice_test_advance(test, 1);
        id = sent(pass(test, NULL));
        ck_assert_int_lt(strcmp(before, id), 0);
        snprintf(before, sizeof(before), "%s", id);
    }
    sluice_test_free(&test);
}
END_TEST

START_TEST(an_id_of_a_stranger_is_replaced)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "trust=[10.0.0.0/8]", NULL);
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");

    sluice_test_field_add(ex, SLUICE_REQUEST, "x-request-id", "theirs");
    sluice_test_field_add(ex, SLUICE_REQUEST, "x-request-id", "second");
    sluice_test_request_head(ex);
    ck_assert_str_ne(sent(ex), "theirs");
    ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_REQUEST, "x-request-id"), 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_sound_id_of_a_trusted_peer_is_kept)
{
    static const struct {
        const char *peer, *id;
        bool is_kept;
    } cases[] = {
        {"10.1.2.3", "abc-123", true},    {"10.1.2.3", "a b", false},
        {"10.1.2.3", "", false},          {"10.1.2.3", "x\"y", false},
        {"10.1.2.3", "0123456789", true}, {"10.1.2.3", "01234567890", false},
        {"::ffff:10.9.9.9", "m", true},   {"2001:db8::7", "v6", true},
        {"2001:db9::7", "v6", false},     {"11.1.2.3", "abc", false},
        {"not an address", "abc", false},
    };
    struct sluice_test *test = sluice_test_started(
        &sluice_plugin, "trust=[10.0.0.0/8, '2001:db8::/33']", "max_length=10", NULL);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");

        sluice_test_attribute_set(ex, "peer.address", cases[i].peer);
        sluice_test_field_add(ex, SLUICE_REQUEST, "x-request-id", cases[i].id);
        ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
        ck_assert_msg((strcmp(sent(ex), cases[i].id) == 0) == cases[i].is_kept, "case %zu", i);
    }
    sluice_test_free(&test);
}
END_TEST

START_TEST(other_formats_and_fields)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "format=hex", "field=x-trace",
                                                   "response_field=x-id", NULL);
    struct sluice_exchange *ex = pass(test, NULL);

    ck_assert_uint_eq(strlen(sluice_test_field(ex, SLUICE_REQUEST, "x-trace")), 32);
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_RESPONSE, "x-id"),
                     sluice_test_field(ex, SLUICE_REQUEST, "x-trace"));
    sluice_test_free(&test);
    test = sluice_test_started(&sluice_plugin, "format=uuid4", "response=false", NULL);
    ex = pass(test, NULL);
    ck_assert_int_eq(sent(ex)[14], '4');
    ck_assert_ptr_null(sluice_test_field(ex, SLUICE_RESPONSE, "x-request-id"));
    sluice_test_free(&test);
}
END_TEST

START_TEST(without_memory_it_fails_and_does_not_crash)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, NULL);
    uint64_t n = 0;

    do {
        struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");
        enum sluice_verdict head, response;

        sluice_test_fail_nth(test, ++n);
        head = sluice_test_request_head(ex);
        response = head == SLUICE_NEXT ? sluice_test_response_head(ex, 200) : SLUICE_NEXT;
        if (sluice_test_has_failed(test) && sluice_test_attribute(ex, "request.id"))
            ck_assert(head == SLUICE_FAIL || response == SLUICE_FAIL);
        ck_assert(head == SLUICE_FAIL || sent(ex));
        sluice_test_done(ex, false);
    } while (sluice_test_has_failed(test));
    ck_assert_uint_gt(n, 3);
    sluice_test_free(&test);
}
END_TEST

START_TEST(an_empty_field_is_refused)
{
    struct sluice_test *test = sluice_test_new(&sluice_plugin);

    sluice_test_set(test, "field=''");
    ck_assert(!sluice_test_check(test));
    ck_assert_ptr_nonnull(strstr(sluice_test_errors(test), "field: it is empty"));
    sluice_test_free(&test);
}
END_TEST

UNIT_MAIN("plugins/request_id", a_new_id_goes_everywhere, uuid7_is_ordered_by_time,
          an_id_of_a_stranger_is_replaced, a_sound_id_of_a_trusted_peer_is_kept,
          other_formats_and_fields, without_memory_it_fails_and_does_not_crash,
          an_empty_field_is_refused)
