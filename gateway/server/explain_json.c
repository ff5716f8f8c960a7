/* explain_json.c - an explanation for programs. */
#include "chain/describe.h"
#include "server/command.h"
#include "server/explain.h"
#include "upstream/selection.h"

/* , "name": "text" */
static void add_member(const char *name, struct sluice_span text, struct text *out)
{
    text_format(out, ", \"%s\": ", name);
    command_add_json(out, text);
}

/* , "file": "sluice.yaml", "line": 12 */
static void add_place(const struct explanation *it, struct mark at, struct text *out)
{
    if (at.line == 0) {
        text_add(out, SPAN(", \"file\": null, \"line\": null"));
        return;
    }
    add_member("file", notes_file(it->notes, at.file), out);
    text_format(out, ", \"line\": %u", at.line);
}

static void add_tls(const struct explanation *it, struct text *out)
{
    const struct listener_conf *listener = explain_listener(it);
    struct tls_certificate_facts facts;
    bool is_named = explain_certificate(it, &facts);

    if (!listener->server)
        return;
    text_add(out, SPAN(", \"tls\": {\"certificate\": "));
    command_add_json(out, facts.path);
    text_format(out, ", \"is_for_host\": %s, \"ends_s\": %lld", is_named ? "true" : "false",
                (long long)facts.end_s);
    add_member("min_version", span_of(tls_version_text(listener->tls.min_version)), out);
    add_member("max_version", span_of(tls_version_text(listener->tls.max_version)), out);
    text_add_char(out, '}');
}

static void add_request(const struct explanation *it, struct text *out)
{
    const struct request *request = &it->request;
    const struct listener_conf *listener = explain_listener(it);
    const char *protocol;

    text_add(out, SPAN("\"request\": {\"method\": "));
    command_add_json(out, request->method_text);
    add_member("host", request->authority, out);
    add_member("path", request->path, out);
    add_member("query", request->has_query ? request->query : (struct sluice_span){NULL, 0}, out);
    text_add(out, SPAN("}, \"listener\": {\"name\": "));
    command_add_json(out, listener->name);
    add_place(it, listener->at, out);
    text_add(out, SPAN(", \"protocols\": ["));
    for (size_t i = 0; (protocol = explain_protocol(it, i)); i++)
        text_format(out, "%s\"%s\"", i ? ", " : "", protocol);
    text_add_char(out, ']');
    add_tls(it, out);
    if (listener->redirect.port > 0)
        text_format(out, ", \"redirect_to_https\": %u", listener->redirect.port);
    text_add_char(out, '}');
}

static void add_values(const struct explanation *it, const struct explain_value *values, size_t n,
                       struct text *out)
{
    static const char *const units[] = {"count", "bytes", "ms"};

    text_add_char(out, '[');
    for (size_t i = 0; i < n; i++) {
        text_add(out, i ? SPAN(", {\"name\": ") : SPAN("{\"name\": "));
        command_add_json(out, span_of(values[i].name));
        text_format(out, ", \"value\": %llu", (unsigned long long)values[i].value);
        add_member("unit", span_of(units[values[i].unit]), out);
        add_member("from", span_of(values[i].layer), out);
        add_member("owner", values[i].owner, out);
        add_place(it, values[i].at, out);
        text_add_char(out, '}');
    }
    text_add_char(out, ']');
}

static void add_edits(const char *name, const struct route_edits *edits, const struct tree *written,
                      struct text *out)
{
    static const char *const verbs[] = {"set", "add", "remove"};

    text_format(out, ", \"%s\": [", name);
    for (size_t i = 0; i < edits->n; i++) {
        const struct route_edit *edit = &edits->edit[i];

        text_format(out, "%s{\"do\": \"%s\"", i ? ", " : "", verbs[edit->kind]);
        add_member("name", edit->name, out);
        if (edit->kind != ROUTE_EDIT_REMOVE)
            add_member("value", explain_edit_value(edit, written), out);
        text_add_char(out, '}');
    }
    text_add_char(out, ']');
}

struct option_list {
    const struct explanation *it;
    struct text *out;
    bool filled;
};

static void add_option(void *list_, const struct chain_option *option)
{
    struct option_list *list = list_;

    text_add(list->out, list->filled ? SPAN(", {\"name\": ") : SPAN("{\"name\": "));
    list->filled = true;
    command_add_json(list->out, option->name);
    add_member("value", option->value, list->out);
    add_place(list->it, option->at, list->out);
    text_add_char(list->out, '}');
}

/* In the order of the request. */
static void add_plugins(const struct explanation *it, const struct chain *chain, struct text *out)
{
    static const char *const when[] = {"null", "true", "false"};

    text_add(out, SPAN(", \"plugins\": ["));
    for (unsigned i = 0; i < chain_places(chain); i++) {
        struct option_list list = {it, out, false};
        struct chain_place place;

        chain_place(chain, i, &place);
        text_add(out, i ? SPAN(", {\"id\": ") : SPAN("{\"id\": "));
        command_add_json(out, place.id);
        add_member("name", place.name, out);
        add_member("plugin", span_of(place.plugin), out);
        add_member("version", span_of(place.version), out);
        add_member("place", place.label, out);
        add_place(it, place.at, out);
        add_member("on_error", place.fails_open ? SPAN("open") : SPAN("closed"), out);
        text_format(out, ", \"when\": %s, \"options\": [",
                    when[chain_place_when(chain, i, &it->request)]);
        chain_place_options(chain, i, add_option, &list);
        text_add(out, SPAN("]}"));
    }
    text_add_char(out, ']');
}

static void add_target(const struct explanation *it, const struct route_target *target,
                       struct text *out)
{
    const struct snapshot_upstream *upstream = explain_upstream(it, target);
    struct explain_value values[EXPLAIN_UPSTREAM_VALUES];
    struct sluice_span host = explain_host(it, target);
    size_t n = explain_upstream_values(it, target, values);
    struct text on;
    char bytes[1024];

    text_add(out, SPAN("{\"name\": "));
    command_add_json(out, target->upstream);
    add_place(it, upstream->conf->named.at, out);
    add_member("protocol", span_of(upstream_protocol_name(upstream->conf->protocol)), out);
    text_format(out, ", \"weight\": %llu", (unsigned long long)target->weight);
    add_member("host", host.len ? host : (struct sluice_span){NULL, 0}, out);
    text_add(out, SPAN(", \"endpoints\": ["));
    for (size_t i = 0, n_said = 0; i < upstream->members->n; i++) {
        const struct member *member = &upstream->members->member[i];

        if (!selection_fits(&target->subset, member->facts))
            continue;
        text_add(out, n_said++ ? SPAN(", {\"address\": ") : SPAN("{\"address\": "));
        command_add_json(out, member->text);
        text_format(out, ", \"weight\": %u, \"priority\": %u}", member->weight,
                    member->facts->priority);
    }
    text_add_char(out, ']');
    add_plugins(it, explain_back(it, target), out);
    text_add(out, SPAN(", \"values\": "));
    add_values(it, values, n, out);
    text_init_fixed(&on, bytes, sizeof(bytes));
    retry_print_on(target->retry, &on);
    text_add(out, SPAN(", \"retry\": {\"on\": "));
    command_add_json(out, text_span(&on));
    text_format(out, ", \"repeats\": %s}", explain_repeats(it, target) ? "true" : "false");
    text_add_char(out, '}');
}

static void add_action(const struct explanation *it, struct text *out)
{
    static const char *const actions[] = {"forward", "redirect", "respond", "echo"};
    const struct route *route = it->route;
    const struct sluice_span none = {NULL, 0};

    add_member("action", span_of(actions[route->action]), out);
    if (it->failure)
        add_member("failure", span_of(it->failure), out);
    if (route->action == ROUTE_REDIRECT) {
        text_format(out, ", \"status\": %u", route_redirect_status(route));
        add_member("location", it->failure ? none : it->location, out);
    } else if (route->action == ROUTE_RESPOND) {
        text_format(out, ", \"status\": %llu", (unsigned long long)route->respond->status);
    } else if (route->action == ROUTE_FORWARD) {
        add_member("target", it->failure ? none : it->target, out);
    }
    text_add(out, SPAN(", \"upstreams\": ["));
    for (size_t i = 0; i < route->n_targets; i++) {
        if (i)
            text_add(out, SPAN(", "));
        add_target(it, &route->targets[i], out);
    }
    text_add_char(out, ']');
    add_edits("request_fields", &route->request_edits,
              tree_find(route->node, SPAN("request_fields")), out);
    add_edits("response_fields", &route->response_edits,
              tree_find(route->node, SPAN("response_fields")), out);
}

static void add_route(const struct explanation *it, struct text *out)
{
    struct text allowed;

    if (it->route) {
        text_add(out, SPAN(", \"route\": {\"name\": "));
        command_add_json(out, it->route->name);
        add_place(it, it->route->at, out);
        text_add_char(out, '}');
        add_action(it, out);
        return;
    }
    text_add(out, SPAN(", \"route\": null"));
    if (it->answer != ROUTE_METHOD) {
        text_add(out, SPAN(", \"status\": 404, \"reason\": \"not_found\""));
        return;
    }
    text_init(&allowed, 256);
    route_methods_print(it->allowed, &allowed);
    text_add(out, SPAN(", \"status\": 405, \"reason\": \"method_not_allowed\""));
    add_member("allow", text_span(&allowed), out);
    text_fini(&allowed);
}

static void add_near(const struct explanation *it, struct text *out)
{
    text_add(out, SPAN(", \"not_chosen\": ["));
    for (size_t i = 0; i < it->n_near; i++) {
        text_add(out, i ? SPAN(", {\"name\": ") : SPAN("{\"name\": "));
        command_add_json(out, it->near[i].route->name);
        add_place(it, it->near[i].route->at, out);
        add_member("why", it->near[i].why, out);
        text_add_char(out, '}');
    }
    text_format(out, "], \"not_chosen_more\": %zu", it->n_more);
}

void explain_print_json(const struct explanation *it, struct text *out)
{
    struct explain_value values[EXPLAIN_LISTENER_VALUES];
    size_t n = explain_listener_values(it, values);

    text_add_char(out, '{');
    add_request(it, out);
    add_plugins(it, explain_front(it), out);
    text_add(out, SPAN(", \"values\": "));
    add_values(it, values, n, out);
    add_route(it, out);
    add_near(it, out);
    text_add(out, SPAN("}\n"));
}
