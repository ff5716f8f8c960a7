/* Keys from an issuer: fetched once for all, rotated without loss, kept while it is away. */
#include "sign.h"
#include "sluice_test.h"

#include "unit.h"

#define URL    "https://id.example/jwks"
#define CLAIMS "{\"sub\":\"me\",\"exp\":99999999999}"

/* An issuer behind the fake host's HTTP. */
struct issuer {
    EVP_PKEY *keys[8];
    size_t first, n;   /* the keys published now: first to n - 1 */
    uint32_t delay_ms; /* of an answer */
    bool is_down;
    const char *max_age;
    unsigned asked;
    char url[64];
    struct sluice_pair field;
};

static char *document_of(const struct issuer *issuer)
{
    char *text = sign_text("{\"keys\":[");

    for (size_t i = issuer->first; i < issuer->n; i++)
        text = sign_text("%s%s%s", text, i > issuer->first ? "," : "",
                         sign_jwk(issuer->keys[i], sign_text(",\"kid\":\"k%zu\"", i)));
    return sign_text("%s]}", text);
}

static void answer(void *arg, const char *url, const struct sluice_http_request *request,
                   struct sluice_test_http *out)
{
    struct issuer *issuer = arg;

    (void)request;
    issuer->asked++;
    snprintf(issuer->url, sizeof(issuer->url), "%s", url);
    if (issuer->is_down)
        return;
    out->end = SLUICE_HTTP_OK;
    out->status = 200;
    out->delay_ms = issuer->delay_ms;
    out->body.ptr = document_of(issuer);
    out->body.len = strlen(out->body.ptr);
    if (issuer->max_age) {
        issuer->field = (struct sluice_pair){SLUICE_SPAN("cache-control"),
                                             {issuer->max_age, strlen(issuer->max_age)}};
        out->fields = &issuer->field;
        out->n_fields = 1;
    }
}

static void issuer_init(struct issuer *issuer)
{
    *issuer = (struct issuer){.n = 1, .delay_ms = 10};
    for (size_t i = 0; i < 8; i++)
        issuer->keys[i] = sign_key(ALG_ES256);
}

static const char *token_by(const struct issuer *issuer, size_t i)
{
    return sign_token(ALG_ES256, issuer->keys[i],
                      sign_text("{\"alg\":\"ES256\",\"kid\":\"k%zu\"}", i), CLAIMS);
}

static struct sluice_test *started(struct issuer *issuer, uint32_t workers, const char *more)
{
    struct sluice_test *test = sluice_test_new(&sluice_plugin);

    sluice_test_workers(test, workers);
    sluice_test_on_http(test, answer, issuer);
    sluice_test_set(test, "jwks=" URL);
    if (more)
        sluice_test_set(test, more);
    ck_assert_msg(sluice_test_start(test), "%s", sluice_test_errors(test));
    return test;
}

static struct sluice_exchange *bearing(struct sluice_test *test, const char *token)
{
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/a");

    sluice_test_field_add(ex, SLUICE_REQUEST, "Authorization", sign_text("Bearer %s", token));
    return ex;
}

static enum sluice_verdict run(struct sluice_test *test, const char *token)
{
    return sluice_test_request_head(bearing(test, token));
}

/* The verdict in the end, after any wait. */
static enum sluice_verdict settled(struct sluice_test *test, const char *token)
{
    struct sluice_exchange *ex = bearing(test, token);
    enum sluice_verdict verdict = sluice_test_request_head(ex);

    return verdict == SLUICE_WAIT ? sluice_test_settle(ex) : verdict;
}

START_TEST(the_first_request_waits_for_the_keys)
{
    struct issuer issuer;
    struct sluice_test *test;
    struct sluice_exchange *ex;

    issuer_init(&issuer);
    issuer.delay_ms = 300;
    test = started(&issuer, 1, NULL);
    ex = bearing(test, token_by(&issuer, 0));
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_WAIT);
    sluice_test_advance(test, 250);
    ck_assert_int_eq(sluice_test_verdict(ex), SLUICE_WAIT);
    sluice_test_advance(test, 100);
    ck_assert_int_eq(sluice_test_verdict(ex), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_attribute(ex, "auth.subject"), "me");
    ck_assert_uint_eq(issuer.asked, 1);
    ck_assert_str_eq(issuer.url, URL);
    sluice_test_free(&test);
}
END_TEST

START_TEST(the_first_fetch_is_waited_for_whatever_the_cooldown)
{
    struct issuer issuer;
    struct sluice_test *test;
    struct sluice_exchange *ex[2];

    issuer_init(&issuer);
    issuer.delay_ms = 300;
    test = started(&issuer, 2, "jwks_cooldown=60s");
    for (uint32_t i = 0; i < 2; i++) {
        sluice_test_on_worker(test, i);
        ex[i] = bearing(test, token_by(&issuer, 0));
        ck_assert_int_eq(sluice_test_request_head(ex[i]), SLUICE_WAIT);
    }
    for (uint32_t i = 0; i < 2; i++)
        ck_assert_int_eq(sluice_test_settle(ex[i]), SLUICE_NEXT);
    ck_assert_uint_eq(issuer.asked, 1);
    /* from now on an unknown name has to wait for the cooldown's end: it is refused at once */
    ck_assert_int_eq(run(test, token_by(&issuer, 1)), SLUICE_REPLIED);
    sluice_test_free(&test);
}
END_TEST

START_TEST(one_fetch_serves_all_workers)
{
    struct issuer issuer;
    struct sluice_test *test;

    issuer_init(&issuer);
    test = started(&issuer, 4, NULL);
    for (uint32_t i = 0; i < 4; i++) {
        sluice_test_on_worker(test, i);
        ck_assert_int_eq(settled(test, token_by(&issuer, 0)), SLUICE_NEXT);
    }
    sluice_test_advance(test, 5000);
    ck_assert_uint_eq(issuer.asked, 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_rotation_loses_no_request)
{
    struct issuer issuer;
    struct sluice_test *test;
    struct sluice_exchange *ex[32];

    issuer_init(&issuer);
    test = started(&issuer, 4, NULL);
    ck_assert_int_eq(settled(test, token_by(&issuer, 0)), SLUICE_NEXT);
    for (size_t round = 1; round < 8; round++) {
        unsigned before = issuer.asked;

        issuer.n = round + 1;
        issuer.first = round > 1 ? round - 1 : 0;
        for (uint32_t i = 0; i < 32; i++) {
            sluice_test_on_worker(test, i % 4);
            ex[i] = bearing(test, token_by(&issuer, round));
            ck_assert_int_eq(sluice_test_request_head(ex[i]), SLUICE_WAIT);
        }
        for (uint32_t i = 0; i < 32; i++)
            ck_assert_int_eq(sluice_test_settle(ex[i]), SLUICE_NEXT);
        ck_assert_uint_eq(issuer.asked, before + 1);
        /* on all workers the old key still goes, and the one before is gone */
        sluice_test_advance(test, 1100);
        for (uint32_t i = 0; i < 4; i++) {
            sluice_test_on_worker(test, i);
            ck_assert_int_eq(settled(test, token_by(&issuer, round - 1)), SLUICE_NEXT);
        }
    }
    ck_assert_int_eq(settled(test, token_by(&issuer, 0)), SLUICE_REPLIED);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_key_published_while_a_fetch_is_under_way_is_found)
{
    struct issuer issuer;
    struct sluice_test *test;
    struct sluice_exchange *first, *second;

    issuer_init(&issuer);
    test = started(&issuer, 1, NULL);
    ck_assert_int_eq(settled(test, token_by(&issuer, 0)), SLUICE_NEXT);
    sluice_test_advance(test, 2000);
    issuer.delay_ms = 500;
    issuer.n = 2;
    first = bearing(test, token_by(&issuer, 1));
    ck_assert_int_eq(sluice_test_request_head(first), SLUICE_WAIT);
    sluice_test_advance(test, 100); /* the answer is made by now, and does not hold the next key */
    issuer.n = 3;
    second = bearing(test, token_by(&issuer, 2));
    ck_assert_int_eq(sluice_test_request_head(second), SLUICE_WAIT);
    ck_assert_int_eq(sluice_test_settle(first), SLUICE_NEXT);
    ck_assert_int_eq(sluice_test_verdict(second), SLUICE_WAIT);
    ck_assert_int_eq(sluice_test_settle(second), SLUICE_NEXT);
    sluice_test_free(&test);
}
END_TEST

START_TEST(unknown_names_cost_the_issuer_little)
{
    struct issuer issuer;
    struct sluice_test *test;
    struct sluice_exchange *ex[40];
    unsigned before;

    issuer_init(&issuer);
    test = started(&issuer, 2, NULL);
    ck_assert_int_eq(settled(test, token_by(&issuer, 0)), SLUICE_NEXT);
    before = issuer.asked;
    for (uint32_t i = 0; i < 40; i++) {
        sluice_test_on_worker(test, i % 2);
        ex[i] = bearing(test, token_by(&issuer, 1 + i % 7));
        ck_assert_int_eq(sluice_test_request_head(ex[i]), SLUICE_WAIT);
        sluice_test_advance(test, 100);
    }
    sluice_test_advance(test, 2000);
    for (uint32_t i = 0; i < 40; i++) {
        ck_assert_int_eq(sluice_test_verdict(ex[i]), SLUICE_REPLIED);
        ck_assert_str_eq(sluice_test_notes(ex[i]), "jwt_key");
        ck_assert_uint_eq(sluice_test_reply(ex[i])->status, 401);
    }
    /* 6 s, at most one a second */
    ck_assert_uint_le(issuer.asked - before, 7);
    sluice_test_free(&test);
}
END_TEST

START_TEST(keys_are_kept_while_the_issuer_is_away)
{
    struct issuer issuer;
    struct sluice_test *test;
    unsigned asked;

    issuer_init(&issuer);
    test = started(&issuer, 2, "jwks_max_stale=1h");
    ck_assert_int_eq(settled(test, token_by(&issuer, 0)), SLUICE_NEXT);
    issuer.is_down = true;
    sluice_test_advance(test, UINT64_C(40) * 60 * 1000);
    ck_assert_int_eq(run(test, token_by(&issuer, 0)), SLUICE_NEXT);
    ck_assert_uint_eq(sluice_test_logged(test, "cannot fetch keys"), 1);
    /* a name that nobody knows is refused at once: no fetch will come soon enough */
    ck_assert_int_eq(settled(test, token_by(&issuer, 1)), SLUICE_REPLIED);
    asked = issuer.asked;
    sluice_test_advance(test, UINT64_C(60) * 1000);
    ck_assert_uint_le(issuer.asked - asked, 4);
    issuer.is_down = false;
    sluice_test_advance(test, UINT64_C(31) * 1000);
    ck_assert_uint_eq(sluice_test_logged(test, "keys can be fetched again"), 1);
    issuer.is_down = true;
    sluice_test_advance(test, UINT64_C(70) * 60 * 1000);
    ck_assert_int_eq(settled(test, token_by(&issuer, 0)), SLUICE_FAIL);
    sluice_test_free(&test);
}
END_TEST

START_TEST(without_any_keys_nobody_is_let_in)
{
    struct issuer issuer;
    struct sluice_test *test;
    struct sluice_exchange *ex;

    issuer_init(&issuer);
    issuer.is_down = true;
    test = started(&issuer, 1, NULL);
    sluice_test_advance(test, 60000);
    ex = bearing(test, token_by(&issuer, 0));
    ck_assert_int_ne(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_int_eq(sluice_test_settle(ex), SLUICE_FAIL);
    ck_assert_uint_eq(sluice_test_reply(ex)->status, 500);
    issuer.is_down = false;
    sluice_test_advance(test, 40000);
    ck_assert_int_eq(run(test, token_by(&issuer, 0)), SLUICE_NEXT);
    sluice_test_free(&test);
}
END_TEST

START_TEST(keys_are_refreshed_in_time)
{
    struct issuer issuer;
    struct sluice_test *test;

    issuer_init(&issuer);
    test = started(&issuer, 3, "jwks_refresh=10m");
    sluice_test_advance(test, UINT64_C(60) * 60 * 1000);
    /* each is at most a tenth early, and a second late */
    ck_assert_uint_ge(issuer.asked, 6);
    ck_assert_uint_le(issuer.asked, 8);
    issuer.max_age = "public, max-age=60";
    sluice_test_advance(test, UINT64_C(10) * 60 * 1000);
    issuer.asked = 0;
    sluice_test_advance(test, UINT64_C(10) * 60 * 1000);
    ck_assert_uint_ge(issuer.asked, 9);
    ck_assert_uint_le(issuer.asked, 12);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_removed_key_is_not_believed_any_more)
{
    struct issuer issuer;
    struct sluice_test *test;
    const char *token;

    issuer_init(&issuer);
    issuer.n = 2;
    token = token_by(&issuer, 0);
    test = started(&issuer, 2, "jwks_refresh=1m");
    for (uint32_t i = 0; i < 2; i++) {
        sluice_test_on_worker(test, i);
        ck_assert_int_eq(settled(test, token), SLUICE_NEXT);
        ck_assert_int_eq(run(test, token), SLUICE_NEXT); /* from the cache */
    }
    issuer.first = 1;
    sluice_test_advance(test, 62000);
    for (uint32_t i = 0; i < 2; i++) {
        sluice_test_on_worker(test, i);
        ck_assert_int_eq(settled(test, token), SLUICE_REPLIED);
        ck_assert_int_eq(settled(test, token_by(&issuer, 1)), SLUICE_NEXT);
    }
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_reload_keeps_the_keys_of_the_same_issuer_only)
{
    struct issuer issuer;
    struct sluice_test *test;
    const char *token;

    issuer_init(&issuer);
    token = token_by(&issuer, 0);
    test = started(&issuer, 2, NULL);
    ck_assert_int_eq(settled(test, token), SLUICE_NEXT);
    issuer.is_down = true;
    sluice_test_set(test, "leeway=10s");
    ck_assert(sluice_test_reload(test));
    ck_assert_int_eq(run(test, token), SLUICE_NEXT);
    sluice_test_set(test, "jwks=https://other.example/jwks");
    ck_assert(sluice_test_reload(test));
    ck_assert_int_eq(settled(test, token), SLUICE_FAIL);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_secret_that_an_issuer_publishes_is_no_key)
{
    struct issuer issuer;
    struct sluice_test *test;
    const char *body = sign_text("{\"keys\":[{\"kty\":\"oct\",\"k\":\"%s\"},%s]}",
                                 sign_base64(SIGN_SECRET, strlen(SIGN_SECRET)),
                                 sign_jwk(sign_key(ALG_ES256), ",\"kid\":\"k0\""));
    const struct sluice_test_http once = {
        .end = SLUICE_HTTP_OK, .status = 200, .body = {body, strlen(body)}};

    issuer_init(&issuer);
    test = sluice_test_new(&sluice_plugin);
    sluice_test_on_http(test, answer, &issuer);
    sluice_test_http_next(test, &once);
    sluice_test_set(test, "jwks=" URL);
    sluice_test_set(test, "algorithms=[HS256, ES256]");
    ck_assert(sluice_test_start(test));
    sluice_test_advance(test, 2000);
    ck_assert_int_eq(settled(test, sign_token(ALG_HS256, NULL, "{\"alg\":\"HS256\"}", CLAIMS)),
                     SLUICE_REPLIED);
    sluice_test_free(&test);
}
END_TEST

START_TEST(whoever_waits_is_bounded)
{
    struct issuer issuer;
    struct sluice_test *test;
    unsigned waiting = 0;

    issuer_init(&issuer);
    test = started(&issuer, 1, NULL);
    ck_assert_int_eq(settled(test, token_by(&issuer, 0)), SLUICE_NEXT);
    for (int i = 0; i < 1100; i++)
        waiting += run(test, token_by(&issuer, 1)) == SLUICE_WAIT;
    ck_assert_uint_eq(waiting, 1024);
    sluice_test_advance(test, 3000);
    sluice_test_free(&test);
}
END_TEST

START_TEST(exchanges_that_end_while_they_wait_do_no_harm)
{
    struct issuer issuer;
    struct sluice_test *test;
    struct sluice_exchange *ex;

    issuer_init(&issuer);
    issuer.delay_ms = 500;
    test = started(&issuer, 1, NULL);
    ex = bearing(test, token_by(&issuer, 0));
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_WAIT);
    sluice_test_done(ex, false);
    sluice_test_advance(test, 1000);
    ck_assert_int_eq(run(test, token_by(&issuer, 0)), SLUICE_NEXT);
    ex = bearing(test, token_by(&issuer, 1));
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_WAIT);
    sluice_test_free(&test);
}
END_TEST

UNIT_MAIN("plugins/jwt_auth/jwks", the_first_request_waits_for_the_keys,
          the_first_fetch_is_waited_for_whatever_the_cooldown, one_fetch_serves_all_workers,
          a_rotation_loses_no_request, a_key_published_while_a_fetch_is_under_way_is_found,
          unknown_names_cost_the_issuer_little, keys_are_kept_while_the_issuer_is_away,
          without_any_keys_nobody_is_let_in, keys_are_refreshed_in_time,
          a_removed_key_is_not_believed_any_more, a_reload_keeps_the_keys_of_the_same_issuer_only,
          a_secret_that_an_issuer_publishes_is_no_key, whoever_waits_is_bounded,
          exchanges_that_end_while_they_wait_do_no_harm)
