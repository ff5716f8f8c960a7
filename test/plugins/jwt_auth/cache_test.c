/* The cache of tokens, and the digest it knows them by. */
#include "jwt_auth/cache.h"
#include "jwt_auth/grant.h"
#include "kit/span.h"

#include "unit.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

static struct digest digest_at(uint64_t n)
{
    return (struct digest){n * 8, n};
}

static struct grant *grant_of(const char *value)
{
    const struct sluice_span name = SLUICE_SPAN("sub");
    json_t *claims = json_pack("{s:s}", "sub", value);
    struct grant *grant = grant_new(claims, &name, 1);

    json_decref(claims);
    ck_assert_ptr_nonnull(grant);
    return grant;
}

static void put(struct cache *cache, uint64_t n, uint64_t until_us)
{
    struct grant *grant = grant_of("me");

    ck_assert_ptr_nonnull(cache_put(cache, digest_at(n), REFUSAL_NONE, &grant, until_us));
    ck_assert_ptr_null(grant);
}

static bool has(struct cache *cache, uint64_t n, uint64_t now_us)
{
    struct cache_answer answer;

    return cache_find(cache, digest_at(n), now_us, &answer);
}

START_TEST(the_digest_is_siphash)
{
    unsigned char key[16], text[200], want[16];
    const struct digest_key ours = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (unsigned char)(i * 7);
    for (size_t len = 0; len <= sizeof(text); len++) {
        struct digest digest = digest_of(&ours, (struct sluice_span){(const char *)text, len});
        size_t size = sizeof(want), got = 0;
        OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
                               OSSL_PARAM_construct_end()};

        ck_assert_ptr_nonnull(EVP_Q_mac(NULL, "SIPHASH", NULL, NULL, params, key, sizeof(key), text,
                                        len, want, sizeof(want), &got));
        ck_assert_uint_eq(got, sizeof(want));
        ck_assert_int_eq(memcmp(&digest.low, want, 8), 0);
        ck_assert_int_eq(memcmp(&digest.high, want + 8, 8), 0);
    }
}
END_TEST

START_TEST(an_answer_is_kept_until_its_time)
{
    struct cache *cache = cache_new(4);
    struct cache_answer answer;
    struct sluice_span value;
    struct grant *none = NULL;

    put(cache, 1, 100);
    cache_put(cache, digest_at(2), REFUSAL_SIGNATURE, &none, 50);
    ck_assert(cache_find(cache, digest_at(1), 99, &answer));
    ck_assert_int_eq(answer.refusal, REFUSAL_NONE);
    ck_assert(grant_value(answer.grant, 0, &value));
    ck_assert(span_is(value, SLUICE_SPAN("me")));
    ck_assert(cache_find(cache, digest_at(2), 49, &answer));
    ck_assert_int_eq(answer.refusal, REFUSAL_SIGNATURE);
    ck_assert_ptr_null(answer.grant);
    ck_assert(!has(cache, 1, 100));
    ck_assert(!has(cache, 2, 50));
    ck_assert(!has(cache, 3, 0));
    cache_free(&cache);
}
END_TEST

START_TEST(a_full_cache_forgets_what_was_used_longest_ago)
{
    struct cache *cache = cache_new(3);

    put(cache, 1, 100);
    put(cache, 2, 100);
    put(cache, 3, 100);
    ck_assert(has(cache, 1, 0));
    put(cache, 4, 100);
    ck_assert(has(cache, 1, 0) && !has(cache, 2, 0) && has(cache, 3, 0) && has(cache, 4, 0));
    ck_assert_uint_eq(cache_used(cache), 3);
    cache_free(&cache);
}
END_TEST

START_TEST(an_answer_is_replaced_by_a_newer_one)
{
    struct cache *cache = cache_new(2);

    put(cache, 1, 10);
    put(cache, 1, 100);
    ck_assert(has(cache, 1, 50));
    ck_assert_uint_eq(cache_used(cache), 1);
    cache_free(&cache);
}
END_TEST

START_TEST(a_cleared_cache_knows_nothing_and_works_on)
{
    struct cache *cache = cache_new(8);

    for (uint64_t n = 0; n < 100; n++)
        put(cache, n, 100);
    cache_clear(cache);
    ck_assert_uint_eq(cache_used(cache), 0);
    for (uint64_t n = 0; n < 100; n++)
        ck_assert(!has(cache, n, 0));
    for (uint64_t n = 0; n < 100; n++)
        put(cache, n, 100);
    for (uint64_t n = 0; n < 100; n++)
        ck_assert_int_eq(has(cache, n, 0), n >= 92);
    cache_free(&cache);
    ck_assert_ptr_null(cache);
}
END_TEST

START_TEST(a_cache_of_no_size_keeps_nothing)
{
    struct cache *cache = cache_new(0);
    struct grant *grant = grant_of("me");

    ck_assert_ptr_null(cache_put(cache, digest_at(1), REFUSAL_NONE, &grant, 100));
    ck_assert_ptr_nonnull(grant);
    ck_assert(!has(cache, 1, 0));
    grant_free(&grant);
    cache_free(&cache);
}
END_TEST

UNIT_MAIN("plugins/jwt_auth/cache", the_digest_is_siphash, an_answer_is_kept_until_its_time,
          a_full_cache_forgets_what_was_used_longest_ago, an_answer_is_replaced_by_a_newer_one,
          a_cleared_cache_knows_nothing_and_works_on, a_cache_of_no_size_keeps_nothing)
