/*
 * sample.h - a configuration of the kind that sluice has, for the tests of the layer.
 *
 * struct bench holds what one read-and-bind needs; bench_told() is all that was noted,
 * as a person reads it.
 */
#ifndef TEST_CONFIG_SAMPLE_H
#define TEST_CONFIG_SAMPLE_H

#include "base/arena.h"
#include "config/shape.h"

#include <stddef.h>

struct sample_timeout {
    uint64_t connect_ms, response_ms;
};

struct sample_endpoint {
    struct sluice_span address;
    uint64_t weight;
};

struct sample_upstream {
    struct named named;
    struct items endpoints; /* struct sample_endpoint */
    int balance;
    struct sample_timeout timeout;
    struct sluice_span token;
};

struct sample_field {
    struct named named;
    struct sluice_span value;
};

struct sample_route {
    struct sluice_span name, upstream;
    struct items hosts;  /* struct sluice_span */
    struct items fields; /* struct sample_field */
    bool echo;
};

struct sample {
    uint64_t workers, body_bytes;
    double share;
    int port; /* SHAPE_CUSTOM */
    struct sluice_span note;
    struct sample_timeout timeout;
    struct items upstreams, routes;
    unsigned checked; /* how often the checks ran */
};

static inline enum err sample_parse_port(struct bind *bind, const struct tree *node, void *out)
{
    uint64_t port;

    if (node->kind != TREE_SCALAR || span_number(node->text, 65535, &port))
        return ERR_CONFIG;
    if (port == 1)
        notes_error(bind->notes, node->at, NULL, "port 1 is taken");
    *(int *)out = (int)port;
    return OK;
}

/* A route must do something: upstream or echo. */
static inline void sample_check_route(struct bind *bind, const struct tree *node, void *out)
{
    const struct sample_route *route = out;

    if (route->upstream.len == 0 && !route->echo)
        notes_error(bind->notes, node->at, "add upstream: NAME", "a route without an action");
}

static inline void sample_check(struct bind *bind, const struct tree *node, void *out)
{
    struct sample *sample = out;

    (void)bind;
    (void)node;
    sample->checked++;
}

static const struct field sample_timeout_fields[] = {
    {"connect", &shape_duration, offsetof(struct sample_timeout, connect_ms), "2s", false,
     "Until connected.", NULL},
    {"response", &shape_duration, offsetof(struct sample_timeout, response_ms), "60s", false,
     "Until the head of the response.", "15s"},
    {0},
};
static const struct shape sample_timeout_shape = {
    .kind = SHAPE_STRUCT, .size = sizeof(struct sample_timeout), .fields = sample_timeout_fields};

static const struct shape sample_weight_shape = {
    .kind = SHAPE_UINT, .size = sizeof(uint64_t), .min = 1, .max = 65535};

static const struct field sample_endpoint_fields[] = {
    {"address", &shape_text, offsetof(struct sample_endpoint, address), NULL, true, "Where it is.",
     "127.0.0.1:9000"},
    {"weight", &sample_weight_shape, offsetof(struct sample_endpoint, weight), "1", false,
     "Its share.", NULL},
    {0},
};
static const struct shape sample_endpoint_shape = {.kind = SHAPE_STRUCT,
                                                   .size = sizeof(struct sample_endpoint),
                                                   .fields = sample_endpoint_fields,
                                                   .scalar = "address",
                                                   .title = "endpoint"};
static const struct shape sample_endpoints_shape = {.kind = SHAPE_LIST,
                                                    .size = sizeof(struct items),
                                                    .element = &sample_endpoint_shape,
                                                    .min = 1,
                                                    .max = 3};

static const struct choice sample_balances[] = {
    {"round_robin", 0, "In turn."}, {"least_requests", 1, "The idlest."}, {0}};
static const struct shape sample_balance_shape = {
    .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = sample_balances};

static const struct field sample_upstream_fields[] = {
    {"endpoints", &sample_endpoints_shape, offsetof(struct sample_upstream, endpoints), NULL, true,
     "Its addresses.", "[ 127.0.0.1:9000 ]"},
    {"balance", &sample_balance_shape, offsetof(struct sample_upstream, balance), "least_requests",
     false, "Who is next.", NULL},
    {"timeout", &sample_timeout_shape, offsetof(struct sample_upstream, timeout), "{ connect: 1s }",
     false, "Its deadlines.", NULL},
    {"token", &shape_secret, offsetof(struct sample_upstream, token), NULL, false,
     "What it asks for.", NULL},
    {0},
};
static const struct shape sample_upstream_shape = {.kind = SHAPE_STRUCT,
                                                   .size = sizeof(struct sample_upstream),
                                                   .fields = sample_upstream_fields,
                                                   .title = "upstream"};
static const struct shape sample_upstreams_shape = {
    .kind = SHAPE_MAP, .size = sizeof(struct items), .element = &sample_upstream_shape};

static const struct field sample_field_fields[] = {
    {"value", &shape_text, offsetof(struct sample_field, value), NULL, true, "Its value.", NULL},
    {0},
};
static const struct shape sample_field_shape = {.kind = SHAPE_STRUCT,
                                                .size = sizeof(struct sample_field),
                                                .fields = sample_field_fields,
                                                .scalar = "value",
                                                .title = "field"};
static const struct shape sample_fields_shape = {
    .kind = SHAPE_MAP, .size = sizeof(struct items), .element = &sample_field_shape};

static const struct field sample_route_fields[] = {
    {"name", &shape_text, offsetof(struct sample_route, name), NULL, false, "How logs call it.",
     NULL},
    {"upstream", &shape_text, offsetof(struct sample_route, upstream), NULL, false, "Who answers.",
     NULL},
    {"hosts", &shape_texts, offsetof(struct sample_route, hosts), NULL, false, "For these hosts.",
     NULL},
    {"fields", &sample_fields_shape, offsetof(struct sample_route, fields), NULL, false,
     "Fields to set.", NULL},
    {"echo", &shape_bool, offsetof(struct sample_route, echo), "false", false, "Answer ourselves.",
     NULL},
    {0},
};
static const struct shape sample_route_shape = {.kind = SHAPE_STRUCT,
                                                .size = sizeof(struct sample_route),
                                                .fields = sample_route_fields,
                                                .check = sample_check_route,
                                                .title = "route"};
static const struct shape sample_routes_shape = {
    .kind = SHAPE_LIST, .size = sizeof(struct items), .element = &sample_route_shape};

static const struct shape sample_port_shape = {.kind = SHAPE_CUSTOM,
                                               .size = sizeof(int),
                                               .parse = sample_parse_port,
                                               .what = "a port such as 8080",
                                               .pattern = "^[0-9]+$"};

static const struct field sample_fields[] = {
    {"workers", &sample_weight_shape, offsetof(struct sample, workers), "4", false, "Threads.",
     "8"},
    {"body", &shape_size, offsetof(struct sample, body_bytes), "64KiB", false, "The largest body.",
     NULL},
    {"share", &shape_ratio, offsetof(struct sample, share), "50%", false, "How much | of it.",
     NULL},
    {"port", &sample_port_shape, offsetof(struct sample, port), "8080", false, "Where.", NULL},
    {"note", &shape_text, offsetof(struct sample, note), "'a: b'", false, NULL, NULL},
    {"timeout", &sample_timeout_shape, offsetof(struct sample, timeout), NULL, false,
     "Deadlines of all.", NULL},
    {"upstreams", &sample_upstreams_shape, offsetof(struct sample, upstreams), NULL, false,
     "Services by name.", "app:\n  endpoints: 127.0.0.1:9000"},
    {"routes", &sample_routes_shape, offsetof(struct sample, routes), "[ { echo: true } ]", false,
     "What goes where.", NULL},
    {0},
};
static const struct shape sample_shape = {.kind = SHAPE_STRUCT,
                                          .size = sizeof(struct sample),
                                          .fields = sample_fields,
                                          .check = sample_check};

/* -- the bench ------------------------------------------------------------------- */

struct bench {
    struct arena arena;
    struct notes *notes;
    struct text told;
    struct tree *tree;
    struct bind bind;
    struct sample sample;
};

static inline void bench_init(struct bench *bench)
{
    *bench = (struct bench){.notes = notes_new()};
    arena_init(&bench->arena, NULL, 0);
    text_init(&bench->told, 1 << 20);
    bench->bind = (struct bind){
        .arena = &bench->arena, .notes = bench->notes, .origins = origins_new(&bench->arena)};
}

static inline void bench_fini(struct bench *bench)
{
    text_fini(&bench->told);
    notes_free(&bench->notes);
    arena_fini(&bench->arena);
}

/* All notes so far; "" for none. */
static inline const char *bench_told(struct bench *bench)
{
    text_reset(&bench->told);
    notes_print(bench->notes, &bench->told);
    return bench->told.len ? bench->told.ptr : "";
}

static inline enum err bench_parse_bytes(struct bench *bench, struct sluice_span yaml)
{
    return tree_parse(yaml, "t.yaml", &bench->arena, bench->notes, &bench->tree);
}

static inline enum err bench_parse(struct bench *bench, const char *yaml)
{
    return bench_parse_bytes(bench, span_of(yaml));
}

/* Parse and bind to the sample; what could be read is bound even after errors. */
static inline enum err bench_bind(struct bench *bench, const char *yaml)
{
    enum err err = bench_parse(bench, yaml);
    enum err bind_err = OK;

    if (bench->tree)
        bind_err = shape_bind(&bench->bind, &sample_shape, bench->tree, &bench->sample);
    return err ? err : bind_err;
}

#endif /* TEST_CONFIG_SAMPLE_H */
