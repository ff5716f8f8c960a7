/* Rules 10 to 14: what a node says. */
#include "discovery/consul_parse.h"

#include "base/text.h"

#include "unit.h"

#include <string.h>

static const struct consul_reading usual = {
    .zone = SPAN("zone"), .weight = SPAN("weight"), .passing = 1, .warning = 1};

/* One node around the members given for its three parts. */
static struct found *parse_one(const char *node, const char *service, const char *checks,
                               const struct consul_reading *reading,
                               struct consul_rejected *rejected)
{
    struct found *found = NULL;
    struct text json;

    text_init(&json, 65536);
    text_format(&json,
                "[{\"Node\":{\"Node\":\"n1\"%s},\"Service\":{\"ID\":\"web-1\"%s},"
                "\"Checks\":[%s]}]",
                node, service, checks);
    ck_assert_int_eq(consul_parse(text_span(&json), reading, &found, rejected), OK);
    text_fini(&json);
    return found;
}

#define PLACE ",\"Address\":\"10.0.0.1\",\"Port\":80"

static void check_address(const char *node, const char *service, const char *tag,
                          const char *expected)
{
    struct consul_reading reading = usual;
    struct consul_rejected rejected;
    struct found *found;

    reading.address = span_of(tag);
    found = parse_one(node, service, "", &reading, &rejected);
    ck_assert_msg(found->n == 1, "%s", rejected.why);
    ck_assert_str_eq(found->endpoint[0].address.ptr, expected);
    found_unref(&found);
}

START_TEST(an_address_is_the_services_else_the_nodes)
{
    check_address(",\"Address\":\"10.9.9.9\"", PLACE, "", "10.0.0.1:80");
    check_address(",\"Address\":\"10.9.9.9\"", ",\"Address\":\"\",\"Port\":80", "", "10.9.9.9:80");
    check_address(",\"Address\":\"10.9.9.9\"", ",\"Port\":80", "", "10.9.9.9:80");
    check_address("", ",\"Address\":\"fd00::1\",\"Port\":80", "", "[fd00::1]:80");
    check_address("", ",\"Address\":\"web.example\",\"Port\":80", "", "web.example:80");
    check_address("", ",\"SocketPath\":\"/run/web.sock\",\"Port\":0", "", "unix:/run/web.sock");
}
END_TEST

START_TEST(a_tagged_address_is_used_where_there_is_one)
{
    const char *tagged = ",\"Address\":\"10.0.0.1\",\"Port\":80,\"TaggedAddresses\":"
                         "{\"wan\":{\"Address\":\"198.51.100.1\",\"Port\":8080},"
                         "\"wan_ipv6\":{\"Address\":\"2001:db8::1\",\"Port\":8080}}";
    const char *node = ",\"Address\":\"10.9.9.9\",\"TaggedAddresses\":{\"wan\":\"198.51.100.9\"}";

    check_address("", tagged, "wan", "198.51.100.1:8080");
    check_address("", tagged, "wan_ipv6", "[2001:db8::1]:8080");
    check_address("", tagged, "lan", "10.0.0.1:80");
    check_address(node, ",\"Address\":\"\",\"Port\":80", "wan", "198.51.100.9:80");
    check_address(node, PLACE, "wan", "10.0.0.1:80");
}
END_TEST

START_TEST(a_broken_node_is_left_out_and_the_others_stay)
{
    const char *json = "[{\"Node\":{\"Node\":\"n1\"},\"Service\":{\"ID\":\"a\",\"Address\":\"10.0."
                       "0.1\",\"Port\":0}},"
                       "{\"Node\":{\"Node\":\"n2\"},\"Service\":{\"ID\":\"b\",\"Address\":\"10.0.0."
                       "2\",\"Port\":80}},"
                       "null, 7, {\"Node\":[]}, "
                       "{\"Node\":{},\"Service\":{\"Port\":70000,\"Address\":\"10.0.0.3\"}},"
                       "{\"Node\":{},\"Service\":{\"Port\":80,\"Address\":\"not an address\"}},"
                       "{\"Node\":{},\"Service\":{\"Port\":-1,\"Address\":\"10.0.0.3\"}},"
                       "{\"Node\":{},\"Service\":{\"Port\":\"80\",\"Address\":\"10.0.0.3\"}}]";
    struct consul_rejected rejected;
    struct found *found;

    ck_assert_int_eq(consul_parse(span_of(json), &usual, &found, &rejected), OK);
    ck_assert_uint_eq(found->n, 1);
    ck_assert_str_eq(found->endpoint[0].address.ptr, "10.0.0.2:80");
    ck_assert_str_eq(found->endpoint[0].id.ptr, "n2/b");
    ck_assert_uint_eq(rejected.n, 8);
    ck_assert_str_eq(rejected.why, "node n1, service a: port 0");
    found_unref(&found);
}
END_TEST

static enum found_state state_with(const char *checks, bool passing_only)
{
    struct consul_reading reading = usual;
    struct consul_rejected rejected;
    struct found *found;
    enum found_state state;

    reading.passing_only = passing_only;
    found = parse_one("", PLACE, checks, &reading, &rejected);
    state = found->endpoint[0].state;
    found_unref(&found);
    return state;
}

#define CHECK_OF(id, status) "{\"CheckID\":\"" id "\",\"Status\":\"" status "\"}"

START_TEST(the_worst_check_decides_and_maintenance_before_all)
{
    ck_assert_int_eq(state_with("", false), FOUND_SERVING);
    ck_assert_int_eq(state_with(CHECK_OF("serfHealth", "passing"), false), FOUND_SERVING);
    ck_assert_int_eq(
        state_with(CHECK_OF("serfHealth", "critical") "," CHECK_OF("a", "passing"), false),
        FOUND_FAILING);
    ck_assert_int_eq(state_with(CHECK_OF("a", "warning"), false), FOUND_WARNING);
    ck_assert_int_eq(state_with(CHECK_OF("a", "warning"), true), FOUND_FAILING);
    ck_assert_int_eq(state_with(CHECK_OF("a", "critical") "," CHECK_OF("b", "warning"), false),
                     FOUND_FAILING);
    ck_assert_int_eq(state_with(CHECK_OF("a", "what"), false), FOUND_FAILING);
    ck_assert_int_eq(
        state_with(CHECK_OF("a", "critical") "," CHECK_OF("_node_maintenance", "critical"), false),
        FOUND_DRAINING);
    ck_assert_int_eq(state_with(CHECK_OF("_service_maintenance:web-1", "critical"), false),
                     FOUND_DRAINING);
}
END_TEST

static uint32_t weight_with(const char *service, const char *status)
{
    struct consul_rejected rejected;
    struct consul_reading reading = usual;
    struct found *found;
    struct text checks, parts;
    uint32_t weight;

    reading.passing = 7;
    reading.warning = 3;
    text_init(&checks, 1024);
    text_init(&parts, 1024);
    text_format(&checks, "{\"CheckID\":\"a\",\"Status\":\"%s\"}", status);
    text_format(&parts, PLACE "%s", service);
    found = parse_one("", parts.ptr, checks.ptr, &reading, &rejected);
    weight = found->endpoint[0].weight;
    found_unref(&found);
    text_fini(&checks);
    text_fini(&parts);
    return weight;
}

START_TEST(weights_come_from_the_registry_and_are_overridden_by_meta_and_tag)
{
    const char *both = ",\"Weights\":{\"Passing\":10,\"Warning\":2}";

    ck_assert_uint_eq(weight_with(both, "passing"), 10);
    ck_assert_uint_eq(weight_with(both, "warning"), 2);
    ck_assert_uint_eq(weight_with("", "passing"), 7);
    ck_assert_uint_eq(weight_with("", "warning"), 3);
    ck_assert_uint_eq(weight_with(",\"Weights\":{\"Passing\":0,\"Warning\":0}", "passing"), 0);
    ck_assert_uint_eq(weight_with(",\"Weights\":{\"Passing\":-5}", "passing"), 7);
    ck_assert_uint_eq(weight_with(",\"Weights\":{\"Passing\":1000000}", "passing"), 65535);
    ck_assert_uint_eq(
        weight_with(",\"Weights\":{\"Passing\":10},\"Meta\":{\"weight\":\"5\"}", "passing"), 5);
    ck_assert_uint_eq(weight_with(",\"Tags\":[\"a\",\"weight=9\"]", "passing"), 9);
    ck_assert_uint_eq(weight_with(",\"Tags\":[\"weight=many\"]", "passing"), 7);
    ck_assert_uint_eq(weight_with(",\"Meta\":{\"weight\":\"0\"}", "passing"), 0);
}
END_TEST

START_TEST(tags_meta_and_zone_are_kept)
{
    struct consul_rejected rejected;
    struct found *found =
        parse_one(",\"Meta\":{\"zone\":\"eu-1\"}",
                  PLACE ",\"Tags\":[\"prod\",5,\"v2\"],\"Meta\":{\"version\":\"2\",\"odd\":5}", "",
                  &usual, &rejected);
    const struct found_endpoint *endpoint = &found->endpoint[0];

    ck_assert_uint_eq(endpoint->n_tags, 2);
    ck_assert_str_eq(endpoint->tags[0].ptr, "prod");
    ck_assert_str_eq(endpoint->tags[1].ptr, "v2");
    ck_assert_uint_eq(endpoint->n_meta, 1);
    ck_assert_str_eq(endpoint->meta[0].name.ptr, "version");
    ck_assert_str_eq(endpoint->meta[0].value.ptr, "2");
    ck_assert_str_eq(endpoint->zone.ptr, "eu-1");
    found_unref(&found);
    found = parse_one("", PLACE ",\"Locality\":{\"Zone\":\"us-1a\"}", "", &usual, &rejected);
    ck_assert_str_eq(found->endpoint[0].zone.ptr, "us-1a");
    found_unref(&found);
}
END_TEST

START_TEST(a_prepared_querys_nodes_are_read_as_well)
{
    struct consul_rejected rejected;
    struct found *found;

    ck_assert_int_eq(consul_parse(SPAN("{\"Service\":\"web\",\"Nodes\":[{\"Node\":{\"Node\":\"n\"},"
                                       "\"Service\":{\"ID\":\"w\",\"Address\":\"10.0.0.1\","
                                       "\"Port\":80}}],\"Datacenter\":\"dc2\"}"),
                                  &usual, &found, &rejected),
                     OK);
    ck_assert_uint_eq(found->n, 1);
    found_unref(&found);
    ck_assert_int_eq(consul_parse(SPAN("{\"Nodes\":null}"), &usual, &found, &rejected), OK);
    ck_assert_uint_eq(found->n, 0);
    found_unref(&found);
}
END_TEST

START_TEST(what_is_no_list_is_refused)
{
    const char *const wrong[] = {"",
                                 "{",
                                 "null",
                                 "[",
                                 "\"text\"",
                                 "{}",
                                 "7",
                                 "{\"Nodes\":7}",
                                 "[]x",
                                 "[1,]",
                                 "No cluster leader"};
    struct consul_rejected rejected;
    struct found *found;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ck_assert_msg(consul_parse(span_of(wrong[i]), &usual, &found, &rejected) == ERR_PROTOCOL,
                      "%s", wrong[i]);
        ck_assert_ptr_null(found);
    }
}
END_TEST

UNIT_MAIN("discovery/consul_parse", an_address_is_the_services_else_the_nodes,
          a_tagged_address_is_used_where_there_is_one,
          a_broken_node_is_left_out_and_the_others_stay,
          the_worst_check_decides_and_maintenance_before_all,
          weights_come_from_the_registry_and_are_overridden_by_meta_and_tag,
          tags_meta_and_zone_are_kept, a_prepared_querys_nodes_are_read_as_well,
          what_is_no_list_is_refused)
