#include "base/text.h"

#include "unit.h"

#include <string.h>

static void assert_json(const char *bytes, size_t len, const char *want)
{
    struct text text;

    text_init(&text, 1000);
    text_add_json(&text, span_make(bytes, len));
    ck_assert_uint_eq(text.len, strlen(want));
    ck_assert(span_equal(text_span(&text), span_of(want)));
    text_fini(&text);
}

#define ASSERT_JSON(bytes, want) assert_json(bytes, sizeof(bytes) - 1, want)

START_TEST(text_adds_bytes_characters_numbers_and_formats)
{
    struct text text;

    text_init(&text, 1000);
    ck_assert_uint_eq(text_span(&text).len, 0);
    text_add(&text, SPAN("a"));
    text_add(&text, span_make(NULL, 0));
    text_add_char(&text, ' ');
    text_add_number(&text, 0);
    text_add_char(&text, ' ');
    text_add_number(&text, UINT64_MAX);
    text_format(&text, " %s=%d", "x", -5);
    text_format(&text, "%s", "");
    ck_assert_str_eq(text.ptr, "a 0 18446744073709551615 x=-5");
    ck_assert_uint_eq(text.len, strlen(text.ptr));
    ck_assert(!text.cut);
    text_fini(&text);
    ck_assert_ptr_null(text.ptr);
}
END_TEST

START_TEST(text_grows_to_its_maximum_and_no_further)
{
    struct text text;

    text_init(&text, 1000);
    for (int i = 0; i < 1000; i++)
        text_add_char(&text, 'x');
    ck_assert_uint_eq(text.len, 1000);
    ck_assert_uint_le(text.cap, 1001);
    ck_assert(!text.cut);
    text_add(&text, span_make(NULL, 0));
    ck_assert(!text.cut);
    text_add_char(&text, 'x');
    ck_assert(text.cut);
    ck_assert_uint_eq(strlen(text.ptr), 1000);
    text_fini(&text);
}
END_TEST

START_TEST(text_beyond_its_maximum_is_a_prefix)
{
    struct text text;

    text_init(&text, 5);
    text_add(&text, SPAN("abc"));
    text_add(&text, SPAN("defg"));
    text_add(&text, SPAN("h"));
    ck_assert(text.cut);
    ck_assert_str_eq(text.ptr, "abcde");
    text_reset(&text);
    ck_assert(!text.cut);
    ck_assert_uint_eq(text.len, 0);
    text_format(&text, "%d", 1234567);
    text_format(&text, "8");
    ck_assert(text.cut);
    ck_assert_str_eq(text.ptr, "12345");
    text_fini(&text);
    text_init(&text, 0);
    text_add_char(&text, 'a');
    ck_assert(text.cut);
    ck_assert_uint_eq(text.len, 0);
    text_fini(&text);
}
END_TEST

START_TEST(text_in_a_fixed_buffer_stays_there)
{
    char buffer[9] = "????????";
    struct text text;

    text_init_fixed(&text, buffer, 8);
    ck_assert_str_eq(buffer, "");
    text_add(&text, SPAN("abcdef"));
    text_format(&text, "%s", "ghi");
    ck_assert(text.cut);
    ck_assert_ptr_eq(text_span(&text).ptr, buffer);
    ck_assert_str_eq(buffer, "abcdefg");
    text_fini(&text);
}
END_TEST

START_TEST(text_json_escapes_what_json_forbids)
{
    ASSERT_JSON("plain text / <>&'", "plain text / <>&'");
    ASSERT_JSON("\"\\\n\r\t", "\\\"\\\\\\n\\r\\t");
    ASSERT_JSON("a\0b\x01\x1f\x7f", "a\\u0000b\\u0001\\u001f\\u007f");
}
END_TEST

START_TEST(text_json_keeps_utf8_and_replaces_what_is_none)
{
    ASSERT_JSON("\xc3\xa4\xe2\x82\xac\xf0\x9f\x9a\xb0\xf4\x8f\xbf\xbf",
                "\xc3\xa4\xe2\x82\xac\xf0\x9f\x9a\xb0\xf4\x8f\xbf\xbf");
    ASSERT_JSON("\x80", "\\ufffd");                                  /* no first byte */
    ASSERT_JSON("\xff", "\\ufffd");                                  /* never a byte */
    ASSERT_JSON("\xc3", "\\ufffd");                                  /* cut off */
    ASSERT_JSON("\xe2\x82", "\\ufffd\\ufffd");                       /* cut off */
    ASSERT_JSON("\xc0\xaf", "\\ufffd\\ufffd");                       /* longer than needed */
    ASSERT_JSON("\xe0\x9f\xbf", "\\ufffd\\ufffd\\ufffd");            /* longer than needed */
    ASSERT_JSON("\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd");            /* half of a pair */
    ASSERT_JSON("\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"); /* beyond U+10FFFF */
    ASSERT_JSON("\xe2\x82\x41", "\\ufffd\\ufffd"
                                "A");
    ASSERT_JSON("\xc2\x9b\xc2\xa0", "\\u009b\xc2\xa0"); /* a control that terminals obey */
}
END_TEST

START_TEST(text_json_never_cuts_an_escape)
{
    for (size_t max = 0; max < 20; max++) {
        struct text text;

        text_init(&text, max);
        text_add_json(&text, SPAN("ab\x01\"\xe2\x82\xac\xff"));
        ck_assert_uint_le(text.len, max);
        ck_assert_int_eq(text.cut, max < 19);
        ck_assert(text.len == 0 || text.len == 1 || text.len == 2 || text.len == 8 ||
                  text.len == 10 || text.len == 13 || text.len == 19);
        text_fini(&text);
    }
}
END_TEST

START_TEST(text_skips_what_is_done_with)
{
    struct text text;

    text_init(&text, 10);
    text_add(&text, SPAN("0123456789"));
    text_skip(&text, 0);
    text_skip(&text, 7);
    ck_assert_str_eq(text.ptr, "789");
    text_add(&text, SPAN("abcdefg"));
    ck_assert(!text.cut);
    ck_assert(span_equal(text_span(&text), SPAN("789abcdefg")));
    text_skip(&text, 10);
    ck_assert_uint_eq(text.len, 0);
    text_fini(&text);
}
END_TEST

UNIT_MAIN("base/text", text_adds_bytes_characters_numbers_and_formats,
          text_grows_to_its_maximum_and_no_further, text_beyond_its_maximum_is_a_prefix,
          text_in_a_fixed_buffer_stays_there, text_json_escapes_what_json_forbids,
          text_json_keeps_utf8_and_replaces_what_is_none, text_json_never_cuts_an_escape,
          text_skips_what_is_done_with)
