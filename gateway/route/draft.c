/*
 * From the written form to struct route, as far as one route by itself can tell. Goes on after each
 * error, so that all are told.
 */
#include "route/draft.h"

#include "base/check.h"
#include "http/target.h"
#include "route/edits.h"
#include "route/redirect.h"
#include "route/regex.h"
#include "route/rewrite.h"

#include <arpa/inet.h>
#include <string.h>

#define MESSAGE_BYTES 1024
#define KNOWN_METHODS "GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH"

/* -- notes --------------------------------------------------------------- */

void draft_error(const struct draft *draft, struct mark at, const char *hint, const char *format,
                 ...)
{
    struct text message;
    va_list args;

    text_init(&message, MESSAGE_BYTES);
    va_start(args, format);
    text_vformat(&message, format, args);
    va_end(args);
    notes_error(draft->bind->notes, at, hint, "%.*s in %s", DRAFT_SPAN(text_span(&message)),
                draft->label);
    text_fini(&message);
}

void draft_warn(const struct draft *draft, struct mark at, const char *hint, const char *format,
                ...)
{
    struct text message;
    va_list args;

    text_init(&message, MESSAGE_BYTES);
    va_start(args, format);
    text_vformat(&message, format, args);
    va_end(args);
    notes_warn(draft->bind->notes, at, hint, "%.*s in %s", DRAFT_SPAN(text_span(&message)),
               draft->label);
    text_fini(&message);
}

const struct tree *draft_find(const struct draft *draft, const char *key)
{
    const struct tree *node = tree_find(draft->node, span_of(key));

    return node && !tree_is_null(node) ? node : NULL;
}

/* Where the value of a key of the route is written; the route itself when it is not. */
static struct mark place_of(const struct draft *draft, const char *key)
{
    const struct tree *node = draft_find(draft, key);

    return node ? node->at : draft->node->at;
}

/* -- parts that several keys share ---------------------------------------- */

struct route_regex *draft_regex(const struct draft *draft, const struct draft_text *pattern,
                                const char *key)
{
    struct route_regex *regex = NULL;
    struct text why;

    text_init(&why, MESSAGE_BYTES);
    if (regex_new(pattern->text, draft->bind->arena, &why, &regex)) {
        draft_error(draft, pattern->at, "patterns are PCRE2, without UTF; quote them in YAML",
                    "%s is no regular expression: %.*s", key, DRAFT_SPAN(text_span(&why)));
    }
    text_fini(&why);
    return regex;
}

struct sluice_span draft_path(const struct draft *draft, const struct draft_text *path,
                              const char *key)
{
    struct sluice_span normal;

    if (!path->text.len || path->text.ptr[0] != '/') {
        draft_error(draft, path->at, "paths begin with '/'", "%s '%.*s' is no path", key,
                    DRAFT_SPAN(path->text));
    } else if (target_normalise(path->text, TARGET_KEEP_SLASHES, draft->bind->arena, &normal)) {
        draft_error(draft, path->at,
                    "percent-encode what may not stand in a path; a query has no place here",
                    "%s '%.*s' is no path", key, DRAFT_SPAN(path->text));
    } else {
        return normal;
    }
    return SPAN("");
}

static struct sluice_span lowered(struct sluice_span text, struct arena *arena)
{
    char *out = arena_new(arena, text.len + 1);

    for (size_t i = 0; i < text.len; i++) {
        out[i] = text.ptr[i];
        if (out[i] >= 'A' && out[i] <= 'Z')
            out[i] = (char)(out[i] + ('a' - 'A'));
    }
    return span_make(out, text.len);
}

/* The text between brackets is an IPv6 address? */
static bool is_ipv6(struct sluice_span host)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (host.len < 4 || host.len - 2 >= sizeof(text) || host.ptr[host.len - 1] != ']')
        return false;
    memcpy(text, host.ptr + 1, host.len - 2);
    text[host.len - 2] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1;
}

struct sluice_span draft_host(const struct draft *draft, const struct draft_text *host,
                              const char *key, bool with_port)
{
    struct sluice_span text = host->text;
    struct sluice_span name = SPAN("");
    uint16_t port = 0;
    bool is_fine = !target_authority(text, &name, &port) && name.len > 0;
    bool has_port;

    if (is_fine && text.ptr[0] == '[' && !with_port)
        is_fine = is_ipv6(text);
    has_port = port || (text.len && text.ptr[text.len - 1] == ':');
    if (is_fine && has_port && !with_port) {
        draft_error(draft, host->at, "leave the port out", "%s '%.*s' has a port", key,
                    DRAFT_SPAN(text));
    } else if (!is_fine || memchr(text.ptr, '*', text.len)) {
        draft_error(draft, host->at, "a name such as api.example.com, an IPv4 address or [IPv6]",
                    "%s '%.*s' is no host", key, DRAFT_SPAN(text));
    } else {
        return lowered(text, draft->bind->arena);
    }
    return SPAN("");
}

/* -- match ----------------------------------------------------------------- */

/* Without the dot that may end a fully qualified name. */
static struct sluice_span without_dot(struct sluice_span host)
{
    if (host.len > 1 && host.ptr[host.len - 1] == '.')
        host.len--;
    return host;
}

static struct sluice_span make_host(const struct draft *draft, const struct draft_text *host)
{
    struct draft_text suffix = *host;
    struct sluice_span text = host->text;
    struct sluice_span made;

    if (span_equal(text, SPAN("*")))
        return text;
    if (!span_starts(text, SPAN("*.")))
        return without_dot(draft_host(draft, host, "match.host", false));
    suffix.text = span_make(text.ptr + 2, text.len - 2);
    made = without_dot(draft_host(draft, &suffix, "match.host", false));
    return made.len ? arena_format(draft->bind->arena, "*.%.*s", DRAFT_SPAN(made)) : made;
}

static void make_hosts(const struct draft *draft)
{
    const struct items *written = &draft->written->match.hosts;
    const struct draft_text *host = written->first;
    struct route_match *match = &draft->route->match;

    if (!written->n)
        return;
    match->hosts = arena_new(draft->bind->arena, written->n * sizeof(*match->hosts));
    for (size_t i = 0; i < written->n; i++, host++) {
        struct sluice_span made = make_host(draft, host);
        size_t j = 0;

        while (j < match->n_hosts && !span_equal(match->hosts[j], made))
            j++;
        if (j < match->n_hosts && made.len) {
            draft_warn(draft, host->at, NULL, "match.host has '%.*s' twice", DRAFT_SPAN(made));
        } else if (made.len) {
            match->hosts[match->n_hosts++] = made;
        }
    }
}

static void make_match_path(const struct draft *draft)
{
    const struct draft_match *written = &draft->written->match;
    const struct draft_text *path = &written->path;
    struct route_match *match = &draft->route->match;
    int n = 0;

    if (written->path.text.ptr && ++n) {
        match->path_kind = ROUTE_PATH_PREFIX;
        match->path = draft_path(draft, &written->path, "match.path");
    }
    if (written->path_exact.text.ptr && ++n) {
        path = &written->path_exact;
        match->path_kind = ROUTE_PATH_EXACT;
        match->path = draft_path(draft, path, "match.path_exact");
    }
    if (written->path_regex.text.ptr && ++n) {
        path = &written->path_regex;
        match->path_kind = ROUTE_PATH_REGEX;
        match->path = path->text;
        match->path_regex = draft_regex(draft, path, "match.path_regex");
    }
    if (n > 1) {
        draft_error(draft, path->at, "keep one of path, path_exact and path_regex",
                    "match has %d forms of path", n);
    }
}

static void make_methods(const struct draft *draft)
{
    static const char *const names[] = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                        "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    const struct items *written = &draft->written->match.methods;
    const struct draft_text *name = written->first;

    for (size_t i = 0; i < written->n; i++, name++) {
        enum method method = method_find(name->text);
        const char *near;
        struct sluice_span hint;

        if (method != METHOD_OTHER) {
            draft->route->match.methods |= UINT32_C(1) << method;
            continue;
        }
        near = notes_nearest(name->text, names, sizeof(names) / sizeof(*names));
        hint = arena_format(draft->bind->arena, "%s%s%sknown: " KNOWN_METHODS,
                            near ? "did you mean '" : "", near ? near : "", near ? "'? " : "");
        draft_error(draft, name->at, hint.ptr, "unknown method '%.*s'", DRAFT_SPAN(name->text));
    }
}

static void make_value(const struct draft *draft, const struct draft_value *written,
                       const char *key, struct route_value *value)
{
    value->kind = written->present ? ROUTE_VALUE_PRESENT : ROUTE_VALUE_ABSENT;
    if (written->exact.text.ptr) {
        value->kind = ROUTE_VALUE_EXACT;
        value->text = written->exact.text;
    } else if (written->prefix.text.ptr) {
        value->kind = ROUTE_VALUE_PREFIX;
        value->text = written->prefix.text;
    } else if (written->regex.text.ptr) {
        value->kind = ROUTE_VALUE_REGEX;
        value->text = written->regex.text;
        value->regex = draft_regex(draft, &written->regex, key);
    }
}

static struct route_value *make_values(const struct draft *draft, const struct items *items,
                                       const char *key, bool are_fields)
{
    const struct draft_value *written = items->first;
    struct route_value *values;

    if (!items->n)
        return NULL;
    values = arena_new(draft->bind->arena, items->n * sizeof(*values));
    for (size_t i = 0; i < items->n; i++, written++) {
        int forms = (written->exact.text.ptr != NULL) + (written->prefix.text.ptr != NULL) +
                    (written->regex.text.ptr != NULL) + written->has_present;

        values[i].name = written->named.name;
        values[i].id = FIELD_OTHER;
        if (are_fields) {
            values[i].name = lowered(written->named.name, draft->bind->arena);
            values[i].id = name_find(written->named.name);
        }
        if (are_fields && !edits_is_token(written->named.name)) {
            draft_error(draft, written->named.at, NULL, "%s: '%.*s' is no field name", key,
                        DRAFT_SPAN(written->named.name));
        }
        if (forms != 1) {
            draft_error(draft, written->named.at, "write one of exact, prefix, regex, present",
                        "%s: '%.*s' has %s condition", key, DRAFT_SPAN(written->named.name),
                        forms ? "more than one" : "no");
        }
        make_value(draft, written, key, &values[i]);
    }
    return values;
}

static void make_match(const struct draft *draft)
{
    const struct draft_match *written = &draft->written->match;
    struct route_match *match = &draft->route->match;

    make_hosts(draft);
    make_match_path(draft);
    make_methods(draft);
    match->fields = make_values(draft, &written->fields, "match.fields", true);
    match->n_fields = written->fields.n;
    match->query = make_values(draft, &written->query, "match.query", false);
    match->n_query = written->query.n;
    match->listeners = UINT64_MAX;
}

/* -- actions --------------------------------------------------------------- */

static void make_targets(const struct draft *draft)
{
    const struct draft_route *written = draft->written;
    struct route *route = draft->route;
    const struct draft_part *part = written->split.first;
    size_t n = written->split.n ? written->split.n : 1;

    route->targets = arena_new(draft->bind->arena, n * sizeof(*route->targets));
    route->n_targets = n;
    if (!written->split.n) {
        route->targets[0] = (struct route_target){.upstream = written->upstream.name.text,
                                                  .at = written->upstream.name.at,
                                                  .weight = 1,
                                                  .subset = written->upstream.subset};
        route->weight_sum = 1;
        return;
    }
    for (size_t i = 0; i < n; i++, part++) {
        route->targets[i] = (struct route_target){.upstream = part->upstream.text,
                                                  .at = part->upstream.at,
                                                  .weight = part->weight,
                                                  .subset = part->subset};
        route->weight_sum += part->weight;
    }
    if (!route->weight_sum) {
        draft_error(draft, place_of(draft, "split"), "give one of them a weight above 0",
                    "the weights of split add up to 0");
    }
}

static void make_respond(const struct draft *draft)
{
    const struct draft_respond *written = &draft->written->respond;
    struct route_respond *respond = arena_new(draft->bind->arena, sizeof(*respond));

    respond->status = written->status;
    respond->body = written->body;
    respond->content_type = written->content_type.text;
    if (!edits_is_value(respond->content_type)) {
        draft_error(draft, written->content_type.at, NULL,
                    "respond.content_type may not stand in a field");
    }
    if ((respond->status == 204 || respond->status == 304) && respond->body.len) {
        draft_error(draft, place_of(draft, "respond"), "leave the body out, or use 200",
                    "a response with status %u has no body", (unsigned)respond->status);
    }
    edits_make_respond(draft, &written->fields, &respond->fields);
    draft->route->respond = respond;
}

/*
 * The one action that is written; ROUTE_FORWARD, with an error noted, when there is not
 * exactly one.
 */
static enum route_action find_action(const struct draft *draft, const char **name)
{
    static const struct {
        const char *key;
        enum route_action action;
    } actions[] = {{"upstream", ROUTE_FORWARD},
                   {"split", ROUTE_FORWARD},
                   {"redirect", ROUTE_REDIRECT},
                   {"respond", ROUTE_RESPOND},
                   {"echo", ROUTE_ECHO}};
    enum route_action action = ROUTE_FORWARD;

    *name = NULL;
    for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++) {
        const struct tree *node = draft_find(draft, actions[i].key);

        if (!node || (actions[i].action == ROUTE_ECHO && !draft->written->echo))
            continue;
        if (*name) {
            draft_error(draft, node->key_at, "a route has exactly one action", "%s beside %s",
                        actions[i].key, *name);
        }
        *name = actions[i].key;
        action = actions[i].action;
    }
    if (!*name) {
        notes_error(draft->bind->notes, draft->node->at, NULL,
                    "%s does nothing: write one of upstream, split, redirect, respond, echo",
                    draft->label);
    }
    return action;
}

/* What is written for an upstream has no meaning without one. */
static void warn_of_idle_keys(const struct draft *draft, const char *action)
{
    static const char *const keys[] = {"rewrite", "request_fields", "timeout", "upgrade"};

    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        const struct tree *node = draft_find(draft, keys[i]);

        if (node) {
            draft_warn(draft, node->key_at, "it counts only beside upstream or split",
                       "%s has no effect beside %s", keys[i], action);
        }
    }
}

static void make_action(const struct draft *draft)
{
    const char *name;

    draft->route->action = find_action(draft, &name);
    if (!name)
        return;
    switch (draft->route->action) {
    case ROUTE_FORWARD:
        make_targets(draft);
        return;
    case ROUTE_REDIRECT:
        redirect_make(draft);
        break;
    case ROUTE_RESPOND:
        make_respond(draft);
        break;
    case ROUTE_ECHO:
        break;
    }
    warn_of_idle_keys(draft, name);
}

/*
 * What speaks HTTP inside a tunnel would pass every rule of the gateway unseen, so it cannot be
 * allowed.
 */
static bool hides_requests(struct sluice_span token)
{
    static const struct sluice_span names[] = {SPAN("h2c"), SPAN("h2"), SPAN("http"), SPAN("tls")};
    struct sluice_span name = span_make(token.ptr, span_find(token, '/'));

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (span_equal_nocase(name, names[i]))
            return true;
    }
    return false;
}

static bool is_protocol(struct sluice_span token)
{
    size_t slash = span_find(token, '/');

    return edits_is_token(span_make(token.ptr, slash)) &&
           (slash == token.len ||
            edits_is_token(span_make(token.ptr + slash + 1, token.len - slash - 1)));
}

static void make_upgrades(const struct draft *draft)
{
    const struct items *written = &draft->written->upgrade;
    const struct draft_text *token = written->first;
    struct route *route = draft->route;

    if (!written->n)
        return;
    route->upgrades = arena_new(draft->bind->arena, written->n * sizeof(*route->upgrades));
    for (size_t i = 0; i < written->n; i++, token++) {
        if (!is_protocol(token->text)) {
            draft_error(draft, token->at, "a token such as websocket",
                        "upgrade: '%.*s' is no protocol", DRAFT_SPAN(token->text));
        } else if (hides_requests(token->text)) {
            draft_error(draft, token->at, "requests inside it would pass the gateway unseen",
                        "upgrade: '%.*s' cannot be allowed", DRAFT_SPAN(token->text));
        } else {
            route->upgrades[route->n_upgrades++] = token->text;
        }
    }
}

static void make_name(struct draft *draft)
{
    struct sluice_span name = draft->written->name.text;

    draft->label = "this route";
    if (!name.ptr)
        return;
    draft->label = arena_format(draft->bind->arena, "route '%.*s'", DRAFT_SPAN(name)).ptr;
    draft->route->name = name;
    if (!name.len || name.len > 128 || !edits_is_value(name)) {
        notes_error(draft->bind->notes, draft->written->name.at, "1 to 128 bytes in one line",
                    "'%.*s' is no name for a route", DRAFT_SPAN(name));
    }
}

void draft_check(struct bind *bind, const struct tree *node, void *out)
{
    struct draft_route *written = out;
    struct draft draft = {.bind = bind, .node = node, .written = written};

    if (!node || node->kind != TREE_MAP)
        return;
    draft.route = written->route = arena_new(bind->arena, sizeof(*written->route));
    draft.route->at = written->name.text.ptr ? written->name.at : node->at;
    draft.route->times = written->timeout;
    draft.route->body_bytes = written->body_bytes;
    make_name(&draft);
    make_match(&draft);
    make_action(&draft);
    make_upgrades(&draft);
    rewrite_make(&draft);
    edits_make(&draft, &written->request_fields, EDITS_REQUEST, "request_fields",
               &draft.route->request_edits);
    edits_make(&draft, &written->response_fields, EDITS_RESPONSE, "response_fields",
               &draft.route->response_edits);
}
