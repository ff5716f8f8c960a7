/*
 * upgrade.c - which tunnel a client asks for, and whether the upstream opens it (RFC 9110 7.8).
 *
 * Connection and Upgrade belong to one hop: they are read here and dropped, and each leg says in
 * the words of its own version what was decided (struct request and struct response, upgrade).
 */
#include "base/rng.h"
#include "http/rules.h"
#include "http/websocket.h"
#include "proxy/exchange.h"
#include "proxy/worker.h"

/* Is the Upgrade field meant for us? */
static bool names_upgrade(const struct fields *fields)
{
    for (unsigned i = 0; i < fields->n; i++) {
        const struct field_line *line = &fields->line[i];

        if (line->id == FIELD_CONNECTION && !(line->mark & FIELD_DROPPED) &&
            rules_list_has(field_value(line), SPAN("upgrade")))
            return true;
    }
    return false;
}

static bool is_allowed(const struct route *route, struct sluice_span token)
{
    for (size_t i = 0; i < route->n_upgrades; i++) {
        if (span_equal_nocase(route->upgrades[i], token))
            return true;
    }
    return false;
}

/* WebSocket is asked for by GET (RFC 6455 4.1); others by what they like. */
static bool suits(struct sluice_span token, enum method method)
{
    return method == METHOD_GET || !span_equal_nocase(token, SPAN("websocket"));
}

struct sluice_span upgrade_wanted(const struct request *request, const struct route *route)
{
    const struct fields *fields = &request->fields;

    if (request->protocol.len > 0)
        return is_allowed(route, request->protocol) ? request->protocol : SPAN("");
    if (route->n_upgrades == 0 || request->minor == 0 || request_has_content(request) ||
        !fields_find(fields, FIELD_UPGRADE) || !names_upgrade(fields))
        return SPAN("");
    for (unsigned i = 0; i < fields->n; i++) {
        struct sluice_span rest = field_value(&fields->line[i]), token;

        if (fields->line[i].id != FIELD_UPGRADE || (fields->line[i].mark & FIELD_DROPPED))
            continue;
        while (span_split(&rest, ',', &token)) {
            if (is_allowed(route, token) && suits(token, request->method))
                return token;
        }
    }
    return SPAN("");
}

/* Its hop-by-hop fields are still there. */
static bool is_granted(const struct response *response, struct sluice_span wanted)
{
    const struct fields *fields = &response->fields;

    if (wanted.len == 0 || response->minor == 0 || !fields_find(fields, FIELD_UPGRADE) ||
        !names_upgrade(fields))
        return false;
    for (unsigned i = 0; i < fields->n; i++) {
        const struct field_line *line = &fields->line[i];

        if (line->id == FIELD_UPGRADE && !(line->mark & FIELD_DROPPED) &&
            !span_equal_nocase(field_value(line), wanted))
            return false;
    }
    return true;
}

/* -- WebSocket from HTTP/2 to HTTP/1 (RFC 8441 5) ---------------------------------- */

static struct field_line *find(const struct fields *fields, struct sluice_span name)
{
    unsigned at = 0;

    return fields_next(fields, name, &at);
}

enum err upgrade_ask(struct exchange *ex)
{
    struct fields *fields = &ex->request.fields;
    struct rng *rng = &ex->worker->rng;
    uint64_t random[2] = {rng_next(rng), rng_next(rng)};
    char key[WEBSOCKET_KEY];
    struct sluice_span kept;
    enum err err = OK;

    if (!span_equal_nocase(ex->request.protocol, SPAN("websocket")))
        return OK;
    websocket_key(random, key);
    kept = arena_copy(&ex->arena, span_make(key, sizeof(key)));
    if (!kept.ptr)
        return ERR_MEMORY;
    if (!find(fields, SPAN("sec-websocket-version")))
        err = fields_add(fields, SPAN("sec-websocket-version"), SPAN("13"));
    return err ? err : fields_set(fields, SPAN("sec-websocket-key"), kept);
}

/* We have asked with a key of our own: the answer must be to it. */
static bool is_proven(const struct exchange *ex, const struct fields *fields)
{
    const struct field_line *key = find(&ex->request.fields, SPAN("sec-websocket-key"));
    const struct field_line *line = find(fields, SPAN("sec-websocket-accept"));
    char accept[WEBSOCKET_ACCEPT];

    if (!key || !span_equal_nocase(ex->request.protocol, SPAN("websocket")))
        return true;
    websocket_accept(field_value(key), accept);
    return line && span_equal(field_value(line), span_make(accept, sizeof(accept)));
}

bool upgrade_is_open(const struct exchange *ex, const struct response *response)
{
    return is_granted(response, ex->request.upgrade) &&
           (ex->request.protocol.len == 0 || is_proven(ex, &response->fields));
}
