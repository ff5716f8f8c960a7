/* The public examples: each is accepted as it stands, and in no other way. */
#include "vectors.h"

#include "jwt_auth/token.h"
#include "kit/span.h"

#include "unit.h"

static enum refusal verify(const char *jwk, const char *text)
{
    struct keyset *set = keyset_new();
    const struct keyset *const sets[] = {set};
    struct keyset_report report;
    struct token token;
    enum refusal refusal;

    ck_assert(keyset_read(set, span_of(jwk), true, &report));
    ck_assert_uint_eq(report.taken, 1);
    refusal = token_read(&token, span_of(text), ALG_EVERY);
    if (refusal == REFUSAL_NONE)
        refusal = token_verify(&token, sets, 1);
    token_fini(&token);
    keyset_free(&set);
    return refusal;
}

START_TEST(public_examples_are_accepted)
{
    ck_assert_msg(verify(vectors[_i].jwk, vectors[_i].token) == REFUSAL_NONE, "%s",
                  vectors[_i].name);
}
END_TEST

START_TEST(an_example_with_one_character_changed_is_refused)
{
    const char *token = vectors[_i].token;
    size_t len = strlen(token);

    /* a verification takes long: not each position, but each kind of them */
    for (size_t at = 0; at < len; at += 1 + len / 97) {
        char *changed = strdup(token);

        changed[at] = changed[at] == 'Q' ? 'R' : 'Q';
        ck_assert_msg(verify(vectors[_i].jwk, changed) != REFUSAL_NONE, "%s: byte %zu",
                      vectors[_i].name, at);
        free(changed);
    }
}
END_TEST

START_TEST(an_example_cut_short_is_refused)
{
    const char *token = vectors[_i].token;

    for (size_t len = 0; len < strlen(token); len += 3) {
        char *cut = strndup(token, len);

        ck_assert_int_ne(verify(vectors[_i].jwk, cut), REFUSAL_NONE);
        free(cut);
    }
}
END_TEST

START_TEST(an_example_is_refused_with_the_key_of_another)
{
    for (size_t other = 0; other < N_VECTORS; other++) {
        if (strcmp(vectors[other].jwk, vectors[_i].jwk) != 0)
            ck_assert_int_ne(verify(vectors[other].jwk, vectors[_i].token), REFUSAL_NONE);
    }
}
END_TEST

START_TEST(unsecured_example_is_refused)
{
    /* RFC 7515 A.5 */
    static const char token[] =
        "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxl"
        "LmNvbS9pc19yb290Ijp0cnVlfQ.";

    ck_assert_int_eq(verify(vectors[0].jwk, token), REFUSAL_ALG);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugins/jwt_auth/vectors");
    TCase *cases = tcase_create("vectors");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_loop_test(cases, public_examples_are_accepted, 0, N_VECTORS);
    tcase_add_loop_test(cases, an_example_with_one_character_changed_is_refused, 0, N_VECTORS);
    tcase_add_loop_test(cases, an_example_cut_short_is_refused, 0, N_VECTORS);
    tcase_add_loop_test(cases, an_example_is_refused_with_the_key_of_another, 0, N_VECTORS);
    tcase_add_test(cases, unsecured_example_is_refused);
    suite_add_tcase(suite, cases);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
