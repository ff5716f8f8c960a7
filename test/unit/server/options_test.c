#include "server/command.h"
#include "server_case.h"

START_TEST(help_names_each_command_and_ends_with_0)
{
    static const char *const ways[] = {"", "help", "--help", "-h"};

    for (size_t i = 0; i < 4; i++) {
        const struct ran *ran = case_run(ways[i]);

        ck_assert_int_eq(ran->code, EXIT_FINE);
        ck_assert_str_eq(ran->err, "");
        for (const struct command *command = command_table; command->name; command++)
            ck_assert_ptr_nonnull(strstr(ran->out, command->name));
    }
}
END_TEST

START_TEST(help_of_a_command_is_the_same_by_each_way)
{
    for (const struct command *command = command_table; command->name; command++) {
        char words[64];
        static char first[CASE_BYTES];

        snprintf(words, sizeof(words), "help %s", command->name);
        snprintf(first, sizeof(first), "%s", case_run(words)->out);
        ck_assert_ptr_nonnull(strstr(first, command->help));
        snprintf(words, sizeof(words), "%s --help", command->name);
        ck_assert_str_eq(case_run(words)->out, first);
        snprintf(words, sizeof(words), "%s -h", command->name);
        ck_assert_str_eq(case_run(words)->out, first);
    }
}
END_TEST

START_TEST(wrong_usage_ends_with_2_and_writes_nothing_to_stdout)
{
    static const char *const wrong[] = {"frobnicate",
                                        "run --frobnicate",
                                        "run -x",
                                        "run -c",
                                        "run --print-config=yes",
                                        "run extra",
                                        "run --to nonsense",
                                        "run --to http://a --to http://b",
                                        "run --listen 127.0.0.1",
                                        "run -c a.yaml --to http://a",
                                        "check a b",
                                        "check a -c b",
                                        "explain",
                                        "explain GET",
                                        "explain GET nowhere",
                                        "completion",
                                        "completion tcsh",
                                        "help frobnicate",
                                        "reload --admin nonsense",
                                        "upstreams --admin nonsense",
                                        "upstreams --interval 3x",
                                        "upstreams a b",
                                        "--frobnicate"};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const struct ran *ran = case_run(wrong[i]);

        ck_assert_msg(ran->code == EXIT_USAGE, "'%s' ends with %d", wrong[i], ran->code);
        ck_assert_str_eq(ran->out, "");
        ck_assert_ptr_nonnull(strstr(ran->err, "sluice: error: "));
        ck_assert_ptr_nonnull(strstr(ran->err, "Try: sluice help"));
    }
}
END_TEST

START_TEST(a_mistyped_word_gets_the_nearest_name)
{
    ck_assert_ptr_nonnull(strstr(case_run("relaod")->err, "did you mean 'reload'?"));
    ck_assert_ptr_nonnull(strstr(case_run("run --lisen=x")->err, "did you mean '--listen'?"));
}
END_TEST

START_TEST(the_forms_of_an_option_mean_the_same)
{
    static const char *const forms[] = {"check -c %s",       "check -c%s", "check --config %s",
                                        "check --config=%s", "check %s",   "check -- %s"};
    const char *path = case_file("routes: [ { echo: true } ]\n");

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        char words[128];
        const char *at = strstr(forms[i], "%s");

        snprintf(words, sizeof(words), "%.*s%s", (int)(at - forms[i]), forms[i], path);
        ck_assert_int_eq(case_run(words)->code, EXIT_FINE);
    }
    unlink(path);
}
END_TEST

START_TEST(check_tells_notes_on_stderr_and_the_verdict_by_its_code)
{
    const char *path = case_file("rutes: []\n");
    char words[128];
    const struct ran *ran;

    snprintf(words, sizeof(words), "check %s", path);
    ran = case_run(words);
    ck_assert_int_eq(ran->code, EXIT_REFUSED);
    ck_assert_str_eq(ran->out, "");
    ck_assert_ptr_nonnull(strstr(ran->err, ":1:1: error: unknown key 'rutes'"));
    snprintf(words, sizeof(words), "check --json %s", path);
    ran = case_run(words);
    ck_assert_int_eq(ran->code, EXIT_REFUSED);
    ck_assert_str_eq(ran->err, "");
    ck_assert_ptr_nonnull(strstr(ran->out, "{\"ok\": false"));
    unlink(path);
}
END_TEST

START_TEST(reload_of_what_does_not_answer_ends_with_1_and_says_what_to_do)
{
    const struct ran *ran = case_run("reload --admin unix:/nowhere/admin.sock");

    ck_assert_int_eq(ran->code, EXIT_FAILED);
    ck_assert_str_eq(ran->out, "");
    ck_assert_ptr_nonnull(strstr(ran->err, "--admin"));
}
END_TEST

START_TEST(reload_does_not_ask_when_the_admin_listener_is_off)
{
    const char *path = case_file("admin: \"off\"\nroutes: [ { echo: true } ]\n");
    char words[128];
    const struct ran *ran;

    snprintf(words, sizeof(words), "reload -c %s", path);
    ran = case_run(words);
    ck_assert_int_eq(ran->code, EXIT_FAILED);
    ck_assert_ptr_nonnull(strstr(ran->err, "SIGHUP"));
    unlink(path);
}
END_TEST

START_TEST(completion_knows_each_command_and_option)
{
    static const char *const shells[] = {"completion bash", "completion zsh", "completion fish"};

    for (size_t i = 0; i < 3; i++) {
        const struct ran *ran = case_run(shells[i]);

        ck_assert_int_eq(ran->code, EXIT_FINE);
        for (const struct command *command = command_table; command->name; command++)
            ck_assert_ptr_nonnull(strstr(ran->out, command->name));
        for (enum option_id id = 0; id < OPTION_COUNT; id++)
            ck_assert_ptr_nonnull(strstr(ran->out, option_table[id].name));
    }
}
END_TEST

START_TEST(version_is_one_line_and_more_when_asked)
{
    ck_assert_str_eq(case_run("version")->out, "sluice " SLUICE_VERSION "\n");
    ck_assert_ptr_nonnull(strstr(case_run("version -v")->out, "\nlibevent 2"));
    ck_assert_ptr_nonnull(strstr(case_run("version -v")->out, "\npcre2 10"));
}
END_TEST

UNIT_MAIN("server/options", help_names_each_command_and_ends_with_0,
          help_of_a_command_is_the_same_by_each_way,
          wrong_usage_ends_with_2_and_writes_nothing_to_stdout,
          a_mistyped_word_gets_the_nearest_name, the_forms_of_an_option_mean_the_same,
          check_tells_notes_on_stderr_and_the_verdict_by_its_code,
          reload_of_what_does_not_answer_ends_with_1_and_says_what_to_do,
          reload_does_not_ask_when_the_admin_listener_is_off,
          completion_knows_each_command_and_option, version_is_one_line_and_more_when_asked)
