/*
 * The tables of "routes:". What the values mean together is looked at in draft.c.
 */
#include "route/draft.h"
#include "route/redirect.h"
#include "route/table.h"

/* -- scalars with their place ---------------------------------------------- */

static enum err parse_text(struct bind *bind, const struct tree *node, void *out)
{
    struct draft_text *text = out;

    if (node->kind != TREE_SCALAR) {
        notes_error(bind->notes, node->at, "write a single value", "expected text");
        return ERR_CONFIG;
    }
    text->text = node->text.ptr ? node->text : SPAN("");
    text->at = node->at;
    return OK;
}

#define TEXT_SHAPE(description, form)                                                              \
    {                                                                                              \
        .kind = SHAPE_CUSTOM, .size = sizeof(struct draft_text), .parse = parse_text,              \
        .what = (description), .pattern = (form)                                                   \
    }
#define LIST_SHAPE(of)                                                                             \
    {                                                                                              \
        .kind = SHAPE_LIST, .size = sizeof(struct items), .element = &(of), .min = 1               \
    }
#define MAP_SHAPE(of)                                                                              \
    {                                                                                              \
        .kind = SHAPE_MAP, .size = sizeof(struct items), .element = &(of)                          \
    }
#define STRUCT_SHAPE(type, table, name)                                                            \
    {                                                                                              \
        .kind = SHAPE_STRUCT, .size = sizeof(struct type), .fields = (table), .title = (name)      \
    }

static const struct shape text_shape = TEXT_SHAPE("text", "^");
static const struct shape name_shape = TEXT_SHAPE("a name", "^.{1,128}$");
static const struct shape host_shape =
    TEXT_SHAPE("a host such as api.example.com, *.example.com or [::1]", "^[^/?#@ ]+$");
static const struct shape authority_shape =
    TEXT_SHAPE("a host, with a port if needed", "^[^/?#@* ]+$");
static const struct shape plain_host_shape = TEXT_SHAPE("a host without port", "^[^/?#@* ]+$");
static const struct shape path_shape = TEXT_SHAPE("a path such as /orders", "^/[^?#]*$");
static const struct shape regex_shape = TEXT_SHAPE("a regular expression (PCRE2)", "^");
static const struct shape method_shape =
    TEXT_SHAPE("a method such as GET", "^(GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH)$");
static const struct shape field_name_shape =
    TEXT_SHAPE("a field name", "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$");

static const struct shape protocol_shape = TEXT_SHAPE(
    "a protocol such as websocket", "^[!#$%&'*+.^_`|~0-9A-Za-z-]+(/[!#$%&'*+.^_`|~0-9A-Za-z-]+)?$");

static const struct shape names_shape = LIST_SHAPE(name_shape);
static const struct shape hosts_shape = LIST_SHAPE(host_shape);
static const struct shape methods_shape = LIST_SHAPE(method_shape);
static const struct shape field_names_shape = LIST_SHAPE(field_name_shape);
static const struct shape protocols_shape = {
    .kind = SHAPE_LIST, .size = sizeof(struct items), .element = &protocol_shape, .max = 16};

static const struct shape port_shape = {
    .kind = SHAPE_UINT, .size = sizeof(uint64_t), .min = 1, .max = 65535};
static const struct shape status_shape = {
    .kind = SHAPE_UINT, .size = sizeof(uint64_t), .min = 200, .max = 599};
static const struct shape weight_shape = {
    .kind = SHAPE_UINT, .size = sizeof(uint64_t), .max = 1000000};
/* 0 means "not written" in struct route, so it cannot be written. */
static const struct shape time_shape = {
    .kind = SHAPE_DURATION, .size = sizeof(uint64_t), .min = 1, .what = "a duration above 0"};
static const struct shape size_shape = {
    .kind = SHAPE_SIZE, .size = sizeof(uint64_t), .min = 1, .what = "a size above 0"};

/* -- match ------------------------------------------------------------------ */

static void check_value(struct bind *bind, const struct tree *node, void *out)
{
    struct draft_value *value = out;

    (void)bind;
    value->has_present = node && node->kind == TREE_MAP && tree_find(node, SPAN("present")) != NULL;
}

static const struct field value_fields[] = {
    {.name = "exact",
     .shape = &text_shape,
     .offset = offsetof(struct draft_value, exact),
     .help = "The value is exactly this text; a scalar alone means the same.",
     .example = "\"2\""},
    {.name = "prefix",
     .shape = &text_shape,
     .offset = offsetof(struct draft_value, prefix),
     .help = "The value begins with this text."},
    {.name = "regex",
     .shape = &regex_shape,
     .offset = offsetof(struct draft_value, regex),
     .help = "This pattern is found in the value.",
     .example = "\"^v[0-9]+$\""},
    {.name = "present",
     .shape = &shape_bool,
     .offset = offsetof(struct draft_value, present),
     .help = "It is there with any value (true), or it is not there (false)."},
    {.name = NULL},
};

static const char *const value_others[] = {"prefix", "regex", "present", NULL};
static const struct shape value_shape = {.kind = SHAPE_STRUCT,
                                         .size = sizeof(struct draft_value),
                                         .fields = value_fields,
                                         .scalar = "exact",
                                         .others = value_others,
                                         .check = check_value,
                                         .title = "condition"};
static const struct shape values_shape = MAP_SHAPE(value_shape);

static const struct field match_fields[] = {
    {.name = "host",
     .shape = &hosts_shape,
     .offset = offsetof(struct draft_match, hosts),
     .help = "Hosts, exact or *.example.com (names below example.com, at any depth); default any.",
     .example = "[ api.example.com, \"*.example.org\" ]"},
    {.name = "path",
     .shape = &path_shape,
     .offset = offsetof(struct draft_match, path),
     .help = "Prefix by whole segments: /orders matches /orders and /orders/7, never /ordersx; "
             "/orders/ matches only what lies below.",
     .example = "/orders"},
    {.name = "path_exact",
     .shape = &path_shape,
     .offset = offsetof(struct draft_match, path_exact),
     .help = "The whole path.",
     .example = "/health"},
    {.name = "path_regex",
     .shape = &regex_shape,
     .offset = offsetof(struct draft_match, path_regex),
     .help = "Pattern found in the normalised path; anchored only as it is written. A prefix that "
             "fits goes before a pattern that fits.",
     .example = "\"^/item/[0-9]+$\""},
    {.name = "methods",
     .shape = &methods_shape,
     .offset = offsetof(struct draft_match, methods),
     .help = "Methods; default any. HEAD is not implied by GET.",
     .example = "[ GET, HEAD ]"},
    {.name = "fields",
     .shape = &values_shape,
     .offset = offsetof(struct draft_match, fields),
     .help = "Conditions on request fields; all must hold, by one line of the name each.",
     .example = "{ x-version: \"2\", x-debug: { present: true } }"},
    {.name = "query",
     .shape = &values_shape,
     .offset = offsetof(struct draft_match, query),
     .help = "Conditions on query parameters, decoded; the first of a name counts.",
     .example = "{ beta: \"1\" }"},
    {.name = NULL},
};
static const char *const match_others[] = {"path_exact", "path_regex", NULL};
static const struct shape match_shape = {.kind = SHAPE_STRUCT,
                                         .size = sizeof(struct draft_match),
                                         .fields = match_fields,
                                         .others = match_others,
                                         .title = "match"};

/* -- field edits -------------------------------------------------------------- */

static void check_pair(struct bind *bind, const struct tree *node, void *out)
{
    const struct tree *value = node->kind == TREE_MAP ? tree_find(node, SPAN("value")) : node;
    struct draft_pair *pair = out;

    (void)bind;
    pair->value.at = value ? value->at : node->at;
}

static const struct field pair_fields[] = {
    {.name = "value",
     .shape = &shape_secret, /* check_pair() adds the place */
     .offset = offsetof(struct draft_pair, value.text),
     .required = true,
     .help = "The value, or file:PATH for what a file holds; a scalar alone means the same."},
    {.name = NULL},
};
static const struct shape pair_shape = {.kind = SHAPE_STRUCT,
                                        .size = sizeof(struct draft_pair),
                                        .fields = pair_fields,
                                        .scalar = "value",
                                        .check = check_pair,
                                        .title = "field"};
static const struct shape pairs_shape = MAP_SHAPE(pair_shape);

static const struct field edits_fields[] = {
    {.name = "set",
     .shape = &pairs_shape,
     .offset = offsetof(struct draft_edits, set),
     .help = "Fields that get this value instead of any they had.",
     .example = "{ x-a: b }"},
    {.name = "add",
     .shape = &pairs_shape,
     .offset = offsetof(struct draft_edits, add),
     .help = "Field lines added to those there."},
    {.name = "remove",
     .shape = &field_names_shape,
     .offset = offsetof(struct draft_edits, remove),
     .help = "Fields taken out, before set and add.",
     .example = "[ server ]"},
    {.name = NULL},
};
static const struct shape edits_shape = STRUCT_SHAPE(draft_edits, edits_fields, "field changes");

/* -- actions ------------------------------------------------------------------ */

static const struct field part_fields[] = {
    {.name = "upstream",
     .shape = &name_shape,
     .offset = offsetof(struct draft_part, upstream),
     .required = true,
     .help = "Name of an upstream."},
    {.name = "weight",
     .shape = &weight_shape,
     .offset = offsetof(struct draft_part, weight),
     .preset = "1",
     .help = "Its share of the requests, relative to the other weights; 0: none."},
    {.name = "subset",
     .shape = &subset_shape,
     .offset = offsetof(struct draft_part, subset),
     .help = "Only endpoints with these tags and this meta.",
     .example = "{ tags: [ canary ] }"},
    {.name = NULL},
};
static const struct shape part_shape = STRUCT_SHAPE(draft_part, part_fields, "part");
static const struct shape split_shape = LIST_SHAPE(part_shape);

static const struct field target_fields[] = {
    {.name = "name",
     .shape = &name_shape,
     .offset = offsetof(struct draft_upstream, name),
     .required = true,
     .help = "Name of an upstream."},
    {.name = "subset",
     .shape = &subset_shape,
     .offset = offsetof(struct draft_upstream, subset),
     .help = "Only endpoints with these tags and this meta.",
     .example = "{ meta: { version: v2 }, fallback: any }"},
    {.name = NULL},
};
static const struct shape target_shape = {.kind = SHAPE_STRUCT,
                                          .size = sizeof(struct draft_upstream),
                                          .fields = target_fields,
                                          .scalar = "name",
                                          .title = "target"};

static const struct choice redirect_statuses[] = {
    {"301", 301, "moved permanently; clients may change the method to GET"},
    {"302", 302, "found; clients may change the method to GET"},
    {"303", 303, "see other, by GET"},
    {"307", 307, "temporary, same method"},
    {"308", 308, "permanent, same method"},
    {NULL, 0, NULL},
};
static const struct shape redirect_status_shape = {
    .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = redirect_statuses};

static const struct choice schemes[] = {
    {"http", REDIRECT_HTTP, NULL},
    {"https", REDIRECT_HTTPS, NULL},
    {NULL, 0, NULL},
};
static const struct shape scheme_shape = {
    .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = schemes};

static const struct field redirect_fields[] = {
    {.name = "status",
     .shape = &redirect_status_shape,
     .offset = offsetof(struct draft_redirect, status),
     .preset = "308",
     .help = "Status of the answer."},
    {.name = "scheme",
     .shape = &scheme_shape,
     .offset = offsetof(struct draft_redirect, scheme),
     .help = "New scheme; default the listener's.",
     .example = "https"},
    {.name = "host",
     .shape = &plain_host_shape,
     .offset = offsetof(struct draft_redirect, host),
     .help = "New host; default the request's.",
     .example = "www.example.com"},
    {.name = "port",
     .shape = &port_shape,
     .offset = offsetof(struct draft_redirect, port),
     .help = "New port; default the request's, or the scheme's when scheme or host change.",
     .example = "443"},
    {.name = "path",
     .shape = &path_shape,
     .offset = offsetof(struct draft_redirect, path),
     .help = "New path; the query is kept.",
     .example = "/new"},
    {.name = "path_prefix",
     .shape = &path_shape,
     .offset = offsetof(struct draft_redirect, path_prefix),
     .help = "Replaces what match.path matched; the query is kept.",
     .example = "/v2"},
    {.name = NULL},
};
static const char *const redirect_others[] = {"path_prefix", NULL};
static const struct shape redirect_shape = {.kind = SHAPE_STRUCT,
                                            .size = sizeof(struct draft_redirect),
                                            .fields = redirect_fields,
                                            .others = redirect_others,
                                            .title = "redirect"};

static const struct field respond_fields[] = {
    {.name = "status",
     .shape = &status_shape,
     .offset = offsetof(struct draft_respond, status),
     .preset = "200",
     .help = "Status of the answer."},
    {.name = "body",
     .shape = &shape_text,
     .offset = offsetof(struct draft_respond, body),
     .help = "Body of the answer.",
     .example = "\"ok\\n\""},
    {.name = "content_type",
     .shape = &text_shape,
     .offset = offsetof(struct draft_respond, content_type),
     .preset = "text/plain; charset=utf-8",
     .help = "Media type of the body."},
    {.name = "fields",
     .shape = &pairs_shape,
     .offset = offsetof(struct draft_respond, fields),
     .help = "More fields of the answer.",
     .example = "{ cache-control: no-store }"},
    {.name = NULL},
};
static const struct shape respond_shape = STRUCT_SHAPE(draft_respond, respond_fields, "respond");

/* -- forwarding ----------------------------------------------------------------- */

static const struct field pattern_fields[] = {
    {.name = "match",
     .shape = &regex_shape,
     .offset = offsetof(struct draft_pattern, match),
     .required = true,
     .help = "Pattern looked for in the path.",
     .example = "\"^/a/(.*)$\""},
    {.name = "to",
     .shape = &text_shape,
     .offset = offsetof(struct draft_pattern, to),
     .required = true,
     .help = "Replaces what matched: $1 to $9 are groups, $0 all of it, $$ a dollar.",
     .example = "\"/b/$1\""},
    {.name = NULL},
};
static const struct shape pattern_shape = STRUCT_SHAPE(draft_pattern, pattern_fields, "path_regex");

static const struct field rewrite_fields[] = {
    {.name = "path_prefix",
     .shape = &path_shape,
     .offset = offsetof(struct draft_rewrite, path_prefix),
     .help = "Replaces what match.path matched.",
     .example = "/"},
    {.name = "path",
     .shape = &path_shape,
     .offset = offsetof(struct draft_rewrite, path),
     .help = "Replaces the whole path; the query is kept.",
     .example = "/fixed"},
    {.name = "path_regex",
     .shape = &pattern_shape,
     .offset = offsetof(struct draft_rewrite, path_regex),
     .help = "Replaces what a pattern matches; a path without match stays as it is.",
     .example = "{ match: \"^/a/(.*)$\", to: \"/b/$1\" }"},
    {.name = "host",
     .shape = &authority_shape,
     .offset = offsetof(struct draft_rewrite, host),
     .help = "Host that the upstream sees, over the upstream's own rule.",
     .example = "internal.example.com"},
    {.name = NULL},
};
static const char *const rewrite_others[] = {"path", "path_regex", NULL};
static const struct shape rewrite_shape = {.kind = SHAPE_STRUCT,
                                           .size = sizeof(struct draft_rewrite),
                                           .fields = rewrite_fields,
                                           .others = rewrite_others,
                                           .title = "rewrite"};

static const struct field timeout_fields[] = {
    {.name = "response",
     .shape = &time_shape,
     .offset = offsetof(struct route_times, response_ms),
     .help = "Until the head of the response; over the upstream's.",
     .example = "5s"},
    {.name = "idle",
     .shape = &time_shape,
     .offset = offsetof(struct route_times, idle_ms),
     .help = "Inactivity inside bodies; over the upstream's.",
     .example = "10s"},
    {.name = "total",
     .shape = &time_shape,
     .offset = offsetof(struct route_times, total_ms),
     .help = "The whole exchange with the upstream; over the upstream's.",
     .example = "20s"},
    {.name = "tunnel",
     .shape = &time_shape,
     .offset = offsetof(struct route_times, tunnel_ms),
     .help = "Inactivity of a tunnel; over the upstream's.",
     .example = "10m"},
    {.name = "tunnel_max",
     .shape = &time_shape,
     .offset = offsetof(struct route_times, tunnel_max_ms),
     .help = "Age at which a tunnel is cut; over the upstream's.",
     .example = "1d"},
    {.name = NULL},
};
static const struct shape timeout_shape = STRUCT_SHAPE(route_times, timeout_fields, "timeout");

/* Stored in place: the one value is all of the struct. */
static const struct field limit_fields[] = {
    {.name = "body",
     .shape = &size_shape,
     .offset = 0,
     .help = "Largest request body; over the listener's.",
     .example = "10MiB"},
    {.name = NULL},
};
static const struct shape limits_shape = {
    .kind = SHAPE_STRUCT, .size = sizeof(uint64_t), .fields = limit_fields, .title = "limits"};

/* -- route ---------------------------------------------------------------------- */

/* Make the route, and remember what it was made from. */
static void check_route(struct bind *bind, const struct tree *node, void *out)
{
    struct draft_route *written = out;

    draft_check(bind, node, out);
    if (!written->route)
        return;
    written->route->bound_times = &written->timeout;
    written->route->bound_body = &written->body_bytes;
    written->route->retry = &written->retry;
    written->route->hedge = &written->hedge;
    written->route->node = node;
    written->route->plugins = written->plugins;
}

static const struct field route_fields[] = {
    {.name = "name",
     .shape = &name_shape,
     .offset = offsetof(struct draft_route, name),
     .help = "Name in logs and metrics; default \"route-1\" by position.",
     .example = "orders"},
    {.name = "listeners",
     .shape = &names_shape,
     .offset = offsetof(struct draft_route, listeners),
     .help = "Names of the listeners it holds for; default all.",
     .example = "[ edge ]"},
    {.name = "match",
     .shape = &match_shape,
     .offset = offsetof(struct draft_route, match),
     .help = "Which requests it serves; default all."},
    {.name = "upstream",
     .shape = &target_shape,
     .offset = offsetof(struct draft_route, upstream),
     .help = "Forward to this upstream, or to some of its endpoints.",
     .example = "app"},
    {.name = "split",
     .shape = &split_shape,
     .offset = offsetof(struct draft_route, split),
     .help = "Forward to several upstreams, or to several subsets of one, by weight.",
     .example = "[ { upstream: app, weight: 95 }, { upstream: canary, weight: 5 } ]"},
    {.name = "redirect",
     .shape = &redirect_shape,
     .offset = offsetof(struct draft_route, redirect),
     .help = "Answer with another place."},
    {.name = "respond",
     .shape = &respond_shape,
     .offset = offsetof(struct draft_route, respond),
     .help = "Answer with a fixed response."},
    {.name = "echo",
     .shape = &shape_bool,
     .offset = offsetof(struct draft_route, echo),
     .help = "Answer with the request itself, as JSON."},
    {.name = "rewrite",
     .shape = &rewrite_shape,
     .offset = offsetof(struct draft_route, rewrite),
     .help = "Change what the upstream sees; at most one form of path."},
    {.name = "request_fields",
     .shape = &edits_shape,
     .offset = offsetof(struct draft_route, request_fields),
     .help = "Change fields on the way to the upstream."},
    {.name = "response_fields",
     .shape = &edits_shape,
     .offset = offsetof(struct draft_route, response_fields),
     .help = "Change fields on the way to the client."},
    {.name = "timeout",
     .shape = &timeout_shape,
     .offset = offsetof(struct draft_route, timeout),
     .help = "Times over those of the upstream."},
    {.name = "retry",
     .shape = &retry_shape,
     .offset = offsetof(struct draft_route, retry),
     .help = "When a failed request is sent again; what is not written here holds as the upstream "
             "says.",
     .example = "{ attempts: 0 }"},
    {.name = "hedge",
     .shape = &hedge_shape,
     .offset = offsetof(struct draft_route, hedge),
     .help = "When a request that takes long is also sent to another endpoint, in place of what "
             "the upstream says; 0: never.",
     .example = "{ percentile: 95%, after: 10ms }"},
    {.name = "upgrade",
     .shape = &protocols_shape,
     .offset = offsetof(struct draft_route, upgrade),
     .preset = "[ websocket ]",
     .help = "Protocols that a client may switch to (Upgrade); the connection is then a tunnel. "
             "[]: none. A request for any other goes on as a plain one.",
     .example = "[]"},
    {.name = "limits",
     .shape = &limits_shape,
     .offset = offsetof(struct draft_route, body_bytes),
     .help = "Limits over those of the listener."},
    {.name = "plugins",
     .shape = &shape_plugins,
     .offset = offsetof(struct draft_route, plugins),
     .help = "For requests of this route, after those of the top level and of the listener. An "
             "entry replaces the one of the same name further out."},
    {.name = NULL},
};

static const char *const route_others[] = {"split", "redirect", "respond", "echo", NULL};
static const struct shape route_shape = {.kind = SHAPE_STRUCT,
                                         .size = sizeof(struct draft_route),
                                         .fields = route_fields,
                                         .others = route_others,
                                         .check = check_route,
                                         .title = "route"};

const struct shape route_list_shape = {
    .kind = SHAPE_LIST, .size = sizeof(struct items), .element = &route_shape};
