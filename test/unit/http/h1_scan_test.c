/*
 * The searches, and the table of octets below them, against the classes written out in words.
 */
#include "http/h1_scan.h"

#include "http/h1_parse.h"

#include "unit.h"

#include <ctype.h>
#include <string.h>

static bool is_one_of(int octet, const char *octets)
{
    return octet != 0 && strchr(octets, octet) != NULL;
}

static bool is_ascii_alnum(int octet)
{
    return octet < 128 && isalnum(octet);
}

static bool belongs(int octet, enum octet_class class)
{
    bool is_plain = is_ascii_alnum(octet) || is_one_of(octet, "-._~");
    bool is_path = is_plain || is_one_of(octet, "!$&'()*+,;=:@/");

    switch (class) {
    case OCTET_TOKEN:
        return is_ascii_alnum(octet) || is_one_of(octet, "!#$%&'*+-.^_`|~");
    case OCTET_STOP:
        return (octet < 0x20 && octet != '\t') || octet == 0x7f;
    case OCTET_TARGET:
        return octet > 0x20 && octet < 0x7f && octet != '#';
    case OCTET_PATH:
        return is_path;
    case OCTET_QUERY:
        return is_path || is_one_of(octet, "?[]|^`{}");
    case OCTET_PLAIN:
        return is_plain;
    case OCTET_QUOTED:
        return octet == '\t' || (octet >= 0x20 && octet != '"' && octet != '\\' && octet != 0x7f);
    case OCTET_HEX:
        return octet < 128 && isxdigit(octet);
    }
    return false;
}

START_TEST(octets_are_classed_as_the_grammar_says)
{
    for (int octet = 0; octet < 256; octet++) {
        for (unsigned class = 1; class <= OCTET_HEX; class <<= 1)
            ck_assert_msg(octet_is((char)octet, class) == belongs(octet, class), "%02x in %u",
                          (unsigned)octet, class);
    }
    for (int i = 0; i < 16; i++) {
        ck_assert_int_eq(octet_hex("0123456789abcdef"[i]), i);
        ck_assert_int_eq(octet_hex("0123456789ABCDEF"[i]), i);
    }
}
END_TEST

/* A run of filler with each octet in turn at position at, in a block of exactly len bytes. */
static void check_octets(h1_scan_fn *find, enum octet_class class, bool wanted, char filler,
                         size_t len, size_t at)
{
    char *block = malloc(len);

    memset(block, filler, len);
    for (int octet = 0; octet < 256; octet++) {
        const char *want = block + (belongs(octet, class) == wanted ? at : len);
        bool is_same = true;

        block[at] = (char)octet;
        for (size_t from = 0; from <= at; from += at < 4 ? 1 : at / 4) {
            is_same &= find(block + from, block + len, block) == want;
            is_same &= find(block + from, block + len, block + from) == want;
            is_same &= find(block + from, block + at, block) == block + at;
        }
        ck_assert_msg(is_same, "octet %02x at %zu of %zu", (unsigned)octet, at, len);
    }
    free(block);
}

START_TEST(every_scan_stops_at_the_same_octets)
{
    const struct h1_scan_set *sets[H1_SCAN_SETS];
    static const size_t lens[] = {1, 15, 16, 17, 31, 32, 33, 47, 64, 70};
    unsigned n = h1_scan_sets(sets);

    ck_assert_uint_ge(n, 1);
    for (unsigned s = 0; s < n; s++) {
        for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
            for (size_t at = 0; at<lens[i]; at += lens[i]> 17 ? 7 : 1) {
                check_octets(sets[s]->token_end, OCTET_TOKEN, false, 'a', lens[i], at);
                check_octets(sets[s]->line_end, OCTET_STOP, true, '\t', lens[i], at);
                check_octets(sets[s]->target_end, OCTET_TARGET, false, '/', lens[i], at);
            }
        }
    }
}
END_TEST

START_TEST(scans_are_chosen_by_name)
{
    const struct h1_scan_set *sets[H1_SCAN_SETS];
    unsigned n = h1_scan_sets(sets);

    ck_assert_str_eq(h1_scan_get()->name, "scalar");
    for (unsigned s = 0; s < n; s++) {
        ck_assert_str_eq(h1_scan_choose(sets[s]->name), sets[s]->name);
        ck_assert_ptr_eq(h1_scan_get(), sets[s]);
    }
    ck_assert_str_eq(h1_scan_choose(NULL), sets[0]->name);
    ck_assert_str_eq(h1_scan_choose("abacus"), sets[0]->name);
}
END_TEST

UNIT_MAIN("http/h1_scan", octets_are_classed_as_the_grammar_says,
          every_scan_stops_at_the_same_octets, scans_are_chosen_by_name)
