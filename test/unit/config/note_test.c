#include "config/note.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

static struct notes *notes;
static struct text out;

static void set_up(const char *source)
{
    notes = notes_new();
    text_init(&out, 1 << 20);
    if (source)
        notes_add_file(notes, SPAN("sluice.yaml"), span_of(source));
}

static void tear_down(void)
{
    text_fini(&out);
    notes_free(&notes);
    ck_assert_ptr_null(notes);
    notes_free(&notes);
}

static struct mark at(unsigned line, unsigned column, unsigned width)
{
    return (struct mark){0, line, column, width};
}

static void assert_printed(const char *want)
{
    text_reset(&out);
    notes_print(notes, &out);
    ck_assert_str_eq(out.len ? out.ptr : "", want);
}

START_TEST(note_shows_place_line_caret_and_hint)
{
    set_up("routes:\n  - timout: 5s\n");
    notes_error(notes, at(2, 5, 6), "did you mean 'timeout'?", "unknown key '%s'", "timout");
    assert_printed("sluice.yaml:2:5: error: unknown key 'timout'\n"
                   "    2 |   - timout: 5s\n"
                   "      |     ^^^^^^ did you mean 'timeout'?\n"
                   "1 error\n");
    tear_down();
}
END_TEST

START_TEST(note_without_hint_ends_with_the_caret)
{
    set_up("a: b");
    notes_warn(notes, at(1, 4, 0), NULL, "odd");
    assert_printed("sluice.yaml:1:4: warning: odd\n"
                   "    1 | a: b\n"
                   "      |    ^\n"
                   "1 warning\n");
    tear_down();
}
END_TEST

START_TEST(note_padding_keeps_tabs_of_the_line)
{
    set_up("\tx\ty: z");
    notes_error(notes, at(1, 4, 1), NULL, "here");
    assert_printed("sluice.yaml:1:4: error: here\n"
                   "    1 | \tx\ty: z\n"
                   "      | \t \t^\n"
                   "1 error\n");
    tear_down();
}
END_TEST

START_TEST(note_counts_characters_not_bytes)
{
    set_up("gr\xc3\xbc\xc3\x9f: \xe2\x82\xac!");
    notes_error(notes, at(1, 7, 2), NULL, "here");
    assert_printed("sluice.yaml:1:7: error: here\n"
                   "    1 | gr\xc3\xbc\xc3\x9f: \xe2\x82\xac!\n"
                   "      |       ^^\n"
                   "1 error\n");
    tear_down();
}
END_TEST

START_TEST(note_lines_break_as_yaml_breaks_them)
{
    set_up("a\r\nb\rc\nd\xc2\x85"
           "e\xe2\x80\xa8"
           "f");
    notes_error(notes, at(3, 1, 1), NULL, "c");
    notes_error(notes, at(6, 1, 1), NULL, "f");
    assert_printed("sluice.yaml:3:1: error: c\n"
                   "    3 | c\n"
                   "      | ^\n"
                   "sluice.yaml:6:1: error: f\n"
                   "    6 | f\n"
                   "      | ^\n"
                   "2 errors\n");
    tear_down();
}
END_TEST

START_TEST(note_behind_the_end_of_the_file_has_a_caret_all_the_same)
{
    set_up("a: [\n");
    notes_error(notes, at(2, 1, 1), NULL, "ended");
    notes_error(notes, at(9, 5, 3), NULL, "far");
    assert_printed("sluice.yaml:2:1: error: ended\n"
                   "    2 | \n"
                   "      | ^\n"
                   "sluice.yaml:9:5: error: far\n"
                   "    9 | \n"
                   "      | ^\n"
                   "2 errors\n");
    tear_down();
}
END_TEST

START_TEST(note_underlines_no_further_than_the_line)
{
    set_up("abc\ndef\n");
    notes_error(notes, at(1, 3, 50), NULL, "wide");
    assert_printed("sluice.yaml:1:3: error: wide\n"
                   "    1 | abc\n"
                   "      |   ^\n"
                   "1 error\n");
    tear_down();
}
END_TEST

START_TEST(note_cuts_long_lines_around_the_place)
{
    char source[1001], want[1000];

    memset(source, 'x', 1000);
    source[1000] = '\0';
    source[500] = 'Y';
    set_up(source);
    notes_error(notes, at(1, 501, 1), NULL, "here");
    snprintf(want, sizeof(want),
             "sluice.yaml:1:501: error: here\n    1 | ...%.100sY%.59s...\n      |    %100s^\n"
             "1 error\n",
             source, source, "");
    assert_printed(want);
    tear_down();
}
END_TEST

START_TEST(note_without_a_place_comes_first_and_names_no_file)
{
    set_up("a: b\n");
    notes_error(notes, at(1, 1, 1), NULL, "second");
    notes_error(notes, (struct mark){0}, "like this", "first");
    assert_printed("error: first\n"
                   "      | like this\n"
                   "sluice.yaml:1:1: error: second\n"
                   "    1 | a: b\n"
                   "      | ^\n"
                   "2 errors\n");
    tear_down();
}
END_TEST

START_TEST(notes_are_sorted_by_file_line_and_column)
{
    set_up("one\ntwo\n");
    notes_add_file(notes, SPAN("b.yaml"), SPAN("three\n"));
    notes_error(notes, (struct mark){1, 1, 1, 1}, NULL, "e");
    notes_warn(notes, at(2, 2, 1), NULL, "d");
    notes_error(notes, at(2, 1, 1), NULL, "b");
    notes_error(notes, at(2, 1, 1), NULL, "c");
    notes_error(notes, at(1, 3, 1), NULL, "a");
    text_reset(&out);
    notes_print_json(notes, &out);
    ck_assert_str_eq(out.ptr,
                     "[{\"level\":\"error\",\"file\":\"sluice.yaml\",\"line\":1,\"column\":3,"
                     "\"message\":\"a\",\"hint\":null},"
                     "{\"level\":\"error\",\"file\":\"sluice.yaml\",\"line\":2,\"column\":1,"
                     "\"message\":\"b\",\"hint\":null},"
                     "{\"level\":\"error\",\"file\":\"sluice.yaml\",\"line\":2,\"column\":1,"
                     "\"message\":\"c\",\"hint\":null},"
                     "{\"level\":\"warning\",\"file\":\"sluice.yaml\",\"line\":2,\"column\":2,"
                     "\"message\":\"d\",\"hint\":null},"
                     "{\"level\":\"error\",\"file\":\"b.yaml\",\"line\":1,\"column\":1,"
                     "\"message\":\"e\",\"hint\":null}]");
    tear_down();
}
END_TEST

START_TEST(notes_in_json_escape_and_carry_the_hint)
{
    set_up("x");
    notes_print_json(notes, &out);
    ck_assert_str_eq(out.ptr, "[]");
    text_reset(&out);
    notes_error(notes, (struct mark){0}, "say \"y\"", "a\\b");
    notes_print_json(notes, &out);
    ck_assert_str_eq(out.ptr, "[{\"level\":\"error\",\"file\":\"\",\"line\":0,\"column\":0,"
                              "\"message\":\"a\\\\b\",\"hint\":\"say \\\"y\\\"\"}]");
    tear_down();
}
END_TEST

static void add_entry(void *text, const struct notes_entry *entry)
{
    text_format(text, "%s %.*s:%u:%u %s (%s)\n", entry->warning ? "warning" : "error",
                (int)entry->file.len, entry->file.ptr, entry->line, entry->column, entry->message,
                entry->hint);
}

START_TEST(notes_are_told_one_by_one_in_order)
{
    set_up("one\ntwo\n");
    notes_warn(notes, at(2, 3, 1), NULL, "second");
    notes_error(notes, at(1, 2, 1), "try this", "first");
    notes_error(notes, at(0, 0, 0), NULL, "the whole");
    notes_each(notes, add_entry, &out);
    ck_assert_str_eq(out.ptr, "error :0:0 the whole ()\n"
                              "error sluice.yaml:1:2 first (try this)\n"
                              "warning sluice.yaml:2:3 second ()\n");
    tear_down();
}
END_TEST

START_TEST(notes_say_nothing_when_there_is_nothing)
{
    set_up("x");
    assert_printed("");
    ck_assert_uint_eq(notes_errors(notes), 0);
    ck_assert_uint_eq(notes_warnings(notes), 0);
    tear_down();
}
END_TEST

START_TEST(notes_sum_up_errors_and_warnings)
{
    set_up("x\n");
    notes_error(notes, (struct mark){0}, NULL, "a");
    notes_error(notes, (struct mark){0}, NULL, "b");
    notes_warn(notes, (struct mark){0}, NULL, "c");
    ck_assert_uint_eq(notes_errors(notes), 2);
    ck_assert_uint_eq(notes_warnings(notes), 1);
    assert_printed("error: a\nerror: b\nwarning: c\n2 errors, 1 warning\n");
    tear_down();
}
END_TEST

START_TEST(notes_print_what_was_noted_twice_once)
{
    set_up("x\n");
    notes_error(notes, at(1, 1, 1), NULL, "same");
    notes_error(notes, at(1, 1, 1), NULL, "same");
    assert_printed("sluice.yaml:1:1: error: same\n    1 | x\n      | ^\n1 error\n");
    tear_down();
}
END_TEST

START_TEST(notes_beyond_200_are_counted)
{
    set_up("x\n");
    for (unsigned i = 0; i < 210; i++)
        notes_error(notes, (struct mark){0}, NULL, "e%03u", i);
    ck_assert_uint_eq(notes_errors(notes), 210);
    notes_print(notes, &out);
    ck_assert(span_has(text_span(&out), SPAN("error: e199\n")));
    ck_assert(!span_has(text_span(&out), SPAN("e200")));
    ck_assert(span_ends(text_span(&out), SPAN("\n200 errors (and 10 more that are not shown)\n")));
    tear_down();
}
END_TEST

START_TEST(note_of_an_error_takes_the_place_of_a_warning_when_full)
{
    set_up("x\n");
    for (unsigned i = 0; i < 200; i++)
        notes_warn(notes, (struct mark){0}, NULL, "w%03u", i);
    notes_warn(notes, (struct mark){0}, NULL, "lost");
    notes_error(notes, (struct mark){0}, NULL, "kept");
    notes_print(notes, &out);
    ck_assert(span_has(text_span(&out), SPAN("error: kept\n")));
    ck_assert(!span_has(text_span(&out), SPAN("lost")));
    tear_down();
}
END_TEST

START_TEST(note_shows_no_control_bytes)
{
    set_up("a\x1b[31m: b\n");
    notes_error(notes, at(1, 1, 1), "h\x07", "m\x1b\n!");
    assert_printed("sluice.yaml:1:1: error: m  !\n"
                   "    1 | a?[31m: b\n"
                   "      | ^ h \n"
                   "1 error\n");
    tear_down();
}
END_TEST

START_TEST(notes_file_gives_the_path_of_a_registered_file)
{
    set_up("x");
    ck_assert(span_equal(notes_file(notes, 0), SPAN("sluice.yaml")));
    ck_assert_uint_eq(notes_file(notes, 1).len, 0);
    tear_down();
}
END_TEST

static const char *nearest(const char *word)
{
    static const char *const names[] = {"timeout", "upstream", "upstreams", "connections",
                                        "host",    "max_idle", "path",      "path_prefix",
                                        "balance", "response", "via",       "on"};

    return notes_nearest(span_of(word), names, sizeof(names) / sizeof(*names));
}

START_TEST(nearest_forgives_a_letter_missing_added_changed_or_swapped)
{
    ck_assert_str_eq(nearest("timout"), "timeout");
    ck_assert_str_eq(nearest("timeoutt"), "timeout");
    ck_assert_str_eq(nearest("tineout"), "timeout");
    ck_assert_str_eq(nearest("tiemout"), "timeout");
    ck_assert_str_eq(nearest("hsot"), "host");
}
END_TEST

START_TEST(nearest_ignores_case_and_kind_of_dash)
{
    ck_assert_str_eq(nearest("maxIdle"), "max_idle");
    ck_assert_str_eq(nearest("max-idle"), "max_idle");
    ck_assert_str_eq(nearest("TIMEOUT"), "timeout");
}
END_TEST

START_TEST(nearest_prefers_fewer_slips)
{
    ck_assert_str_eq(nearest("upsteam"), "upstream");
    ck_assert_str_eq(nearest("upstrems"), "upstreams");
}
END_TEST

START_TEST(nearest_knows_words_cut_short_and_made_longer)
{
    ck_assert_str_eq(nearest("conn"), "connections");
    ck_assert_str_eq(nearest("balance_policy"), "balance");
}
END_TEST

START_TEST(nearest_is_nothing_when_nothing_is_near)
{
    char long_word[200];

    memset(long_word, 'a', sizeof(long_word) - 1);
    long_word[sizeof(long_word) - 1] = '\0';
    ck_assert_ptr_null(nearest("listener"));
    ck_assert_ptr_null(nearest("xy"));
    ck_assert_ptr_null(nearest("of"));
    ck_assert_ptr_null(nearest(""));
    ck_assert_ptr_null(nearest(long_word));
}
END_TEST

UNIT_MAIN("config/note", note_shows_place_line_caret_and_hint,
          note_without_hint_ends_with_the_caret, note_padding_keeps_tabs_of_the_line,
          note_counts_characters_not_bytes, note_lines_break_as_yaml_breaks_them,
          note_behind_the_end_of_the_file_has_a_caret_all_the_same,
          note_underlines_no_further_than_the_line, note_cuts_long_lines_around_the_place,
          note_without_a_place_comes_first_and_names_no_file,
          notes_are_sorted_by_file_line_and_column, notes_in_json_escape_and_carry_the_hint,
          notes_are_told_one_by_one_in_order, notes_say_nothing_when_there_is_nothing,
          notes_sum_up_errors_and_warnings, notes_print_what_was_noted_twice_once,
          notes_beyond_200_are_counted, note_of_an_error_takes_the_place_of_a_warning_when_full,
          note_shows_no_control_bytes, notes_file_gives_the_path_of_a_registered_file,
          nearest_forgives_a_letter_missing_added_changed_or_swapped,
          nearest_ignores_case_and_kind_of_dash, nearest_prefers_fewer_slips,
          nearest_knows_words_cut_short_and_made_longer, nearest_is_nothing_when_nothing_is_near)
