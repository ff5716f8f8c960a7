#include "policy/retry.h"

#include "config/note.h"

#include "unit.h"

#include <stdio.h>

struct scene {
    struct arena arena;
    struct notes *notes;
};

struct holder {
    struct retry_rule rule;
};

static const struct field whole_fields[] = {{.name = "retry",
                                             .shape = &retry_shape,
                                             .offset = offsetof(struct holder, rule),
                                             .preset = RETRY_PRESET},
                                            {0}};
static const struct field own_fields[] = {
    {.name = "retry", .shape = &retry_shape, .offset = offsetof(struct holder, rule)}, {0}};
static const struct shape whole_shape = {
    .kind = SHAPE_STRUCT, .size = sizeof(struct holder), .fields = whole_fields};
static const struct shape own_shape = {
    .kind = SHAPE_STRUCT, .size = sizeof(struct holder), .fields = own_fields};

static struct scene scene_open(void)
{
    struct scene it = {.notes = notes_new()};

    arena_init(&it.arena, NULL, 0);
    return it;
}

static void scene_close(struct scene *it)
{
    notes_free(&it->notes);
    arena_fini(&it->arena);
}

static enum err bind_to(struct scene *it, const struct shape *shape, const char *yaml,
                        struct holder *out)
{
    struct bind bind = {.arena = &it->arena, .notes = it->notes};
    struct tree *tree = NULL;

    *out = (struct holder){0};
    ck_assert_int_eq(tree_parse(span_of(yaml), "test.yaml", &it->arena, it->notes, &tree), OK);
    return shape_bind(&bind, shape, tree, out);
}

static struct retry_rule rule_of(struct scene *it, const char *yaml)
{
    struct holder holder;

    ck_assert_int_eq(bind_to(it, &whole_shape, yaml, &holder), OK);
    return holder.rule;
}

/* -- the decision ------------------------------------------------------------ */

#define CONNECT RETRY_CONNECT, 0
#define RESET   RETRY_RESET, 0
#define TIMEOUT RETRY_TIMEOUT, 0
#define STATUS  RETRY_STATUS

static const struct {
    const char *why;
    const char *yaml;
    struct retry_case it;
    enum retry_answer answer;
} rows[] = {
    /* cause and status, method, retries, unsent, whole */
    {"default: connect", "{}", {CONNECT, METHOD_GET, 0, true, true}, RETRY_GO},
    {"default: connect, any method", "{}", {CONNECT, METHOD_POST, 0, true, false}, RETRY_GO},
    {"default: reset", "{}", {RESET, METHOD_GET, 0, false, true}, RETRY_GO},
    {"default: idempotent", "{}", {RESET, METHOD_PUT, 0, false, true}, RETRY_GO},
    {"POST is not", "{}", {RESET, METHOD_POST, 0, false, true}, RETRY_NOT_THE_METHOD},
    {"PATCH is not", "{}", {RESET, METHOD_PATCH, 0, false, true}, RETRY_NOT_THE_METHOD},
    {"who knows", "{}", {RESET, METHOD_OTHER, 0, false, true}, RETRY_NOT_THE_METHOD},
    {"default: no timeout", "{}", {TIMEOUT, METHOD_GET, 0, false, true}, RETRY_NOT_NAMED},
    {"default: no status", "{}", {STATUS, 503, METHOD_GET, 0, false, true}, RETRY_NOT_NAMED},
    {"default: the second", "{}", {RESET, METHOD_GET, 1, false, true}, RETRY_GO},
    {"default: two", "{}", {RESET, METHOD_GET, 2, false, true}, RETRY_NO_ATTEMPT_LEFT},
    {"two for connect as well", "{}", {CONNECT, METHOD_GET, 2, true, true}, RETRY_NO_ATTEMPT_LEFT},
    {"content gone", "{}", {RESET, METHOD_PUT, 0, false, false}, RETRY_CONTENT_GONE},
    {"0 is never", "{ retry: 0 }", {CONNECT, METHOD_GET, 0, true, true}, RETRY_NO_ATTEMPT_LEFT},
    {"scalar", "{ retry: 1 }", {RESET, METHOD_GET, 0, false, true}, RETRY_GO},
    {"only connect",
     "{ retry: { on: [ connect ] } }",
     {RESET, METHOD_GET, 0, false, true},
     RETRY_NOT_NAMED},
    {"nothing", "{ retry: { on: [] } }", {CONNECT, METHOD_GET, 0, true, true}, RETRY_NOT_NAMED},
    {"timeout", "{ retry: { on: timeout } }", {TIMEOUT, METHOD_GET, 0, false, true}, RETRY_GO},
    {"one status",
     "{ retry: { on: [ 503 ] } }",
     {STATUS, 503, METHOD_GET, 0, false, true},
     RETRY_GO},
    {"not another",
     "{ retry: { on: [ 503 ] } }",
     {STATUS, 502, METHOD_GET, 0, false, true},
     RETRY_NOT_NAMED},
    {"the first",
     "{ retry: { on: [ 400 ] } }",
     {STATUS, 400, METHOD_GET, 0, false, true},
     RETRY_GO},
    {"the last", "{ retry: { on: [ 599 ] } }", {STATUS, 599, METHOD_GET, 0, false, true}, RETRY_GO},
    {"5xx from", "{ retry: { on: 5xx } }", {STATUS, 500, METHOD_GET, 0, false, true}, RETRY_GO},
    {"5xx to", "{ retry: { on: 5xx } }", {STATUS, 599, METHOD_GET, 0, false, true}, RETRY_GO},
    {"5xx not 499",
     "{ retry: { on: 5xx } }",
     {STATUS, 499, METHOD_GET, 0, false, true},
     RETRY_NOT_NAMED},
    {"gateway-error",
     "{ retry: { on: gateway-error } }",
     {STATUS, 504, METHOD_GET, 0, false, true},
     RETRY_GO},
    {"gateway-error not 500",
     "{ retry: { on: gateway-error } }",
     {STATUS, 500, METHOD_GET, 0, false, true},
     RETRY_NOT_NAMED},
    {"no 200 ever",
     "{ retry: { on: 5xx } }",
     {STATUS, 200, METHOD_GET, 0, false, true},
     RETRY_NOT_NAMED},
    {"POST on purpose",
     "{ retry: { on: 503, methods: [ POST ] } }",
     {STATUS, 503, METHOD_POST, 0, false, true},
     RETRY_GO},
    {"then not GET",
     "{ retry: { on: 503, methods: [ POST ] } }",
     {STATUS, 503, METHOD_GET, 0, false, true},
     RETRY_NOT_THE_METHOD},
};

START_TEST(each_row_is_decided)
{
    struct scene it = scene_open();

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct retry_rule rule = rule_of(&it, rows[i].yaml);

        ck_assert_msg(retry_decide(&rule, &rows[i].it) == rows[i].answer, "%s", rows[i].why);
    }
    scene_close(&it);
}
END_TEST

/* -- pauses ------------------------------------------------------------------ */

START_TEST(pauses_double_up_to_the_most_and_never_exceed_it)
{
    const struct retry_backoff backoff = {25, 250};
    static const uint64_t most[] = {25, 50, 100, 200, 250, 250};

    for (unsigned n = 0; n < sizeof(most) / sizeof(most[0]); n++) {
        for (uint64_t random = 0; random < 1000; random++) {
            ck_assert_uint_le(retry_pause_ms(&backoff, n, random), most[n]);
        }
        ck_assert_uint_eq(retry_pause_ms(&backoff, n, most[n]), most[n]);
        ck_assert_uint_eq(retry_pause_ms(&backoff, n, most[n] + 1), 0);
    }
    ck_assert_uint_eq(retry_pause_ms(&(struct retry_backoff){0, 0}, 9, 12345), 0);
    ck_assert_uint_eq(retry_pause_ms(&(struct retry_backoff){100, 10}, 0, 10), 10);
}
END_TEST

START_TEST(retry_after_is_honoured_within_the_most)
{
    const struct retry_backoff backoff = {25, 2500};
    uint64_t ms = 30;

    ck_assert(retry_after_ms(&backoff, SPAN("0"), &ms));
    ck_assert_uint_eq(ms, 30);
    ck_assert(retry_after_ms(&backoff, SPAN("2"), &ms));
    ck_assert_uint_eq(ms, 2000);
    ck_assert(!retry_after_ms(&backoff, SPAN("3"), &ms));
    ck_assert(!retry_after_ms(&backoff, SPAN("99999999999999999999"), &ms));
    ck_assert(!retry_after_ms(&backoff, SPAN("-1"), &ms));
    ck_assert(!retry_after_ms(&backoff, SPAN(""), &ms));
    ck_assert(!retry_after_ms(&backoff, SPAN("Fri, 31 Dec 1999 23:59:59 GMT"), &ms));
    ck_assert_uint_eq(ms, 2000);
}
END_TEST

START_TEST(pushback_is_taken_at_its_word)
{
    static const char *const wrong[] = {
        "", "-1", "-", "+1", "01", "00", "1 ", "1s", "0x1", "2147483648", "99999999999999999999"};
    uint64_t ms = 30;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        ck_assert_msg(!retry_pushback_ms(span_of(wrong[i]), UINT64_MAX, &ms), "%s", wrong[i]);
    ck_assert(retry_pushback_ms(SPAN("0"), 0, &ms));
    ck_assert_uint_eq(ms, 0);
    ck_assert(retry_pushback_ms(SPAN("2147483647"), UINT64_MAX, &ms));
    ck_assert_uint_eq(ms, 2147483647);
    ck_assert(retry_pushback_ms(SPAN("500"), 500, &ms));
    ck_assert_uint_eq(ms, 500);
    ck_assert(!retry_pushback_ms(SPAN("501"), 500, &ms));
}
END_TEST

/* -- configuration ------------------------------------------------------------ */

START_TEST(what_a_route_does_not_write_the_upstream_says)
{
    struct scene it = scene_open();
    struct retry_rule base =
        rule_of(&it, "{ retry: { attempts: 3, on: 503, backoff: { base: 1s, max: 2s } } }");
    struct retry_rule rule;
    struct holder own;

    ck_assert_int_eq(bind_to(&it, &own_shape, "{}", &own), OK);
    ck_assert_uint_eq(own.rule.written, 0);
    retry_rule_over(&rule, &base, &own.rule);
    ck_assert_mem_eq(&rule, &base, sizeof(rule));

    ck_assert_int_eq(bind_to(&it, &own_shape, "{ retry: 0 }", &own), OK);
    retry_rule_over(&rule, &base, &own.rule);
    ck_assert_uint_eq(rule.attempts, 0);
    ck_assert(retry_names_status(&rule, 503));

    ck_assert_int_eq(bind_to(&it, &own_shape,
                             "{ retry: { on: reset, methods: POST, per_try_timeout: 7ms, body: 9, "
                             "backoff: { max: 3s } } }",
                             &own),
                     OK);
    retry_rule_over(&rule, &base, &own.rule);
    ck_assert_uint_eq(rule.attempts, 3);
    ck_assert_uint_eq(rule.causes, 1u << RETRY_RESET);
    ck_assert(!retry_names_status(&rule, 503));
    ck_assert_uint_eq(rule.method_bits, 1u << METHOD_POST);
    ck_assert_uint_eq(rule.per_try_ms, 7);
    ck_assert_uint_eq(rule.body_bytes, 9);
    ck_assert_uint_eq(rule.backoff.base_ms, 1000);
    ck_assert_uint_eq(rule.backoff.max_ms, 3000);
    scene_close(&it);
}
END_TEST

START_TEST(what_is_retried_is_printed_as_written)
{
    struct scene it = scene_open();
    struct retry_rule rule =
        rule_of(&it, "{ retry: { on: [ 503, connect, timeout, 5xx, gateway-error ] } }");
    struct text out;

    text_init(&out, 200);
    retry_print_on(&rule, &out);
    ck_assert_str_eq(out.ptr, "503, connect, timeout, 500-599, 502-504");
    text_fini(&out);
    scene_close(&it);
}
END_TEST

START_TEST(what_is_no_rule_is_refused)
{
    static const char *const wrong[] = {
        "{ retry: 10 }",
        "{ retry: { on: [ refuse ] } }",
        "{ retry: { on: [ 399 ] } }",
        "{ retry: { on: [ 600 ] } }",
        "{ retry: { on: [ { status: 503 } ] } }",
        "{ retry: { methods: [ CONNECT ] } }",
        "{ retry: { methods: [ get ] } }",
        "{ retry: { body: 257KiB } }",
        "{ retry: { backoff: { max: 61s } } }",
        "{ retry: { tries: 1 } }",
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct scene it = scene_open();
        struct holder out;

        ck_assert_msg(bind_to(&it, &whole_shape, wrong[i], &out) == ERR_CONFIG, "%s", wrong[i]);
        scene_close(&it);
    }
}
END_TEST

UNIT_MAIN("policy/retry", each_row_is_decided, pauses_double_up_to_the_most_and_never_exceed_it,
          retry_after_is_honoured_within_the_most, pushback_is_taken_at_its_word,
          what_a_route_does_not_write_the_upstream_says, what_is_retried_is_printed_as_written,
          what_is_no_rule_is_refused)
