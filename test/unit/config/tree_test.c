#include "sample.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct bench bench;
static char folder[64];

/* Each test runs in a process and a working directory of its own. */
static void set_up(void)
{
    snprintf(folder, sizeof(folder), "/tmp/tree_test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_int_eq(mkdir("conf.d", 0700), 0);
    bench_init(&bench);
}

static void tear_down(void)
{
    char command[100];

    bench_fini(&bench);
    snprintf(command, sizeof(command), "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static void write_file(const char *path, const char *content)
{
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(content, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static enum err read_main(void)
{
    return tree_read("main.yaml", &bench.arena, bench.notes, &bench.tree);
}

static void assert_told(const char *want)
{
    ck_assert_str_eq(bench_told(&bench), want);
}

START_TEST(missing_file_is_an_error_with_the_reason)
{
    set_up();
    ck_assert_int_eq(read_main(), ERR_PROTOCOL);
    ck_assert_ptr_null(bench.tree);
    assert_told("error: cannot read 'main.yaml': No such file or directory\n1 error\n");
    tear_down();
}
END_TEST

START_TEST(folder_in_place_of_a_file_is_an_error)
{
    set_up();
    ck_assert_int_eq(tree_read("conf.d", &bench.arena, bench.notes, &bench.tree), ERR_PROTOCOL);
    assert_told("error: cannot read 'conf.d': Is a directory\n1 error\n");
    tear_down();
}
END_TEST

START_TEST(include_appends_lists_and_joins_maps_by_order_of_names)
{
    const struct tree *routes, *upstreams;

    set_up();
    write_file("main.yaml", "include: conf.d/*.yaml\nroutes: [main]\nupstreams: {m: 1}\n");
    write_file("conf.d/b.yaml", "routes: [b]\nupstreams: {b: 1}\n");
    write_file("conf.d/a.yaml", "routes: [a1, a2]\nworkers: 3\n");
    write_file("conf.d/c.yml", "routes: [c]\n");
    ck_assert_int_eq(read_main(), OK);
    assert_told("");
    routes = tree_find(bench.tree, SPAN("routes"));
    ck_assert_uint_eq(routes->n_children, 4);
    ck_assert_str_eq(routes->first->text.ptr, "main");
    ck_assert_str_eq(routes->first->next->text.ptr, "a1");
    ck_assert_str_eq(routes->first->next->next->next->text.ptr, "b");
    upstreams = tree_find(bench.tree, SPAN("upstreams"));
    ck_assert_uint_eq(upstreams->n_children, 2);
    ck_assert_str_eq(tree_find(bench.tree, SPAN("workers"))->text.ptr, "3");
    ck_assert_ptr_null(tree_find(bench.tree, SPAN("include")));
    ck_assert_uint_eq(bench.tree->n_children, 3);
    tear_down();
}
END_TEST

START_TEST(include_is_relative_to_the_including_file)
{
    set_up();
    ck_assert_int_eq(mkdir("conf.d/more", 0700), 0);
    write_file("main.yaml", "include: [ conf.d/a.yaml ]\n");
    write_file("conf.d/a.yaml", "include: more/x.yaml\n");
    write_file("conf.d/more/x.yaml", "workers: 7\n");
    ck_assert_int_eq(read_main(), OK);
    ck_assert_str_eq(tree_find(bench.tree, SPAN("workers"))->text.ptr, "7");
    tear_down();
}
END_TEST

START_TEST(include_of_an_absolute_path_works)
{
    char yaml[200];

    set_up();
    write_file("x.yaml", "workers: 7\n");
    snprintf(yaml, sizeof(yaml), "include: %s/x.yaml\n", folder);
    write_file("conf.d/main.yaml", yaml);
    ck_assert_int_eq(tree_read("conf.d/main.yaml", &bench.arena, bench.notes, &bench.tree), OK);
    ck_assert_ptr_nonnull(tree_find(bench.tree, SPAN("workers")));
    tear_down();
}
END_TEST

START_TEST(include_pattern_may_match_nothing_but_a_name_may_not)
{
    set_up();
    write_file("main.yaml", "include: [ conf.d/*.yaml, missing.yaml ]\n");
    ck_assert_int_eq(read_main(), ERR_PROTOCOL);
    assert_told(
        "main.yaml:1:27: error: cannot include 'missing.yaml': no such file\n"
        "    1 | include: [ conf.d/*.yaml, missing.yaml ]\n"
        "      |                           ^^^^^^^^^^^^ a pattern such as conf.d/*.yaml may "
        "match nothing\n"
        "1 error\n");
    tear_down();
}
END_TEST

START_TEST(entry_in_two_files_is_refused_with_both_places)
{
    set_up();
    write_file("main.yaml", "include: conf.d/*.yaml\nworkers: 1\nupstreams:\n  app: 1\n");
    write_file("conf.d/a.yaml", "upstreams:\n  app: 2\nworkers: 2\n");
    ck_assert_int_eq(read_main(), ERR_CONFIG);
    ck_assert_ptr_nonnull(bench.tree);
    assert_told("conf.d/a.yaml:2:3: error: key 'app' is written twice in the same map\n"
                "    2 |   app: 2\n"
                "      |   ^^^ first written at main.yaml:4:3; keep one of them\n"
                "conf.d/a.yaml:3:1: error: 'workers' is set in two files\n"
                "    3 | workers: 2\n"
                "      | ^^^^^^^ first set at main.yaml:2:1; keep one of them\n"
                "2 errors\n");
    tear_down();
}
END_TEST

START_TEST(entry_without_a_value_leaves_the_other_files_alone)
{
    set_up();
    write_file("main.yaml", "include: conf.d/*.yaml\nroutes:\nworkers: 2\n");
    write_file("conf.d/a.yaml", "routes: [a]\nworkers:\n");
    ck_assert_int_eq(read_main(), OK);
    ck_assert_uint_eq(tree_find(bench.tree, SPAN("routes"))->n_children, 1);
    ck_assert_str_eq(tree_find(bench.tree, SPAN("workers"))->text.ptr, "2");
    tear_down();
}
END_TEST

START_TEST(file_that_two_patterns_match_is_read_once)
{
    set_up();
    write_file("main.yaml", "include: [ conf.d/b.yaml, conf.d/*.yaml, ./conf.d/a.yaml ]\n");
    write_file("conf.d/a.yaml", "routes: [a]\n");
    write_file("conf.d/b.yaml", "routes: [b]\n");
    ck_assert_int_eq(read_main(), OK);
    ck_assert_uint_eq(tree_find(bench.tree, SPAN("routes"))->n_children, 2);
    ck_assert_str_eq(tree_find(bench.tree, SPAN("routes"))->first->text.ptr, "b");
    tear_down();
}
END_TEST

START_TEST(include_in_a_circle_is_refused)
{
    set_up();
    write_file("main.yaml", "include: conf.d/a.yaml\n");
    write_file("conf.d/a.yaml", "include: ../main.yaml\n");
    ck_assert_int_eq(read_main(), ERR_PROTOCOL);
    assert_told("conf.d/a.yaml:1:10: error: includes in a circle: 'conf.d/../main.yaml'\n"
                "    1 | include: ../main.yaml\n"
                "      |          ^^^^^^^^^^^^ let the pattern match other files only\n"
                "1 error\n");
    tear_down();
}
END_TEST

START_TEST(includes_more_than_8_deep_are_refused)
{
    set_up();
    write_file("main.yaml", "include: 1.yaml\n");
    for (int i = 1; i <= 9; i++) {
        char path[20], yaml[40];

        snprintf(path, sizeof(path), "%d.yaml", i);
        snprintf(yaml, sizeof(yaml), "include: %d.yaml\nroutes: [x]\n", i + 1);
        write_file(path, i == 8 ? "routes: [x]\n" : yaml);
    }
    ck_assert_int_eq(read_main(), OK);
    ck_assert_uint_eq(tree_find(bench.tree, SPAN("routes"))->n_children, 8);
    write_file("8.yaml", "include: 9.yaml\n");
    ck_assert_int_eq(read_main(), ERR_PROTOCOL);
    ck_assert(span_has(span_of(bench_told(&bench)),
                       SPAN("8.yaml:1:10: error: cannot include '9.yaml': includes are nested more "
                            "than 8 deep")));
    tear_down();
}
END_TEST

START_TEST(errors_of_all_files_are_told_at_once)
{
    set_up();
    write_file("main.yaml", "include: conf.d/*.yaml\na: 1\na: 2\n");
    write_file("conf.d/a.yaml", "b: [1, }\n");
    write_file("conf.d/b.yaml", "c: !!int 1\n");
    write_file("conf.d/c.yaml", "d: 1\n");
    ck_assert_int_eq(read_main(), ERR_PROTOCOL);
    ck_assert_uint_eq(notes_errors(bench.notes), 3);
    ck_assert(span_has(span_of(bench_told(&bench)), SPAN("main.yaml:3:1: error: key 'a'")));
    ck_assert(span_has(span_of(bench_told(&bench)), SPAN("conf.d/a.yaml:1:8: error: this is not")));
    ck_assert(span_has(span_of(bench_told(&bench)), SPAN("conf.d/b.yaml:1:4: error: YAML tags")));
    ck_assert_ptr_nonnull(tree_find(bench.tree, SPAN("d")));
    tear_down();
}
END_TEST

START_TEST(include_that_is_no_path_is_refused)
{
    set_up();
    write_file("main.yaml", "include: [ { a: b } ]\n");
    ck_assert_int_eq(read_main(), ERR_CONFIG);
    assert_told("main.yaml:1:12: error: expected a file or a pattern, found a map\n"
                "    1 | include: [ { a: b } ]\n"
                "      |            ^ write include: [ \"conf.d/*.yaml\" ]\n"
                "1 error\n");
    tear_down();
}
END_TEST

START_TEST(include_below_the_top_level_is_an_entry_like_any_other)
{
    set_up();
    write_file("main.yaml", "a: { include: x.yaml }\n");
    ck_assert_int_eq(read_main(), OK);
    ck_assert_ptr_nonnull(tree_find(tree_find(bench.tree, SPAN("a")), SPAN("include")));
    tear_down();
}
END_TEST

START_TEST(included_file_that_is_no_map_is_refused)
{
    set_up();
    write_file("main.yaml", "include: conf.d/a.yaml\nworkers: 2\n");
    write_file("conf.d/a.yaml", "- a\n- b\n");
    ck_assert_int_eq(read_main(), ERR_CONFIG);
    assert_told("conf.d/a.yaml:1:1: error: expected a map of keys and values, found a list\n"
                "    1 | - a\n"
                "      | ^\n"
                "1 error\n");
    tear_down();
}
END_TEST

START_TEST(keys_that_sound_like_a_secret_are_known)
{
    ck_assert(tree_key_is_secret(SPAN("token")));
    ck_assert(tree_key_is_secret(SPAN("X-API-Key")));
    ck_assert(tree_key_is_secret(SPAN("proxy-authorization")));
    ck_assert(tree_key_is_secret(SPAN("db_password")));
    ck_assert(!tree_key_is_secret(SPAN("")));
    ck_assert(!tree_key_is_secret(SPAN("x-a")));
    ck_assert(!tree_key_is_secret(SPAN("toke")));
}
END_TEST

UNIT_MAIN("config/tree", keys_that_sound_like_a_secret_are_known,
          missing_file_is_an_error_with_the_reason, folder_in_place_of_a_file_is_an_error,
          include_appends_lists_and_joins_maps_by_order_of_names,
          include_is_relative_to_the_including_file, include_of_an_absolute_path_works,
          include_pattern_may_match_nothing_but_a_name_may_not,
          entry_in_two_files_is_refused_with_both_places,
          entry_without_a_value_leaves_the_other_files_alone,
          file_that_two_patterns_match_is_read_once, include_in_a_circle_is_refused,
          includes_more_than_8_deep_are_refused, errors_of_all_files_are_told_at_once,
          include_that_is_no_path_is_refused,
          include_below_the_top_level_is_an_entry_like_any_other,
          included_file_that_is_no_map_is_refused)
