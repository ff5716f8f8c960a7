/* What a verified token must say, and how its claims become text. */
#include "jwt_auth/claims.h"

#include "jwt_auth/document.h"
#include "kit/span.h"

#include "unit.h"

#define NOW_S  1700000000u
#define NOW_US (NOW_S * UINT64_C(1000000))

#define LIST_OF(array)                                                                             \
    {                                                                                              \
        (array), sizeof(array) / sizeof((array)[0])                                                \
    }

static enum refusal check_until(const struct claims_rules *rules, const char *text,
                                uint64_t *until_us)
{
    json_t *claims = document_parse(span_of(text));
    enum refusal refusal;

    ck_assert_msg(claims != NULL, "%s", text);
    refusal = claims_check(rules, claims, NOW_US, until_us);
    json_decref(claims);
    return refusal;
}

static enum refusal check(const struct claims_rules *rules, const char *text)
{
    uint64_t until_us;

    return check_until(rules, text, &until_us);
}

START_TEST(exp_ends_a_token_after_the_leeway)
{
    const struct claims_rules rules = {.needs_exp = true, .leeway_ms = 30000};
    uint64_t until_us;

    ck_assert_int_eq(check_until(&rules, "{\"exp\":1700000060}", &until_us), REFUSAL_NONE);
    ck_assert_uint_eq(until_us, NOW_US + 90 * UINT64_C(1000000));
    ck_assert_int_eq(check(&rules, "{\"exp\":1699999971}"), REFUSAL_NONE);
    ck_assert_int_eq(check(&rules, "{\"exp\":1699999970}"), REFUSAL_EXPIRED);
    ck_assert_int_eq(check(&rules, "{\"exp\":1699999970.5}"), REFUSAL_NONE);
    ck_assert_int_eq(check(&rules, "{\"exp\":1.70000006e9}"), REFUSAL_NONE);
    ck_assert_int_eq(check(&rules, "{\"exp\":0}"), REFUSAL_EXPIRED);
    ck_assert_int_eq(check(&rules, "{}"), REFUSAL_CLAIMS);
    ck_assert_int_eq(check(&rules, "{\"exp\":9007199254740992}"), REFUSAL_NONE);
}
END_TEST

START_TEST(moments_are_numbers_within_reason)
{
    const struct claims_rules rules = {.needs_exp = false};
    const char *const bad[] = {
        "\"1700000060\"", "-1",   "-0.5",         "1e300", "9007199254740993000",
        "null",           "true", "[1700000060]", "{}",    "\"\""};
    const char *const names[] = {"exp", "nbf", "iat"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        for (size_t j = 0; j < 3; j++) {
            char text[128];

            snprintf(text, sizeof(text), "{\"%s\":%s}", names[j], bad[i]);
            ck_assert_msg(check(&rules, text) == REFUSAL_CLAIMS, "%s", text);
        }
    }
    ck_assert_int_eq(check(&rules, "{}"), REFUSAL_NONE);
}
END_TEST

START_TEST(a_token_from_the_future_is_refused)
{
    const struct claims_rules rules = {.leeway_ms = 10000};

    ck_assert_int_eq(check(&rules, "{\"nbf\":1700000010}"), REFUSAL_NONE);
    ck_assert_int_eq(check(&rules, "{\"nbf\":1700000011}"), REFUSAL_EARLY);
    ck_assert_int_eq(check(&rules, "{\"iat\":1700000010}"), REFUSAL_NONE);
    ck_assert_int_eq(check(&rules, "{\"iat\":1700000011}"), REFUSAL_EARLY);
}
END_TEST

START_TEST(a_token_may_get_too_old)
{
    const struct claims_rules rules = {.leeway_ms = 10000, .max_age_ms = 60000};
    uint64_t until_us;

    ck_assert_int_eq(check_until(&rules, "{\"iat\":1700000000}", &until_us), REFUSAL_NONE);
    ck_assert_uint_eq(until_us, NOW_US + 70 * UINT64_C(1000000));
    ck_assert_int_eq(check(&rules, "{\"iat\":1699999930}"), REFUSAL_AGE);
    ck_assert_int_eq(check(&rules, "{\"iat\":1699999931}"), REFUSAL_NONE);
    ck_assert_int_eq(check(&rules, "{}"), REFUSAL_CLAIMS);
}
END_TEST

START_TEST(the_issuer_is_one_of_those_named)
{
    const struct sluice_span issuers[] = {SLUICE_SPAN_INIT("https://a"),
                                          SLUICE_SPAN_INIT("https://b")};
    const struct claims_rules rules = {.issuers = LIST_OF(issuers)};

    ck_assert_int_eq(check(&rules, "{\"iss\":\"https://b\"}"), REFUSAL_NONE);
    ck_assert_int_eq(check(&rules, "{\"iss\":\"https://b/\"}"), REFUSAL_ISSUER);
    ck_assert_int_eq(check(&rules, "{\"iss\":\"HTTPS://B\"}"), REFUSAL_ISSUER);
    ck_assert_int_eq(check(&rules, "{}"), REFUSAL_ISSUER);
    ck_assert_int_eq(check(&rules, "{\"iss\":[\"https://b\"]}"), REFUSAL_CLAIMS);
    ck_assert_int_eq(check(&rules, "{\"iss\":\"https://b\",\"sub\":1}"), REFUSAL_CLAIMS);
}
END_TEST

START_TEST(the_audience_is_text_or_a_list)
{
    const struct sluice_span audiences[] = {SLUICE_SPAN_INIT("api"), SLUICE_SPAN_INIT("web")};
    const struct claims_rules rules = {.audiences = LIST_OF(audiences)};

    ck_assert_int_eq(check(&rules, "{\"aud\":\"web\"}"), REFUSAL_NONE);
    ck_assert_int_eq(check(&rules, "{\"aud\":[\"x\",\"api\"]}"), REFUSAL_NONE);
    ck_assert_int_eq(check(&rules, "{\"aud\":[]}"), REFUSAL_AUDIENCE);
    ck_assert_int_eq(check(&rules, "{\"aud\":\"api web\"}"), REFUSAL_AUDIENCE);
    ck_assert_int_eq(check(&rules, "{}"), REFUSAL_AUDIENCE);
    ck_assert_int_eq(check(&rules, "{\"aud\":[\"api\",1]}"), REFUSAL_CLAIMS);
    ck_assert_int_eq(check(&rules, "{\"aud\":{\"api\":1}}"), REFUSAL_CLAIMS);
}
END_TEST

START_TEST(scopes_are_words_or_a_list)
{
    const struct sluice_span scopes[] = {SLUICE_SPAN_INIT("read"), SLUICE_SPAN_INIT("write")};
    const struct claims_rules all = {.scopes = LIST_OF(scopes)};
    const struct claims_rules any = {.scopes = LIST_OF(scopes), .any_scope = true};

    ck_assert_int_eq(check(&all, "{\"scope\":\"x write read\"}"), REFUSAL_NONE);
    ck_assert_int_eq(check(&all, "{\"scp\":[\"read\",\"write\"]}"), REFUSAL_NONE);
    ck_assert_int_eq(check(&all, "{\"scope\":\"read\",\"scp\":[\"write\"]}"), REFUSAL_NONE);
    ck_assert_int_eq(check(&all, "{\"scope\":\"read\"}"), REFUSAL_SCOPE);
    ck_assert_int_eq(check(&all, "{\"scope\":\"readwrite read write2\"}"), REFUSAL_SCOPE);
    ck_assert_int_eq(check(&any, "{\"scope\":\"read\"}"), REFUSAL_NONE);
    ck_assert_int_eq(check(&any, "{\"scope\":\"\"}"), REFUSAL_SCOPE);
    ck_assert_int_eq(check(&any, "{}"), REFUSAL_SCOPE);
    ck_assert_int_eq(check(&any, "{\"scope\":{\"read\":1}}"), REFUSAL_SCOPE);
}
END_TEST

START_TEST(claims_may_have_to_equal_be_one_of_or_contain)
{
    const struct sluice_span values[] = {SLUICE_SPAN_INIT("a"), SLUICE_SPAN_INIT("7")};
    const struct claims_rule equals = {.name = SLUICE_SPAN("x"), .equals = SLUICE_SPAN("true")};
    const struct claims_rule one_of = {.name = SLUICE_SPAN("x"), .one_of = LIST_OF(values)};
    const struct claims_rule contains = {.name = SLUICE_SPAN("x.y"), .contains = LIST_OF(values)};
    const struct claims_rule there = {.name = SLUICE_SPAN("x")};
    const struct {
        const struct claims_rule *rule;
        const char *text;
        bool holds;
    } cases[] = {
        {&equals, "{\"x\":true}", true},
        {&equals, "{\"x\":\"true\"}", true},
        {&equals, "{\"x\":1}", false},
        {&equals, "{\"x\":[true]}", false},
        {&one_of, "{\"x\":\"a\"}", true},
        {&one_of, "{\"x\":7}", true},
        {&one_of, "{\"x\":7.0}", false},
        {&one_of, "{\"x\":\"b\"}", false},
        {&one_of, "{}", false},
        {&contains, "{\"x\":{\"y\":[\"b\",7,\"a\"]}}", true},
        {&contains, "{\"x.y\":[7,\"a\"]}", true},
        {&contains, "{\"x\":{\"y\":[\"a\"]}}", false},
        {&contains, "{\"x\":{\"y\":\"a,7\"}}", false},
        {&contains, "{\"x\":[\"y\",\"a\",7]}", false},
        {&there, "{\"x\":\"\"}", true},
        {&there, "{\"x\":null}", false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct claims_rules rules = {.claims = {cases[i].rule, 1}};

        ck_assert_msg(check(&rules, cases[i].text) ==
                          (cases[i].holds ? REFUSAL_NONE : REFUSAL_CLAIM),
                      "%s", cases[i].text);
    }
}
END_TEST

START_TEST(claims_become_a_line_of_text)
{
    const struct {
        const char *json, *line; /* NULL: none */
    } cases[] = {
        {"\"me\"", "me"},
        {"\"\"", ""},
        {"7", "7"},
        {"true", "true"},
        {"[\"a\",\"b\",7]", "a,b,7"},
        {"[\"a\",\"b,admin\",\"c\"]", "a,c"},
        {"[]", ""},
        {"{\"a\":[1,2]}", "{\"a\":[1,2]}"},
        {"[{\"a\":1}]", "[{\"a\":1}]"},
        {"\"J\\u00fcrgen\"", "J\xc3\xbcrgen"},
        {"\"a\\r\\nX-Admin: 1\"", NULL},
        {"\"a\\u007f\"", NULL},
        {"[\"a\",\"b\\n\"]", NULL},
        {"null", NULL},
        {"\"longer than the room for it\"", NULL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *value = json_loads(cases[i].json, JSON_DECODE_ANY, NULL);
        char out[16];
        size_t len = 0;
        bool rendered = claims_render(value, out, sizeof(out), &len);

        ck_assert_msg(rendered == (cases[i].line != NULL), "%s", cases[i].json);
        if (rendered)
            ck_assert_msg(span_is((struct sluice_span){out, len}, span_of(cases[i].line)), "%s",
                          cases[i].json);
        json_decref(value);
    }
}
END_TEST

UNIT_MAIN("plugins/jwt_auth/claims", exp_ends_a_token_after_the_leeway,
          moments_are_numbers_within_reason, a_token_from_the_future_is_refused,
          a_token_may_get_too_old, the_issuer_is_one_of_those_named, the_audience_is_text_or_a_list,
          scopes_are_words_or_a_list, claims_may_have_to_equal_be_one_of_or_contain,
          claims_become_a_line_of_text)
