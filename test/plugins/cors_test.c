#include "unit.h"

#include "sluice_test.h"

#include <string.h>

static struct sluice_exchange *from(struct sluice_test *test, const char *method,
                                    const char *origin)
{
    struct sluice_exchange *ex = sluice_test_request(test, method, "/");

    if (origin)
        sluice_test_field_add(ex, SLUICE_REQUEST, "Origin", origin);
    return ex;
}

static const char *says(struct sluice_exchange *ex, const char *name)
{
    const char *value = sluice_test_field(ex, SLUICE_RESPONSE, name);

    return value ? value : "";
}

static struct sluice_exchange *simple(struct sluice_test *test, const char *origin)
{
    struct sluice_exchange *ex = from(test, "GET", origin);

    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_int_eq(sluice_test_response_head(ex, 200), SLUICE_NEXT);
    return ex;
}

static struct sluice_exchange *preflight(struct sluice_test *test, const char *origin)
{
    struct sluice_exchange *ex = from(test, "OPTIONS", origin);

    sluice_test_field_add(ex, SLUICE_REQUEST, "Access-Control-Request-Method", "PURGE");
    sluice_test_field_add(ex, SLUICE_REQUEST, "Access-Control-Request-Headers", "x-a, x-b");
    sluice_test_field_add(ex, SLUICE_REQUEST, "Access-Control-Request-Private-Network", "true");
    sluice_test_request_head(ex);
    return ex;
}

START_TEST(origins_fit_as_written)
{
    static const struct {
        const char *origin;
        bool fits;
    } cases[] = {
        {"https://a.example", true},
        {"HTTPS://A.Example", true},
        {"http://a.example", false},
        {"https://a.example:8443", false},
        {"https://a.example.evil", false},
        {"https://xa.example", false},
        {"https://b.example", false},
        {"https://x.b.example", true},
        {"https://y.x.b.example", true},
        {"https://xb.example", false},
        {"http://c.example:1", true},
        {"http://c.example", true},
        {"https://c.example:1", false},
        {"http://[::1]:99", true},
        {"http://[::1]:98", false},
        {"null", true},
        {"", false},
        {"https://", false},
        {"https://a.example x", false},
        {"app://host", true},
    };
    struct sluice_test *test = sluice_test_started(
        &sluice_plugin,
        "origins=[https://a.example, 'https://*.b.example', 'http://c.example:*', "
        "'http://[::1]:99', 'null', 'app://host']",
        NULL);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sluice_exchange *ex = simple(test, cases[i].origin);

        ck_assert_msg((*says(ex, "access-control-allow-origin") != 0) == cases[i].fits, "%s",
                      cases[i].origin);
        ck_assert_str_eq(says(ex, "vary"), "Origin");
    }
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_star_is_said_as_a_star)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "origins=['*']",
                                                   "expose_fields=[x-request-id, etag]", NULL);
    struct sluice_exchange *ex = simple(test, "https://any.example");

    ck_assert_str_eq(says(ex, "access-control-allow-origin"), "*");
    ck_assert_str_eq(says(ex, "access-control-expose-headers"), "x-request-id, etag");
    ck_assert_str_eq(says(ex, "vary"), "");
    sluice_test_free(&test);
}
END_TEST

START_TEST(credentials_need_the_origin_by_name)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "origins=[https://a.example]", "credentials=true",
                            "methods=['*']", "allow_fields=['*']", NULL);
    struct sluice_exchange *ex = preflight(test, "https://a.example");

    ck_assert_uint_eq(sluice_test_reply(ex)->status, 204);
    ck_assert_str_eq(says(ex, "access-control-allow-origin"), "https://a.example");
    ck_assert_str_eq(says(ex, "access-control-allow-credentials"), "true");
    ck_assert_str_eq(says(ex, "access-control-allow-methods"), "PURGE");
    ck_assert_str_eq(says(ex, "access-control-allow-headers"), "x-a, x-b");
    ex = simple(test, "https://a.example");
    ck_assert_str_eq(says(ex, "access-control-allow-credentials"), "true");
    sluice_test_free(&test);
    test = sluice_test_new(&sluice_plugin);
    sluice_test_set(test, "origins=['*']");
    sluice_test_set(test, "credentials=true");
    sluice_test_set(test, "expose_fields=['*']");
    ck_assert(!sluice_test_check(test));
    ck_assert_ptr_nonnull(strstr(sluice_test_errors(test), "every page could act for the user"));
    ck_assert_ptr_nonnull(strstr(sluice_test_errors(test), "expose_fields: browsers take"));
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_preflight_is_answered_in_full)
{
    struct sluice_test *test = sluice_test_started(
        &sluice_plugin, "origins=[https://a.example]", "methods=[GET, PUT]", "allow_fields=[x-a]",
        "max_age=1h", "private_network=true", "preflight_status=200", NULL);
    struct sluice_exchange *ex = preflight(test, "https://a.example");

    ck_assert_int_eq(sluice_test_verdict(ex), SLUICE_REPLIED);
    ck_assert_uint_eq(sluice_test_reply(ex)->status, 200);
    ck_assert_str_eq(says(ex, "access-control-allow-methods"), "GET, PUT");
    ck_assert_str_eq(says(ex, "access-control-allow-headers"), "x-a");
    ck_assert_str_eq(says(ex, "access-control-max-age"), "3600");
    ck_assert_str_eq(says(ex, "access-control-allow-private-network"), "true");
    ck_assert_ptr_nonnull(strstr(says(ex, "vary"), "Origin, Access-Control-Request-Method"));
    /* its own response phase does not double what it said */
    ck_assert_int_eq(sluice_test_response_head(ex, 0), SLUICE_NEXT);
    ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_RESPONSE, "vary"), 1);
    ck_assert(sluice_test_metric(test, "requests_total", "preflight") == 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(options_without_a_preflight_go_on)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "origins=[https://a.example]", NULL);
    struct sluice_exchange *ex = from(test, "OPTIONS", "https://a.example");

    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_stranger_gets_no_fields_or_a_refusal)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "origins=[https://a.example]", NULL);
    struct sluice_exchange *ex = preflight(test, "https://evil.example");

    ck_assert_int_eq(sluice_test_verdict(ex), SLUICE_REPLIED);
    ck_assert_str_eq(says(ex, "access-control-allow-origin"), "");
    ck_assert_str_eq(says(ex, "access-control-allow-methods"), "");
    ck_assert_str_eq(sluice_test_notes(ex), "cors_not_allowed");
    sluice_test_free(&test);
    test = sluice_test_started(&sluice_plugin, "origins=[https://a.example]", "not_allowed=refuse",
                               NULL);
    ex = from(test, "POST", "https://evil.example");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_REPLIED);
    ck_assert_uint_eq(sluice_test_reply(ex)->status, 403);
    /* our own pages are not of another origin */
    ex = from(test, "POST", "http://example.com");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_int_eq(sluice_test_request_head(from(test, "GET", NULL)), SLUICE_NEXT);
    sluice_test_free(&test);
}
END_TEST

START_TEST(what_the_upstream_says_is_replaced)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "origins=[https://a.example]", NULL);
    struct sluice_exchange *ex = from(test, "GET", "https://a.example");

    sluice_test_request_head(ex);
    sluice_test_field_add(ex, SLUICE_RESPONSE, "Access-Control-Allow-Origin", "*");
    sluice_test_field_add(ex, SLUICE_RESPONSE, "access-control-allow-credentials", "true");
    sluice_test_field_add(ex, SLUICE_RESPONSE, "Vary", "accept-encoding, ORIGIN ");
    sluice_test_response_head(ex, 200);
    ck_assert_str_eq(says(ex, "access-control-allow-origin"), "https://a.example");
    ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_RESPONSE, "access-control-allow-origin"),
                      1);
    ck_assert_str_eq(says(ex, "access-control-allow-credentials"), "");
    ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_RESPONSE, "vary"), 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_forwarded_preflight_gets_our_fields)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "origins=[https://a.example]",
                                                   "preflight=forward", "methods=[GET]", NULL);
    struct sluice_exchange *ex = preflight(test, "https://a.example");

    ck_assert_int_eq(sluice_test_verdict(ex), SLUICE_NEXT);
    sluice_test_field_add(ex, SLUICE_RESPONSE, "access-control-allow-methods", "EVERY");
    sluice_test_response_head(ex, 200);
    ck_assert_str_eq(says(ex, "access-control-allow-methods"), "GET");
    sluice_test_free(&test);
}
END_TEST

START_TEST(bad_patterns_are_refused)
{
    static const char *const bad[] = {"a.example",           "https://a.example/",
                                      "https://a.*.example", "https://*a.example",
                                      "*://a.example",       "https://a.example:8*"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct sluice_test *test = sluice_test_new(&sluice_plugin);
        char row[64] = "origins=['";

        strncat(row, bad[i], 40);
        sluice_test_set(test, strncat(row, "']", 3));
        ck_assert_msg(!sluice_test_check(test), "%s", bad[i]);
        ck_assert_ptr_nonnull(strstr(sluice_test_errors(test), "origins[0]: "));
        sluice_test_free(&test);
    }
}
END_TEST

START_TEST(without_memory_it_fails_and_does_not_crash)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "origins=[https://a.example]",
                                                   "credentials=true", NULL);
    uint64_t n = 0;

    do {
        struct sluice_exchange *ex = from(test, "GET", "https://a.example");
        bool failed;

        sluice_test_fail_nth(test, ++n);
        failed = sluice_test_request_head(ex) == SLUICE_FAIL ||
                 sluice_test_response_head(ex, 200) == SLUICE_FAIL;
        ck_assert_int_eq(failed, sluice_test_has_failed(test));
        sluice_test_done(ex, false);
    } while (sluice_test_has_failed(test));
    sluice_test_free(&test);
}
END_TEST

UNIT_MAIN("plugins/cors", origins_fit_as_written, a_star_is_said_as_a_star,
          credentials_need_the_origin_by_name, a_preflight_is_answered_in_full,
          options_without_a_preflight_go_on, a_stranger_gets_no_fields_or_a_refusal,
          what_the_upstream_says_is_replaced, a_forwarded_preflight_gets_our_fields,
          bad_patterns_are_refused, without_memory_it_fails_and_does_not_crash)
