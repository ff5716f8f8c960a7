#include "base/log.h"
#include "sample.h"

#include <sys/resource.h>

START_TEST(pages_of_health_are_one_word)
{
    struct sample *sample = sample_new(false);
    const char *answer = sample_ask(sample, "GET /healthz", LOCAL);

    ck_assert_uint_eq(sample_status(answer), 200);
    ck_assert_str_eq(sample_body(answer), "ok\n");
    ck_assert_ptr_nonnull(strstr(answer, "Content-Type: text/plain"));
    ck_assert_ptr_nonnull(strstr(answer, "Cache-Control: no-store"));
    sample_free(&sample);
}
END_TEST

START_TEST(readyz_follows_the_host)
{
    static const struct {
        enum admin_readiness readiness;
        unsigned status;
        const char *word;
    } cases[] = {{ADMIN_STARTING, 503, "starting\n"},
                 {ADMIN_READY, 200, "ready\n"},
                 {ADMIN_DRAINING, 503, "draining\n"}};
    struct sample *sample = sample_new(false);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *answer;

        sample->readiness = cases[i].readiness;
        answer = sample_ask(sample, "GET /readyz", LOCAL);
        ck_assert_uint_eq(sample_status(answer), cases[i].status);
        ck_assert_str_eq(sample_body(answer), cases[i].word);
    }
    sample_free(&sample);
}
END_TEST

START_TEST(head_has_the_length_and_no_body)
{
    struct sample *sample = sample_new(false);
    const char *answer = sample_ask(sample, "HEAD /readyz", LOCAL);

    ck_assert_uint_eq(sample_status(answer), 200);
    ck_assert_ptr_nonnull(strstr(answer, "Content-Length: 6\r\n"));
    ck_assert_str_eq(sample_body(answer), "");
    sample_free(&sample);
}
END_TEST

START_TEST(unknown_page_is_a_problem)
{
    struct sample *sample = sample_new(false);
    const char *answer = sample_ask(sample, "GET /nowhere", LOCAL);

    ck_assert_uint_eq(sample_status(answer), 404);
    ck_assert_ptr_nonnull(strstr(answer, "Content-Type: application/problem+json\r\n"));
    ck_assert_ptr_nonnull(strstr(sample_body(answer), "\"status\": 404"));
    sample_free(&sample);
}
END_TEST

START_TEST(wrong_method_is_refused_with_allow_and_does_nothing)
{
    struct sample *sample = sample_new(false);
    const char *answer = sample_ask(sample, "GET /reload", LOCAL);

    ck_assert_uint_eq(sample_status(answer), 405);
    ck_assert_ptr_nonnull(strstr(answer, "Allow: POST\r\n"));
    answer = sample_ask(sample, "POST /metrics", LOCAL "Content-Length: 0\r\n");
    ck_assert_uint_eq(sample_status(answer), 405);
    ck_assert_ptr_nonnull(strstr(answer, "Allow: GET, HEAD\r\n"));
    answer = sample_ask(sample, "DELETE /drain", LOCAL);
    ck_assert_uint_eq(sample_status(answer), 405);
    ck_assert_uint_eq(sample->reloads, 0);
    ck_assert_uint_eq(sample->drains, 0);
    sample_free(&sample);
}
END_TEST

START_TEST(request_of_a_browser_page_is_refused)
{
    static const char *const fields[] = {
        LOCAL "Origin: https://evil.example\r\nContent-Length: 0\r\n",
        LOCAL "origin: null\r\nContent-Length: 0\r\n",
        "Host: evil.example\r\nContent-Length: 0\r\n",
        "Host: localhost.evil.example:9901\r\nContent-Length: 0\r\n",
        "Host: 127.0.0.1.evil.example\r\nContent-Length: 0\r\n",
    };
    struct sample *sample = sample_new(false);

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        ck_assert_uint_eq(sample_status(sample_ask(sample, "POST /reload", fields[i])), 403);
    ck_assert_uint_eq(sample_status(sample_ask(sample, "POST http://evil.example/reload",
                                               LOCAL "Content-Length: 0\r\n")),
                      403);
    ck_assert_uint_eq(sample->reloads, 0);
    sample_free(&sample);
}
END_TEST

START_TEST(unix_socket_takes_any_host_but_no_origin)
{
    struct sample *sample = sample_new(true);

    ck_assert_uint_eq(sample_status(sample_ask(sample, "GET /healthz", "Host: any.example\r\n")),
                      200);
    ck_assert_uint_eq(sample_status(sample_ask(sample, "GET /healthz",
                                               "Host: any.example\r\nOrigin: http://a\r\n")),
                      403);
    sample_free(&sample);
}
END_TEST

START_TEST(ambiguous_request_is_refused_and_the_connection_closed)
{
    static const char *const requests[] = {
        "GET /healthz HTTP/1.1\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        "POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
        "Content-Length: 0\r\n\r\n",
        "nonsense\r\n\r\n",
    };
    struct sample *sample = sample_new(false);

    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
        ck_assert_uint_eq(sample_status(sample_send(sample, requests[i])), 400);
    ck_assert_uint_eq(sample->reloads, 0);
    sample_free(&sample);
}
END_TEST

START_TEST(too_much_is_not_read)
{
    struct sample *sample = sample_new(false);
    char request[20000];
    int n = snprintf(request, sizeof(request), "GET /healthz HTTP/1.1\r\n" LOCAL "X: ");
    const char *answer;

    memset(request + n, 'x', sizeof(request) - 1 - (size_t)n);
    request[sizeof(request) - 1] = '\0';
    answer = sample_send(sample, request);
    ck_assert(*answer == '\0' || sample_status(answer) == 400);
    answer = sample_ask(sample, "POST /reload", LOCAL "Content-Length: 1000000\r\n");
    ck_assert_uint_eq(sample_status(answer), 413);
    ck_assert_uint_eq(sample->reloads, 0);
    sample_free(&sample);
}
END_TEST

START_TEST(metrics_are_ours_and_the_hosts)
{
    struct sample *sample = sample_new(false);
    const char *answer;

    sample->last = (struct admin_reload){.wall_us = 5500000, .n_applied = 2, .n_refused = 1};
    answer = sample_ask(sample, "GET /metrics", LOCAL);
    ck_assert_ptr_nonnull(strstr(answer, "Content-Type: text/plain; version=0.0.4"));
    ck_assert_ptr_nonnull(strstr(answer, "\nsluice_build_info{version=\"1.2.3\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(answer, "\nsluice_ready 1\n"));
    ck_assert_ptr_nonnull(strstr(answer, "\nsluice_config_generation 3\n"));
    ck_assert_ptr_nonnull(strstr(answer, "\nsluice_config_last_reload_success 0\n"));
    ck_assert_ptr_nonnull(strstr(answer, "\nsluice_config_last_reload_timestamp_seconds 5.5\n"));
    ck_assert_ptr_nonnull(strstr(answer, "\nsluice_config_reloads_total{result=\"applied\"} 2\n"));
    ck_assert_ptr_nonnull(strstr(answer, "\nsluice_config_reloads_total{result=\"refused\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(answer, "\nsluice_sample 7\n"));
    sample_free(&sample);
}
END_TEST

START_TEST(start_counts_as_a_successful_change)
{
    struct sample *sample = sample_new(false);
    const char *answer = sample_ask(sample, "GET /metrics", LOCAL);

    ck_assert_ptr_nonnull(strstr(answer, "\nsluice_config_last_reload_success 1\n"));
    ck_assert_ptr_nonnull(strstr(answer, "\nsluice_config_last_reload_timestamp_seconds 1.5\n"));
    sample_free(&sample);
}
END_TEST

START_TEST(connection_is_kept_for_the_next_request)
{
    struct sample *sample = sample_new(false);
    const char *answer =
        sample_send(sample, "GET /healthz HTTP/1.1\r\n" LOCAL "\r\nGET /readyz HTTP/1.1\r\n" LOCAL
                            "Connection: close\r\n\r\n");

    ck_assert_ptr_nonnull(strstr(answer, "\r\n\r\nok\n"));
    ck_assert_ptr_nonnull(strstr(answer, "\r\n\r\nready\n"));
    sample_free(&sample);
}
END_TEST

struct shortage {
    struct rlimit before;
    unsigned told;
};

/* There are descriptors again as soon as the lack of them was told. */
static void end_shortage(void *shortage_, struct sluice_span line)
{
    struct shortage *shortage = shortage_;

    if (!span_has(line, SPAN("the admin listener cannot accept")))
        return;
    shortage->told++;
    setrlimit(RLIMIT_NOFILE, &shortage->before);
}

START_TEST(out_of_descriptors_accepting_rests_and_goes_on)
{
    struct sample *sample = sample_new(false);
    struct shortage shortage = {.told = 0};
    struct rlimit none;

    sample_begin(sample, "GET /healthz HTTP/1.1\r\n" LOCAL "Connection: close\r\n\r\n");
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &shortage.before), 0);
    none = shortage.before;
    none.rlim_cur = 3; /* all open ones are above that or standard */
    log_set_sink(end_shortage, &shortage);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    ck_assert_uint_eq(sample_status(sample_finish(sample)), 200);
    ck_assert_uint_eq(shortage.told, 1);
    log_set_sink(NULL, NULL);
    sample_free(&sample);
}
END_TEST

UNIT_MAIN("admin/admin", pages_of_health_are_one_word, readyz_follows_the_host,
          head_has_the_length_and_no_body, unknown_page_is_a_problem,
          wrong_method_is_refused_with_allow_and_does_nothing, request_of_a_browser_page_is_refused,
          unix_socket_takes_any_host_but_no_origin,
          ambiguous_request_is_refused_and_the_connection_closed, too_much_is_not_read,
          metrics_are_ours_and_the_hosts, start_counts_as_a_successful_change,
          connection_is_kept_for_the_next_request, out_of_descriptors_accepting_rests_and_goes_on)
