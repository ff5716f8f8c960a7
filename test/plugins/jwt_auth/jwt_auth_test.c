/* The plugin as a gateway sees it: tokens in requests, answers, what is told, what is kept. */
#include "sign.h"
#include "sluice_test.h"

#include "unit.h"

#define REQUEST SLUICE_REQUEST

#define BY_SECRET "keys[0].secret=" SIGN_SECRET, "algorithms=[HS256]"

static const char *token_of(const char *claims)
{
    return sign_token(ALG_HS256, NULL, "{\"alg\":\"HS256\"}", claims);
}

static const char *good_token(void)
{
    return token_of("{\"sub\":\"me\",\"iss\":\"https://id\",\"exp\":99999999999,"
                    "\"groups\":[\"a\",\"b\"],\"scope\":\"read\"}");
}

static struct sluice_exchange *bearing(struct sluice_test *test, const char *token)
{
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/a");

    sluice_test_field_add(ex, REQUEST, "Authorization", sign_text("Bearer %s", token));
    return ex;
}

static enum sluice_verdict run(struct sluice_test *test, const char *token)
{
    return sluice_test_request_head(bearing(test, token));
}

static void assert_refused(struct sluice_exchange *ex, uint32_t status, const char *word)
{
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_REPLIED);
    ck_assert_uint_eq(sluice_test_reply(ex)->status, status);
    ck_assert_str_eq(sluice_test_notes(ex), word);
    ck_assert_str_eq(sluice_test_reply(ex)->reason, word);
}

static const char *challenge(struct sluice_exchange *ex)
{
    return sluice_test_field(ex, SLUICE_RESPONSE, "WWW-Authenticate");
}

START_TEST(a_request_without_a_token_is_refused)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, BY_SECRET, NULL);
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/a");

    assert_refused(ex, 401, "jwt_missing");
    ck_assert_str_eq(challenge(ex), "Bearer realm=\"api\"");
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_RESPONSE, "Cache-Control"), "no-store");
    ex = sluice_test_request(test, "GET", "/a");
    sluice_test_field_add(ex, REQUEST, "Authorization", "Basic YTpi");
    assert_refused(ex, 401, "jwt_missing");
    ck_assert_int_eq((int)sluice_test_metric(test, "refusals_total", "jwt_missing"), 2);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_good_token_says_who_it_is)
{
    struct sluice_test *test = sluice_test_started(
        &sluice_plugin, BY_SECRET, "groups_claim=groups", "attributes=[scope, nothing]",
        "forward={X-User: sub, X-Groups: groups, X-None: none}", NULL);

    /* the second is from the cache, and is told the same */
    for (int i = 0; i < 2; i++) {
        struct sluice_exchange *ex = bearing(test, good_token());

        sluice_test_field_add(ex, REQUEST, "X-User", "root");
        sluice_test_field_add(ex, REQUEST, "x_user", "root");
        sluice_test_field_add(ex, REQUEST, "X-None", "root");
        sluice_test_field_add(ex, REQUEST, "X-None", "root");
        ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
        ck_assert_str_eq(sluice_test_attribute(ex, "auth.subject"), "me");
        ck_assert_str_eq(sluice_test_attribute(ex, "auth.issuer"), "https://id");
        ck_assert_str_eq(sluice_test_attribute(ex, "consumer.name"), "me");
        ck_assert_str_eq(sluice_test_attribute(ex, "consumer.groups"), "a,b");
        ck_assert_str_eq(sluice_test_attribute(ex, "auth.claims.scope"), "read");
        ck_assert_ptr_null(sluice_test_attribute(ex, "auth.claims.nothing"));
        ck_assert_uint_eq(sluice_test_field_count(ex, REQUEST, "X-User"), 1);
        ck_assert_str_eq(sluice_test_field(ex, REQUEST, "X-User"), "me");
        ck_assert_str_eq(sluice_test_field(ex, REQUEST, "X-Groups"), "a,b");
        ck_assert_ptr_null(sluice_test_field(ex, REQUEST, "x_user"));
        ck_assert_ptr_null(sluice_test_field(ex, REQUEST, "X-None"));
        ck_assert_ptr_nonnull(sluice_test_field(ex, REQUEST, "Authorization"));
    }
    ck_assert_int_eq((int)sluice_test_metric(test, "tokens_total", "verified"), 1);
    ck_assert_int_eq((int)sluice_test_metric(test, "tokens_total", "cached"), 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_bad_token_is_refused_with_its_reason)
{
    const struct {
        const char *token;
        uint32_t status;
        const char *word, *error;
    } cases[] = {
        {"garbage", 401, "jwt_malformed", "invalid_token"},
        {"", 401, "jwt_malformed", "invalid_token"},
        {token_of("{\"exp\":1}"), 401, "jwt_expired", "invalid_token"},
        {token_of("{}"), 401, "jwt_claims", "invalid_token"},
        {sign_text("%sx", good_token()), 401, "jwt_signature", "invalid_token"},
        {token_of("{\"exp\":99999999999,\"scope\":\"write\",\"role\":\"admin\"}"), 403, "jwt_scope",
         "insufficient_scope"},
        {token_of("{\"exp\":99999999999,\"scope\":\"read\"}"), 403, "jwt_claim",
         "insufficient_scope"},
        {sign_token(ALG_HS512, NULL, "{\"alg\":\"HS512\"}", "{\"exp\":99999999999}"), 401,
         "jwt_alg", "invalid_token"},
    };
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, BY_SECRET, "scopes=[read]",
                            "claims={role: {one_of: [admin, editor]}}", NULL);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        /* again, from the cache */
        for (int again = 0; again < 2; again++) {
            struct sluice_exchange *ex = bearing(test, cases[i].token);

            assert_refused(ex, cases[i].status, cases[i].word);
            ck_assert_ptr_nonnull(strstr(challenge(ex), cases[i].error));
            ck_assert_int_eq(strstr(challenge(ex), ", scope=\"read\"") != NULL,
                             strcmp(cases[i].word, "jwt_scope") == 0);
        }
    }
    ck_assert_uint_eq(sluice_test_logged(test, "eyJ"), 0);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_cached_token_expires_like_any_other)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, BY_SECRET, "leeway=0s", NULL);
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/a");
    const char *token = NULL;

    sluice_test_done(ex, true);
    /* the fake host's wall clock: found by what is accepted */
    for (uint64_t exp = 1; exp < UINT64_C(1) << 40 && !token; exp *= 2) {
        if (run(test, token_of(sign_text("{\"exp\":%llu}", (unsigned long long)exp))) ==
            SLUICE_NEXT) {
            uint64_t low = exp / 2, high = exp;

            while (high - low > 1) {
                uint64_t mid = (low + high) / 2;

                if (run(test, token_of(sign_text("{\"exp\":%llu}", (unsigned long long)mid))) ==
                    SLUICE_NEXT)
                    high = mid;
                else
                    low = mid;
            }
            token = token_of(sign_text("{\"exp\":%llu}", (unsigned long long)high + 10));
        }
    }
    ck_assert_ptr_nonnull(token);
    ck_assert_int_eq(run(test, token), SLUICE_NEXT);
    sluice_test_advance(test, 9000);
    ck_assert_int_eq(run(test, token), SLUICE_NEXT);
    sluice_test_advance(test, 2000);
    assert_refused(bearing(test, token), 401, "jwt_expired");
    sluice_test_free(&test);
}
END_TEST

START_TEST(several_tokens_are_refused)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, BY_SECRET, "cookie=jwt", "query=access_token", NULL);
    const char *token = good_token();
    struct sluice_exchange *ex = bearing(test, token);

    sluice_test_field_add(ex, REQUEST, "authorization", sign_text("bearer %s", token));
    assert_refused(ex, 400, "jwt_several");
    ck_assert_ptr_nonnull(strstr(challenge(ex), "error=\"invalid_request\""));
    ex = bearing(test, token);
    sluice_test_field_add(ex, REQUEST, "Cookie", sign_text("a=b; jwt=%s", token));
    assert_refused(ex, 400, "jwt_several");
    ex = sluice_test_request(test, "GET", sign_text("/a?access_token=%s", token));
    sluice_test_field_add(ex, REQUEST, "Authorization", sign_text("Bearer %s", token));
    assert_refused(ex, 400, "jwt_several");
    ex = sluice_test_request(test, "GET",
                             sign_text("/a?access_token=%s&access_token=%s", token, token));
    assert_refused(ex, 400, "jwt_several");
    ex = sluice_test_request(test, "GET", "/a");
    sluice_test_field_add(ex, REQUEST, "Cookie", sign_text("jwt=%s; jwt=%s", token, token));
    assert_refused(ex, 400, "jwt_several");
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_token_in_the_query_does_not_go_on)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, BY_SECRET, "query=access_token", NULL);
    struct sluice_exchange *ex =
        sluice_test_request(test, "GET", sign_text("/a?x=1&access_token=%s&y=2", good_token()));

    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_target(ex), "/a?x=1&y=2");
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_token_is_stripped_wherever_it_was)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, BY_SECRET, "cookie=jwt", "query=t", "strip=all", NULL);
    struct sluice_exchange *ex = bearing(test, good_token());

    sluice_test_field_add(ex, REQUEST, "Cookie", "a=b; c=d");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_ptr_null(sluice_test_field(ex, REQUEST, "Authorization"));
    ck_assert_str_eq(sluice_test_field(ex, REQUEST, "Cookie"), "a=b; c=d");

    ex = sluice_test_request(test, "GET", "/a?t");
    sluice_test_field_add(ex, REQUEST, "Cookie", "a=b");
    sluice_test_field_add(ex, REQUEST, "Cookie", sign_text("jwt=%s; xjwt=1", good_token()));
    sluice_test_field_add(ex, REQUEST, "Authorization", "Basic YTpi");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_field(ex, REQUEST, "Cookie"), "a=b; xjwt=1");
    ck_assert_str_eq(sluice_test_field(ex, REQUEST, "Authorization"), "Basic YTpi");

    ex = sluice_test_request(test, "GET", "/a");
    sluice_test_field_add(ex, REQUEST, "Cookie", sign_text("jwt=%s", good_token()));
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_ptr_null(sluice_test_field(ex, REQUEST, "Cookie"));
    sluice_test_free(&test);
}
END_TEST

START_TEST(another_field_may_carry_the_bare_token)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, BY_SECRET, "field=X-Token", "scheme=\"\"", NULL);
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/a");

    sluice_test_field_add(ex, REQUEST, "x-token", good_token());
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    assert_refused(bearing(test, good_token()), 401, "jwt_missing");
    sluice_test_free(&test);
}
END_TEST

START_TEST(without_a_token_one_may_be_anonymous)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, BY_SECRET, "required=false", "anonymous=guest",
                            "forward={X-User: sub}", NULL);
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/a");

    sluice_test_field_add(ex, REQUEST, "X-User", "root");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_attribute(ex, "consumer.name"), "guest");
    ck_assert_ptr_null(sluice_test_attribute(ex, "auth.subject"));
    ck_assert_ptr_null(sluice_test_field(ex, REQUEST, "X-User"));
    assert_refused(bearing(test, "garbage"), 401, "jwt_malformed");
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_token_has_a_greatest_length)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, BY_SECRET, "max_token=300", NULL);
    char filler[400] = "";

    memset(filler, 'x', 250);
    assert_refused(bearing(test, token_of(sign_text("{\"exp\":99999999999,\"x\":\"%s\"}", filler))),
                   401, "jwt_too_long");
    ck_assert_int_eq(run(test, good_token()), SLUICE_NEXT);
    sluice_test_free(&test);
}
END_TEST

START_TEST(types_tell_access_tokens_from_others)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, BY_SECRET, "types=[at+jwt]", NULL);

    assert_refused(bearing(test, good_token()), 401, "jwt_type");
    ck_assert_int_eq(run(test, sign_token(ALG_HS256, NULL, "{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}",
                                          "{\"exp\":99999999999}")),
                     SLUICE_NEXT);
    sluice_test_free(&test);
}
END_TEST

START_TEST(mistakes_in_options_are_told)
{
    const char *const cases[][4] = {
        /* options, and a part of the error */
        {"realm=x", NULL, NULL, "give jwks, jwks_file or keys"},
        {"keys[0].secret=short", "algorithms=[HS256]", NULL, "too weak"},
        {"keys[0].secret=" SIGN_SECRET, NULL, NULL, "list HS256"},
        {"keys[0].secret=" SIGN_SECRET, "keys[0].pem=x", NULL, "exactly one source"},
        {"keys[0].kid=a", NULL, NULL, "exactly one source"},
        {"keys[0].pem=nonsense", NULL, NULL, "malformed"},
        {"keys[0].pem='-----BEGIN PRIVATE KEY-----'", NULL, NULL, "private key"},
        {"keys[0].secret=" SIGN_SECRET, "keys[0].alg=ES256", "algorithms=[HS256]", "algorithm"},
        {"keys[0].secret=" SIGN_SECRET, "algorithms=[HS256]", "anonymous=x", "required: false"},
        {"keys[0].secret=" SIGN_SECRET, "algorithms=[HS256]", "field=\"\"", "field, cookie or"},
        {"keys[0].secret=" SIGN_SECRET, "algorithms=[HS256]", "realm='a\"b'", "realm"},
        {"keys[0].secret=" SIGN_SECRET, "algorithms=[HS256]", "scopes=['a b']", "scope"},
        {"keys[0].secret=" SIGN_SECRET, "algorithms=[HS256]", "forward={'a b': sub}", "field"},
        {"keys[0].secret=" SIGN_SECRET, "algorithms=[HS256]", "attributes=['a b']", "attribute"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sluice_test *test = sluice_test_new(&sluice_plugin);

        for (size_t j = 0; j < 3 && cases[i][j]; j++)
            sluice_test_set(test, cases[i][j]);
        ck_assert_msg(!sluice_test_check(test), "%zu", i);
        ck_assert_msg(strstr(sluice_test_errors(test), cases[i][3]) != NULL, "%zu: %s", i,
                      sluice_test_errors(test));
        ck_assert_ptr_null(strstr(sluice_test_errors(test), SIGN_SECRET));
        sluice_test_free(&test);
    }
}
END_TEST

START_TEST(secrets_may_be_encoded)
{
    const char *encoded = sign_base64(SIGN_SECRET, strlen(SIGN_SECRET));
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, sign_text("keys[0].secret=%s", encoded),
                            "keys[0].encoding=base64url", "algorithms=[HS256]", NULL);

    ck_assert_int_eq(run(test, good_token()), SLUICE_NEXT);
    sluice_test_free(&test);
}
END_TEST

START_TEST(running_out_of_room_lets_nobody_in)
{
    for (uint64_t n = 1; n < 1000; n++) {
        struct sluice_test *test =
            sluice_test_started(&sluice_plugin, BY_SECRET, "strip=all", "query=t",
                                "forward={X-User: sub}", "attributes=[scope]", NULL);
        struct sluice_exchange *ex =
            sluice_test_request(test, "GET", sign_text("/a?t=%s&u=1", good_token()));
        enum sluice_verdict verdict;
        bool has_failed;

        sluice_test_field_add(ex, REQUEST, "X-User", "root");
        sluice_test_fail_nth(test, n);
        verdict = sluice_test_request_head(ex);
        has_failed = sluice_test_has_failed(test);
        if (verdict == SLUICE_NEXT) {
            ck_assert_str_eq(sluice_test_field(ex, REQUEST, "X-User"), "me");
            ck_assert_str_eq(sluice_test_target(ex), "/a?u=1");
        }
        sluice_test_fail_nth(test, 0);
        sluice_test_free(&test);
        if (!has_failed)
            return;
        ck_assert_int_ne(verdict, SLUICE_NEXT);
    }
    ck_abort_msg("it never ends");
}
END_TEST

UNIT_MAIN("plugins/jwt_auth", a_request_without_a_token_is_refused, a_good_token_says_who_it_is,
          a_bad_token_is_refused_with_its_reason, a_cached_token_expires_like_any_other,
          several_tokens_are_refused, a_token_in_the_query_does_not_go_on,
          a_token_is_stripped_wherever_it_was, another_field_may_carry_the_bare_token,
          without_a_token_one_may_be_anonymous, a_token_has_a_greatest_length,
          types_tell_access_tokens_from_others, mistakes_in_options_are_told,
          secrets_may_be_encoded, running_out_of_room_lets_nobody_in)
