#include "route/edits.h"

#include "http/octet.h"

/* Names that a route may not edit, and what to do instead. */
static const struct refused {
    const char *name;
    bool in_responses;
    const char *remedy;
} refused_names[] = {
    {"host", false, "write rewrite: { host: NAME } to change the Host that the upstream sees"},
    {"content-length", true, "the gateway writes the framing itself"},
    {"transfer-encoding", true, "the gateway writes the framing itself"},
    {"trailer", true, "the gateway passes trailers on by itself"},
    {"connection", true, "it belongs to one connection: the gateway manages keep-alive itself"},
    {"keep-alive", true, "it belongs to one connection: see connections of the upstream"},
    {"proxy-connection", true, "it belongs to one connection and is never forwarded"},
    {"te", true, "it belongs to one connection: the gateway writes it itself"},
    {"upgrade", true, "it belongs to one connection: the gateway writes it itself"},
    {"expect", false, "the gateway answers and forwards 100-continue itself"},
};

bool edits_is_token(struct sluice_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!octet_is(text.ptr[i], OCTET_TOKEN))
            return false;
    }
    return text.len > 0;
}

bool edits_is_value(struct sluice_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (octet_is(text.ptr[i], OCTET_STOP))
            return false;
    }
    return true;
}

static bool name_is_fine(const struct draft *draft, struct sluice_span name, struct mark at,
                         enum edits_side side, const char *key)
{
    if (!edits_is_token(name) || name.len > UINT16_MAX) {
        draft_error(draft, at, "letters, digits and !#$%&'*+-.^_`|~", "%s: '%.*s' is no field name",
                    key, DRAFT_SPAN(name));
        return false;
    }
    for (size_t i = 0; i < sizeof(refused_names) / sizeof(*refused_names); i++) {
        const struct refused *refused = &refused_names[i];

        if (!span_equal_nocase(name, span_of(refused->name)))
            continue;
        if (side == EDITS_RESPONSE && !refused->in_responses)
            continue;
        draft_error(draft, at, refused->remedy, "%s may not change '%s'", key, refused->name);
        return false;
    }
    return true;
}

static bool value_is_fine(const struct draft *draft, const struct draft_pair *pair, const char *key)
{
    if (edits_is_value(pair->value.text))
        return true;
    draft_error(draft, pair->value.at, "write it in one line, without control characters",
                "%s: the value of '%.*s' may not stand in a field", key,
                DRAFT_SPAN(pair->named.name));
    return false;
}

static void add_pairs(const struct draft *draft, const struct items *pairs,
                      enum route_edit_kind kind, enum edits_side side, const char *key,
                      struct route_edits *edits)
{
    const struct draft_pair *pair = pairs->first;

    for (size_t i = 0; i < pairs->n; i++, pair++) {
        if (!name_is_fine(draft, pair->named.name, pair->named.at, side, key))
            continue;
        if (!value_is_fine(draft, pair, key))
            continue;
        edits->edit[edits->n++] =
            (struct route_edit){kind, pair->named.name, span_trim(pair->value.text)};
    }
}

void edits_make(const struct draft *draft, const struct draft_edits *written, enum edits_side side,
                const char *key, struct route_edits *edits)
{
    size_t n = written->set.n + written->add.n + written->remove.n;
    const struct draft_text *name = written->remove.first;

    if (!n)
        return;
    edits->edit = arena_new(draft->bind->arena, n * sizeof(*edits->edit));
    for (size_t i = 0; i < written->remove.n; i++, name++) {
        if (name_is_fine(draft, name->text, name->at, side, key))
            edits->edit[edits->n++] = (struct route_edit){ROUTE_EDIT_REMOVE, name->text, SPAN("")};
    }
    add_pairs(draft, &written->set, ROUTE_EDIT_SET, side, key, edits);
    add_pairs(draft, &written->add, ROUTE_EDIT_ADD, side, key, edits);
}

void edits_make_respond(const struct draft *draft, const struct items *pairs,
                        struct route_edits *edits)
{
    const struct draft_pair *pair = pairs->first;

    for (size_t i = 0; i < pairs->n; i++) {
        if (span_equal_nocase(pair[i].named.name, SPAN("content-type"))) {
            draft_error(draft, pair[i].named.at, "write respond: { content_type: TYPE }",
                        "respond.fields may not change 'content-type'");
        }
    }
    if (!pairs->n)
        return;
    edits->edit = arena_new(draft->bind->arena, pairs->n * sizeof(*edits->edit));
    add_pairs(draft, pairs, ROUTE_EDIT_SET, EDITS_RESPONSE, "respond.fields", edits);
}

enum err route_edit_fields(const struct route_edits *edits, struct fields *fields)
{
    enum err err = OK;

    for (size_t i = 0; i < edits->n && !err; i++) {
        const struct route_edit *edit = &edits->edit[i];

        switch (edit->kind) {
        case ROUTE_EDIT_REMOVE:
            (void)fields_remove(fields, edit->name);
            break;
        case ROUTE_EDIT_SET:
            err = fields_set(fields, edit->name, edit->value);
            break;
        case ROUTE_EDIT_ADD:
            err = fields_add(fields, edit->name, edit->value);
            break;
        }
    }
    return err;
}
