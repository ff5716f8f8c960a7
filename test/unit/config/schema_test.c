#include "sample.h"
#include "unit.h"

static struct text out;

static void print(const struct shape *shape)
{
    text_init(&out, 1 << 20);
    schema_print(shape, "Sluice", NULL, &out);
    ck_assert(!out.cut);
}

static void assert_has(const char *part)
{
    ck_assert_msg(span_has(text_span(&out), span_of(part)), "%s\nis not in\n%s", part, out.ptr);
}

START_TEST(schema_of_a_struct_is_written_out)
{
    static const struct field fields[] = {
        {"name", &shape_text, 0, NULL, true, "How it is called.", "edge"},
        {"on", &shape_bool, 16, "true", false, NULL, NULL},
        {0},
    };
    static const struct shape shape = {.kind = SHAPE_STRUCT, .size = 24, .fields = fields};

    print(&shape);
    ck_assert(span_starts(text_span(&out),
                          SPAN("{\n"
                               "  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
                               "  \"title\": \"Sluice\",\n"
                               "  \"type\": \"object\",\n"
                               "  \"additionalProperties\": false,\n"
                               "  \"properties\": {\n"
                               "    \"name\": {\n"
                               "      \"$ref\": \"#/$defs/text\",\n"
                               "      \"description\": \"How it is called.\",\n"
                               "      \"examples\": [ \"edge\" ]\n"
                               "    },\n"
                               "    \"on\": {\n"
                               "      \"$ref\": \"#/$defs/boolean\",\n"
                               "      \"default\": true\n"
                               "    }\n"
                               "  },\n"
                               "  \"required\": [ \"name\" ],\n"
                               "  \"$defs\": {\n"
                               "    \"boolean\": {\n")));
    ck_assert(span_ends(text_span(&out), SPAN("\n}\n")));
    text_fini(&out);
}
END_TEST

START_TEST(schema_defines_titled_structs_once)
{
    struct sluice_span rest;
    unsigned n = 0;

    print(&sample_shape);
    rest = text_span(&out);
    while (rest.len) {
        n += span_starts(rest, SPAN("    \"route\": {\n"));
        rest = span_make(rest.ptr + 1, rest.len - 1);
    }
    ck_assert_uint_eq(n, 1);
    assert_has("          \"items\": {\n            \"$ref\": \"#/$defs/route\"\n          }\n");
    assert_has("      \"additionalProperties\": {\n        \"$ref\": \"#/$defs/upstream\"\n");
    text_fini(&out);
}
END_TEST

START_TEST(schema_tells_structs_of_one_title_apart)
{
    static const struct field leaf_fields[] = {{"x", &shape_uint, 0, NULL, false, NULL, NULL}, {0}};
    static const struct shape first = {
        .kind = SHAPE_STRUCT, .size = 8, .fields = leaf_fields, .title = "text"};
    static const struct shape second = {
        .kind = SHAPE_STRUCT, .size = 8, .fields = leaf_fields, .title = "a b"};
    static const struct shape third = {
        .kind = SHAPE_STRUCT, .size = 8, .fields = leaf_fields, .title = "a b"};
    static const struct field fields[] = {{"p", &first, 0, NULL, false, NULL, NULL},
                                          {"q", &second, 8, NULL, false, NULL, NULL},
                                          {"r", &third, 16, NULL, false, NULL, NULL},
                                          {0}};
    static const struct shape shape = {.kind = SHAPE_STRUCT, .size = 24, .fields = fields};

    print(&shape);
    assert_has("\"p\": {\n      \"$ref\": \"#/$defs/text_2\"\n");
    assert_has("\"q\": {\n      \"$ref\": \"#/$defs/a_b\"\n");
    assert_has("\"r\": {\n      \"$ref\": \"#/$defs/a_b_2\"\n");
    text_fini(&out);
}
END_TEST

START_TEST(schema_accepts_variables_for_every_scalar)
{
    print(&sample_shape);
    assert_has("{ \"type\": \"integer\", \"minimum\": 1, \"maximum\": 65535 },\n"
               "        { \"$ref\": \"#/$defs/digits\" }\n");
    assert_has("\"pattern\": \"^[0-9]+$|\\\\$\\\\{\"");
    assert_has("\"pattern\": \"^([0-9]+(ms|s|m|h|d)|0+)$|\\\\$\\\\{\"");
    assert_has("\"pattern\": \"(^[0-9]+$)|\\\\$\\\\{\"");
    assert_has("{ \"enum\": [ \"round_robin\", \"least_requests\" ] },\n"
               "            { \"$ref\": \"#/$defs/environment\" }\n");
    text_fini(&out);
}
END_TEST

START_TEST(schema_shows_defaults_as_values)
{
    print(&sample_shape);
    assert_has("\"default\": 4,\n      \"examples\": [ 8 ]\n");
    assert_has("\"default\": \"64KiB\"\n");
    assert_has("\"default\": \"50%\"\n");
    assert_has("\"default\": 8080\n");
    assert_has("\"default\": \"a: b\"\n");
    assert_has("\"default\": { \"connect\": \"1s\" }\n");
    assert_has("\"default\": [ { \"echo\": true } ]\n");
    text_fini(&out);
}
END_TEST

START_TEST(schema_of_words_that_yaml_takes_for_others_lists_both)
{
    static const struct choice choices[] = {
        {"off", 0, NULL}, {"on", 1, NULL}, {"301", 2, NULL}, {"auto", 3, NULL}, {0}};
    static const struct shape choice = {
        .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = choices};

    print(&choice);
    assert_has("\"enum\": [ \"off\", false, \"on\", true, \"301\", 301, \"auto\" ]");
    text_fini(&out);
}
END_TEST

START_TEST(schema_is_the_same_each_time)
{
    struct text first;

    print(&sample_shape);
    first = out;
    print(&sample_shape);
    ck_assert(span_equal(text_span(&first), text_span(&out)));
    text_fini(&first);
    text_fini(&out);
}
END_TEST

/* An entry of a list that is bound later: own fields, and one key of many. */
static const struct field entry_fields[] = {{.name = "name", .shape = &shape_text}, {0}};
static const struct field gate_fields[] = {{.name = "key", .shape = &shape_text, .required = true},
                                           {0}};
static const struct shape gate = {
    .kind = SHAPE_STRUCT, .size = 16, .fields = gate_fields, .title = "gate"};
static const struct field variants[] = {{.name = "gate", .shape = &gate, .help = "A gate."}, {0}};
static const struct shape entry = {.kind = SHAPE_STRUCT,
                                   .size = 32,
                                   .fields = entry_fields,
                                   .title = "entry",
                                   .variants = variants};
static const struct shape list = {
    .kind = SHAPE_LIST, .size = sizeof(struct items), .element = &entry};

START_TEST(schema_says_of_what_is_bound_later_what_somebody_knows)
{
    static const struct field fields[] = {{.name = "plugins", .shape = &shape_plugins}, {0}};
    static const struct shape shape = {.kind = SHAPE_STRUCT, .size = 8, .fields = fields};

    print(&shape);
    assert_has("\"plugins\": {}\n");
    text_fini(&out);
    text_init(&out, 1 << 20);
    schema_print(&shape, "Sluice", &list, &out);
    assert_has("\"$ref\": \"#/$defs/entry\"\n");
    assert_has("\"$ref\": \"#/$defs/gate\"");
    assert_has("{ \"type\": \"null\" }");
    assert_has("\"minProperties\": 1,\n");
    assert_has("\"maxProperties\": 2\n");
    assert_has("\"required\": [ \"key\" ]");
    text_fini(&out);
}
END_TEST

UNIT_MAIN("config/schema", schema_says_of_what_is_bound_later_what_somebody_knows,
          schema_of_a_struct_is_written_out, schema_defines_titled_structs_once,
          schema_tells_structs_of_one_title_apart, schema_accepts_variables_for_every_scalar,
          schema_shows_defaults_as_values, schema_of_words_that_yaml_takes_for_others_lists_both,
          schema_is_the_same_each_time)
