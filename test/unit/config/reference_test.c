#include "sample.h"
#include "unit.h"

START_TEST(reference_has_a_section_a_struct_with_links)
{
    struct text out;

    text_init(&out, 1 << 20);
    reference_print(&sample_shape, "Configuration", NULL, &out);
    ck_assert_str_eq(
        out.ptr,
        "# Configuration\n"
        "\n"
        "| key | type | default | meaning |\n"
        "| --- | --- | --- | --- |\n"
        "| `workers` | number, 1 to 65535 | `4` | Threads. |\n"
        "| `body` | size | `64KiB` | The largest body. |\n"
        "| `share` | ratio | `50%` | How much \\| of it. |\n"
        "| `port` | a port such as 8080 | `8080` | Where. |\n"
        "| `note` | text | `'a: b'` | |\n"
        "| `timeout` | [map](#timeout) | | Deadlines of all. |\n"
        "| `upstreams` | map from names to [upstream](#upstreamsname) | | Services by name. |\n"
        "| `routes` | list of [route](#routes) | `[ { echo: true } ]` | What goes where. |\n"
        "\n"
        "Example:\n"
        "\n"
        "```yaml\n"
        "workers: 8\n"
        "upstreams:\n"
        "  app:\n"
        "    endpoints: 127.0.0.1:9000\n"
        "```\n"
        "\n"
        "## `timeout`\n"
        "\n"
        "| key | type | default | meaning |\n"
        "| --- | --- | --- | --- |\n"
        "| `connect` | duration | `2s` | Until connected. |\n"
        "| `response` | duration | `60s` | Until the head of the response. |\n"
        "\n"
        "Example:\n"
        "\n"
        "```yaml\n"
        "response: 15s\n"
        "```\n"
        "\n"
        "## `upstreams.NAME`\n"
        "\n"
        "| key | type | default | meaning |\n"
        "| --- | --- | --- | --- |\n"
        "| `endpoints` | list of [endpoint](#upstreamsnameendpoints), or its `address` alone | "
        "required | Its addresses. |\n"
        "| `balance` | `round_robin`, `least_requests` | `least_requests` | Who is next. |\n"
        "| `timeout` | [map](#timeout) | `{ connect: 1s }` | Its deadlines. |\n"
        "| `token` | secret | | What it asks for. |\n"
        "\n"
        "`balance`:\n"
        "\n"
        "- `round_robin`: In turn.\n"
        "- `least_requests`: The idlest.\n"
        "\n"
        "Example:\n"
        "\n"
        "```yaml\n"
        "endpoints: [ 127.0.0.1:9000 ]\n"
        "```\n"
        "\n"
        "## `routes[]`\n"
        "\n"
        "| key | type | default | meaning |\n"
        "| --- | --- | --- | --- |\n"
        "| `name` | text | | How logs call it. |\n"
        "| `upstream` | text | | Who answers. |\n"
        "| `hosts` | list of text | | For these hosts. |\n"
        "| `fields` | map from names to [field](#routesfieldsname), or its `value` alone | | "
        "Fields to set. |\n"
        "| `echo` | boolean | `false` | Answer ourselves. |\n"
        "\n"
        "## `upstreams.NAME.endpoints[]`\n"
        "\n"
        "| key | type | default | meaning |\n"
        "| --- | --- | --- | --- |\n"
        "| `address` | text | required | Where it is. |\n"
        "| `weight` | number, 1 to 65535 | `1` | Its share. |\n"
        "\n"
        "Example:\n"
        "\n"
        "```yaml\n"
        "address: 127.0.0.1:9000\n"
        "```\n"
        "\n"
        "## `routes[].fields.NAME`\n"
        "\n"
        "| key | type | default | meaning |\n"
        "| --- | --- | --- | --- |\n"
        "| `value` | text | required | Its value. |\n");
    text_fini(&out);
}
END_TEST

START_TEST(reference_tells_bounds_in_units)
{
    static const struct shape duration = {
        .kind = SHAPE_DURATION, .size = sizeof(uint64_t), .min = 1000, .max = 3600000};
    static const struct shape size = {.kind = SHAPE_SIZE, .size = sizeof(uint64_t), .min = 1024};
    static const struct field fields[] = {
        {"d", &duration, 0, NULL, false, "D.", NULL}, {"s", &size, 8, "", false, "S.", NULL}, {0}};
    static const struct shape shape = {.kind = SHAPE_STRUCT, .size = 16, .fields = fields};
    struct text out;

    text_init(&out, 1 << 20);
    reference_print(&shape, "T", NULL, &out);
    ck_assert_str_eq(out.ptr, "# T\n"
                              "\n"
                              "| key | type | default | meaning |\n"
                              "| --- | --- | --- | --- |\n"
                              "| `d` | duration, 1s to 1h | | D. |\n"
                              "| `s` | size, at least 1KiB | `\"\"` | S. |\n");
    text_fini(&out);
}
END_TEST

START_TEST(reference_tells_bounds_once)
{
    static const struct shape number = {.kind = SHAPE_UINT,
                                        .size = sizeof(uint64_t),
                                        .min = 1,
                                        .max = 9,
                                        .what = "a number from 1 to 9"};
    static const struct field fields[] = {{.name = "n", .shape = &number, .help = "N."}, {0}};
    static const struct shape shape = {.kind = SHAPE_STRUCT, .size = 8, .fields = fields};
    struct text out;

    text_init(&out, 1 << 20);
    reference_print(&shape, "T", NULL, &out);
    ck_assert(span_has(text_span(&out), SPAN("| `n` | a number from 1 to 9 | | N. |\n")));
    text_fini(&out);
}
END_TEST

START_TEST(reference_shows_what_excludes_others_apart)
{
    static const struct field fields[] = {
        {.name = "a", .shape = &shape_text, .help = "A.", .example = "one"},
        {.name = "b", .shape = &shape_text, .help = "B.", .example = "two"},
        {.name = "c", .shape = &shape_text, .help = "C.", .example = "three"},
        {0}};
    static const char *const others[] = {"b", NULL};
    static const struct shape shape = {
        .kind = SHAPE_STRUCT, .size = 48, .fields = fields, .others = others};
    struct text out;

    text_init(&out, 1 << 20);
    reference_print(&shape, "T", NULL, &out);
    ck_assert_msg(span_ends(text_span(&out), SPAN("\nExample:\n\n```yaml\na: one\nc: three\n```\n"
                                                  "\nOr:\n\n```yaml\nb: two\n```\n")),
                  "%s", out.ptr);
    text_fini(&out);
}
END_TEST

START_TEST(reference_says_of_what_is_bound_later_what_somebody_knows)
{
    static const struct field gate_fields[] = {
        {.name = "key", .shape = &shape_text, .required = true, .help = "K."}, {0}};
    static const struct shape gate = {
        .kind = SHAPE_STRUCT, .size = 16, .fields = gate_fields, .title = "gate"};
    static const struct field variants[] = {{.name = "gate", .shape = &gate, .help = "A gate."},
                                            {0}};
    static const struct field entry_fields[] = {
        {.name = "name", .shape = &shape_text, .help = "N."}, {0}};
    static const struct shape entry = {.kind = SHAPE_STRUCT,
                                       .size = 32,
                                       .fields = entry_fields,
                                       .title = "entry",
                                       .variants = variants};
    static const struct shape list = {
        .kind = SHAPE_LIST, .size = sizeof(struct items), .element = &entry};
    static const struct field fields[] = {
        {.name = "plugins", .shape = &shape_plugins, .help = "P."}, {0}};
    static const struct shape shape = {.kind = SHAPE_STRUCT, .size = 8, .fields = fields};
    struct text out;

    text_init(&out, 1 << 20);
    reference_print(&shape, "T", NULL, &out);
    ck_assert(span_has(text_span(&out), SPAN("| `plugins` | a list of plugins | | P. |\n")));
    text_reset(&out);
    reference_print(&shape, "T", &list, &out);
    ck_assert(
        span_has(text_span(&out), SPAN("| `plugins` | list of [entry](#plugins) | | P. |\n")));
    ck_assert(span_has(text_span(&out), SPAN("| `gate` | [gate](#pluginsgate) | A gate. |\n")));
    ck_assert(span_ends(text_span(&out), SPAN("\n## `plugins[].gate`\n\n"
                                              "| key | type | default | meaning |\n"
                                              "| --- | --- | --- | --- |\n"
                                              "| `key` | text | required | K. |\n")));
    text_fini(&out);
}
END_TEST

UNIT_MAIN("config/reference", reference_says_of_what_is_bound_later_what_somebody_knows,
          reference_tells_bounds_once, reference_shows_what_excludes_others_apart,
          reference_has_a_section_a_struct_with_links, reference_tells_bounds_in_units)
