/*
 * circuit_breaker: every transition once, by the rules, whoever judges.
 */
#include "../../plugins/circuit_breaker/circuit.h"
#include "sluice_test.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static const struct circuit_rules rules = {
    .probes = 2, .open_ms = 1000, .open_max_ms = 3000, .probe_lost_ms = 60000};

/* -- the word ------------------------------------------------------------------ */

START_TEST(word_keeps_what_was_packed)
{
    const struct circuit circuits[] = {
        {.state = CIRCUIT_CLOSED, .run = CIRCUIT_RUN_MAX, .at_ms = 7},
        {.state = CIRCUIT_OPEN, .trips = CIRCUIT_TRIPS_MAX, .at_ms = UINT32_MAX},
        {.state = CIRCUIT_HALF_OPEN,
         .force = CIRCUIT_FORCED_CLOSED,
         .probes = CIRCUIT_PROBES_MAX,
         .passed = CIRCUIT_PROBES_MAX - 1,
         .trips = 1},
    };

    for (size_t i = 0; i < sizeof(circuits) / sizeof(*circuits); i++) {
        struct circuit back = circuit_unpack(circuit_pack(&circuits[i]));

        ck_assert_int_eq(back.state, circuits[i].state);
        ck_assert_int_eq(back.force, circuits[i].force);
        ck_assert_uint_eq(back.trips, circuits[i].trips);
        ck_assert_uint_eq(back.run, circuits[i].run);
        ck_assert_uint_eq(back.probes, circuits[i].probes);
        ck_assert_uint_eq(back.passed, circuits[i].passed);
        ck_assert_uint_eq(back.at_ms, circuits[i].at_ms);
    }
    ck_assert_uint_eq(circuit_pack(&(struct circuit){.state = CIRCUIT_CLOSED}), 0);
}
END_TEST

START_TEST(open_circuit_refuses_until_its_time_is_over)
{
    struct circuit circuit = {.state = CIRCUIT_CLOSED};

    circuit_trip(&circuit, &rules, 5000, 0);
    ck_assert_int_eq(circuit.state, CIRCUIT_OPEN);
    ck_assert_uint_eq(circuit_wait_ms(&circuit, 5000), 1000);
    ck_assert_int_eq(circuit_enter(&circuit, &rules, 5999), CIRCUIT_REFUSE);
    ck_assert_int_eq(circuit_enter(&circuit, &rules, 6000), CIRCUIT_PROBE);
    ck_assert_int_eq(circuit.state, CIRCUIT_HALF_OPEN);
}
END_TEST

START_TEST(time_may_wrap_while_it_is_open)
{
    struct circuit circuit = {.state = CIRCUIT_CLOSED};

    circuit_trip(&circuit, &rules, UINT32_MAX - 400, 0);
    ck_assert_int_eq(circuit_enter(&circuit, &rules, UINT32_MAX), CIRCUIT_REFUSE);
    ck_assert_int_eq(circuit_enter(&circuit, &rules, 598), CIRCUIT_REFUSE);
    ck_assert_int_eq(circuit_enter(&circuit, &rules, 599), CIRCUIT_PROBE);
}
END_TEST

START_TEST(open_time_doubles_up_to_its_maximum_and_has_jitter)
{
    static const uint32_t least[] = {1000, 2000, 3000, 3000};
    struct circuit circuit = {.state = CIRCUIT_CLOSED};

    for (size_t i = 0; i < sizeof(least) / sizeof(*least); i++) {
        struct circuit other = circuit;

        circuit_trip(&circuit, &rules, 0, 0);
        ck_assert_uint_eq(circuit.at_ms, least[i]);
        circuit_trip(&other, &rules, 0, least[i] / 4);
        ck_assert_uint_eq(other.at_ms, least[i] + least[i] / 4);
    }
}
END_TEST

START_TEST(no_more_probes_go_than_are_still_needed)
{
    struct circuit circuit = {.state = CIRCUIT_OPEN, .trips = 1};

    ck_assert_int_eq(circuit_enter(&circuit, &rules, 1), CIRCUIT_PROBE);
    ck_assert_int_eq(circuit_enter(&circuit, &rules, 1), CIRCUIT_PROBE);
    ck_assert_int_eq(circuit_enter(&circuit, &rules, 1), CIRCUIT_REFUSE);
    circuit_judge(&circuit, &rules, true, false, 2, 0);
    ck_assert_int_eq(circuit_enter(&circuit, &rules, 2), CIRCUIT_REFUSE); /* one is under way */
    circuit_give_back(&circuit);
    ck_assert_int_eq(circuit_enter(&circuit, &rules, 2), CIRCUIT_PROBE);
    circuit_judge(&circuit, &rules, true, false, 3, 0);
    ck_assert_int_eq(circuit.state, CIRCUIT_CLOSED);
    ck_assert_uint_eq(circuit.trips, 0);
}
END_TEST

START_TEST(failed_probe_opens_again_for_longer)
{
    struct circuit circuit = {.state = CIRCUIT_OPEN, .trips = 1};

    ck_assert_int_eq(circuit_enter(&circuit, &rules, 1), CIRCUIT_PROBE);
    ck_assert_int_eq(circuit_enter(&circuit, &rules, 1), CIRCUIT_PROBE);
    circuit_judge(&circuit, &rules, true, true, 10, 0);
    ck_assert_int_eq(circuit.state, CIRCUIT_OPEN);
    ck_assert_uint_eq(circuit.at_ms, 2010);
    circuit_judge(&circuit, &rules, true, false, 11, 0); /* the other probe says so too late */
    ck_assert_int_eq(circuit.state, CIRCUIT_OPEN);
}
END_TEST

START_TEST(probe_that_nobody_judged_is_given_up_for_lost)
{
    struct circuit circuit = {.state = CIRCUIT_OPEN, .trips = 1};

    ck_assert_int_eq(circuit_enter(&circuit, &rules, 1), CIRCUIT_PROBE);
    ck_assert_int_eq(circuit_enter(&circuit, &rules, 1), CIRCUIT_PROBE);
    ck_assert_int_eq(circuit_enter(&circuit, &rules, 60000), CIRCUIT_REFUSE);
    ck_assert_int_eq(circuit_enter(&circuit, &rules, 60001), CIRCUIT_PROBE);
}
END_TEST

START_TEST(force_wins_over_every_state)
{
    struct circuit circuit = {.state = CIRCUIT_OPEN, .at_ms = 1000000};

    circuit.force = CIRCUIT_FORCED_CLOSED;
    ck_assert_int_eq(circuit_enter(&circuit, &rules, 1), CIRCUIT_PASS);
    circuit = (struct circuit){.force = CIRCUIT_FORCED_OPEN};
    ck_assert_int_eq(circuit_enter(&circuit, &rules, 1), CIRCUIT_REFUSE);
}
END_TEST

/* -- the plugin -------------------------------------------------------------------- */

/* One request to its end; status 0: no response, by that failure. The verdict of its head. */
static enum sluice_verdict one(struct sluice_test *test, int32_t status, const char *failure)
{
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");
    enum sluice_verdict verdict;

    sluice_test_attribute_set(ex, "upstream", "orders");
    verdict = sluice_test_request_head(ex);
    if (verdict == SLUICE_NEXT) {
        ck_assert_int_eq(sluice_test_attempt(ex, "127.0.0.1:1"), SLUICE_NEXT);
        sluice_test_attempt_done(ex, status, failure, false);
    }
    sluice_test_done(ex, true);
    return verdict;
}

static unsigned refusals(struct sluice_test *test, unsigned n, int32_t status)
{
    unsigned refused = 0;

    for (unsigned i = 0; i < n; i++) {
        refused += one(test, status, status ? NULL : "connect_failed") == SLUICE_REPLIED;
    }
    return refused;
}

static double transitions(struct sluice_test *test, const char *state)
{
    char labels[64];

    snprintf(labels, sizeof(labels), "orders,%s", state);
    return sluice_test_metric(test, "transitions_total", labels);
}

START_TEST(failures_in_a_row_open_it)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "consecutive_failures=3", "error_ratio=0", NULL);

    ck_assert_uint_eq(refusals(test, 2, 503), 0);
    ck_assert_uint_eq(refusals(test, 1, 200), 0); /* the row begins anew */
    ck_assert_uint_eq(refusals(test, 3, 0), 0);
    ck_assert_uint_eq(refusals(test, 5, 200), 5);
    ck_assert(transitions(test, "open") == 1);
    ck_assert(sluice_test_metric(test, "open", "orders") == 1);
    ck_assert(sluice_test_metric(test, "refused_total", "orders") == 5);
    sluice_test_free(&test);
}
END_TEST

START_TEST(ratio_needs_its_minimum_of_requests)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "error_ratio=50%", "min_requests=10", NULL);

    ck_assert_uint_eq(refusals(test, 9, 500), 0);
    ck_assert(transitions(test, "open") == 0);
    ck_assert_uint_eq(refusals(test, 1, 500), 0);
    ck_assert_uint_eq(refusals(test, 1, 200), 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(ratio_looks_at_its_window_only)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "error_ratio=50%",
                                                   "min_requests=10", "window=10s", NULL);

    ck_assert_uint_eq(refusals(test, 9, 500), 0);
    sluice_test_advance(test, 11000);
    ck_assert_uint_eq(refusals(test, 6, 200), 0);
    ck_assert_uint_eq(refusals(test, 4, 500), 0);
    ck_assert(transitions(test, "open") == 0);
    ck_assert_uint_eq(refusals(test, 2, 500), 0); /* 6 of 12 */
    ck_assert(transitions(test, "open") == 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(slow_responses_open_it)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "slow=100ms", "slow_ratio=50%",
                                                   "error_ratio=0", "min_requests=4", NULL);

    for (int i = 0; i < 4; i++) {
        struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");

        sluice_test_attribute_set(ex, "upstream", "orders");
        ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
        sluice_test_attempt(ex, "127.0.0.1:1");
        sluice_test_advance(test, 100);
        sluice_test_attempt_done(ex, 200, NULL, false);
        sluice_test_done(ex, true);
    }
    ck_assert_uint_eq(refusals(test, 1, 200), 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(it_probes_and_closes_and_forgets_the_window)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "error_ratio=50%", "min_requests=4", "open=1s",
                            "probes=3", "window=1m", NULL);

    ck_assert_uint_eq(refusals(test, 4, 500), 0);
    ck_assert_uint_eq(refusals(test, 3, 200), 3);
    sluice_test_advance(test, 1250);
    ck_assert_uint_eq(refusals(test, 3, 200), 0);
    ck_assert(transitions(test, "half_open") == 1);
    ck_assert(transitions(test, "closed") == 1);
    ck_assert(sluice_test_metric(test, "probes_total", "orders,passed") == 3);
    ck_assert(sluice_test_metric(test, "open", "orders") == 0);
    ck_assert_uint_eq(refusals(test, 1, 500), 0);
    ck_assert_uint_eq(refusals(test, 2, 200), 0); /* 5 of 7 would be too bad, 1 of 3 is not */
    sluice_test_free(&test);
}
END_TEST

START_TEST(probe_whose_client_left_is_given_back)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "consecutive_failures=1", "open=1s", "probes=1", NULL);
    struct sluice_exchange *ex;

    ck_assert_uint_eq(refusals(test, 1, 500), 0);
    sluice_test_advance(test, 1250);
    ex = sluice_test_request(test, "GET", "/");
    sluice_test_attribute_set(ex, "upstream", "orders");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_uint_eq(refusals(test, 2, 200), 2);
    sluice_test_done(ex, false);
    ck_assert_uint_eq(refusals(test, 1, 200), 0);
    ck_assert(transitions(test, "closed") == 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(workers_make_a_transition_once)
{
    struct sluice_test *test = sluice_test_new(&sluice_plugin);

    sluice_test_workers(test, 4);
    sluice_test_set(test, "consecutive_failures=8");
    ck_assert(sluice_test_start(test));
    for (uint32_t i = 0; i < 8; i++) {
        sluice_test_on_worker(test, i % 4);
        ck_assert_uint_eq(refusals(test, 1, 500), 0);
    }
    for (uint32_t i = 0; i < 4; i++) {
        sluice_test_on_worker(test, i);
        ck_assert_uint_eq(refusals(test, 1, 200), 1);
    }
    ck_assert(transitions(test, "open") == 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(state_survives_a_reload)
{
    struct sluice_test *test =
        sluice_test_started(&sluice_plugin, "consecutive_failures=1", "open=1m", NULL);

    ck_assert_uint_eq(refusals(test, 1, 500), 0);
    sluice_test_set(test, "probes=5");
    ck_assert(sluice_test_reload(test));
    ck_assert_uint_eq(refusals(test, 1, 200), 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(fallback_answers_as_configured)
{
    struct sluice_test *test = sluice_test_started(
        &sluice_plugin, "consecutive_failures=1", "open=10s",
        "fallback={status: 200, body: '{}', content_type: application/json}", NULL);
    struct sluice_exchange *ex;

    ck_assert_uint_eq(refusals(test, 1, 500), 0);
    ex = sluice_test_request(test, "GET", "/");
    sluice_test_attribute_set(ex, "upstream", "orders");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_REPLIED);
    ck_assert_uint_eq(sluice_test_reply(ex)->status, 200);
    ck_assert_str_eq(sluice_test_reply(ex)->content_type, "application/json");
    ck_assert_str_eq(sluice_test_reply(ex)->reason, "circuit_open");
    ck_assert_uint_eq(sluice_test_reply(ex)->body.len, 2);
    ck_assert_int_ge(atoi(sluice_test_field(ex, SLUICE_RESPONSE, "retry-after")), 10);
    sluice_test_free(&test);
}
END_TEST

START_TEST(fallback_sends_to_another_upstream)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "consecutive_failures=1",
                                                   "fallback={upstream: spare}", NULL);
    struct sluice_exchange *ex;

    ck_assert_uint_eq(refusals(test, 1, 500), 0);
    ex = sluice_test_request(test, "GET", "/");
    sluice_test_attribute_set(ex, "upstream", "orders");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_upstream(ex), "spare");
    ck_assert_str_eq(sluice_test_notes(ex), "circuit_open");
    sluice_test_attempt(ex, "127.0.0.1:2");
    sluice_test_attempt_done(ex, 500, NULL, false); /* is no news of "orders" */
    sluice_test_done(ex, true);
    ck_assert(transitions(test, "open") == 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(operator_can_force_it)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "consecutive_failures=1", NULL);

    ck_assert_ptr_nonnull(
        strstr(sluice_test_command(test, "open orders"), "\"state\":\"forced_open\""));
    ck_assert_uint_eq(refusals(test, 2, 200), 2);
    sluice_test_command(test, "close orders");
    ck_assert_uint_eq(refusals(test, 3, 500), 0);
    sluice_test_command(test, "auto orders");
    ck_assert_ptr_nonnull(strstr(sluice_test_report(test), "\"orders\":{\"state\":\"open\""));
    ck_assert_ptr_nonnull(strstr(sluice_test_command(test, "shut orders"), "error"));
    sluice_test_free(&test);
}
END_TEST

START_TEST(what_keeps_requests_away_is_shown_as_open)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "consecutive_failures=1", NULL);

    sluice_test_command(test, "open orders");
    ck_assert(sluice_test_metric(test, "open", "orders") == 1);
    sluice_test_command(test, "close orders");
    ck_assert(sluice_test_metric(test, "open", "orders") == 0);
    ck_assert_uint_eq(refusals(test, 1, 500), 0); /* it opens, and nobody is kept away */
    ck_assert(sluice_test_metric(test, "open", "orders") == 0);
    sluice_test_command(test, "auto orders");
    ck_assert(sluice_test_metric(test, "open", "orders") == 1);
    sluice_test_free(&test);
}
END_TEST

START_TEST(force_outlives_a_long_weekend)
{
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "consecutive_failures=1", NULL);

    sluice_test_command(test, "open orders");
    sluice_test_advance(test, UINT64_C(19) * 24 * 3600 * 1000);
    ck_assert_uint_eq(refusals(test, 2, 200), 2);
    sluice_test_free(&test);
}
END_TEST

START_TEST(names_that_nothing_has_are_refused)
{
    static const char *const commands[] = {"open ", "open a\"b", "open a\\b", "close a\nb"};
    struct sluice_test *test = sluice_test_started(&sluice_plugin, "consecutive_failures=1", NULL);

    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        ck_assert_ptr_nonnull(strstr(sluice_test_command(test, commands[i]), "error"));
    ck_assert_str_eq(sluice_test_report(test), "{}");
    sluice_test_free(&test);
}
END_TEST

START_TEST(mistakes_are_told)
{
    static const struct {
        const char *row, *error;
    } mistakes[] = {
        {"error_ratio=0", "can never open"},
        {"open_max=1s", "open_max: open_max is shorter than open"},
        {"failure_statuses=[200]", "failure_statuses: 200 is no status of a failure"},
    };

    for (size_t i = 0; i < sizeof(mistakes) / sizeof(*mistakes); i++) {
        struct sluice_test *test = sluice_test_new(&sluice_plugin);

        sluice_test_set(test, mistakes[i].row);
        ck_assert(!sluice_test_check(test));
        ck_assert_msg(strstr(sluice_test_errors(test), mistakes[i].error), "%s",
                      sluice_test_errors(test));
        sluice_test_free(&test);
    }
}
END_TEST

UNIT_MAIN("plugins/circuit_breaker", word_keeps_what_was_packed,
          open_circuit_refuses_until_its_time_is_over, time_may_wrap_while_it_is_open,
          open_time_doubles_up_to_its_maximum_and_has_jitter,
          no_more_probes_go_than_are_still_needed, failed_probe_opens_again_for_longer,
          probe_that_nobody_judged_is_given_up_for_lost, force_wins_over_every_state,
          failures_in_a_row_open_it, ratio_needs_its_minimum_of_requests,
          ratio_looks_at_its_window_only, slow_responses_open_it,
          it_probes_and_closes_and_forgets_the_window, probe_whose_client_left_is_given_back,
          workers_make_a_transition_once, state_survives_a_reload, fallback_answers_as_configured,
          fallback_sends_to_another_upstream, operator_can_force_it,
          what_keeps_requests_away_is_shown_as_open, force_outlives_a_long_weekend,
          names_that_nothing_has_are_refused, mistakes_are_told)
