#include "discovery/conf.h"

#include "config/input.h"
#include "discovery/found.h"

#include <stddef.h>

enum { PRIORITY_MAX = 127, PATH_BYTES = 4096 };

static const struct shape weight_shape = {.kind = SHAPE_UINT,
                                          .size = sizeof(uint64_t),
                                          .max = FOUND_WEIGHT_MAX,
                                          .what = "a weight from 0 to 65535"};

static const struct shape priority_shape = {.kind = SHAPE_UINT,
                                            .size = sizeof(uint64_t),
                                            .max = PRIORITY_MAX,
                                            .what = "a priority from 0 to 127"};

static const struct choice states[] = {
    {"serving", FOUND_SERVING, "Gets requests."},
    {"warning", FOUND_WARNING, "Gets requests; something is wrong with it."},
    {"draining", FOUND_DRAINING, "Gets no new requests; those in flight finish."},
    {"failing", FOUND_FAILING, "Is broken and gets no requests."},
    {NULL, 0, NULL},
};

static const struct shape state_shape = {.kind = SHAPE_CHOICE,
                                         .size = sizeof(int),
                                         .choices = states,
                                         .what = "serving, warning, draining or failing"};

/* -- what is known of an endpoint besides ---------------------------------- */

static const struct field meta_fields[] = {
    {.name = "value",
     .shape = &shape_text,
     .offset = offsetof(struct meta_conf, value),
     .required = true,
     .help = "Any text."},
    {0},
};

static const struct shape meta_shape = {.kind = SHAPE_STRUCT,
                                        .size = sizeof(struct meta_conf),
                                        .fields = meta_fields,
                                        .scalar = "value",
                                        .what = "a text",
                                        .title = "meta"};

const struct shape meta_map_shape = {.kind = SHAPE_MAP,
                                     .size = sizeof(struct items),
                                     .element = &meta_shape,
                                     .what = "a map from names to texts"};

/* -- endpoints --------------------------------------------------------------- */

static void endpoint_check(struct bind *bind, const struct tree *node, void *out)
{
    struct endpoint_conf *conf = out;
    const char *wrong = found_check_address(conf->address);

    conf->at = node ? node->at : (struct mark){0};
    if (wrong && conf->address.len > 0) {
        notes_error(bind->notes, conf->at, "write host:port, [v6]:port or unix:/path",
                    "endpoint '%s': %s", conf->address.ptr, wrong);
    }
}

#define AT(member) offsetof(struct endpoint_conf, member)

static const struct field endpoint_fields[] = {
    {.name = "address",
     .shape = &shape_text,
     .offset = AT(address),
     .required = true,
     .help = "Where it listens: host:port, [v6]:port or unix:/path. A name stands for all its "
             "addresses, and is looked up again when they may have changed.",
     .example = "127.0.0.1:9000"},
    {.name = "weight",
     .shape = &weight_shape,
     .offset = AT(weight),
     .preset = "1",
     .help = "Its share of the requests, relative to the other endpoints. 0: it drains."},
    {.name = "state",
     .shape = &state_shape,
     .offset = AT(state),
     .preset = "serving",
     .help = "Whether it gets requests."},
    {.name = "priority",
     .shape = &priority_shape,
     .offset = AT(priority),
     .preset = "0",
     .help = "The lower, the sooner it is used."},
    {.name = "zone", .shape = &shape_text, .offset = AT(zone), .help = "Where it stands."},
    {.name = "id",
     .shape = &shape_text,
     .offset = AT(id),
     .help = "What it is called; by default its address."},
    {.name = "tags",
     .shape = &shape_texts,
     .offset = AT(tags),
     .help = "Words that say what it is.",
     .example = "[ canary ]"},
    {.name = "meta",
     .shape = &meta_map_shape,
     .offset = AT(meta),
     .help = "What else is known of it.",
     .example = "{ version: \"2\" }"},
    {0},
};

#undef AT

static const struct shape endpoint_shape = {
    .kind = SHAPE_STRUCT,
    .size = sizeof(struct endpoint_conf),
    .fields = endpoint_fields,
    .scalar = "address",
    .check = endpoint_check,
    .what = "an address such as 127.0.0.1:9000",
    .title = "endpoint",
};

const struct shape endpoint_list_shape = {.kind = SHAPE_LIST,
                                          .size = sizeof(struct items),
                                          .element = &endpoint_shape,
                                          .min = 1,
                                          .max = FOUND_MAX,
                                          .what = "a list of addresses"};

void endpoint_conf_add(const struct endpoint_conf *conf, struct found *found)
{
    const struct sluice_span *tag = conf->tags.first;
    const struct meta_conf *meta = conf->meta.first;
    struct found_endpoint *endpoint = found_add(found);

    if (!endpoint)
        return;
    endpoint->address = arena_copy(&found->arena, conf->address);
    endpoint->id = arena_copy(&found->arena, conf->id);
    endpoint->zone = arena_copy(&found->arena, conf->zone);
    endpoint->weight = (uint32_t)conf->weight;
    endpoint->priority = (uint32_t)conf->priority;
    endpoint->state = (enum found_state)conf->state;
    endpoint->n_tags = conf->tags.n;
    endpoint->tags = arena_new(&found->arena, (conf->tags.n + 1) * sizeof(*tag));
    for (size_t i = 0; i < conf->tags.n; i++) {
        endpoint->tags[i] = arena_copy(&found->arena, tag[i]);
    }
    endpoint->n_meta = conf->meta.n;
    endpoint->meta = arena_new(&found->arena, (conf->meta.n + 1) * sizeof(*endpoint->meta));
    for (size_t i = 0; i < conf->meta.n; i++) {
        endpoint->meta[i].name = arena_copy(&found->arena, meta[i].named.name);
        endpoint->meta[i].value = arena_copy(&found->arena, meta[i].value);
    }
}

/* -- a file of them ---------------------------------------------------------- */

static enum err parse_path(struct bind *bind, const struct tree *node, void *out)
{
    struct sluice_span *path = out;
    struct text joined;

    if (node->kind != TREE_SCALAR || node->text.len == 0) {
        notes_error(bind->notes, node->at, "write the path of a file with a list of endpoints",
                    "expected a file");
        return ERR_CONFIG;
    }
    text_init(&joined, PATH_BYTES);
    input_join(notes_file(bind->notes, node->at.file), node->text, &joined);
    *path = arena_copy(bind->arena, text_span(&joined));
    text_fini(&joined);
    return path->ptr ? OK : ERR_CONFIG;
}

static const struct shape path_shape = {.kind = SHAPE_CUSTOM,
                                        .size = sizeof(struct sluice_span),
                                        .parse = parse_path,
                                        .what = "a file, relative to this one",
                                        .pattern = ".+"};

static const struct shape interval_shape = {.kind = SHAPE_DURATION,
                                            .size = sizeof(uint64_t),
                                            .min = 100,
                                            .max = 3600000,
                                            .what = "a duration from 100ms to 1h"};

static const struct field file_fields[] = {
    {.name = "path",
     .shape = &path_shape,
     .offset = offsetof(struct file_source_conf, path),
     .required = true,
     .help = "A list of endpoints in YAML or JSON, as under endpoints. Write it anew and rename it "
             "into place.",
     .example = "members/orders.yaml"},
    {.name = "interval",
     .shape = &interval_shape,
     .offset = offsetof(struct file_source_conf, interval_ms),
     .preset = "1s",
     .help = "How often to look whether it has changed."},
    {0},
};

const struct shape file_source_shape = {.kind = SHAPE_STRUCT,
                                        .size = sizeof(struct file_source_conf),
                                        .fields = file_fields,
                                        .scalar = "path",
                                        .title = "file of an upstream"};
