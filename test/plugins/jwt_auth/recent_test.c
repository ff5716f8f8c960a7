/* Tokens that were let in a short while ago. */
#include "jwt_auth/recent.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct digest_key secret = {0x0123456789abcdef, 0xfedcba9876543210};

static struct sluice_span token_of(char out[64], unsigned n)
{
    int len = snprintf(out, 64, "head.claims-%u.signature-%08x-%08x", n, n * 2654435761u, n);

    return (struct sluice_span){out, (size_t)len};
}

START_TEST(a_token_is_found_with_its_digest)
{
    struct recent *recent = recent_new(&secret);
    char text[64];
    struct sluice_span token = token_of(text, 7);
    struct digest digest;

    ck_assert(!recent_find(recent, token, &digest));
    recent_put(recent, token, (struct digest){1, 2});
    ck_assert(recent_find(recent, token, &digest));
    ck_assert(digest_same(digest, (struct digest){1, 2}));
    recent_put(recent, token, (struct digest){3, 4});
    ck_assert(recent_find(recent, token, &digest));
    ck_assert(digest_same(digest, (struct digest){3, 4}));
    recent_free(&recent);
    ck_assert_ptr_null(recent);
    recent_free(&recent);
}
END_TEST

START_TEST(a_token_that_differs_in_any_byte_is_another)
{
    struct recent *recent = recent_new(&secret);
    char text[64];
    struct sluice_span token = token_of(text, 7);
    struct digest digest;

    recent_put(recent, token, (struct digest){1, 2});
    for (size_t i = 0; i < token.len; i++) {
        text[i] ^= 1;
        ck_assert(!recent_find(recent, token, &digest));
        text[i] ^= 1;
    }
    token.len--;
    ck_assert(!recent_find(recent, token, &digest));
    token.ptr++;
    ck_assert(!recent_find(recent, token, &digest));
    recent_free(&recent);
}
END_TEST

START_TEST(many_tokens_share_a_bounded_number_of_places)
{
    struct recent *recent = recent_new(&secret);
    unsigned n = 0;
    char text[64];

    for (unsigned i = 0; i < 10 * RECENT_PLACES; i++)
        recent_put(recent, token_of(text, i), (struct digest){i, i});
    for (unsigned i = 0; i < 10 * RECENT_PLACES; i++) {
        struct digest digest;

        if (recent_find(recent, token_of(text, i), &digest)) {
            ck_assert(digest_same(digest, (struct digest){i, i}));
            n++;
        }
    }
    ck_assert_uint_gt(n, RECENT_PLACES / 2); /* they spread */
    ck_assert_uint_le(n, RECENT_PLACES);
    recent_free(&recent);
}
END_TEST

START_TEST(short_and_long_tokens_are_not_kept)
{
    struct recent *recent = recent_new(&secret);
    char *large = calloc(1, RECENT_TOKEN_MAX + 1);
    struct digest digest;

    for (size_t len = 0; len < 16; len++) {
        recent_put(recent, (struct sluice_span){large, len}, (struct digest){1, 2});
        ck_assert(!recent_find(recent, (struct sluice_span){large, len}, &digest));
    }
    recent_put(recent, (struct sluice_span){large, RECENT_TOKEN_MAX + 1}, (struct digest){1, 2});
    ck_assert(!recent_find(recent, (struct sluice_span){large, RECENT_TOKEN_MAX + 1}, &digest));
    recent_put(recent, (struct sluice_span){large, RECENT_TOKEN_MAX}, (struct digest){1, 2});
    ck_assert(recent_find(recent, (struct sluice_span){large, RECENT_TOKEN_MAX}, &digest));
    recent_free(&recent);
    free(large);
}
END_TEST

UNIT_MAIN("plugins/jwt_auth/recent", a_token_is_found_with_its_digest,
          a_token_that_differs_in_any_byte_is_another, many_tokens_share_a_bounded_number_of_places,
          short_and_long_tokens_are_not_kept)
