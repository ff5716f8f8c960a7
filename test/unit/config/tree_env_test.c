#include "sample.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static struct bench bench;

static void assert_value(const char *yaml, const char *want)
{
    bench_init(&bench);
    ck_assert_int_eq(bench_parse(&bench, yaml), OK);
    ck_assert_str_eq(tree_find(bench.tree, SPAN("a"))->text.ptr, want);
    bench_fini(&bench);
}

static void assert_refused(const char *yaml, const char *want)
{
    bench_init(&bench);
    ck_assert_int_eq(bench_parse(&bench, yaml), ERR_CONFIG);
    ck_assert_str_eq(bench_told(&bench), want);
    bench_fini(&bench);
}

START_TEST(variable_is_replaced_wherever_it_stands)
{
    setenv("SLUICE_T", "val", 1);
    assert_value("a: ${SLUICE_T}", "val");
    assert_value("a: x${SLUICE_T}y${SLUICE_T}", "xvalyval");
    assert_value("a: \"${SLUICE_T}\"", "val");
    assert_value("a: '${SLUICE_T:-other}'", "val");
}
END_TEST

START_TEST(default_stands_in_for_an_unset_or_empty_variable)
{
    unsetenv("SLUICE_T");
    assert_value("a: ${SLUICE_T:-10s}", "10s");
    assert_value("a: ${SLUICE_T:-}", "");
    assert_value("a: ${SLUICE_T:-a:-b}", "a:-b");
    setenv("SLUICE_T", "", 1);
    assert_value("a: ${SLUICE_T:-x}", "x");
    assert_value("a: ${SLUICE_T}", "");
}
END_TEST

START_TEST(doubled_dollar_stands_for_itself_before_a_brace)
{
    assert_value("a: $${SLUICE_NONE}", "${SLUICE_NONE}");
    assert_value("a: x$$y$z$", "x$$y$z$");
    assert_value("a: $", "$");
}
END_TEST

START_TEST(value_of_a_variable_is_not_looked_at_again)
{
    setenv("SLUICE_T", "${HOME} [1, {", 1);
    assert_value("a: ${SLUICE_T}", "${HOME} [1, {");
}
END_TEST

START_TEST(unset_variable_is_an_error_with_the_remedy)
{
    unsetenv("SLUICE_T");
    assert_refused("a: x${SLUICE_T}\n",
                   "t.yaml:1:4: error: the environment variable 'SLUICE_T' is not set\n"
                   "    1 | a: x${SLUICE_T}\n"
                   "      |    ^^^^^^^^^^^^ set it, or give a default: ${NAME:-default}\n"
                   "1 error\n");
}
END_TEST

START_TEST(open_brace_is_an_error_with_the_remedy)
{
    assert_refused("a: ${HOME\n", "t.yaml:1:4: error: '${' without '}'\n"
                                  "    1 | a: ${HOME\n"
                                  "      |    ^^^^^^ close it with }, or write $${ for a plain ${\n"
                                  "1 error\n");
}
END_TEST

START_TEST(what_is_no_name_is_an_error)
{
    static const char *const wrong[] = {
        "a: ${}",    "a: ${1}",   "a: ${A B}",     "a: ${A:x}",
        "a: ${:-x}", "a: ${A-b}", "a: ${A:-${B}}", "a: '${A:}'",
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        bench_init(&bench);
        ck_assert_int_eq(bench_parse(&bench, wrong[i]), ERR_CONFIG);
        ck_assert(span_has(span_of(bench_told(&bench)), SPAN("is not a variable")));
        bench_fini(&bench);
    }
}
END_TEST

START_TEST(keys_are_left_alone)
{
    bench_init(&bench);
    ck_assert_int_eq(bench_parse(&bench, "${NONE}: 1\n"), OK);
    ck_assert_str_eq(bench.tree->first->key.ptr, "${NONE}");
    bench_fini(&bench);
}
END_TEST

START_TEST(wrong_variable_is_told_once_also_when_bound)
{
    unsetenv("SLUICE_T");
    bench_init(&bench);
    ck_assert_int_ne(bench_bind(&bench, "workers: ${SLUICE_T}\nport: ${SLUICE_T}\n"
                                        "timeout: ${SLUICE_T}\n"),
                     OK);
    ck_assert_uint_eq(notes_errors(bench.notes), 3);
    bench_fini(&bench);
}
END_TEST

START_TEST(environment_cannot_grow_a_configuration_without_bound)
{
    char *large = malloc(100001);
    char yaml[20000] = "a: [";

    ck_assert_ptr_nonnull(large);
    memset(large, 'x', 100000);
    large[100000] = '\0';
    setenv("SLUICE_T", large, 1);
    for (int i = 0; i < 200; i++)
        strcat(yaml, "\"${SLUICE_T}\",");
    strcat(yaml, "]");
    bench_init(&bench);
    ck_assert_int_eq(bench_parse(&bench, yaml), ERR_CONFIG);
    ck_assert(span_has(span_of(bench_told(&bench)), SPAN("makes this value too long")));
    bench_fini(&bench);
    free(large);
}
END_TEST

UNIT_MAIN("config/tree_env", variable_is_replaced_wherever_it_stands,
          default_stands_in_for_an_unset_or_empty_variable,
          doubled_dollar_stands_for_itself_before_a_brace,
          value_of_a_variable_is_not_looked_at_again, unset_variable_is_an_error_with_the_remedy,
          open_brace_is_an_error_with_the_remedy, what_is_no_name_is_an_error, keys_are_left_alone,
          wrong_variable_is_told_once_also_when_bound,
          environment_cannot_grow_a_configuration_without_bound)
