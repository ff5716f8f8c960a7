#include "upstream/selection.h"

#include "base/alloc.h"
#include "upstream/upstream.h"

static bool has_tag(const struct found_endpoint *facts, struct sluice_span tag)
{
    for (size_t i = 0; i < facts->n_tags; i++) {
        if (span_equal(facts->tags[i], tag))
            return true;
    }
    return false;
}

static bool has_meta(const struct found_endpoint *facts, const struct subset_meta *meta)
{
    for (size_t i = 0; i < facts->n_meta; i++) {
        if (span_equal(facts->meta[i].name, meta->named.name))
            return span_equal(facts->meta[i].value, meta->value);
    }
    return false;
}

bool selection_fits(const struct subset *subset, const struct found_endpoint *facts)
{
    const struct sluice_span *tag = subset->tags.first;
    const struct subset_meta *meta = subset->meta.first;

    for (size_t i = 0; i < subset->tags.n; i++) {
        if (!has_tag(facts, tag[i]))
            return false;
    }
    for (size_t i = 0; i < subset->meta.n; i++) {
        if (!has_meta(facts, &meta[i]))
            return false;
    }
    return true;
}

struct selection *upstream_select(struct upstream *upstream, const struct subset *subset)
{
    struct selection *selection;

    if (!subset || !subset_is_set(subset))
        return NULL;
    list_each (node, &upstream->selections) {
        selection = list_entry(node, struct selection, link);
        if (subset_is_same(&selection->subset, subset)) {
            selection->refs++;
            return selection;
        }
    }
    selection = alloc_new(sizeof(*selection));
    selection->refs = 1;
    arena_init(&selection->arena, NULL, 0);
    selection->subset = subset_copy(subset, &selection->arena);
    list_append(&upstream->selections, &selection->link);
    candidates_renew(upstream);
    return selection;
}

void selection_unref(struct selection **selection)
{
    struct selection *old = *selection;

    *selection = NULL;
    if (!old || --old->refs > 0)
        return;
    list_remove(&old->link);
    candidates_fini(&old->candidates);
    arena_fini(&old->arena);
    alloc_free(old);
}
