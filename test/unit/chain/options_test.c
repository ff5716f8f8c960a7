#include "chain/options.h"
#include "unit.h"

#include <stddef.h>

/* -- a plugin's table ------------------------------------------------------------- */

struct pair {
    struct sluice_span name, value;
};

struct conf {
    bool flag;
    uint64_t number, time, size;
    double ratio;
    struct sluice_span text, secret;
    uint32_t choice;
    struct {
        uint64_t inner;
    } part;
    struct sluice_list words, pairs;
    struct sluice_network network;
    struct sluice_rate rate;
};

#define ROW(kind_, member, ...)                                                                    \
    {                                                                                              \
        .kind = SLUICE_OPTION_##kind_, .name = #member, .offset = offsetof(struct conf, member),   \
        .help = "H.", __VA_ARGS__                                                                  \
    }
#define END                                                                                        \
    {                                                                                              \
        .kind = SLUICE_OPTION_END                                                                  \
    }

static const struct sluice_choice choices[] = {{"one", 1, NULL}, {"two", 2, NULL}, {NULL, 0, NULL}};
static const struct sluice_option part_rows[] = {{.kind = SLUICE_OPTION_UINT,
                                                  .flags = SLUICE_OPTION_SCALAR,
                                                  .name = "inner",
                                                  .offset = 0,
                                                  .preset = "3",
                                                  .help = "H."},
                                                 END};
static const struct sluice_option pair_rows[] = {
    {.kind = SLUICE_OPTION_TEXT,
     .flags = SLUICE_OPTION_SCALAR | SLUICE_OPTION_REQUIRED,
     .name = "value",
     .offset = offsetof(struct pair, value),
     .help = "H."},
    END};
static const struct sluice_option rows[] = {
    ROW(BOOL, flag, .preset = "true"),
    ROW(UINT, number, .min = 1, .max = 9, .preset = "5"),
    ROW(DURATION, time, .preset = "250ms"),
    ROW(SIZE, size, .preset = "64KiB"),
    ROW(RATIO, ratio, .preset = "50%"),
    ROW(TEXT, text, .flags = SLUICE_OPTION_REQUIRED),
    ROW(SECRET, secret),
    ROW(CHOICE, choice, .choices = choices, .preset = "two"),
    ROW(STRUCT, part, .fields = part_rows),
    ROW(LIST, words, .element = SLUICE_OPTION_TEXT, .element_size = sizeof(struct sluice_span)),
    ROW(MAP, pairs, .fields = pair_rows, .element = SLUICE_OPTION_STRUCT,
        .element_size = sizeof(struct pair)),
    ROW(NETWORK, network, .preset = "10.0.0.0/8"),
    ROW(RATE, rate, .preset = "5/10s"),
    END};

/* -- what becomes of it ------------------------------------------------------------- */

static struct arena arena;
static struct notes *notes;

static void setup(void)
{
    arena_init(&arena, NULL, 0);
    notes = notes_new();
}

static void teardown(void)
{
    notes_free(&notes);
    arena_fini(&arena);
}

/* NULL: refused; what is said of it is in why, to be ended by the caller. */
static const struct shape *shape_of(const struct sluice_option *table, uint32_t conf_size,
                                    struct text *why)
{
    const struct sluice_plugin about = {.name = "it",
                                        .options = table,
                                        .option_size = sizeof(struct sluice_option),
                                        .conf_size = conf_size};
    const struct shape *shape = NULL;
    enum err err;

    text_init(why, 1024);
    err = options_shape(&about, &arena, &shape, why);
    ck_assert_int_eq(err == OK, shape != NULL);
    ck_assert_int_eq(err == OK, why->len == 0);
    return shape;
}

static enum err bind_text(const char *yaml, struct conf *conf)
{
    struct bind bind = {.arena = &arena, .notes = notes};
    struct text why;
    const struct shape *shape = shape_of(rows, sizeof(*conf), &why);
    struct tree *tree = NULL;

    ck_assert_msg(shape != NULL, "%s", why.ptr);
    text_fini(&why);
    ck_assert_int_eq(tree_parse(span_of(yaml), "it.yaml", &arena, notes, &tree), OK);
    return shape_bind(&bind, shape, tree, conf);
}

START_TEST(presets_and_what_is_written_lie_where_the_table_says)
{
    struct conf conf;
    const struct sluice_span *words;
    const struct pair *pairs;

    setup();
    ck_assert_int_eq(
        bind_text("{ text: t, number: 7, words: [ a, bc ], pairs: { x: y }, part: 4 }", &conf), OK);
    ck_assert(conf.flag);
    ck_assert_uint_eq(conf.number, 7);
    ck_assert_uint_eq(conf.time, 250);
    ck_assert_uint_eq(conf.size, 65536);
    ck_assert_double_eq(conf.ratio, 0.5);
    ck_assert(span_equal(conf.text, SPAN("t")));
    ck_assert_uint_eq(conf.text.ptr[1], 0);
    ck_assert_uint_eq(conf.secret.len, 0);
    ck_assert_uint_eq(conf.choice, 2);
    ck_assert_uint_eq(conf.part.inner, 4);
    ck_assert_uint_eq(conf.words.n, 2);
    words = conf.words.first;
    ck_assert(span_equal(words[1], SPAN("bc")));
    ck_assert_uint_eq(conf.pairs.n, 1);
    pairs = conf.pairs.first;
    ck_assert(span_equal(pairs[0].name, SPAN("x")) && span_equal(pairs[0].value, SPAN("y")));
    ck_assert_uint_eq(conf.network.is_v4, 1);
    ck_assert_uint_eq(conf.network.bits, 104);
    ck_assert_uint_eq(conf.network.address[12], 10);
    ck_assert_uint_eq(conf.rate.amount, 5);
    ck_assert_uint_eq(conf.rate.period_ms, 10000);
    teardown();
}
END_TEST

START_TEST(all_that_is_wrong_is_told_at_once)
{
    struct conf conf;

    setup();
    ck_assert_int_eq(bind_text("flag: perhaps\nnumber: 10\ntime: soon\nchoice: three\nbogus: 1\n"
                               "network: 10.0.0.0/40\nrate: 5/0s\nratio: 2\n",
                               &conf),
                     ERR_CONFIG);
    ck_assert_uint_eq(notes_errors(notes), 9); /* and text is missing */
    teardown();
}
END_TEST

/* -- tables that are wrong ------------------------------------------------------------- */

static void assert_refused(const struct sluice_option *table, uint32_t conf_size, const char *words)
{
    struct text why;

    setup();
    ck_assert_ptr_null(shape_of(table, conf_size, &why));
    ck_assert_msg(span_has(text_span(&why), span_of(words)), "'%s' is not in '%s'", words, why.ptr);
    text_fini(&why);
    teardown();
}

START_TEST(a_row_beyond_the_struct_is_refused)
{
    const struct sluice_option table[] = {
        {.kind = SLUICE_OPTION_UINT, .name = "n", .offset = 8, .help = "H."}, END};

    assert_refused(table, 8, "its option 'n' lies beyond the end of its struct");
    assert_refused(table, 15, "its option 'n' lies beyond the end of its struct");
    assert_refused(table, 4, "its option 'n' lies beyond the end of its struct");
}
END_TEST

START_TEST(rows_without_a_name_or_of_a_later_kind_are_refused)
{
    const struct sluice_option nameless[] = {{.kind = SLUICE_OPTION_UINT, .name = ""}, END};
    const struct sluice_option later[] = {{.kind = 99, .name = "n"}, END};

    assert_refused(nameless, 8, "has no name");
    assert_refused(later, 8, "is of a kind that this gateway does not know: it needs a newer one");
}
END_TEST

START_TEST(lists_whose_elements_have_another_size_are_refused)
{
    struct sluice_option table[] = {
        {.kind = SLUICE_OPTION_LIST, .name = "l", .element = SLUICE_OPTION_TEXT, .element_size = 0},
        END};

    assert_refused(table, 64, "is a list or map with element_size 0");
    table[0].element_size = 8;
    assert_refused(table, 64, "lies beyond the end of its struct");
    table[0].element_size = 24;
    assert_refused(table, 64, "has an element_size that is not that of its element");
    table[0].element = SLUICE_OPTION_LIST;
    assert_refused(table, 64, "is a list of lists");
    table[0].kind = SLUICE_OPTION_MAP;
    table[0].element_size = 8;
    assert_refused(table, 64, "is a map whose elements have no room for their name");
}
END_TEST

START_TEST(choices_without_an_end_are_refused)
{
    struct sluice_choice many[200];
    struct sluice_option table[] = {{.kind = SLUICE_OPTION_CHOICE, .name = "c"}, END};

    assert_refused(table, 8, "has no choices, or they have no end");
    for (size_t i = 0; i < 200; i++)
        many[i] = (struct sluice_choice){"x", 1, NULL};
    table[0].choices = many;
    assert_refused(table, 8, "has no choices, or they have no end");
}
END_TEST

START_TEST(tables_without_an_end_are_refused)
{
    struct sluice_option many[200];

    for (size_t i = 0; i < 200; i++)
        many[i] = (struct sluice_option){.kind = SLUICE_OPTION_BOOL, .name = "b"};
    assert_refused(many, 8, "are too many, or without an end");
    many[0] = (struct sluice_option){.kind = SLUICE_OPTION_STRUCT, .name = "s", .fields = many};
    many[1] = (struct sluice_option)END;
    assert_refused(many, 8, "are too many, or without an end"); /* it is inside itself */
}
END_TEST

START_TEST(a_later_minor_version_may_have_longer_rows)
{
    struct {
        struct sluice_option row;
        void *more;
    } table[] = {{{.kind = SLUICE_OPTION_UINT, .name = "a", .offset = 0}, NULL},
                 {{.kind = SLUICE_OPTION_UINT, .name = "b", .offset = 8}, NULL},
                 {END, NULL}};
    const struct sluice_plugin about = {
        .name = "it", .options = &table[0].row, .option_size = sizeof(table[0]), .conf_size = 16};
    const struct shape *shape;
    struct text why;

    setup();
    text_init(&why, 1024);
    ck_assert_int_eq(options_shape(&about, &arena, &shape, &why), OK);
    ck_assert_str_eq(shape->fields[1].name, "b");
    ck_assert_uint_eq(shape->fields[1].offset, 8);
    ck_assert_ptr_null(shape->fields[2].name);
    text_fini(&why);
    teardown();
}
END_TEST

UNIT_MAIN("chain/options", presets_and_what_is_written_lie_where_the_table_says,
          all_that_is_wrong_is_told_at_once, a_row_beyond_the_struct_is_refused,
          rows_without_a_name_or_of_a_later_kind_are_refused,
          lists_whose_elements_have_another_size_are_refused, choices_without_an_end_are_refused,
          tables_without_an_end_are_refused, a_later_minor_version_may_have_longer_rows)
