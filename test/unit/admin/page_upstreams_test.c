#include "sample.h"

#include <jansson.h>

static json_t *page_of(struct sample *sample, const char *ask)
{
    const char *answer = sample_ask(sample, ask, LOCAL);
    json_t *json = json_loads(sample_body(answer), JSON_REJECT_DUPLICATES, NULL);

    ck_assert_uint_eq(sample_status(answer), 200);
    ck_assert_ptr_nonnull(json);
    return json;
}

static long long number(const json_t *json, const char *name)
{
    const json_t *value = json_object_get(json, name);

    ck_assert_msg(json_is_integer(value), "%s", name);
    return json_integer_value(value);
}

START_TEST(upstreams_add_up_the_workers)
{
    struct sample *sample = sample_new(false);
    struct tally *tally = sample->host.tally;
    struct upstream_conf conf = {.named.name = SPAN("app"), .balance = 1};
    struct member member = {.text = SPAN("127.0.0.1:80"), .weight = 5};
    const struct found_endpoint facts = {.priority = 2, .zone = SPAN("z1")};
    struct share_group group = {.name = NULL};
    struct share share = {.group = &group};
    struct members members = {.member = &member, .n = 1, .group = &group};
    struct snapshot_upstream upstream = {.conf = &conf, .members = &members};
    json_t *json, *app, *endpoint;

    member.facts = &facts;
    member.share = &share;
    member.tally = tally_get(tally, ENDPOINT_TALLY, SPAN("app 127.0.0.1:80"),
                             sizeof(struct endpoint_counters));
    upstream.tally =
        tally_get(tally, UPSTREAM_TALLY, SPAN("app"), sizeof(struct upstream_counters));
    for (unsigned i = 0; i < SAMPLE_WORKERS; i++) {
        struct endpoint_counters *counters = tally_slot(member.tally, i);
        struct upstream_counters *waiters = tally_slot(upstream.tally, i);

        counter_add(&counters->requests, 10 + i);
        counter_add(&counters->connects, 4 + i);
        counter_add(&counters->active, 2 + i);
        counter_add(&counters->idle, 7 + i);
        counter_add(&counters->tunnels, 2);
        counter_add(&counters->failures[ENDPOINT_CONNECT], i);
        counter_add(&counters->failures[ENDPOINT_RESET], 3);
        counter_add(&waiters->waiting, 20 + i);
        counter_add(&waiters->retries[i], 30 + i);
        counter_add(&waiters->rejected_full, 40 + i);
        counter_add(&waiters->rejected_timeout, 50 + i);
    }
    sample->snapshot.upstreams = &upstream;
    sample->snapshot.n_upstreams = 1;

    json = page_of(sample, "GET /upstreams");
    app = json_array_get(json_object_get(json, "upstreams"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(app, "name")), "app");
    ck_assert_str_eq(json_string_value(json_object_get(app, "balance")), "least_requests");
    ck_assert_int_eq(number(app, "waiting"), 41);
    ck_assert_int_eq(number(app, "retries"), 61);
    ck_assert_int_eq(number(json_object_get(app, "rejected"), "full"), 81);
    ck_assert_int_eq(number(json_object_get(app, "rejected"), "timeout"), 101);
    endpoint = json_array_get(json_object_get(app, "endpoints"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(endpoint, "address")), "127.0.0.1:80");
    ck_assert_int_eq(number(endpoint, "weight"), 5);
    ck_assert_str_eq(json_string_value(json_object_get(endpoint, "state")), "serving");
    ck_assert_str_eq(json_string_value(json_object_get(endpoint, "zone")), "z1");
    ck_assert_int_eq(number(endpoint, "priority"), 2);
    ck_assert_int_eq(number(endpoint, "requests"), 21);
    ck_assert_int_eq(number(endpoint, "connects"), 9);
    ck_assert_int_eq(number(endpoint, "failures"), 7);
    ck_assert_int_eq(number(json_object_get(endpoint, "failures_by_reason"), "connect_failed"), 1);
    ck_assert_int_eq(number(json_object_get(endpoint, "failures_by_reason"), "upstream_reset"), 6);
    ck_assert_int_eq(number(json_object_get(endpoint, "connections"), "active"), 5);
    ck_assert_int_eq(number(json_object_get(endpoint, "connections"), "idle"), 15);
    ck_assert_int_eq(number(json_object_get(endpoint, "connections"), "tunnels"), 4);
    json_decref(json);
    sample_free(&sample);
}
END_TEST

UNIT_MAIN("admin/page_upstreams", upstreams_add_up_the_workers)
