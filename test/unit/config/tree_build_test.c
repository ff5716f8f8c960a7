#include "sample.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bench bench;

static void assert_refused(const char *yaml, const char *want)
{
    bench_init(&bench);
    ck_assert_int_ne(bench_parse(&bench, yaml), OK);
    ck_assert_str_eq(bench_told(&bench), want);
    bench_fini(&bench);
}

/* The tree as "{a:1,b:[x,'y']}" in keys' order of writing. */
static void add_tree(struct text *out, const struct tree *node)
{
    const char *ends = node->kind == TREE_LIST ? "[]" : "{}";

    if (node->kind == TREE_SCALAR) {
        text_format(out, node->quoted ? "'%s'" : "%s", node->text.ptr);
        return;
    }
    text_add_char(out, ends[0]);
    for (const struct tree *child = node->first; child; child = child->next) {
        if (node->kind == TREE_MAP)
            text_format(out, "%s:", child->key.ptr);
        add_tree(out, child);
        if (child->next)
            text_add_char(out, ',');
    }
    text_add_char(out, ends[1]);
}

static void assert_tree(const char *yaml, const char *want)
{
    struct text out;

    bench_init(&bench);
    text_init(&out, 1 << 20);
    ck_assert_int_eq(bench_parse(&bench, yaml), OK);
    ck_assert_str_eq(bench_told(&bench), "");
    add_tree(&out, bench.tree);
    ck_assert_str_eq(out.ptr, want);
    text_fini(&out);
    bench_fini(&bench);
}

START_TEST(tree_holds_maps_lists_and_scalars_in_order)
{
    assert_tree("b: 1\na: [x, 'y', {c: d}]\n", "{b:1,a:[x,'y',{c:d}]}");
    assert_tree("a:\n  - b\n  -\n    c: d\n    e: f\n", "{a:[b,{c:d,e:f}]}");
}
END_TEST

START_TEST(tree_keeps_scalars_as_they_are_written)
{
    assert_tree("[0.0.0.0:8080, yes, 1e3, 0x10, 007, ~, a#b]",
                "[0.0.0.0:8080,yes,1e3,0x10,007,~,a#b]");
    assert_tree("a: |\n  one\n  two\nb: >\n  one\n  two\n", "{a:'one\ntwo\n',b:'one two\n'}");
}
END_TEST

START_TEST(tree_of_nothing_is_an_empty_map)
{
    assert_tree("", "{}");
    assert_tree("# only a comment\n", "{}");
    assert_tree("---\n", "{}");
    assert_tree("~", "{}");
}
END_TEST

START_TEST(tree_skips_a_byte_order_mark)
{
    assert_tree("\xef\xbb\xbf"
                "a: b",
                "{a:b}");
}
END_TEST

START_TEST(tree_knows_where_everything_is)
{
    const struct tree *list;

    bench_init(&bench);
    ck_assert_int_eq(bench_parse(&bench, "one: 1\nlist: [ abc,\n  \"d\" ]\n"), OK);
    list = tree_find(bench.tree, SPAN("list"));
    ck_assert_uint_eq(list->key_at.line, 2);
    ck_assert_uint_eq(list->key_at.column, 1);
    ck_assert_uint_eq(list->key_at.width, 4);
    ck_assert_uint_eq(list->at.column, 7);
    ck_assert_uint_eq(list->n_children, 2);
    ck_assert_uint_eq(list->first->at.column, 9);
    ck_assert_uint_eq(list->first->at.width, 3);
    ck_assert_uint_eq(list->first->next->at.line, 3);
    ck_assert_uint_eq(list->first->next->at.column, 3);
    bench_fini(&bench);
}
END_TEST

START_TEST(tree_find_finds_entries_of_maps_only)
{
    bench_init(&bench);
    ck_assert_int_eq(bench_parse(&bench, "a: [b]\n"), OK);
    ck_assert_ptr_nonnull(tree_find(bench.tree, SPAN("a")));
    ck_assert_ptr_null(tree_find(bench.tree, SPAN("b")));
    ck_assert_ptr_null(tree_find(tree_find(bench.tree, SPAN("a")), SPAN("b")));
    ck_assert_ptr_null(tree_find(NULL, SPAN("a")));
    bench_fini(&bench);
}
END_TEST

START_TEST(null_is_an_unquoted_word_or_nothing)
{
    const struct tree *node;
    unsigned n = 0;

    bench_init(&bench);
    ck_assert_int_eq(
        bench_parse(&bench, "[~, null, Null, NULL, '', 'null', \"~\", nul, nULL, [], {}]"), OK);
    for (node = bench.tree->first; node; node = node->next, n++)
        ck_assert_int_eq(tree_is_null(node), n < 4);
    ck_assert_uint_eq(n, 11);
    bench_fini(&bench);
}
END_TEST

START_TEST(duplicate_keys_are_refused_with_both_places)
{
    assert_refused("a:\n  x: 1\n  y: 2\n  x: 3\n",
                   "t.yaml:4:3: error: key 'x' is written twice in the same map\n"
                   "    4 |   x: 3\n"
                   "      |   ^ first written at t.yaml:2:3; keep one of them\n"
                   "1 error\n");
}
END_TEST

START_TEST(every_duplicate_of_a_file_is_told)
{
    bench_init(&bench);
    ck_assert_int_eq(bench_parse(&bench, "a: 1\na: 2\nb: {c: 1, c: 2, c: 3}\n"), ERR_CONFIG);
    ck_assert_uint_eq(notes_errors(bench.notes), 3);
    ck_assert_ptr_nonnull(tree_find(bench.tree, SPAN("b")));
    bench_fini(&bench);
}
END_TEST

START_TEST(aliases_are_copies)
{
    assert_tree("a: &x [1, {b: 2}]\nc: *x\nd: &x 3\ne: *x\n", "{a:[1,{b:2}],c:[1,{b:2}],d:3,e:3}");
}
END_TEST

START_TEST(alias_of_a_scalar_keeps_the_place_of_the_text)
{
    bench_init(&bench);
    ck_assert_int_eq(bench_parse(&bench, "a: &x 1\nb: *x\nc: &y [2]\nd: *y"), OK);
    ck_assert_uint_eq(tree_find(bench.tree, SPAN("b"))->at.line, 1);
    ck_assert_uint_eq(tree_find(bench.tree, SPAN("b"))->key_at.line, 2);
    ck_assert_uint_eq(tree_find(bench.tree, SPAN("d"))->at.line, 4);
    bench_fini(&bench);
}
END_TEST

START_TEST(alias_inside_its_own_anchor_is_refused)
{
    assert_refused("a: &x\n  b: [ *x ]\n",
                   "t.yaml:2:8: error: this alias stands inside the very value that it names\n"
                   "    2 |   b: [ *x ]\n"
                   "      |        ^^\n"
                   "1 error\n");
}
END_TEST

START_TEST(alias_without_anchor_is_refused)
{
    assert_refused("a: *x\n", "t.yaml:1:4: error: this alias names no anchor of this file\n"
                              "    1 | a: *x\n"
                              "      |    ^^ an anchor (&name) must come before its alias (*name)\n"
                              "1 error\n");
}
END_TEST

START_TEST(aliases_that_multiply_end_at_the_limit_of_values)
{
    assert_refused(
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
        "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
        "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"
        "f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
        "t.yaml:6:29: error: the configuration has more than 1,000,000 values\n"
        "    6 | f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
        "      |                             ^^ aliases count as often as they are used\n"
        "1 error\n");
}
END_TEST

START_TEST(merge_key_brings_what_is_not_written)
{
    assert_tree("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3, c: 4}\n", "{x:{a:1,b:2},y:{b:3,c:4,a:1}}");
    assert_tree("y: {b: 3, <<: {b: 1, c: 2}}\n", "{y:{b:3,c:2}}");
    assert_tree("y: {<<: [{b: 1}, {b: 2, c: 3}]}\n", "{y:{b:1,c:3}}");
    assert_tree("x: &x {a: 1}\ny: {<<: *x}\nz: *x\n", "{x:{a:1},y:{a:1},z:{a:1}}");
    assert_tree("y: {'<<': 1}\n", "{y:{<<:1}}");
}
END_TEST

START_TEST(merge_key_leaves_the_anchored_map_as_it_was)
{
    assert_tree("y: {<<: &x {a: 1}, b: 2}\nz: *x\nw: {<<: *x, a: 3}\n",
                "{y:{b:2,a:1},z:{a:1},w:{a:3}}");
}
END_TEST

START_TEST(merge_key_takes_only_maps)
{
    assert_refused("a: {<<: 5}\n", "t.yaml:1:9: error: '<<' takes a map or a list of maps\n"
                                   "    1 | a: {<<: 5}\n"
                                   "      |         ^ write <<: *anchor\n"
                                   "1 error\n");
}
END_TEST

START_TEST(merge_does_not_hide_duplicates)
{
    bench_init(&bench);
    ck_assert_int_eq(bench_parse(&bench, "a: {b: 1, <<: {b: 2}, b: 3}\n"), ERR_CONFIG);
    ck_assert_uint_eq(notes_errors(bench.notes), 1);
    bench_fini(&bench);
}
END_TEST

START_TEST(tags_are_refused_and_reading_goes_on)
{
    assert_refused("a: !!str 5\nb: !x [1]\n",
                   "t.yaml:1:4: error: YAML tags are not supported\n"
                   "    1 | a: !!str 5\n"
                   "      |    ^^^^^^^ leave it out: the key says what a value means\n"
                   "t.yaml:2:4: error: YAML tags are not supported\n"
                   "    2 | b: !x [1]\n"
                   "      |    ^^^^ leave it out: the key says what a value means\n"
                   "2 errors\n");
}
END_TEST

START_TEST(second_document_is_refused)
{
    assert_refused("a: b\n---\nc: d\n",
                   "t.yaml:2:1: error: a configuration is one YAML document\n"
                   "    2 | ---\n"
                   "      | ^^^ remove what follows '---', or move it to an included file\n"
                   "1 error\n");
}
END_TEST

START_TEST(list_or_map_as_key_is_refused)
{
    assert_refused("a: {{x}}\n",
                   "t.yaml:1:5: error: a list or a map cannot be a key\n"
                   "    1 | a: {{x}}\n"
                   "      |     ^ a value that begins with { or [ needs quotes, as in \"{{x}}\"\n"
                   "1 error\n");
}
END_TEST

START_TEST(anchor_on_a_key_is_refused)
{
    assert_refused("&x a: b\n", "t.yaml:1:1: error: a key cannot have an anchor\n"
                                "    1 | &x a: b\n"
                                "      | ^^^^ anchor the value: key: &name value\n"
                                "1 error\n");
}
END_TEST

START_TEST(nul_bytes_are_refused)
{
    assert_refused("a: \"x\\0y\"\n\"k\\0\": 1\n",
                   "t.yaml:1:4: error: a value with a NUL byte in it\n"
                   "    1 | a: \"x\\0y\"\n"
                   "      |    ^^^^^^\n"
                   "t.yaml:2:1: error: a key with a NUL byte in it\n"
                   "    2 | \"k\\0\": 1\n"
                   "      | ^^^^^\n"
                   "2 errors\n");
}
END_TEST

START_TEST(nesting_over_32_is_refused)
{
    char yaml[100];

    memset(yaml, '[', 32);
    memset(yaml + 32, ']', 32);
    yaml[64] = '\0';
    bench_init(&bench);
    ck_assert_int_eq(bench_parse(&bench, yaml), OK);
    bench_fini(&bench);
    memset(yaml, '[', 33);
    memset(yaml + 33, ']', 33);
    yaml[66] = '\0';
    bench_init(&bench);
    ck_assert_int_eq(bench_parse(&bench, yaml), ERR_PROTOCOL);
    ck_assert(span_has(span_of(bench_told(&bench)), SPAN("more than 32 lists and maps")));
    bench_fini(&bench);
}
END_TEST

START_TEST(nesting_over_32_by_aliases_is_refused)
{
    char yaml[4000] = "a0: &a0 [x]\n";
    size_t len = strlen(yaml);

    for (int i = 1; i < 40; i++)
        len += (size_t)snprintf(yaml + len, sizeof(yaml) - len, "a%d: &a%d [*a%d]\n", i, i, i - 1);
    bench_init(&bench);
    ck_assert_int_eq(bench_parse(&bench, yaml), ERR_PROTOCOL);
    ck_assert(span_has(span_of(bench_told(&bench)), SPAN("t.yaml:32:")));
    bench_fini(&bench);
}
END_TEST

START_TEST(tabs_for_indentation_are_told_with_a_hint)
{
    assert_refused("a:\n\tb: c\n",
                   "t.yaml:2:1: error: this is not valid YAML: found character that cannot start "
                   "any token while scanning for the next token\n"
                   "    2 | \tb: c\n"
                   "      | ^ indent with spaces, not with tabs\n"
                   "1 error\n");
}
END_TEST

START_TEST(bytes_that_are_not_utf8_are_told_with_their_place)
{
    assert_refused("a: b\nc: x\xff\n",
                   "t.yaml:2:5: error: this is not valid YAML: invalid leading UTF-8 octet\n"
                   "    2 | c: x\xff\n"
                   "      |     ^ save the file as UTF-8\n"
                   "1 error\n");
    bench_init(&bench);
    ck_assert_int_eq(bench_parse_bytes(&bench, span_make("\xff\xfe"
                                                         "a\0",
                                                         4)),
                     ERR_PROTOCOL);
    bench_fini(&bench);
}
END_TEST

START_TEST(syntax_error_leaves_the_entries_before_it)
{
    bench_init(&bench);
    ck_assert_int_eq(bench_parse(&bench, "a: 1\nb: {c: 2}\nd: [1, }\ne: 3\n"), ERR_PROTOCOL);
    ck_assert_ptr_nonnull(bench.tree);
    ck_assert_uint_eq(bench.tree->n_children, 2);
    ck_assert_ptr_nonnull(tree_find(bench.tree, SPAN("b")));
    bench_fini(&bench);
}
END_TEST

START_TEST(variable_without_quotes_inside_braces_gets_a_hint)
{
    bench_init(&bench);
    ck_assert_int_eq(bench_parse(&bench, "a: { b: ${HOME} }\n"), ERR_PROTOCOL);
    ck_assert(span_has(span_of(bench_told(&bench)), SPAN("needs quotes: \"${NAME}\"")));
    bench_fini(&bench);
}
END_TEST

START_TEST(text_over_4_mib_is_refused)
{
    size_t len = (4 << 20) + 1;
    char *yaml = calloc(1, len);

    ck_assert_ptr_nonnull(yaml);
    memset(yaml, '#', len);
    bench_init(&bench);
    ck_assert_int_eq(bench_parse_bytes(&bench, span_make(yaml, len)), ERR_PROTOCOL);
    ck_assert_str_eq(bench_told(&bench),
                     "error: cannot read 't.yaml': it is larger than 4096 KiB\n1 error\n");
    bench_fini(&bench);
    free(yaml);
}
END_TEST

START_TEST(arena_that_is_too_small_is_an_error_not_a_crash)
{
    char yaml[20000];

    for (size_t i = 0; i < sizeof(yaml); i++)
        yaml[i] = "[x],"[(i + 3) % 4];
    yaml[0] = '[';
    yaml[sizeof(yaml) - 1] = ']';
    for (size_t max = 40000; max < 400000; max += 40000) {
        struct arena arena;
        struct tree *tree;
        struct notes *notes = notes_new();

        arena_init(&arena, NULL, max);
        ck_assert_int_eq(tree_parse(span_make(yaml, sizeof(yaml)), "t", &arena, notes, &tree),
                         ERR_MEMORY);
        arena_fini(&arena);
        notes_free(&notes);
    }
}
END_TEST

UNIT_MAIN("config/tree_build", tree_holds_maps_lists_and_scalars_in_order,
          tree_keeps_scalars_as_they_are_written, tree_of_nothing_is_an_empty_map,
          tree_skips_a_byte_order_mark, tree_knows_where_everything_is,
          tree_find_finds_entries_of_maps_only, null_is_an_unquoted_word_or_nothing,
          duplicate_keys_are_refused_with_both_places, every_duplicate_of_a_file_is_told,
          aliases_are_copies, alias_of_a_scalar_keeps_the_place_of_the_text,
          alias_inside_its_own_anchor_is_refused, alias_without_anchor_is_refused,
          aliases_that_multiply_end_at_the_limit_of_values, merge_key_brings_what_is_not_written,
          merge_key_leaves_the_anchored_map_as_it_was, merge_key_takes_only_maps,
          merge_does_not_hide_duplicates, tags_are_refused_and_reading_goes_on,
          second_document_is_refused, list_or_map_as_key_is_refused, anchor_on_a_key_is_refused,
          nul_bytes_are_refused, nesting_over_32_is_refused, nesting_over_32_by_aliases_is_refused,
          tabs_for_indentation_are_told_with_a_hint,
          bytes_that_are_not_utf8_are_told_with_their_place,
          syntax_error_leaves_the_entries_before_it,
          variable_without_quotes_inside_braces_gets_a_hint, text_over_4_mib_is_refused,
          arena_that_is_too_small_is_an_error_not_a_crash)
