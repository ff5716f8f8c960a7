#include "server/columns.h"

#include "unit.h"

#include <string.h>

enum { ROOM = 4096 };

static const char *said(struct text *out)
{
    return out->ptr ? out->ptr : "";
}

static void expect_bytes(long long bytes, const char *want)
{
    char buffer[32];
    struct text out;

    text_init_fixed(&out, buffer, sizeof(buffer));
    cell_add_bytes(&out, bytes);
    ck_assert_str_eq(said(&out), want);
}

START_TEST(bytes_are_short_and_right)
{
    expect_bytes(0, "0");
    expect_bytes(1023, "1023");
    expect_bytes(1024, "1.0K");
    expect_bytes(1536, "1.5K");
    expect_bytes(10 * 1024, "10K");
    expect_bytes(1023 * 1024, "1.0M");
    expect_bytes(5LL << 30, "5.0G");
    expect_bytes(7LL << 50, "7.0P");
    expect_bytes(5000LL << 50, "5000P");
}
END_TEST

START_TEST(controls_of_strangers_are_not_shown)
{
    char buffer[64];
    struct text out;

    text_init_fixed(&out, buffer, sizeof(buffer));
    cell_add_shown(&out, "a\033[31mb\x7f\xc2\x9b\xc3\xa4");
    ck_assert_str_eq(said(&out), "a?[31mb??\xc3\xa4");
}
END_TEST

static enum tone add_cell(const json_t *row, unsigned column, struct text *out)
{
    static const char *const names[] = {"name", "empty", "number", "last"};

    cell_add_shown(out, cell_text(row, names[column]));
    return column == 2 ? TONE_BAD : TONE_PLAIN;
}

static const struct column columns[] = {
    {"NAME", false}, {"EMPTY", false}, {"NUMBER", true}, {"LAST", false}};

static void make(struct text *out, bool colour)
{
    struct columns table = {
        .out = out, .colour = colour, .column = columns, .n = 4, .cell = add_cell};
    json_t *first = json_pack("{ssssss}", "name", "a long name", "number", "7", "last", "x");
    json_t *second = json_pack("{ssssss}", "name", "\xc3\xa4", "number", "12345678", "last", "");

    columns_measure(&table, first);
    columns_measure(&table, second);
    columns_add_titles(&table);
    columns_add_row(&table, first);
    columns_add_row(&table, second);
    json_decref(first);
    json_decref(second);
}

START_TEST(cells_stand_below_each_other_and_empty_columns_are_left_out)
{
    char buffer[ROOM];
    struct text out;

    text_init_fixed(&out, buffer, sizeof(buffer));
    make(&out, false);
    ck_assert_str_eq(said(&out), "  NAME           NUMBER  LAST\n"
                                 "  a long name         7  x\n"
                                 "  \xc3\xa4            12345678\n");
}
END_TEST

START_TEST(colours_change_no_width)
{
    char buffer[ROOM];
    struct text out;

    text_init_fixed(&out, buffer, sizeof(buffer));
    make(&out, true);
    ck_assert_ptr_nonnull(strstr(said(&out), "  a long name         \033[31;1m7\033[0m  x\n"));
}
END_TEST

UNIT_MAIN("server/columns", bytes_are_short_and_right, controls_of_strangers_are_not_shown,
          cells_stand_below_each_other_and_empty_columns_are_left_out, colours_change_no_width)
