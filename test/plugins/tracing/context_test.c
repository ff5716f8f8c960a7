/*
 * tracing: what is trace context and what is not.
 */
#include "tracing/context.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define TRACE  "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

static struct sluice_span span(const char *text)
{
    return (struct sluice_span){text, strlen(text)};
}

static bool is_w3c(const char *text)
{
    struct context context;

    return context_parse_w3c(span(text), &context);
}

static void text_of(const struct context *context, char out[CONTEXT_PARENT_LEN + 1])
{
    context_print_w3c(context->trace, context->span, context->flags, out);
    out[CONTEXT_PARENT_LEN] = '\0';
}

/* -- traceparent ---------------------------------------------------------------- */

START_TEST(traceparent_is_read_and_written)
{
    struct context context;
    char text[CONTEXT_PARENT_LEN + 1];

    ck_assert(context_parse_w3c(span("00-" TRACE "-" PARENT "-01"), &context));
    ck_assert(context.has_ids);
    ck_assert_int_eq(context.decision, CONTEXT_IS_SAMPLED);
    text_of(&context, text);
    ck_assert_str_eq(text, "00-" TRACE "-" PARENT "-01");
    ck_assert(context_parse_w3c(span("00-" TRACE "-" PARENT "-00"), &context));
    ck_assert_int_eq(context.decision, CONTEXT_NOT_SAMPLED);
}
END_TEST

START_TEST(traceparent_flags_that_nobody_knows_are_not_passed_on)
{
    struct context context;
    char text[CONTEXT_PARENT_LEN + 1];

    ck_assert(context_parse_w3c(span("00-" TRACE "-" PARENT "-ff"), &context));
    text_of(&context, text);
    ck_assert_str_eq(text, "00-" TRACE "-" PARENT "-03");
}
END_TEST

START_TEST(traceparent_of_a_higher_version_is_read_as_far_as_we_know_it)
{
    ck_assert(is_w3c("01-" TRACE "-" PARENT "-01"));
    ck_assert(is_w3c("cc-" TRACE "-" PARENT "-01-what-the-future-will-be-like"));
    ck_assert(!is_w3c("cc-" TRACE "-" PARENT "-01.what-the-future-will-be-like"));
    ck_assert(is_w3c("cc-" TRACE "-" PARENT "-01-"));
}
END_TEST

START_TEST(traceparent_that_is_malformed_is_none)
{
    static const char *const bad[] = {
        "",
        "0",
        "00",
        "00-",
        "00-" TRACE,
        "00-" TRACE "-" PARENT,
        "00-" TRACE "-" PARENT "-",
        "00-" TRACE "-" PARENT "-0",
        "00-" TRACE "-" PARENT "-01-",
        "00-" TRACE "-" PARENT "-01-x",
        "00-" TRACE "-" PARENT "-011",
        "00-" TRACE "-" PARENT "-0x",
        "00-" TRACE "-" PARENT "-0A",
        "00-" TRACE "-" PARENT "-.0",
        "ff-" TRACE "-" PARENT "-01",
        "0G-" TRACE "-" PARENT "-01",
        "0F-" TRACE "-" PARENT "-01",
        "000-" TRACE "-" PARENT "-01",
        " 00-" TRACE "-" PARENT "-01",
        "00-" TRACE "-" PARENT "-01 ",
        "00_" TRACE "_" PARENT "_01",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01",
        "00-" TRACE "-B7AD6B7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319-" PARENT "-01",
        "00-0af7651916cd43dd8448eb211c80319cc-" PARENT "-01",
        "00-0af7651916cd43dd8448eb211c80319g-" PARENT "-01",
        "00-" TRACE "-b7ad6b716920333-01",
        "00-" TRACE "-b7ad6b71692033311-01",
        "00-" TRACE "-b7ad6b716920333.-01",
        "00-" TRACE "-" PARENT "-01,00-" TRACE "-" PARENT "-01",
    };
    struct context context = {.flags = 77};

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        ck_assert_msg(!context_parse_w3c(span(bad[i]), &context), "'%s' is no context", bad[i]);
        ck_assert_int_eq(context.flags, 77);
    }
}
END_TEST

START_TEST(traceparent_with_any_one_byte_changed_is_read_or_refused_by_the_grammar)
{
    static const char good[] = "00-" TRACE "-" PARENT "-01";
    struct context context;

    for (size_t at = 0; at < sizeof(good) - 1; at++) {
        for (unsigned c = 0; c < 256; c++) {
            char text[sizeof(good)];
            bool is_digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
            bool is_dash = at == 2 || at == 35 || at == 52;

            memcpy(text, good, sizeof(good));
            text[at] = (char)c;
            ck_assert_msg(context_parse_w3c((struct sluice_span){text, sizeof(good) - 1},
                                            &context) == (is_dash ? c == '-' : is_digit),
                          "byte %zu is %u", at, c);
        }
    }
}
END_TEST

START_TEST(traceparent_is_never_read_beyond_its_end)
{
    static const char good[] = "cc-" TRACE "-" PARENT "-01-more";

    for (size_t len = 0; len < sizeof(good); len++) {
        char *copy = malloc(len > 0 ? len : 1); /* so that AddressSanitizer sees */
        struct context context;

        memcpy(copy, good, len);
        ck_assert_int_eq(context_parse_w3c((struct sluice_span){copy, len}, &context), len >= 55);
        free(copy);
    }
}
END_TEST

/* -- tracestate -------------------------------------------------------------------- */

static bool add_all(struct context_state *state, const char *const *lines)
{
    state->n = 0;
    state->bytes = 0;
    for (; *lines; lines++) {
        if (!context_state_add(state, span(*lines)))
            return false;
    }
    return true;
}

static const char *joined(struct context_state *state, char out[CONTEXT_STATE_MAX + 1])
{
    context_state_trim(state);
    out[context_state_print(state, out)] = '\0';
    ck_assert_uint_eq(strlen(out), state->bytes);
    return out;
}

START_TEST(tracestate_lines_are_one_list)
{
    const char *const lines[] = {"foo=1", " bar = 2", NULL};
    const char *const good[] = {"foo=1,,\t bar=a b ,", "", "t61rcwkgmze@rojo=00f067aa0ba902b7",
                                NULL};
    struct context_state state;
    char text[CONTEXT_STATE_MAX + 1];

    ck_assert(!add_all(&state, lines)); /* "bar " is no key */
    ck_assert(add_all(&state, good));
    ck_assert_str_eq(joined(&state, text), "foo=1,bar=a b,t61rcwkgmze@rojo=00f067aa0ba902b7");
}
END_TEST

START_TEST(tracestate_that_is_malformed_is_none)
{
    static const char *const bad[] = {"foo",     "=1",       "foo=",       "FOO=1",  "foo=1,bar",
                                      "foo=1=2", "f\x80o=1", "foo=\x80",   "@foo=1", "foo=a\tb",
                                      "f o=1",   "foo =1",   "foo= ,b=1=", "_foo=1", "-=1"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        const char *lines[] = {bad[i], NULL};
        struct context_state state;

        ck_assert_msg(!add_all(&state, lines), "'%s'", bad[i]);
    }
}
END_TEST

START_TEST(tracestate_has_32_members_at_most)
{
    struct context_state state = {.n = 0};

    for (unsigned i = 0; i < 32; i++)
        ck_assert(context_state_add(&state, span("a=1")));
    ck_assert(context_state_add(&state, span(",, ,")));
    ck_assert(!context_state_add(&state, span("a=1")));
}
END_TEST

START_TEST(tracestate_keys_and_values_have_256_bytes_at_most)
{
    char text[600];
    struct context_state state;

    for (unsigned key = 255; key <= 257; key++) {
        memset(text, 'k', sizeof(text));
        memcpy(text + key, "=v", 3);
        state.n = 0;
        ck_assert_int_eq(context_state_add(&state, span(text)), key <= 256);
        memcpy(text, "k=", 2);
        memset(text + 2, 'v', key);
        text[key + 2] = '\0';
        state.n = 0;
        ck_assert_int_eq(context_state_add(&state, span(text)), key <= 256);
    }
}
END_TEST

START_TEST(tracestate_beyond_512_bytes_loses_large_members_first_then_the_last)
{
    struct context_state state = {.n = 0};
    char large[200], text[CONTEXT_STATE_MAX + 1], one[22][32];

    memset(large, 'x', sizeof(large));
    memcpy(large, "large=", 6);
    large[150] = '\0';
    ck_assert(context_state_add(&state, span("first=1")));
    ck_assert(context_state_add(&state, span(large)));
    for (unsigned i = 0; i < 22; i++) {
        snprintf(one[i], sizeof(one[i]), "member%02u=0123456789", i);
        ck_assert(context_state_add(&state, span(one[i])));
    }
    ck_assert_uint_gt(state.bytes, 512);
    joined(&state, text);
    ck_assert(strstr(text, "first=1,member00=") == text);
    ck_assert(!strstr(text, "large"));
    ck_assert(strstr(text, "member21=0123456789"));
    while (context_state_add(&state, span("z=0123456789")))
        ;
    ck_assert_uint_eq(state.n, 32);
    joined(&state, text);
    ck_assert_uint_le(strlen(text), 512);
    ck_assert(strstr(text, "member21=") && strstr(text, "z=0123456789"));
    ck_assert_uint_lt(state.n, 32);
}
END_TEST

/* -- B3 --------------------------------------------------------------------------------- */

START_TEST(b3_is_read)
{
    struct context context;
    char text[CONTEXT_PARENT_LEN + 1];

    ck_assert(context_parse_b3(span(TRACE "-" PARENT "-1-0000000000000001"), &context));
    ck_assert_int_eq(context.decision, CONTEXT_IS_SAMPLED);
    text_of(&context, text);
    ck_assert_str_eq(text, "00-" TRACE "-" PARENT "-01");
    ck_assert(context_parse_b3(span("8448eb211c80319c-" PARENT), &context));
    ck_assert_int_eq(context.decision, CONTEXT_UNDECIDED);
    text_of(&context, text);
    ck_assert_str_eq(text, "00-00000000000000008448eb211c80319c-" PARENT "-00");
    ck_assert(context_parse_b3(span(TRACE "-" PARENT "-d"), &context));
    ck_assert_int_eq(context.decision, CONTEXT_DEBUG);
    ck_assert(context_parse_b3(span("0"), &context));
    ck_assert(!context.has_ids);
    ck_assert_int_eq(context.decision, CONTEXT_NOT_SAMPLED);
}
END_TEST

START_TEST(b3_that_is_malformed_is_none)
{
    static const char *const bad[] = {"",
                                      "-",
                                      "2",
                                      "x",
                                      TRACE,
                                      TRACE "-",
                                      TRACE "-" PARENT "-",
                                      TRACE "-" PARENT "-x",
                                      TRACE "-" PARENT "-1-",
                                      TRACE "-" PARENT "-1-12",
                                      TRACE "-" PARENT "--0000000000000001",
                                      TRACE "-" PARENT "-1-0000000000000001-2",
                                      "00000000000000000000000000000000-" PARENT "-1",
                                      TRACE "-0000000000000000-1",
                                      "0AF7651916CD43DD8448EB211C80319C-" PARENT "-1",
                                      "8448eb211c80319-" PARENT "-1"};
    struct context context;

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        ck_assert_msg(!context_parse_b3(span(bad[i]), &context), "'%s'", bad[i]);
}
END_TEST

START_TEST(b3_fields_are_read)
{
    struct context_b3 fields = {.trace = span(TRACE), .span = span(PARENT)};
    struct context context;

    ck_assert(context_parse_b3_fields(&fields, &context));
    ck_assert_int_eq(context.decision, CONTEXT_UNDECIDED);
    fields.sampled = span("true");
    ck_assert(context_parse_b3_fields(&fields, &context));
    ck_assert_int_eq(context.decision, CONTEXT_IS_SAMPLED);
    fields.sampled = span("0");
    ck_assert(context_parse_b3_fields(&fields, &context));
    ck_assert_int_eq(context.decision, CONTEXT_NOT_SAMPLED);
    fields.flags = span("1");
    ck_assert(context_parse_b3_fields(&fields, &context));
    ck_assert_int_eq(context.decision, CONTEXT_DEBUG);
    fields = (struct context_b3){.sampled = span("1")};
    ck_assert(context_parse_b3_fields(&fields, &context));
    ck_assert(!context.has_ids);
}
END_TEST

START_TEST(b3_fields_that_are_malformed_are_none)
{
    const struct context_b3 bad[] = {
        {.trace = span(TRACE)},
        {.span = span(PARENT)},
        {.trace = span("xyz"), .span = span(PARENT)},
        {.trace = span(TRACE), .span = span("xyz")},
        {.trace = span(TRACE), .span = span(PARENT), .sampled = span("d")},
        {.trace = span(TRACE), .span = span(PARENT), .sampled = span("")},
        {.trace = span(TRACE), .span = span(PARENT), .flags = span("2")},
        {.flags = span("0")},
    };
    struct context context;

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        ck_assert_msg(!context_parse_b3_fields(&bad[i], &context), "row %zu", i);
}
END_TEST

START_TEST(b3_is_written)
{
    struct context self;
    const uint8_t parent[CONTEXT_SPAN_BYTES] = {1, 2, 3, 4, 5, 6, 7, 0xff};
    char text[CONTEXT_B3_LEN + 1];

    ck_assert(context_parse_b3(span(TRACE "-" PARENT "-1"), &self));
    text[context_print_b3(&self, NULL, '1', text)] = '\0';
    ck_assert_str_eq(text, TRACE "-" PARENT "-1");
    text[context_print_b3(&self, parent, 'd', text)] = '\0';
    ck_assert_str_eq(text, TRACE "-" PARENT "-d-01020304050607ff");
}
END_TEST

START_TEST(every_byte_is_printed_in_hexadecimal)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t bytes[CONTEXT_TRACE_BYTES + 3];
        char text[2 * sizeof(bytes) + 1] = {0}, one[3];

        memset(bytes, (int)byte, sizeof(bytes));
        snprintf(one, sizeof(one), "%02x", byte);
        context_print_hex(bytes, sizeof(bytes), text);
        for (size_t i = 0; i < sizeof(bytes); i++)
            ck_assert_mem_eq(text + 2 * i, one, 2);
    }
}
END_TEST

UNIT_MAIN("plugins/tracing/context", traceparent_is_read_and_written,
          traceparent_flags_that_nobody_knows_are_not_passed_on,
          traceparent_of_a_higher_version_is_read_as_far_as_we_know_it,
          traceparent_that_is_malformed_is_none,
          traceparent_with_any_one_byte_changed_is_read_or_refused_by_the_grammar,
          traceparent_is_never_read_beyond_its_end, tracestate_lines_are_one_list,
          tracestate_that_is_malformed_is_none, tracestate_has_32_members_at_most,
          tracestate_keys_and_values_have_256_bytes_at_most,
          tracestate_beyond_512_bytes_loses_large_members_first_then_the_last, b3_is_read,
          b3_that_is_malformed_is_none, b3_fields_are_read, b3_fields_that_are_malformed_are_none,
          b3_is_written, every_byte_is_printed_in_hexadecimal)
