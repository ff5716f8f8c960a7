#include "admin/pages.h"

#include "sample.h"

START_TEST(every_page_is_found_by_its_path_only)
{
    for (const struct admin_page *page = admin_pages; page->path; page++) {
        char longer[100];
        struct sluice_span rest;

        if (strlen(page->path) > 1 && page->path[strlen(page->path) - 1] == '/') /* a folder */
            continue;
        ck_assert_ptr_eq(pages_find(span_of(page->path), &rest), page);
        ck_assert_uint_eq(rest.len, 0);
        snprintf(longer, sizeof(longer), "%s/", page->path);
        ck_assert_ptr_null(pages_find(span_of(longer), &rest));
    }
    ck_assert_ptr_null(pages_find(SPAN(""), &(struct sluice_span){0}));
}
END_TEST

START_TEST(what_follows_a_folder_is_the_rest)
{
    struct sluice_span rest;
    const struct admin_page *page = pages_find(SPAN("/plugins/route.api.cors"), &rest);

    ck_assert_ptr_nonnull(page);
    ck_assert_str_eq(page->path, "/plugins/");
    ck_assert(span_equal(rest, SPAN("route.api.cors")));
    ck_assert_ptr_null(pages_find(SPAN("/plugins/"), &rest));
}
END_TEST

START_TEST(first_page_lists_all_with_their_methods)
{
    struct sample *sample = sample_new(false);
    const char *answer = sample_ask(sample, "GET /", LOCAL);

    for (const struct admin_page *page = admin_pages; page->path; page++) {
        char line[200];

        snprintf(line, sizeof(line), "%-5s%-12s%s\n", pages_method_name(page->method), page->path,
                 page->help);
        ck_assert_msg(strstr(answer, line) != NULL, "%s", line);
    }
    sample_free(&sample);
}
END_TEST

START_TEST(problem_forgets_what_was_there)
{
    struct answer answer = {.status = 200};

    text_init(&answer.body, 4000);
    text_add(&answer.body, SPAN("half a page"));
    answer_problem(&answer, 404, "It is \"gone\".");
    ck_assert_uint_eq(answer.status, 404);
    ck_assert_str_eq(answer.content_type, "application/problem+json");
    ck_assert_str_eq(answer.body.ptr, "{ \"type\": \"about:blank\", \"title\": \"Not Found\", "
                                      "\"status\": 404, \"detail\": \"It is \\\"gone\\\".\" }\n");
    text_fini(&answer.body);
}
END_TEST

UNIT_MAIN("admin/pages", every_page_is_found_by_its_path_only, what_follows_a_folder_is_the_rest,
          first_page_lists_all_with_their_methods, problem_forgets_what_was_there)
