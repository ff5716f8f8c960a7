#include "http/names.h"

#include "unit.h"

#include <ctype.h>
#include <string.h>

#define NAME(symbol, name) name,
static const char *const names[] = {"", FIELD_NAMES(NAME)};
#undef NAME

START_TEST(names_finds_every_name_in_any_case)
{
    for (unsigned id = 1; id < FIELD_ID_COUNT; id++) {
        char text[32];
        size_t len = strlen(names[id]);

        for (size_t i = 0; i <= len; i++) { /* the first i letters in capitals */
            for (size_t j = 0; j < len; j++)
                text[j] = (char)(j < i ? toupper(names[id][j]) : names[id][j]);
            ck_assert_msg(name_find((struct sluice_span){text, len}) == id,
                          "\"%.*s\" is not found: names.c lacks its slot", (int)len, text);
        }
        ck_assert(span_equal(name_text((enum field_id)id), span_of(names[id])));
    }
}
END_TEST

START_TEST(names_one_octet_away_are_others)
{
    for (unsigned id = 1; id < FIELD_ID_COUNT; id++) {
        char text[32];
        size_t len = strlen(names[id]);

        for (size_t i = 0; i < len; i++) {
            memcpy(text, names[id], len);
            for (int octet = 0; octet < 256; octet++) {
                text[i] = (char)octet;
                if (tolower(octet) != names[id][i])
                    ck_assert_msg(name_find((struct sluice_span){text, len}) != id, "%.*s",
                                  (int)len, text);
            }
        }
        memcpy(text, names[id], len);
        text[len] = 'x';
        ck_assert_uint_ne(name_find((struct sluice_span){text, len + 1}), id);
        ck_assert_uint_ne(name_find((struct sluice_span){text, len - 1}), id);
    }
}
END_TEST

START_TEST(unknown_names_are_others)
{
    static char text[300];

    ck_assert_uint_eq(name_find(SPAN("")), FIELD_OTHER);
    ck_assert_uint_eq(name_find((struct sluice_span){NULL, 0}), FIELD_OTHER);
    ck_assert_uint_eq(name_find(SPAN("x")), FIELD_OTHER);
    ck_assert_uint_eq(name_find(SPAN("accept-language")), FIELD_OTHER);
    for (size_t len = 0; len < sizeof(text); len++)
        ck_assert_uint_eq(name_find((struct sluice_span){text, len}), FIELD_OTHER);
    ck_assert_uint_eq(name_text(FIELD_OTHER).len, 0);
    ck_assert_uint_eq(name_text(FIELD_ID_COUNT).len, 0);
}
END_TEST

UNIT_MAIN("http/names", names_finds_every_name_in_any_case, names_one_octet_away_are_others,
          unknown_names_are_others)
