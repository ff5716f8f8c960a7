/* explain_text.c - an explanation as a person reads it: a label, then what it is. */
#include "base/now.h"
#include "chain/describe.h"
#include "server/command.h"
#include "server/explain.h"
#include "upstream/selection.h"

#define COLUMN 13

/* For "%.*s". */
#define SHOWN(span) (int)(span).len, (span).ptr

static void add_label(const char *label, struct text *out)
{
    text_format(out, "%-*s", COLUMN, label);
}

/* "sluice.yaml:12", or "default". */
static void add_place(const struct explanation *it, struct mark at, struct text *out)
{
    struct sluice_span file = notes_file(it->notes, at.file);

    if (at.line) {
        text_format(out, "%.*s:%u", SHOWN(file), at.line);
    } else {
        text_add(out, SPAN("default"));
    }
}

static void add_tls(const struct explanation *it, struct text *out)
{
    const struct listener_conf *listener = explain_listener(it);
    struct tls_certificate_facts facts;
    char when[NOW_TEXT];
    bool is_named = explain_certificate(it, &facts);

    if (!listener->server)
        return;
    add_label("tls", out);
    text_format(out, "certificate %.*s%s, ends ", SHOWN(facts.path),
                is_named                   ? ""
                : listener->tls.strict_sni ? " (not given: none is for this host, strict_sni)"
                                           : " (the first: none is for this host)");
    now_format((uint64_t)facts.end_s * 1000000, when);
    text_add(out, span_of(when));
    text_format(out, "; versions %s to %s%s\n", tls_version_text(listener->tls.min_version),
                tls_version_text(listener->tls.max_version),
                listener->tls.client.mode == TLS_CLIENT_NONE      ? ""
                : listener->tls.client.mode == TLS_CLIENT_REQUIRE ? "; clients must show one"
                                                                  : "; clients may show one");
}

static void add_request(const struct explanation *it, struct text *out)
{
    const struct request *request = &it->request;
    const struct listener_conf *listener = explain_listener(it);
    const char *protocol;

    add_label("request", out);
    text_format(out, "%.*s %.*s", SHOWN(request->method_text), SHOWN(request->path));
    if (request->has_query)
        text_format(out, "?%.*s", SHOWN(request->query));
    text_format(out, " of %.*s\n", SHOWN(request->authority));
    add_label("listener", out);
    text_format(out, "%.*s (", SHOWN(listener->name));
    add_place(it, listener->at, out);
    text_add_char(out, ')');
    for (size_t i = 0; (protocol = explain_protocol(it, i)); i++)
        text_format(out, "%s%s", i ? " or " : ", speaks ", protocol);
    text_add_char(out, '\n');
    add_tls(it, out);
    if (listener->redirect.port > 0) {
        add_label("redirect", out);
        text_format(out, "every request: 308 to https, port %u\n", listener->redirect.port);
    }
}

static void add_no_route(const struct explanation *it, struct text *out)
{
    add_label("route", out);
    if (it->answer == ROUTE_METHOD) {
        text_add(out, SPAN("no route for this method: 405 (method_not_allowed), allowed: "));
        route_methods_print(it->allowed, out);
        text_add_char(out, '\n');
    } else {
        text_add(out, SPAN("no route: 404 (not_found)\n"));
    }
}

static void add_edits(const char *label, const struct route_edits *edits,
                      const struct tree *written, struct text *out)
{
    static const char *const verbs[] = {"set", "add", "remove"};

    for (size_t i = 0; i < edits->n; i++) {
        const struct route_edit *edit = &edits->edit[i];

        add_label(i ? "" : label, out);
        text_format(out, "%s %.*s", verbs[edit->kind], SHOWN(edit->name));
        if (edit->kind != ROUTE_EDIT_REMOVE)
            text_format(out, ": %.*s", SHOWN(explain_edit_value(edit, written)));
        text_add_char(out, '\n');
    }
}

static void add_values(const struct explanation *it, const char *label,
                       const struct explain_value *values, size_t n, struct text *out)
{
    struct text number;
    char bytes[64];

    for (size_t i = 0; i < n; i++) {
        text_init_fixed(&number, bytes, sizeof(bytes));
        explain_add_value(&values[i], &number);
        add_label(i ? "" : label, out);
        text_format(out, "%-18s%-10s%s %.*s, ", values[i].name, bytes, values[i].layer,
                    SHOWN(values[i].owner));
        add_place(it, values[i].at, out);
        text_add_char(out, '\n');
    }
}

/* -- plugins ------------------------------------------------------------------------ */

struct option_lines {
    const struct explanation *it;
    struct text *out;
};

static void add_option(void *lines_, const struct chain_option *option)
{
    const struct option_lines *lines = lines_;

    add_label("", lines->out);
    text_format(lines->out, "  %-24.*s%-14.*s ", SHOWN(option->name), SHOWN(option->value));
    add_place(lines->it, option->at, lines->out);
    text_add_char(lines->out, '\n');
}

/* In the order of the request; responses pass them in reverse. */
static void add_plugins(const struct explanation *it, const char *label, const struct chain *chain,
                        struct text *out)
{
    static const char *const when[] = {"", "; when: holds", "; when: does not hold, left out"};
    struct option_lines lines = {it, out};

    for (unsigned i = 0; i < chain_places(chain); i++) {
        struct chain_place place;

        chain_place(chain, i, &place);
        add_label(i ? "" : label, out);
        text_format(out, "%s %s (", place.plugin, place.version);
        add_place(it, place.at, out);
        text_format(out, ") %.*s; on_error: %s%s\n", SHOWN(place.id),
                    place.fails_open ? "open" : "closed",
                    when[chain_place_when(chain, i, &it->request)]);
        chain_place_options(chain, i, add_option, &lines);
    }
}

static void add_target(const struct explanation *it, const struct route_target *target,
                       struct text *out)
{
    const struct snapshot_upstream *upstream = explain_upstream(it, target);
    struct explain_value values[EXPLAIN_UPSTREAM_VALUES];
    struct sluice_span host = explain_host(it, target);
    size_t n = explain_upstream_values(it, target, values);

    add_label("upstream", out);
    text_format(out, "%.*s (", SHOWN(target->upstream));
    add_place(it, upstream->conf->named.at, out);
    text_format(out, "), asked by %s", upstream_protocol_name(upstream->conf->protocol));
    if (it->route->n_targets > 1) {
        text_format(out, ", %llu of %llu requests", (unsigned long long)target->weight,
                    (unsigned long long)it->route->weight_sum);
    }
    text_add_char(out, '\n');
    for (size_t i = 0, n_said = 0; i < upstream->members->n; i++) {
        const struct member *member = &upstream->members->member[i];

        if (!selection_fits(&target->subset, member->facts))
            continue;
        add_label(n_said++ ? "" : "endpoints", out);
        text_format(out, "%.*s weight %u", SHOWN(member->text), member->weight);
        if (member->facts->priority > 0)
            text_format(out, " priority %u", member->facts->priority);
        text_add_char(out, '\n');
    }
    add_label("host", out);
    if (host.len) {
        text_format(out, "%.*s\n", SHOWN(host));
    } else {
        text_add(out, SPAN("the endpoint's address\n"));
    }
    add_plugins(it, "its plugins", explain_back(it, target), out);
    add_values(it, "in force", values, n, out);
    add_label("retry on", out);
    retry_print_on(target->retry, out);
    text_format(out, "; %.*s is %s\n", SHOWN(it->request.method_text),
                target->retry->attempts == 0  ? "never repeated"
                : explain_repeats(it, target) ? "repeated"
                                              : "repeated only when no byte of it has left");
}

static void add_action(const struct explanation *it, struct text *out)
{
    const struct route *route = it->route;

    add_label("action", out);
    switch (route->action) {
    case ROUTE_FORWARD:
        text_add(out, SPAN("forward"));
        if (!it->failure)
            text_format(out, " as %.*s", SHOWN(it->target));
        break;
    case ROUTE_REDIRECT:
        text_format(out, "redirect with %u", route_redirect_status(route));
        if (!it->failure)
            text_format(out, " to %.*s", SHOWN(it->location));
        break;
    case ROUTE_RESPOND:
        text_format(out, "respond with %llu, %zu bytes of %.*s",
                    (unsigned long long)route->respond->status, route->respond->body.len,
                    SHOWN(route->respond->content_type));
        break;
    case ROUTE_ECHO:
        text_add(out, SPAN("echo: describe the request"));
        break;
    }
    if (it->failure)
        text_format(out, ": fails, %s", it->failure);
    text_add_char(out, '\n');
}

static void add_route(const struct explanation *it, struct text *out)
{
    const struct route *route = it->route;

    add_label("route", out);
    text_format(out, "%.*s (", SHOWN(route->name));
    add_place(it, route->at, out);
    text_add(out, SPAN(")\n"));
    add_action(it, out);
    for (size_t i = 0; i < route->n_targets; i++)
        add_target(it, &route->targets[i], out);
    add_edits("to upstream", &route->request_edits, tree_find(route->node, SPAN("request_fields")),
              out);
    add_edits("to client", &route->response_edits, tree_find(route->node, SPAN("response_fields")),
              out);
}

static void add_near(const struct explanation *it, struct text *out)
{
    for (size_t i = 0; i < it->n_near; i++) {
        const struct explain_near *near = &it->near[i];

        add_label(i ? "" : "not chosen", out);
        text_format(out, "%.*s (", SHOWN(near->route->name));
        add_place(it, near->route->at, out);
        text_format(out, "): %.*s\n", SHOWN(near->why));
    }
    if (it->n_more) {
        add_label("", out);
        text_format(out, "and %zu more\n", it->n_more);
    }
}

void explain_print(const struct explanation *it, struct text *out)
{
    struct explain_value values[EXPLAIN_LISTENER_VALUES];
    size_t n = explain_listener_values(it, values);

    add_request(it, out);
    add_plugins(it, "plugins", explain_front(it), out);
    if (it->route) {
        add_route(it, out);
    } else {
        add_no_route(it, out);
    }
    add_values(it, "from client", values, n, out);
    add_near(it, out);
}
