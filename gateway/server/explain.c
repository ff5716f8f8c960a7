/*
 * explain.c - make a request as the session would, and ask the same tables as an exchange does.
 */
#include "server/explain.h"

#include "chain/chain.h"
#include "http/octet.h"
#include "http/target.h"

#include <string.h>

/* -- the request ------------------------------------------------------------------ */

static enum err refuse(const char **why, const char *reason)
{
    *why = reason;
    return ERR_PROTOCOL;
}

static bool is_token(struct sluice_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!octet_is(text.ptr[i], OCTET_TOKEN))
            return false;
    }
    return text.len > 0;
}

/* Cut at the first c: text keeps what is before, what follows is returned (ptr NULL: no c). */
static struct sluice_span cut(struct sluice_span *text, char c)
{
    size_t at = span_find(*text, c);
    struct sluice_span rest = {NULL, 0};

    if (at < text->len)
        rest = span_make(text->ptr + at + 1, text->len - at - 1);
    text->len = at;
    return rest;
}

/* Take "http://HOST" off the URL, if it has that. */
static enum err read_authority(struct request *request, struct sluice_span *url, const char **why)
{
    static const struct sluice_span schemes[] = {SPAN("http://"), SPAN("https://")};
    struct sluice_span rest, host;
    uint16_t port;

    for (size_t i = 0; i < 2; i++) {
        if (!span_starts(*url, schemes[i]))
            continue;
        rest = span_make(url->ptr + schemes[i].len, url->len - schemes[i].len);
        request->authority = span_make(rest.ptr, strcspn(rest.ptr, "/?"));
        *url = span_make(rest.ptr + request->authority.len, rest.len - request->authority.len);
        if (target_authority(request->authority, &host, &port) || host.len == 0)
            return refuse(why, "the URL names no host, or not a proper one");
        return OK;
    }
    if (url->len == 0 || (url->ptr[0] != '/' && !span_equal(*url, SPAN("*"))))
        return refuse(why, "write http://HOST/PATH, or a path that begins with '/'");
    return OK;
}

static enum err read_target(struct explanation *it, struct sluice_span url, const char **why)
{
    enum target_slashes slashes =
        explain_listener(it)->merge_slashes ? TARGET_MERGE_SLASHES : TARGET_KEEP_SLASHES;
    struct request *request = &it->request;
    struct sluice_span query;

    (void)cut(&url, '#'); /* a client never sends it */
    if (url.len == 0 || url.ptr[0] == '?')
        url = arena_format(&it->arena, "/%.*s", (int)url.len, url.ptr);
    request->target = url;
    request->form = span_equal(url, SPAN("*")) ? TARGET_ASTERISK : TARGET_ORIGIN;
    request->path = url;
    if (request->form == TARGET_ASTERISK)
        return OK;
    query = cut(&request->path, '?');
    request->has_query = query.ptr != NULL;
    request->query = query.ptr ? query : SPAN("");
    if (target_normalise(request->path, slashes, &it->arena, &request->path)) {
        return refuse(why, "the gateway answers 400 (bad_request): the path is malformed, or "
                           "climbs above the root");
    }
    if (!target_query_is_valid(request->query)) {
        return refuse(why, "the gateway answers 400 (bad_request): the query has a byte that "
                           "must be percent-encoded");
    }
    return OK;
}

static enum err add_field(struct explanation *it, struct sluice_span line, const char **why)
{
    struct sluice_span name = line;
    struct sluice_span value = cut(&name, ':');
    struct sluice_span host;
    uint16_t port;

    value = span_trim(value);
    if (!value.ptr || fields_add(&it->request.fields, name, value)) {
        *why = arena_format(&it->arena, "'%.*s' is no field such as 'Accept: text/html'",
                            (int)line.len, line.ptr)
                   .ptr;
        return ERR_PROTOCOL;
    }
    if (!span_equal_nocase(name, SPAN("host")))
        return OK;
    it->request.authority = value;
    if (target_authority(value, &host, &port))
        return refuse(why, "the gateway answers 400 (bad_request): Host is malformed");
    return OK;
}

/* The URL's host as a Host field, unless one is written. */
static enum err add_host(struct explanation *it)
{
    struct request *request = &it->request;

    if (fields_find(&request->fields, FIELD_HOST))
        return OK;
    return fields_add(&request->fields, SPAN("Host"), request->authority);
}

static enum err make_request(struct explanation *it, const struct explain_asked *asked,
                             const char **why)
{
    struct request *request = &it->request;
    struct sluice_span url = span_of(asked->url);
    enum err err;

    request->method_text = span_of(asked->method);
    request->method = method_find(request->method_text);
    request->minor = 1;
    request->authority = SPAN("localhost");
    request->body_bytes = BODY_UNKNOWN;
    request->fields.arena = &it->arena;
    if (!is_token(request->method_text))
        return refuse(why, "the method is no word such as GET");
    if (request->method == METHOD_CONNECT)
        return refuse(why, "the gateway answers CONNECT with 501 (tunnel_unsupported)");
    err = read_authority(request, &url, why);
    if (!err)
        err = read_target(it, url, why);
    for (size_t i = 0; i < asked->n_fields && !err; i++)
        err = add_field(it, span_of(asked->field[i]), why);
    return err ? err : add_host(it);
}

static enum err find_listener(struct explanation *it, const char *name, const char **why)
{
    const struct snapshot *snapshot = it->snapshot;

    for (unsigned i = 0; i < snapshot->n_listeners; i++) {
        if (name && !span_equal(snapshot->listeners[i].name, span_of(name)))
            continue;
        it->listener = i;
        return OK;
    }
    *why = name ? arena_format(&it->arena, "there is no listener '%s'", name).ptr
                : "there is no listener";
    return ERR_PROTOCOL;
}

/* -- what happens to it ------------------------------------------------------------- */

static void on_route(void *it_, const struct route *route, const char *why_not)
{
    struct explanation *it = it_;

    if (!why_not)
        return;
    if (it->n_near == EXPLAIN_NEAR) {
        it->n_more++;
        return;
    }
    it->near[it->n_near++] = (struct explain_near){route, arena_copy(&it->arena, span_of(why_not))};
}

static void follow(struct explanation *it)
{
    enum err err = OK;

    switch (it->route->action) {
    case ROUTE_FORWARD:
        err = route_rewrite_target(it->route, &it->request, it->scratch, &it->arena, &it->target);
        break;
    case ROUTE_REDIRECT:
        err = route_location(it->route, &it->request, SPAN("http"), &it->arena, &it->location);
        break;
    case ROUTE_RESPOND:
    case ROUTE_ECHO:
        break;
    }
    if (err) {
        it->failure = err == ERR_LIMIT ? "a pattern reached its limits on this path"
                                       : "the rewritten path is no path";
    }
}

enum err explain_request(struct explanation *it, const struct snapshot *snapshot,
                         const struct notes *notes, const struct explain_asked *asked,
                         const char **why)
{
    enum err err;

    *it = (struct explanation){.snapshot = snapshot, .notes = notes};
    *why = "out of memory";
    arena_init(&it->arena, NULL, 0);
    it->scratch = route_scratch_new();
    err = find_listener(it, asked->listener, why);
    if (!err)
        err = make_request(it, asked, why);
    if (err)
        return err;
    it->answer = route_find(snapshot->routes, it->listener, &it->request, it->scratch, &it->route,
                            &it->allowed);
    route_explain(snapshot->routes, it->listener, &it->request, it->scratch, on_route, it);
    if (it->route)
        follow(it);
    return OK;
}

void explain_fini(struct explanation *it)
{
    route_scratch_free(&it->scratch);
    arena_fini(&it->arena);
}

/* -- values in force ------------------------------------------------------------------ */

const struct listener_conf *explain_listener(const struct explanation *it)
{
    return &it->snapshot->listeners[it->listener];
}

const char *explain_protocol(const struct explanation *it, size_t i)
{
    const struct items *protocols = &explain_listener(it)->protocols;
    const int *protocol = protocols->first;

    if (i >= protocols->n)
        return NULL;
    return protocol[i] == PROTOCOL_H2 ? "h2" : "http/1.1";
}

bool explain_certificate(const struct explanation *it, struct tls_certificate_facts *facts)
{
    const struct tls_server *server = explain_listener(it)->server;
    struct sluice_span host = SPAN("");
    uint16_t port;

    *facts = (struct tls_certificate_facts){.end_s = 0};
    if (!server)
        return false;
    if (target_authority(it->request.authority, &host, &port))
        host = SPAN("");
    return tls_server_find(server, host, facts);
}

const struct snapshot_upstream *explain_upstream(const struct explanation *it,
                                                 const struct route_target *target)
{
    return &it->snapshot->upstreams[target->index];
}

const struct chain *explain_front(const struct explanation *it)
{
    const struct snapshot *snapshot = it->snapshot;
    size_t n_routes = route_table_count(snapshot->routes);

    if (!snapshot->chains)
        return NULL;
    return chain_front(snapshot->chains, it->listener,
                       it->route ? it->route->index : (unsigned)n_routes);
}

const struct chain *explain_back(const struct explanation *it, const struct route_target *target)
{
    return it->snapshot->chains ? chain_back(it->snapshot->chains, target->index) : NULL;
}

/* Complete a value whose number was bound at address. */
static struct explain_value value_of(const struct explanation *it, struct explain_value value,
                                     const uint64_t *address)
{
    value.value = *address;
    if (!origins_find(it->snapshot->origins, address, &value.at))
        value.at = (struct mark){0};
    return value;
}

/* The same, where the route's number goes first when it has one. */
static struct explain_value over(const struct explanation *it, struct explain_value value,
                                 const uint64_t *own, const uint64_t *address)
{
    if (!own || *own == 0)
        return value_of(it, value, address);
    value.layer = "route";
    value.owner = it->route->name;
    return value_of(it, value, own);
}

size_t explain_listener_values(const struct explanation *it,
                               struct explain_value values[EXPLAIN_LISTENER_VALUES])
{
    const struct listener_conf *listener = explain_listener(it);
    const struct listener_limits *limits = &listener->limits;
    const struct listener_times *times = &listener->timeout;
    struct explain_value size = {
        .unit = EXPLAIN_BYTES, .layer = "listener", .owner = listener->name};
    struct explain_value wait = size;
    const struct {
        const char *name;
        const uint64_t *at;
    } waits[] = {{"head timeout", &times->head_ms},
                 {"body timeout", &times->body_ms},
                 {"idle timeout", &times->idle_ms},
                 {"write timeout", &times->write_ms}};
    size_t n = 0;

    size.name = "line limit";
    values[n++] = value_of(it, size, &limits->line_bytes);
    size.name = "head limit";
    values[n++] = value_of(it, size, &limits->head_bytes);
    size.name = "fields limit";
    size.unit = EXPLAIN_COUNT;
    values[n++] = value_of(it, size, &limits->fields);
    size.name = "body limit";
    size.unit = EXPLAIN_BYTES;
    size.zero = "no limit";
    values[n++] = over(it, size, it->route ? it->route->bound_body : NULL, &limits->body_bytes);
    wait.unit = EXPLAIN_MS;
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        wait.name = waits[i].name;
        values[n++] = value_of(it, wait, waits[i].at);
    }
    return n;
}

/* The same of a route's retry rule, which may write any number. */
static struct explain_value over_rule(const struct explanation *it, struct explain_value value,
                                      const uint64_t *own, const uint64_t *address)
{
    struct mark at;

    if (!own || !origins_find(it->snapshot->origins, own, &at))
        return value_of(it, value, address);
    value.layer = "route";
    value.owner = it->route->name;
    return value_of(it, value, own);
}

/* What is said of sending a request again. */
static size_t add_retry(const struct explanation *it, const struct upstream_conf *conf,
                        struct explain_value value, struct explain_value *values)
{
    const struct retry_rule *base = &conf->retry;
    const struct retry_rule *own = it->route->retry;
    size_t n = 0;

    value.unit = EXPLAIN_COUNT;
    value.zero = "none";
    value.name = "retries";
    values[n++] = over_rule(it, value, own ? &own->attempts : NULL, &base->attempts);
    value.unit = EXPLAIN_MS;
    value.name = "per-try timeout";
    values[n++] = over_rule(it, value, own ? &own->per_try_ms : NULL, &base->per_try_ms);
    value.name = "retry backoff";
    values[n++] = over_rule(it, value, own ? &own->backoff.max_ms : NULL, &base->backoff.max_ms);
    value.name = "hedge after";
    value.zero = "never";
    values[n++] =
        value_of(it, value,
                 it->route->hedge && it->route->hedge->is_written ? &it->route->hedge->after_ms
                                                                  : &conf->hedge.after_ms);
    value.unit = EXPLAIN_BYTES;
    value.zero = "none";
    value.name = "retry body limit";
    values[n++] = over_rule(it, value, own ? &own->body_bytes : NULL, &base->body_bytes);
    return n;
}

bool explain_repeats(const struct explanation *it, const struct route_target *target)
{
    const struct retry_rule *rule = target->retry;

    return rule->on.n > 0 && retry_may_resend(rule, it->request.method);
}

size_t explain_upstream_values(const struct explanation *it, const struct route_target *target,
                               struct explain_value values[EXPLAIN_UPSTREAM_VALUES])
{
    const struct upstream_conf *conf = explain_upstream(it, target)->conf;
    const struct route_times *own = it->route->bound_times;
    struct explain_value wait = {
        .unit = EXPLAIN_MS, .layer = "upstream", .owner = conf->named.name};
    struct explain_value count = wait;
    size_t n = 0;

    wait.name = "connect timeout";
    values[n++] = value_of(it, wait, &conf->timeout.connect_ms);
    wait.name = "response timeout";
    values[n++] = over(it, wait, &own->response_ms, &conf->timeout.response_ms);
    wait.name = "idle timeout";
    values[n++] = over(it, wait, &own->idle_ms, &conf->timeout.idle_ms);
    wait.name = "total timeout";
    wait.zero = "no limit";
    values[n++] = over(it, wait, &own->total_ms, &conf->timeout.total_ms);
    wait.name = "tunnel age limit";
    values[n++] = over(it, wait, &own->tunnel_max_ms, &conf->timeout.tunnel_max_ms);
    wait.zero = NULL;
    wait.name = "tunnel timeout";
    values[n++] = over(it, wait, &own->tunnel_ms, &conf->timeout.tunnel_ms);
    wait.name = "queue timeout";
    values[n++] = value_of(it, wait, &conf->connections.queue_timeout_ms);
    count.unit = EXPLAIN_COUNT;
    count.name = "queue limit";
    values[n++] = value_of(it, count, &conf->connections.queue);
    count.name = "connections limit";
    count.zero = "no limit";
    values[n++] = value_of(it, count, &conf->connections.max);
    count.name = "requests limit";
    values[n++] = value_of(it, count, &conf->requests.max);
    count.name = "endpoint requests";
    values[n++] = value_of(it, count, &conf->requests.per_endpoint);
    return n + add_retry(it, conf, wait, values + n);
}

struct sluice_span explain_host(const struct explanation *it, const struct route_target *target)
{
    struct sluice_span rule = explain_upstream(it, target)->conf->host;

    if (it->route->host.len)
        return it->route->host;
    if (span_equal(rule, SPAN("preserve")))
        return it->request.authority;
    return span_equal(rule, SPAN("endpoint")) ? SPAN("") : rule;
}

/* True when the value was written as file:PATH. */
static bool is_from_file(const struct route_edit *edit, const struct tree *written)
{
    const struct tree *map =
        tree_find(written, edit->kind == ROUTE_EDIT_SET ? SPAN("set") : SPAN("add"));
    const struct tree *value = tree_find(map, edit->name);

    if (value && value->kind == TREE_MAP)
        value = tree_find(value, SPAN("value"));
    return value && span_starts(value->text, SPAN("file:"));
}

struct sluice_span explain_edit_value(const struct route_edit *edit, const struct tree *written)
{
    static const struct sluice_span names[] = {SPAN("authorization"), SPAN("proxy-authorization"),
                                               SPAN("cookie"), SPAN("set-cookie"),
                                               SPAN("x-api-key")};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (span_equal_nocase(edit->name, names[i]))
            return SPAN("***");
    }
    return is_from_file(edit, written) ? SPAN("***") : edit->value;
}

void explain_add_value(const struct explain_value *value, struct text *out)
{
    static const struct {
        enum explain_unit unit;
        uint64_t size;
        const char *text;
    } units[] = {{EXPLAIN_MS, 1000, "s"},         {EXPLAIN_MS, 1, "ms"},
                 {EXPLAIN_BYTES, 1 << 30, "GiB"}, {EXPLAIN_BYTES, 1 << 20, "MiB"},
                 {EXPLAIN_BYTES, 1 << 10, "KiB"}, {EXPLAIN_BYTES, 1, " bytes"},
                 {EXPLAIN_COUNT, 1, ""}};
    size_t i = 0;

    if (value->value == 0 && value->zero) {
        text_add(out, span_of(value->zero));
        return;
    }
    while (units[i].unit != value->unit || value->value % units[i].size != 0)
        i++;
    text_add_number(out, value->value / units[i].size);
    text_add(out, span_of(units[i].text));
}
