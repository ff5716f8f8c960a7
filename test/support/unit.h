/*
 * unit.h - main() of a unit test: one suite, one case, forking mode on.
 *
 *   UNIT_MAIN("base/text", text_grows_to_its_maximum, text_beyond_its_maximum_is_cut)
 *
 * lists the tests made with START_TEST. CK_FORK=no in the environment keeps all in one process
 * for a debugger, CK_RUN_CASE and CK_VERBOSITY work as Check describes them.
 */
#ifndef TEST_UNIT_H
#define TEST_UNIT_H

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* True when fn() ends its process by SIGABRT, as a failed CHECK does. fn runs in a child. */
static inline bool unit_aborts(void (*fn)(void))
{
    pid_t child = fork();
    int status = 0;

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        int nowhere = open("/dev/null", O_WRONLY);

        if (nowhere < 0 || dup2(nowhere, STDERR_FILENO) < 0)
            _exit(EXIT_FAILURE);
        fn();
        _exit(EXIT_SUCCESS);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static inline int unit_run(const char *name, const TTest *const tests[], size_t n_tests)
{
    Suite *suite = suite_create(name);
    TCase *cases = tcase_create(name);
    SRunner *runner;
    int failed;

    for (size_t i = 0; i < n_tests; i++)
        tcase_add_test(cases, tests[i]);
    suite_add_tcase(suite, cases);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#define UNIT_MAIN(name, ...)                                                                       \
    int main(void)                                                                                 \
    {                                                                                              \
        const TTest *const tests[] = {__VA_ARGS__};                                                \
        return unit_run((name), tests, sizeof(tests) / sizeof(tests[0]));                          \
    }

#endif /* TEST_UNIT_H */
