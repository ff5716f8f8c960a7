#include "upstream/conf_balance.h"

#include "http/octet.h"
#include "upstream/balance.h"

#include <stddef.h>

enum { PERCENT_MAX = 10000 };

static struct mark mark_of(const struct tree *node)
{
    return node ? node->at : (struct mark){0};
}

static bool is_name(struct sluice_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!octet_is(text.ptr[i], OCTET_TOKEN))
            return false;
    }
    return text.len > 0;
}

/* -- hash ----------------------------------------------------------------- */

static const struct choice by_choices[] = {
    {"source", HASH_BY_SOURCE, "The client's address, without its port."},
    {"path", HASH_BY_PATH, "The normalised path, without the query."},
    {NULL, 0, NULL},
};

static const struct shape by_shape = {
    .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = by_choices, .what = "source or path"};

static enum err parse_bound(struct bind *bind, const struct tree *node, void *out)
{
    struct sluice_span text = node->kind == TREE_SCALAR ? node->text : SPAN("");
    uint64_t *percent = out;
    bool has_sign = span_ends(text, SPAN("%"));

    if (has_sign)
        text.len--;
    if (!span_number(text, PERCENT_MAX, percent) && (*percent == 0 || (has_sign && *percent > 99)))
        return OK;
    notes_error(bind->notes, node->at, "write a percentage such as 125%, or 0 for no bound",
                "bound is not a percentage from 100%% to %d%%", PERCENT_MAX);
    return ERR_CONFIG;
}

static const struct shape bound_shape = {
    .kind = SHAPE_CUSTOM,
    .size = sizeof(uint64_t),
    .parse = parse_bound,
    .what = "a percentage such as 125%, or 0",
    .pattern = "^(0|0%|[1-9][0-9]{2,3}%|10000%)$",
};

static const struct field hash_fields[] = {
    {.name = "by",
     .shape = &by_shape,
     .offset = offsetof(struct upstream_hash, by),
     .help = "What every request has."},
    {.name = "field",
     .shape = &shape_text,
     .offset = offsetof(struct upstream_hash, field),
     .help = "The value of this field of the request.",
     .example = "X-User"},
    {.name = "cookie",
     .shape = &shape_text,
     .offset = offsetof(struct upstream_hash, cookie),
     .help = "The value of this cookie.",
     .example = "session"},
    {.name = "query",
     .shape = &shape_text,
     .offset = offsetof(struct upstream_hash, query),
     .help = "The value of this query parameter.",
     .example = "user"},
    {.name = "bound",
     .shape = &bound_shape,
     .offset = offsetof(struct upstream_hash, bound_percent),
     .preset = "0",
     .help = "An endpoint with more than this part of the mean requests in flight (of one worker, "
             "by weight) is passed over for the next. 0: no bound.",
     .example = "125%"},
    {0},
};

static void hash_check(struct bind *bind, const struct tree *node, void *out)
{
    const struct upstream_hash *hash = out;
    int n = (hash->by != HASH_BY_NOTHING) + (hash->field.len > 0) + (hash->cookie.len > 0) +
            (hash->query.len > 0);

    if (n != 1) {
        notes_error(bind->notes, mark_of(node),
                    "write source, path, or one of field, cookie, query", "hash names %s",
                    n == 0 ? "nothing to hash" : "more than one thing to hash");
    }
    if (hash->field.len > 0 && !is_name(hash->field)) {
        notes_error(bind->notes, mark_of(node), "write a name such as X-User",
                    "'%s' cannot be the name of a field", hash->field.ptr);
    }
    if (hash->cookie.len > 0 && !is_name(hash->cookie)) {
        notes_error(bind->notes, mark_of(node), "write a name such as session",
                    "'%s' cannot be the name of a cookie", hash->cookie.ptr);
    }
}

/* One key: each of these stands in place of by. */
static const char *const hash_others[] = {"cookie", "query", NULL};

const struct shape upstream_hash_shape = {.kind = SHAPE_STRUCT,
                                          .size = sizeof(struct upstream_hash),
                                          .fields = hash_fields,
                                          .scalar = "by",
                                          .check = hash_check,
                                          .what = "source, path, or a map",
                                          .title = "hash",
                                          .others = hash_others};

/* -- sticky ----------------------------------------------------------------- */

static const struct choice same_site_choices[] = {
    {"off", SAME_SITE_OFF, "The attribute is not sent."},
    {"lax", SAME_SITE_LAX, "Not sent along by other sites, except when a link is followed."},
    {"strict", SAME_SITE_STRICT, "Never sent along by other sites."},
    {"none", SAME_SITE_NONE, "Sent along by all sites; browsers want secure too."},
    {NULL, 0, NULL},
};

static const struct shape same_site_shape = {
    .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = same_site_choices};

static const struct field sticky_fields[] = {
    {.name = "cookie",
     .shape = &shape_text,
     .offset = offsetof(struct upstream_sticky, cookie),
     .preset = "sluice_route",
     .help = "Its name."},
    {.name = "ttl",
     .shape = &shape_duration,
     .offset = offsetof(struct upstream_sticky, ttl_ms),
     .preset = "0s",
     .help = "How long a client keeps it, in whole seconds. 0: until the browser ends."},
    {.name = "path",
     .shape = &shape_text,
     .offset = offsetof(struct upstream_sticky, path),
     .preset = "/",
     .help = "The paths it is sent along with."},
    {.name = "secure",
     .shape = &shape_bool,
     .offset = offsetof(struct upstream_sticky, secure),
     .preset = "false",
     .help = "Only sent along over TLS."},
    {.name = "http_only",
     .shape = &shape_bool,
     .offset = offsetof(struct upstream_sticky, http_only),
     .preset = "true",
     .help = "Scripts cannot read it."},
    {.name = "same_site",
     .shape = &same_site_shape,
     .offset = offsetof(struct upstream_sticky, same_site),
     .preset = "lax",
     .help = "Whether requests that other sites cause carry it."},
    {0},
};

static bool is_cookie_path(struct sluice_span path)
{
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] <= ' ' || path.ptr[i] == ';' || path.ptr[i] == 0x7f)
            return false;
    }
    return span_starts(path, SPAN("/"));
}

static void sticky_check(struct bind *bind, const struct tree *node, void *out)
{
    const struct upstream_sticky *sticky = out;

    if (!is_name(sticky->cookie)) {
        notes_error(bind->notes, mark_of(node), "write a name such as sluice_route",
                    "'%s' cannot be the name of a cookie", sticky->cookie.ptr);
    }
    if (!is_cookie_path(sticky->path)) {
        notes_error(bind->notes, mark_of(node), "write a path such as /",
                    "'%s' cannot be the path of a cookie", sticky->path.ptr);
    }
    if (sticky->cookie.len + sticky->path.len > UPSTREAM_STICKY_MAX) {
        notes_error(bind->notes, mark_of(node), "write a shorter name or path",
                    "the cookie's name and path have more than %d bytes", UPSTREAM_STICKY_MAX);
    }
    if (sticky->same_site == SAME_SITE_NONE && !sticky->secure) {
        notes_warn(bind->notes, mark_of(node), "write secure: true too",
                   "browsers refuse a cookie with same_site none that is not secure");
    }
}

const struct shape upstream_sticky_shape = {.kind = SHAPE_STRUCT,
                                            .size = sizeof(struct upstream_sticky),
                                            .fields = sticky_fields,
                                            .check = sticky_check,
                                            .title = "sticky"};

/* -- together ---------------------------------------------------------------- */

void conf_balance_check(struct bind *bind, const struct tree *node,
                        const struct upstream_conf *conf)
{
    const struct balance *rule = balance_get(conf->balance);
    const struct tree *hash = tree_find(node, SPAN("hash"));
    const struct tree *sticky = tree_find(node, SPAN("sticky"));

    if (rule->key == BALANCE_KEY_HASH && !hash) {
        notes_error(bind->notes, mark_of(node), "write hash: source, or hash: { field: NAME }",
                    "balance '%s' needs a hash", rule->name);
    }
    if (rule->key != BALANCE_KEY_HASH && hash) {
        notes_warn(bind->notes, hash->at, "write balance: maglev or ring_hash, or leave hash out",
                   "balance '%s' does not use hash", rule->name);
    }
    if (rule->key != BALANCE_KEY_ENDPOINT && sticky) {
        notes_warn(bind->notes, sticky->at, "write balance: sticky_cookie, or leave sticky out",
                   "balance '%s' does not use sticky", rule->name);
    }
}
