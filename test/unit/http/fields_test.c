#include "http/message.h"

#include "unit.h"

#include <string.h>

static struct field_line table[4];

static struct fields some(void)
{
    struct fields fields = {.line = table, .cap = 4};

    ck_assert(fields_add(&fields, SPAN("Host"), SPAN("a")) == OK);
    ck_assert(fields_add(&fields, SPAN("X-One"), SPAN("1")) == OK);
    ck_assert(fields_add(&fields, SPAN("x-oNE"), SPAN("2")) == OK);
    return fields;
}

START_TEST(lines_are_found_by_id_and_by_name)
{
    struct fields fields = some();
    unsigned at = 0;

    ck_assert_ptr_eq(fields_find(&fields, FIELD_HOST), &table[0]);
    ck_assert_ptr_null(fields_find(&fields, FIELD_DATE));
    ck_assert_ptr_eq(fields_next(&fields, SPAN("X-ONE"), &at), &table[1]);
    ck_assert_ptr_eq(fields_next(&fields, SPAN("X-ONE"), &at), &table[2]);
    ck_assert_ptr_null(fields_next(&fields, SPAN("X-ONE"), &at));
    at = 0;
    ck_assert_ptr_eq(fields_next(&fields, SPAN("HOST"), &at), &table[0]);
    at = 0;
    ck_assert_ptr_null(fields_next(&fields, SPAN("x-on"), &at));
    ck_assert(span_equal(field_name(&table[2]), SPAN("x-oNE")));
    ck_assert(span_equal(field_value(&table[2]), SPAN("2")));
}
END_TEST

START_TEST(what_is_known_to_be_absent_is_found_once_added)
{
    struct fields fields = some();

    ck_assert(!fields_have_none(&fields, field_bit(FIELD_DATE))); /* nothing is known */
    fields.absent = ~(field_bit(FIELD_HOST) | field_bit(FIELD_OTHER));
    ck_assert(fields_have_none(&fields, field_bit(FIELD_DATE) | field_bit(FIELD_VIA)));
    ck_assert(!fields_have_none(&fields, field_bit(FIELD_DATE) | field_bit(FIELD_HOST)));
    ck_assert_ptr_null(fields_find(&fields, FIELD_DATE));
    ck_assert(fields_put(&fields, FIELD_DATE, SPAN("now")) == OK);
    ck_assert_ptr_eq(fields_find(&fields, FIELD_DATE), &table[3]);
    fields.n--;
    ck_assert(fields_set(&fields, SPAN("Via"), SPAN("1.1 x")) == OK);
    ck_assert_ptr_eq(fields_find(&fields, FIELD_VIA), &table[3]);
}
END_TEST

START_TEST(dropped_lines_are_not_found)
{
    struct fields fields = some();
    unsigned at = 0;

    ck_assert_uint_eq(fields_remove(&fields, SPAN("x-one")), 2);
    ck_assert_uint_eq(fields_remove(&fields, SPAN("x-one")), 0);
    ck_assert_uint_eq(fields_remove(&fields, SPAN("host")), 1);
    ck_assert_ptr_null(fields_next(&fields, SPAN("x-one"), &at));
    ck_assert_ptr_null(fields_find(&fields, FIELD_HOST));
}
END_TEST

START_TEST(set_replaces_all_lines_of_the_name)
{
    struct fields fields = some();
    unsigned at = 0;

    ck_assert(fields_set(&fields, SPAN("X-one"), SPAN("3")) == OK);
    ck_assert_ptr_eq(fields_next(&fields, SPAN("x-one"), &at), &table[3]);
    ck_assert_ptr_null(fields_next(&fields, SPAN("x-one"), &at));
    ck_assert(span_equal(field_value(&table[3]), SPAN("3")));
}
END_TEST

START_TEST(a_full_table_without_arena_is_told_and_unchanged)
{
    struct fields fields = some();

    ck_assert(fields_add(&fields, SPAN("Y"), SPAN("")) == OK);
    ck_assert_int_eq(fields_add(&fields, SPAN("Z"), SPAN("")), ERR_LIMIT);
    ck_assert_int_eq(fields_set(&fields, SPAN("X-One"), SPAN("")), ERR_LIMIT);
    ck_assert_uint_eq(fields.n, 4);
    ck_assert_uint_eq(fields_remove(&fields, SPAN("X-One")), 2);
}
END_TEST

START_TEST(a_table_grows_in_its_arena)
{
    struct arena arena;
    struct fields fields = some();

    arena_init(&arena, NULL, 0);
    fields.arena = &arena;
    for (unsigned i = 3; i < 100; i++)
        ck_assert(fields_add(&fields, SPAN("Y"), SPAN("y")) == OK);
    ck_assert_uint_eq(fields.n, 100);
    ck_assert(span_equal(field_name(&fields.line[0]), SPAN("Host")));
    ck_assert_uint_eq(fields.line[0].id, FIELD_HOST);
    fields = (struct fields){.arena = &arena};
    ck_assert(fields_add(&fields, SPAN("Y"), SPAN("y")) == OK);
    arena_fini(&arena);
    arena_init(&arena, NULL, 1);
    fields = (struct fields){.arena = &arena};
    ck_assert_int_eq(fields_add(&fields, SPAN("Y"), SPAN("y")), ERR_LIMIT);
    arena_fini(&arena);
}
END_TEST

START_TEST(nothing_that_breaks_out_of_its_line_is_added)
{
    struct fields fields = {.line = table, .cap = 4};

    ck_assert_int_eq(fields_add(&fields, SPAN(""), SPAN("a")), ERR_PROTOCOL);
    ck_assert_int_eq(fields_add(&fields, SPAN("a b"), SPAN("a")), ERR_PROTOCOL);
    ck_assert_int_eq(fields_add(&fields, SPAN("a:"), SPAN("a")), ERR_PROTOCOL);
    ck_assert_int_eq(fields_add(&fields, SPAN("a\r"), SPAN("a")), ERR_PROTOCOL);
    ck_assert_int_eq(fields_add(&fields, SPAN("a"), SPAN("a\r\nb: c")), ERR_PROTOCOL);
    ck_assert_int_eq(fields_set(&fields, SPAN("a"), SPAN("a\nb")), ERR_PROTOCOL);
    ck_assert_int_eq(fields_set(&fields, SPAN("a"), SPAN("a\0b")), ERR_PROTOCOL);
    ck_assert_uint_eq(fields.n, 0);
}
END_TEST

/* Short ones, and those that are looked at eight, 16 or 32 octets at a time. */
static const size_t lengths[] = {1, 7, 8, 9, 16, 27, 31, 32, 33, 63, 70};

enum { N_LENGTHS = sizeof(lengths) / sizeof(lengths[0]), LENGTH_MAX = 70 };

static enum err add(struct sluice_span name, struct sluice_span value)
{
    struct fields fields = {.line = table, .cap = 4};

    return fields_add(&fields, name, value);
}

static void check_value(unsigned octet, size_t len)
{
    bool is_fine = (octet >= 0x20 && octet != 0x7f) || octet == '\t';
    char value[LENGTH_MAX];

    for (size_t at = 0; at < len; at++) {
        memset(value, 'v', len);
        value[at] = (char)octet;
        ck_assert_int_eq(add(SPAN("a"), span_make(value, len)), is_fine ? OK : ERR_PROTOCOL);
    }
}

static void check_name(unsigned octet, size_t len)
{
    bool is_fine = octet > ' ' && octet < 0x7f && !strchr("\"(),/:;<=>?@[\\]{}", (int)octet);
    char name[LENGTH_MAX];

    for (size_t at = 0; at < len; at++) {
        memset(name, at % 2 ? '-' : 'z', len);
        name[at] = (char)octet;
        ck_assert_int_eq(add(span_make(name, len), SPAN("v")), is_fine ? OK : ERR_PROTOCOL);
    }
}

START_TEST(every_octet_is_looked_at_wherever_it_stands)
{
    for (unsigned octet = 0; octet < 256; octet++) {
        for (size_t i = 0; i < N_LENGTHS; i++) {
            check_value(octet, lengths[i]);
            check_name(octet, lengths[i]);
        }
    }
}
END_TEST

UNIT_MAIN("http/fields", what_is_known_to_be_absent_is_found_once_added,
          every_octet_is_looked_at_wherever_it_stands, lines_are_found_by_id_and_by_name,
          dropped_lines_are_not_found, set_replaces_all_lines_of_the_name,
          a_full_table_without_arena_is_told_and_unchanged, a_table_grows_in_its_arena,
          nothing_that_breaks_out_of_its_line_is_added)
