#include "observe/access_pack.h"

#include "unit.h"

#include "config/note.h"
#include "config/tree.h"

#include <stdlib.h>
#include <string.h>

/* A format from YAML; the arena holds it. */
static const struct access_format *format_of(struct arena *arena, const char *yaml)
{
    struct access_log_conf conf;
    struct notes *notes = notes_new();
    struct bind bind = {.notes = notes, .arena = arena};
    struct tree *tree = NULL;

    arena_init(arena, NULL, 0);
    ck_assert_int_eq(tree_parse(span_of(yaml), "t.yaml", arena, notes, &tree), OK);
    ck_assert_int_eq(shape_bind(&bind, &access_log_shape, tree, &conf), OK);
    notes_free(&notes);
    return conf.format;
}

static bool find_field(const struct access_record *record, bool of_response,
                       struct sluice_span name, struct sluice_span *value)
{
    *value = span_of(record->owner);
    return !of_response && span_equal(name, SPAN("user-agent"));
}

static bool find_attribute(const struct access_record *record, struct sluice_span name,
                           struct sluice_span *value)
{
    (void)record;
    *value = SPAN("mary");
    return span_equal(name, SPAN("consumer.name"));
}

static struct access_record base(void)
{
    return (struct access_record){.wall_us = 1769862896789012,
                                  .upstream_us = ACCESS_NONE,
                                  .status = 101,
                                  .reason = "completed",
                                  .client = SPAN("192.0.2.1"),
                                  .method = SPAN("GET"),
                                  .route = SPAN("orders"),
                                  .tries = 1};
}

static struct access_record whole(const char *agent)
{
    struct access_record record = base();

    record.upstream_us = 999;
    record.host = SPAN("example.com");
    record.path = SPAN("/a");
    record.query = SPAN("b=1");
    record.has_query = record.reused = true;
    record.hedged = "won";
    record.tries = 3;
    record.connection_requests = 7;
    record.find_field = find_field;
    record.find_attribute = find_attribute;
    record.owner = agent;
    return record;
}

static bool find_packed_field(const struct access_record *record, bool of_response,
                              struct sluice_span name, struct sluice_span *value)
{
    return access_packed_field(*(const struct sluice_span *)record->owner, of_response, name,
                               value);
}

static bool find_packed_attribute(const struct access_record *record, struct sluice_span name,
                                  struct sluice_span *value)
{
    return access_packed_attribute(*(const struct sluice_span *)record->owner, name, value);
}

/* Pack by one format, write by the other; the caller frees the line. */
static char *line_of(const char *packed_by, const char *written_by,
                     const struct access_record *record, size_t *bytes)
{
    struct arena first, second;
    const struct access_format *packs = format_of(&first, packed_by);
    const struct access_format *writes = format_of(&second, written_by);
    struct access_record known = base(), left = base();
    char *kept = malloc(ACCESS_PACK_MAX), *line;
    size_t n = access_pack(packs, record, &known, kept, ACCESS_PACK_MAX);
    struct sluice_span packed = span_make(kept, n);
    struct text out;

    arena_fini(&first); /* nothing of the first format is needed any more */
    access_unpack(packed, &left);
    left.find_field = find_packed_field;
    left.find_attribute = find_packed_attribute;
    left.owner = &packed;
    text_init(&out, ACCESS_LINE_MAX);
    access_format_write(writes, &left, &out);
    line = strndup(out.ptr, out.len);
    text_fini(&out);
    arena_fini(&second);
    free(kept);
    if (bytes)
        *bytes = n;
    return line;
}

#define ALL                                                                                        \
    "fields: [ time, client, method, host, path, query, status, reason, upstream_ms, "             \
    "connect_reused, route, hedged, tries, connection_requests, user_agent, resp.x-none, "         \
    "attr.consumer.name, tls_sni ]"

START_TEST(a_line_from_what_was_packed_is_the_line_of_the_record)
{
    struct access_record record = whole("curl/8");
    char *line = line_of(ALL, ALL, &record, NULL);

    ck_assert_str_eq(line, "{\"time\":\"2026-01-31T12:34:56.789Z\",\"client\":\"192.0.2.1\","
                           "\"method\":\"GET\",\"host\":\"example.com\",\"path\":\"/a\","
                           "\"query\":\"b=1\",\"status\":101,\"reason\":\"completed\","
                           "\"upstream_ms\":0.999,\"connect_reused\":true,\"route\":\"orders\","
                           "\"hedged\":\"won\",\"tries\":3,\"connection_requests\":7,"
                           "\"user_agent\":\"curl/8\",\"resp.x-none\":null,"
                           "\"attr.consumer.name\":\"mary\",\"tls_sni\":null}\n");
    free(line);
}
END_TEST

START_TEST(what_can_be_told_without_is_not_packed)
{
    struct access_record record = base();
    size_t bytes;

    free(line_of(ALL, ALL, &record, &bytes));
    ck_assert_uint_eq(bytes, 0);
}
END_TEST

START_TEST(another_format_says_what_the_first_has_kept)
{
    struct access_record record = whole("curl/8");
    char *line = line_of("fields: [ path, user_agent ]",
                         "{ format: pattern, pattern: '{path} {host} {tries} {user_agent}' }",
                         &record, NULL);

    ck_assert_str_eq(line, "/a - 1 curl/8\n");
    free(line);
}
END_TEST

/* A text comes back as it was, in so many bytes. */
static void expect_back(const char *id, size_t expected)
{
    struct access_record record = base(), left = base();
    char *kept = malloc(ACCESS_PACK_MAX);
    struct arena arena, made;
    size_t n;

    record.request_id = span_of(id);
    arena_init(&made, NULL, 0);
    left.arena = &made;
    n = access_pack(format_of(&arena, "fields: [ request_id ]"), &record,
                    &(struct access_record){0}, kept, ACCESS_PACK_MAX);
    access_unpack(span_make(kept, n), &left);
    ck_assert_uint_eq(n, expected);
    ck_assert(span_equal(left.request_id, span_of(id)));
    arena_fini(&made);
    arena_fini(&arena);
    free(kept);
}

START_TEST(a_short_text_takes_two_bytes_more_a_long_one_three)
{
    char text[512];

    for (size_t n = 1; n < sizeof(text); n++) {
        memset(text, 'a', n);
        text[n] = '\0';
        if (n != 32)
            expect_back(text, n + (n < 127 ? 2 : 3));
    }
}
END_TEST

START_TEST(the_digits_of_an_id_take_half)
{
    expect_back("0123456789abcdef0123456789abcdef", 18);
    expect_back("ffffffffffffffffffffffffffffffff", 18);
    expect_back("0123456789ABCDEF0123456789abcdef", 34);
    expect_back("0123456789abcdef0123456789abcdeg", 34);
    expect_back("0123456789abcdef0123456789abcde", 33);
    expect_back("0123456789abcdef0123456789abcdef0", 35);
}
END_TEST

START_TEST(no_format_packs_nothing)
{
    struct access_record record = whole("x"), known = base();
    char kept[1];

    ck_assert_uint_eq(access_pack(NULL, &record, &known, kept, sizeof(kept)), 0);
}
END_TEST

START_TEST(what_does_not_fit_is_left_out_whole)
{
    struct access_record record = whole("curl/8"), known = base(), left;
    struct arena arena;
    const struct access_format *format = format_of(&arena, ALL);
    char kept[1024];
    size_t all = access_pack(format, &record, &known, kept, sizeof(kept));

    for (size_t room = 0; room <= all; room++) {
        char *out = malloc(room > 0 ? room : 1); /* the sanitizer tells of a byte beyond it */
        size_t n = access_pack(format, &record, &known, out, room);

        ck_assert_uint_le(n, room);
        ck_assert(n < all || room == all);
        left = base();
        access_unpack(span_make(out, n), &left);
        free(out);
    }
    arena_fini(&arena);
}
END_TEST

START_TEST(long_texts_are_cut_as_a_line_cuts_them)
{
    static char agent[60000];
    struct access_record record;
    char *line;
    size_t bytes;

    memset(agent, 'a', sizeof(agent) - 1);
    record = whole(agent);
    record.path = span_make(agent, 50000);
    line = line_of("fields: [ path, user_agent ]", "fields: [ path, user_agent ]", &record, &bytes);
    ck_assert_uint_lt(bytes, 9000);
    ck_assert_uint_gt(strlen(line), 8192);
    ck_assert_ptr_nonnull(strstr(line, "aaa...\",\"user_agent\":\"aaa"));
    ck_assert_ptr_nonnull(strstr(line, "aaa...\"}\n"));
    free(line);
}
END_TEST

UNIT_MAIN("observe/access_pack", a_line_from_what_was_packed_is_the_line_of_the_record,
          what_can_be_told_without_is_not_packed, another_format_says_what_the_first_has_kept,
          a_short_text_takes_two_bytes_more_a_long_one_three, the_digits_of_an_id_take_half,
          no_format_packs_nothing, what_does_not_fit_is_left_out_whole,
          long_texts_are_cut_as_a_line_cuts_them)
