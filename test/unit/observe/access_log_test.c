#include "observe/access_log.h"

#include "unit.h"

#include "base/now.h"

#include <stdio.h>
#include <string.h>

/* -- a bound map and a record ------------------------------------------- */

struct bound {
    struct arena arena;
    struct notes *notes;
    struct access_log_conf conf;
    enum err err;
    struct text said; /* the notes as printed */
};

static struct bound bind_yaml(const char *yaml)
{
    struct bound bound = {.notes = notes_new()};
    struct bind bind = {.notes = bound.notes};
    struct tree *tree = NULL;

    arena_init(&bound.arena, NULL, 0);
    bind.arena = &bound.arena;
    text_init(&bound.said, 1 << 16);
    ck_assert_int_eq(tree_parse(span_of(yaml), "t.yaml", &bound.arena, bound.notes, &tree), OK);
    bound.err = shape_bind(&bind, &access_log_shape, tree, &bound.conf);
    notes_print(bound.notes, &bound.said);
    return bound;
}

static void bound_free(struct bound *bound)
{
    arena_fini(&bound->arena);
    notes_free(&bound->notes);
    text_fini(&bound->said);
}

static bool find_field(const struct access_record *record, bool of_response,
                       struct sluice_span name, struct sluice_span *value)
{
    const char *agent = record->owner;

    if (!of_response && span_equal(name, SPAN("user-agent"))) {
        *value = span_of(agent);
        return true;
    }
    if (!of_response && span_equal(name, SPAN("x-empty"))) {
        *value = span_make(NULL, 0);
        return true;
    }
    if (of_response && span_equal(name, SPAN("content-type"))) {
        *value = SPAN("text/html");
        return true;
    }
    return false;
}

static struct access_record make_record(void)
{
    return (struct access_record){
        .wall_us = 1769862896789012, /* 2026-01-31T12:34:56.789 */
        .duration_us = 12345,
        .upstream_us = 999,
        .bytes_in = 0,
        .bytes_out = 1024,
        .status = 200,
        .reason = "completed",
        .request_id = SPAN("00ff"),
        .client = SPAN("192.0.2.1"),
        .method = SPAN("GET"),
        .scheme = SPAN("https"),
        .host = SPAN("example.com"),
        .path = SPAN("/a"),
        .query = SPAN("b=1"),
        .target = SPAN("/a?b=1"),
        .protocol = SPAN("HTTP/1.1"),
        .route = SPAN("orders"),
        .upstream = SPAN("app"),
        .endpoint = SPAN("127.0.0.1:9000"),
        .listener = SPAN("edge"),
        .client_port = 50000,
        .worker = 3,
        .tries = 1,
        .connection = 18446744073709551615u,
        .connection_requests = 7,
        .generation = 2,
        .has_query = true,
        .reused = true,
        .find_field = find_field,
        .owner = "curl/8",
    };
}

/* The line of a record in the form that yaml asks for; the caller frees it. */
static char *line_of(const char *yaml, const struct access_record *record)
{
    struct bound bound = bind_yaml(yaml);
    struct text out;
    char *line;

    ck_assert_msg(bound.err == OK, "%s", bound.said.ptr);
    text_init(&out, ACCESS_LINE_MAX);
    access_format_write(bound.conf.format, record, &out);
    ck_assert(!out.cut);
    line = strndup(out.ptr ? out.ptr : "", out.len);
    ck_assert_uint_eq(strlen(line), out.len);
    text_fini(&out);
    bound_free(&bound);
    return line;
}

static void check_line(const char *yaml, const struct access_record *record, const char *want)
{
    char *line = line_of(yaml, record);

    ck_assert_str_eq(line, want);
    free(line);
}

static void check_refused(const char *yaml, const char *say)
{
    struct bound bound = bind_yaml(yaml);

    ck_assert_int_eq(bound.err, ERR_CONFIG);
    ck_assert_msg(strstr(bound.said.ptr, say) != NULL, "'%s' is not in:\n%s", say, bound.said.ptr);
    bound_free(&bound);
}

/* -- JSON --------------------------------------------------------------- */

START_TEST(default_json_line)
{
    struct access_record record = make_record();

    check_line("path: stdout", &record,
               "{\"time\":\"2026-01-31T12:34:56.789Z\",\"request_id\":\"00ff\","
               "\"client\":\"192.0.2.1\",\"method\":\"GET\",\"host\":\"example.com\","
               "\"path\":\"/a\",\"status\":200,\"reason\":\"completed\",\"bytes_in\":0,"
               "\"bytes_out\":1024,\"duration_ms\":12.345,\"route\":\"orders\","
               "\"upstream\":\"app\",\"endpoint\":\"127.0.0.1:9000\"}\n");
}
END_TEST

START_TEST(every_field_has_its_value)
{
    struct access_record record = make_record();

    check_line("fields: [ client_port, scheme, query, target, protocol, upstream_ms, "
               "connect_reused, tries, listener, worker, connection, connection_requests, "
               "generation, user_agent, referer, forwarded_for, req.User-Agent, "
               "resp.content-type ]",
               &record,
               "{\"client_port\":50000,\"scheme\":\"https\",\"query\":\"b=1\","
               "\"target\":\"/a?b=1\",\"protocol\":\"HTTP/1.1\",\"upstream_ms\":0.999,"
               "\"connect_reused\":true,\"tries\":1,\"listener\":\"edge\",\"worker\":3,"
               "\"connection\":18446744073709551615,\"connection_requests\":7,\"generation\":2,"
               "\"user_agent\":\"curl/8\",\"referer\":null,\"forwarded_for\":null,"
               "\"req.User-Agent\":\"curl/8\",\"resp.content-type\":\"text/html\"}\n");
}
END_TEST

START_TEST(missing_values_are_null_in_json)
{
    struct access_record record = {.upstream_us = ACCESS_NONE,
                                   .bytes_in = ACCESS_NONE,
                                   .bytes_out = ACCESS_NONE,
                                   .status = ACCESS_NONE};

    check_line("fields: [ request_id, status, reason, bytes_in, upstream_ms, query, "
               "connect_reused, user_agent, duration_ms ]",
               &record,
               "{\"request_id\":null,\"status\":null,\"reason\":null,\"bytes_in\":null,"
               "\"upstream_ms\":null,\"query\":null,\"connect_reused\":false,"
               "\"user_agent\":null,\"duration_ms\":0.000}\n");
}
END_TEST

START_TEST(empty_is_not_missing_where_both_can_be)
{
    struct access_record record = make_record();

    record.query = span_make(NULL, 0);
    check_line("fields: [ query, req.x-empty ]", &record,
               "{\"query\":\"\",\"req.x-empty\":\"\"}\n");
}
END_TEST

START_TEST(json_strings_are_escaped)
{
    struct access_record record = make_record();

    record.path = SPAN("/\"\\\n\x01 \xc3\xa9");
    check_line("fields: [ path, status ]", &record,
               "{\"path\":\"/\\\"\\\\\\n\\u0001 \xc3\xa9\",\"status\":200}\n");
}
END_TEST

/* -- patterns ----------------------------------------------------------- */

START_TEST(default_pattern_line)
{
    struct access_record record = make_record();

    check_line("format: pattern", &record,
               "192.0.2.1 - [2026-01-31T12:34:56.789Z] \"GET /a HTTP/1.1\" 200 1024 12.345 "
               "completed\n");
}
END_TEST

START_TEST(pattern_keeps_text_and_braces)
{
    struct access_record record = make_record();

    check_line("{ format: pattern, pattern: '{{}{{{status}}} {upstream_ms}' }", &record,
               "{}{200}} 0.999\n");
    check_line("{ format: pattern, pattern: \"no field\\tat all\" }", &record,
               "no field\tat all\n");
}
END_TEST

START_TEST(missing_values_are_dashes_in_a_pattern)
{
    struct access_record record = {.status = ACCESS_NONE, .upstream_us = ACCESS_NONE};

    check_line("{ format: pattern, pattern: '{client} {status} {upstream_ms} {reason} {query}' }",
               &record, "- - - - -\n");
}
END_TEST

START_TEST(pattern_values_cannot_forge_quotes_or_lines)
{
    struct access_record record = make_record();

    record.owner = "a\" 200 \\ \n\x7f\x1b[0m\xc3\xa9";
    check_line("{ format: pattern, pattern: '\"{user_agent}\" {status}' }", &record,
               "\"a\\\" 200 \\\\ \\x0a\\x7f\\x1b[0m\\xc3\\xa9\" 200\n");
}
END_TEST

START_TEST(every_octet_is_escaped_or_kept_wherever_it_stands)
{
    static const size_t lens[] = {1, 3, 8, 13};

    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        size_t len = lens[i];

        for (unsigned n = 0; n < 255 * len; n++) {
            unsigned octet = 1 + n % 255;
            size_t at = n / 255;
            struct access_record record = make_record();
            char value[20], want[64];

            memset(value, '~', len);
            value[at] = (char)octet;
            value[len] = '\0';
            record.owner = value;
            if (octet == '"' || octet == '\\') {
                snprintf(want, sizeof want, "<%.*s\\%c%s>\n", (int)at, value, octet,
                         value + at + 1);
            } else if (octet < 0x20 || octet > 0x7e) {
                snprintf(want, sizeof want, "<%.*s\\x%02x%s>\n", (int)at, value, octet,
                         value + at + 1);
            } else {
                snprintf(want, sizeof want, "<%s>\n", value);
            }
            check_line("{ format: pattern, pattern: '<{user_agent}>' }", &record, want);
        }
    }
}
END_TEST

/* -- bounds ------------------------------------------------------------- */

START_TEST(long_values_are_cut_and_the_line_stays_whole)
{
    struct access_record record = make_record();
    char *large = malloc(100001), *line;
    static const char bytes[] = {'a', '\x01', '\xff', '"'};
    static const char *const forms[] = {"json", "pattern"};

    for (size_t b = 0; b < sizeof bytes; b++) {
        for (size_t f = 0; f < 2; f++) {
            char yaml[600];

            memset(large, bytes[b], 100000);
            large[100000] = '\0';
            record.path = record.host = record.target = record.query = span_make(large, 100000);
            record.method = record.route = record.client = record.endpoint = record.path;
            record.owner = large;
            snprintf(yaml, sizeof yaml,
                     "{ format: %s, fields: [ path, host, target, query, method, route, client, "
                     "endpoint, user_agent, status ], pattern: '{path} {host} {target} {query} "
                     "{method} {route} {client} {endpoint} {user_agent} {status}' }",
                     forms[f]);
            line = line_of(yaml, &record);
            ck_assert_uint_lt(strlen(line), ACCESS_LINE_MAX);
            ck_assert_ptr_nonnull(strstr(line, "..."));
            ck_assert_ptr_nonnull(strstr(line, f ? "... 200\n" : ",\"status\":200}\n"));
            free(line);
        }
    }
    free(large);
}
END_TEST

START_TEST(cut_falls_between_characters)
{
    struct access_record record = make_record();
    char path[4099], want[5000];

    memset(path, 'a', sizeof path);
    memcpy(path + 4095, "\xe2\x82\xac", 3); /* the last byte allowed is its first */
    record.path = span_make(path, sizeof path);
    memset(want, 'a', sizeof want);
    memcpy(want, "{\"path\":\"", 9);
    strcpy(want + 9 + 4095, "...\"}\n");
    check_line("fields: path", &record, want);
}
END_TEST

/* -- the time ----------------------------------------------------------- */

START_TEST(time_agrees_with_the_main_logs)
{
    static const uint64_t seconds[] = {0,          951782399,   951782400,  951868800,
                                       1078012800, 4107542399,  4107542400, 1735689599,
                                       2147483648, 253402300799};
    struct access_second told = {0};

    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        struct access_record record = {.wall_us = seconds[i] * 1000000 + 7000};
        char text[NOW_TEXT], want[64];

        now_format(record.wall_us, text);
        text[23] = '\0';
        snprintf(want, sizeof want, "%sZ\n", text);
        check_line("{ format: pattern, pattern: '{time}' }", &record, want);
        /* And so where the second told last is kept. */
        record.second = &told;
        check_line("{ format: pattern, pattern: '{time}' }", &record, want);
        record.wall_us += 991000;
        snprintf(want + 20, sizeof want - 20, "998Z\n");
        check_line("{ format: pattern, pattern: '{time}' }", &record, want);
    }
}
END_TEST

/* -- the map ------------------------------------------------------------ */

START_TEST(scalar_is_the_path)
{
    struct bound bound = bind_yaml("/var/log/a.log");

    ck_assert_int_eq(bound.err, OK);
    ck_assert(span_equal(bound.conf.path, SPAN("/var/log/a.log")));
    ck_assert_int_eq(bound.conf.form, ACCESS_JSON);
    ck_assert_ptr_nonnull(bound.conf.format);
    bound_free(&bound);
}
END_TEST

START_TEST(not_written_means_off)
{
    struct bind bind = {.notes = notes_new()};
    struct access_log_conf conf;
    struct access_record record = make_record();
    struct arena arena;
    struct text out;

    arena_init(&arena, NULL, 0);
    text_init(&out, 100);
    bind.arena = &arena;
    ck_assert_int_eq(shape_bind(&bind, &access_log_shape, NULL, &conf), OK);
    ck_assert(span_equal(conf.path, SPAN("off")));
    access_format_write(NULL, &record, &out);
    ck_assert_uint_eq(out.len, 0);
    text_fini(&out);
    arena_fini(&arena);
    notes_free(&bind.notes);
}
END_TEST

START_TEST(unknown_field_is_told_with_the_nearest)
{
    check_refused("fields: [ time, statsu ]",
                  "t.yaml:1:17: error: unknown access log field 'statsu'");
    check_refused("fields: [ time, statsu ]", "did you mean 'status'?");
    check_refused("fields: [ user-agent ]", "did you mean 'user_agent'?");
    check_refused("fields: [ '' ]", "unknown access log field ''");
}
END_TEST

START_TEST(all_errors_are_told_at_once)
{
    static const char yaml[] = "{ fields: [ one, req.cookie ], pattern: '{two}' }";

    check_refused(yaml, "'one'");
    check_refused(yaml, "'req.cookie'");
    check_refused(yaml, "'two' at position 1 of the pattern");
}
END_TEST

START_TEST(field_listed_twice_is_refused)
{
    check_refused("fields: [ time, status, time ]", "twice: 'time'");
}
END_TEST

START_TEST(secrets_are_refused)
{
    static const char *const names[] = {"req.authorization", "req.Cookie", "resp.set-cookie",
                                        "req.X-API-Key", "req.proxy-authorization"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char yaml[100];

        snprintf(yaml, sizeof yaml, "fields: [ %s ]", names[i]);
        check_refused(yaml, "secret field");
        snprintf(yaml, sizeof yaml, "{ format: pattern, pattern: 'x {%s}' }", names[i]);
        check_refused(yaml, "at position 3 of the pattern");
    }
}
END_TEST

START_TEST(malformed_field_names_are_refused)
{
    check_refused("fields: [ req. ]", "malformed field name 'req.'");
    check_refused("fields: [ 'resp.a b' ]", "malformed field name 'resp.a b'");
    check_refused(
        "fields: [ req.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ]",
        "malformed field name");
}
END_TEST

START_TEST(broken_patterns_are_told_with_the_position)
{
    check_refused("{ format: pattern, pattern: '{status} {path' }",
                  "unclosed '{path' at position 10 of the pattern");
    check_refused("{ format: pattern, pattern: 'a{}' }", "'' at position 2 of the pattern");
    check_refused("{ format: pattern, pattern: \"{status}\\n\" }", "'\\n' at position 9");
    check_refused("{ format: pattern, pattern: '' }", "must have 1 to 4096 bytes");
}
END_TEST

START_TEST(too_many_fields_are_refused)
{
    char yaml[1024] = "{ format: pattern, pattern: '";

    for (int i = 0; i < 65; i++)
        strcat(yaml, "{status}");
    strcat(yaml, "' }");
    check_refused(yaml, "at most 64 fields");
    check_refused("fields: []", "at least 1");
}
END_TEST

START_TEST(empty_path_is_refused)
{
    check_refused("path: ''", "path is empty");
}
END_TEST

UNIT_MAIN("observe/access_log", default_json_line, every_field_has_its_value,
          missing_values_are_null_in_json, empty_is_not_missing_where_both_can_be,
          json_strings_are_escaped, default_pattern_line, pattern_keeps_text_and_braces,
          missing_values_are_dashes_in_a_pattern, pattern_values_cannot_forge_quotes_or_lines,
          every_octet_is_escaped_or_kept_wherever_it_stands,
          long_values_are_cut_and_the_line_stays_whole, cut_falls_between_characters,
          time_agrees_with_the_main_logs, scalar_is_the_path, not_written_means_off,
          unknown_field_is_told_with_the_nearest, all_errors_are_told_at_once,
          field_listed_twice_is_refused, secrets_are_refused, malformed_field_names_are_refused,
          broken_patterns_are_told_with_the_position, too_many_fields_are_refused,
          empty_path_is_refused)
