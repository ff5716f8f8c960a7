#include "policy/subset.h"

#include <stddef.h>

/* -- options ----------------------------------------------------------------- */

static const struct shape tags_shape = {.kind = SHAPE_LIST,
                                        .size = sizeof(struct items),
                                        .element = &shape_text,
                                        .what = "a list of tags"};

static const struct field meta_fields[] = {
    {.name = "value",
     .shape = &shape_text,
     .offset = offsetof(struct subset_meta, value),
     .required = true,
     .help = "What it must be."},
    {0},
};

static const struct shape meta_shape = {.kind = SHAPE_STRUCT,
                                        .size = sizeof(struct subset_meta),
                                        .fields = meta_fields,
                                        .scalar = "value",
                                        .what = "a text",
                                        .title = "meta"};

static const struct shape meta_map_shape = {.kind = SHAPE_MAP,
                                            .size = sizeof(struct items),
                                            .element = &meta_shape,
                                            .what = "a map from names to texts"};

static const struct choice fallback_choices[] = {
    {"none", SUBSET_NONE, "The request is answered with 503."},
    {"any", SUBSET_ANY, "All endpoints of the upstream serve."},
    {NULL, 0, NULL},
};

static const struct shape fallback_shape = {
    .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = fallback_choices};

#define TAGS_AND_META                                                                              \
    {.name = "tags",                                                                               \
     .shape = &tags_shape,                                                                         \
     .offset = offsetof(struct subset, tags),                                                      \
     .help = "Only endpoints that have all of these tags.",                                        \
     .example = "[ canary ]"},                                                                     \
    {                                                                                              \
        .name = "meta", .shape = &meta_map_shape, .offset = offsetof(struct subset, meta),         \
        .help = "Only endpoints that have all of this meta.", .example = "{ version: v2 }"         \
    }

static const struct field subset_fields[] = {
    TAGS_AND_META,
    {.name = "fallback",
     .shape = &fallback_shape,
     .offset = offsetof(struct subset, fallback),
     .preset = "none",
     .help = "When none of them is well, or there is none."},
    {0},
};

static const struct field filter_fields[] = {TAGS_AND_META, {0}};

static void check(struct bind *bind, const struct tree *node, void *out)
{
    if (!subset_is_set(out)) {
        notes_error(bind->notes, node ? node->at : (struct mark){0},
                    "write tags: [ NAME ] or meta: { NAME: TEXT }, or leave subset out",
                    "subset says neither tags nor meta");
    }
}

const struct shape subset_shape = {.kind = SHAPE_STRUCT,
                                   .size = sizeof(struct subset),
                                   .fields = subset_fields,
                                   .check = check,
                                   .title = "subset"};

const struct shape subset_filter_shape = {.kind = SHAPE_STRUCT,
                                          .size = sizeof(struct subset),
                                          .fields = filter_fields,
                                          .check = check,
                                          .title = "subset of all"};

/* -- values ------------------------------------------------------------------ */

bool subset_is_set(const struct subset *subset)
{
    return subset->tags.n + subset->meta.n > 0;
}

bool subset_is_same(const struct subset *a, const struct subset *b)
{
    const struct sluice_span *tag = a->tags.first;
    const struct sluice_span *other_tag = b->tags.first;
    const struct subset_meta *meta = a->meta.first;
    const struct subset_meta *other_meta = b->meta.first;

    if (a->tags.n != b->tags.n || a->meta.n != b->meta.n || a->fallback != b->fallback)
        return false;
    for (size_t i = 0; i < a->tags.n; i++) {
        if (!span_equal(tag[i], other_tag[i]))
            return false;
    }
    for (size_t i = 0; i < a->meta.n; i++) {
        if (!span_equal(meta[i].named.name, other_meta[i].named.name) ||
            !span_equal(meta[i].value, other_meta[i].value))
            return false;
    }
    return true;
}

struct subset subset_copy(const struct subset *subset, struct arena *arena)
{
    const struct sluice_span *tag = subset->tags.first;
    const struct subset_meta *meta = subset->meta.first;
    struct sluice_span *tags = arena_new(arena, (subset->tags.n + 1) * sizeof(*tags));
    struct subset_meta *metas = arena_new(arena, (subset->meta.n + 1) * sizeof(*metas));

    for (size_t i = 0; i < subset->tags.n; i++) {
        tags[i] = arena_copy(arena, tag[i]);
    }
    for (size_t i = 0; i < subset->meta.n; i++) {
        metas[i].named.name = arena_copy(arena, meta[i].named.name);
        metas[i].value = arena_copy(arena, meta[i].value);
    }
    return (struct subset){{tags, subset->tags.n}, {metas, subset->meta.n}, subset->fallback};
}
