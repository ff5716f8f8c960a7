#include "discovery/consul_parse.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum {
    TAGS_MAX = 256,
    META_MAX = 128,
    CHECKS_MAX = 1024,
    ADDRESS_MAX = 512,
    PORT_MAX = 65535,
    ID_MAX = 1024,
};

/* One element of the answer, borrowed from its JSON. */
struct entry {
    const json_t *node, *service, *checks;
};

static struct sluice_span text_of(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    if (!json_is_string(value))
        return SPAN("");
    return span_make(json_string_value(value), json_string_length(value));
}

/* -- state --------------------------------------------------------------------- */

static bool is_maintenance(struct sluice_span id)
{
    return span_equal(id, SPAN("_node_maintenance")) ||
           span_starts(id, SPAN("_service_maintenance:"));
}

/* The worst of all checks, those of the node among them; maintenance goes before all. */
static enum found_state state_of(const json_t *checks)
{
    enum found_state state = FOUND_SERVING;
    size_t n = json_array_size(checks);

    for (size_t i = 0; i < n && i < CHECKS_MAX; i++) {
        const json_t *check = json_array_get(checks, i);
        struct sluice_span status = text_of(check, "Status");

        if (is_maintenance(text_of(check, "CheckID")))
            return FOUND_DRAINING;
        if (span_equal(status, SPAN("passing")))
            continue;
        if (!span_equal(status, SPAN("warning"))) {
            state = FOUND_FAILING;
        } else if (state == FOUND_SERVING) {
            state = FOUND_WARNING;
        }
    }
    return state;
}

/* -- address -------------------------------------------------------------------- */

/* "[::1]:80", "10.0.0.1:80", "host:80". */
static const char *add_address(struct sluice_span host, json_int_t port, struct text *address)
{
    struct in6_addr ignored;
    bool is_v6 = host.len > 0 && inet_pton(AF_INET6, host.ptr, &ignored) == 1;

    if (host.len == 0)
        return "no address";
    if (strlen(host.ptr) != host.len)
        return "an address with a NUL";
    if (port == 0)
        return "port 0";
    if (port < 0 || port > PORT_MAX)
        return "no such port";
    text_format(address, is_v6 ? "[%s]:%u" : "%s:%u", host.ptr, (unsigned)port);
    return found_check_address(text_span(address));
}

static json_int_t port_of(const json_t *object)
{
    return json_integer_value(json_object_get(object, "Port"));
}

/* The wanted kind of address, else that of the service, else that of its node. */
static const char *find_address(const struct entry *entry, const struct consul_reading *reading,
                                struct text *address)
{
    struct sluice_span socket = text_of(entry->service, "SocketPath");
    struct sluice_span host = text_of(entry->service, "Address");
    json_int_t port = port_of(entry->service);

    if (socket.len > 0) {
        text_format(address, "unix:%s", socket.ptr);
        return found_check_address(text_span(address));
    }
    if (reading->address.len > 0) {
        const json_t *own = json_object_get(json_object_get(entry->service, "TaggedAddresses"),
                                            reading->address.ptr);
        const json_t *nodes = json_object_get(entry->node, "TaggedAddresses");

        if (text_of(own, "Address").len > 0) {
            host = text_of(own, "Address");
            port = port_of(own) ? port_of(own) : port;
        } else if (host.len == 0 && text_of(nodes, reading->address.ptr).len > 0) {
            host = text_of(nodes, reading->address.ptr);
        }
    }
    return add_address(host.len > 0 ? host : text_of(entry->node, "Address"), port, address);
}

/* -- weight ----------------------------------------------------------------------- */

static bool read_weight(struct sluice_span text, uint32_t *weight)
{
    uint64_t number;

    if (span_number(text, FOUND_WEIGHT_MAX, &number))
        return false;
    *weight = (uint32_t)number;
    return true;
}

/* By meta "NAME", or by a tag "NAME=5". */
static bool find_override(const json_t *service, struct sluice_span name, uint32_t *weight)
{
    const json_t *tags = json_object_get(service, "Tags");

    if (name.len == 0)
        return false;
    if (read_weight(text_of(json_object_get(service, "Meta"), name.ptr), weight))
        return true;
    for (size_t i = 0; i < json_array_size(tags) && i < TAGS_MAX; i++) {
        const json_t *tag = json_array_get(tags, i);
        struct sluice_span text = json_is_string(tag)
                                      ? span_make(json_string_value(tag), json_string_length(tag))
                                      : SPAN("");
        size_t equals = span_find(text, '=');

        if (equals < text.len && span_equal(span_make(text.ptr, equals), name) &&
            read_weight(span_make(text.ptr + equals + 1, text.len - equals - 1), weight))
            return true;
    }
    return false;
}

static uint32_t weight_of(const json_t *service, const struct consul_reading *reading,
                          enum found_state state)
{
    bool warns = state == FOUND_WARNING;
    const json_t *given =
        json_object_get(json_object_get(service, "Weights"), warns ? "Warning" : "Passing");
    json_int_t number = json_integer_value(given);
    uint32_t weight;

    if (find_override(service, reading->weight, &weight))
        return weight;
    if (!json_is_integer(given) || number < 0)
        return warns ? reading->warning : reading->passing;
    return number > FOUND_WEIGHT_MAX ? FOUND_WEIGHT_MAX : (uint32_t)number;
}

/* -- the rest of an endpoint ---------------------------------------------------------- */

static struct sluice_span zone_of(const struct entry *entry, const struct consul_reading *reading)
{
    const json_t *const holders[] = {json_object_get(entry->service, "Meta"),
                                     json_object_get(entry->node, "Meta")};
    const json_t *const places[] = {json_object_get(entry->service, "Locality"),
                                    json_object_get(entry->node, "Locality")};
    struct sluice_span zone = SPAN("");

    for (size_t i = 0; i < 2 && zone.len == 0 && reading->zone.len > 0; i++)
        zone = text_of(holders[i], reading->zone.ptr);
    for (size_t i = 0; i < 2 && zone.len == 0; i++)
        zone = text_of(places[i], "Zone");
    return zone;
}

static void take_tags(const json_t *tags, struct found *found, struct found_endpoint *endpoint)
{
    size_t n = json_array_size(tags) < TAGS_MAX ? json_array_size(tags) : TAGS_MAX;

    endpoint->tags = arena_new(&found->arena, (n + 1) * sizeof(*endpoint->tags));
    for (size_t i = 0; i < n; i++) {
        const json_t *tag = json_array_get(tags, i);

        if (json_is_string(tag)) {
            endpoint->tags[endpoint->n_tags++] = arena_copy(
                &found->arena, span_make(json_string_value(tag), json_string_length(tag)));
        }
    }
}

static void take_meta(json_t *meta, struct found *found, struct found_endpoint *endpoint)
{
    size_t n = json_object_size(meta) < META_MAX ? json_object_size(meta) : META_MAX;
    const char *name;
    json_t *value;

    endpoint->meta = arena_new(&found->arena, (n + 1) * sizeof(*endpoint->meta));
    json_object_foreach(meta, name, value)
    {
        struct found_pair *pair = &endpoint->meta[endpoint->n_meta];

        if (endpoint->n_meta == n)
            break;
        if (!json_is_string(value))
            continue;
        pair->name = arena_copy(&found->arena, span_of(name));
        pair->value = arena_copy(&found->arena,
                                 span_make(json_string_value(value), json_string_length(value)));
        endpoint->n_meta++;
    }
}

/* NULL, or what is wrong with it. */
static const char *take_entry(const struct entry *entry, const struct consul_reading *reading,
                              struct found *found)
{
    char bytes[ADDRESS_MAX], id_bytes[ID_MAX];
    struct sluice_span zone;
    struct found_endpoint *endpoint;
    struct text address, id;
    const char *wrong;

    if (!json_is_object(entry->node) || !json_is_object(entry->service))
        return "neither a node nor a service";
    text_init_fixed(&address, bytes, sizeof(bytes));
    wrong = find_address(entry, reading, &address);
    if (wrong || address.cut)
        return wrong ? wrong : "an address that is too long";
    endpoint = found_add(found);
    if (!endpoint)
        return "more endpoints than can be held";
    text_init_fixed(&id, id_bytes, sizeof(id_bytes));
    text_add(&id, text_of(entry->node, "Node"));
    text_add_char(&id, '/');
    text_add(&id, text_of(entry->service, "ID"));
    zone = zone_of(entry, reading);
    endpoint->address = arena_copy(&found->arena, text_span(&address));
    endpoint->id = arena_copy(&found->arena, text_span(&id));
    endpoint->zone = zone.len > 0 ? arena_copy(&found->arena, zone) : SPAN("");
    endpoint->state = state_of(entry->checks);
    endpoint->weight = weight_of(entry->service, reading, endpoint->state);
    if (reading->passing_only && endpoint->state == FOUND_WARNING)
        endpoint->state = FOUND_FAILING;
    take_tags(json_object_get(entry->service, "Tags"), found, endpoint);
    take_meta(json_object_get(entry->service, "Meta"), found, endpoint);
    return NULL;
}

static void reject(const struct entry *entry, const char *why, struct consul_rejected *rejected)
{
    struct text text;

    if (rejected->n++ > 0)
        return;
    text_init_fixed(&text, rejected->why, sizeof(rejected->why));
    text_format(&text, "node %.40s, service %.60s: %s", text_of(entry->node, "Node").ptr,
                text_of(entry->service, "ID").ptr, why);
}

enum err consul_parse(struct sluice_span json, const struct consul_reading *reading,
                      struct found **found, struct consul_rejected *rejected)
{
    json_t *root = json_loadb(json.len ? json.ptr : "", json.len, 0, NULL);
    const json_t *list = json_is_object(root) ? json_object_get(root, "Nodes") : root;
    bool is_null = json_is_object(root) && json_is_null(list); /* how Go says an empty list */

    *found = NULL;
    *rejected = (struct consul_rejected){.n = 0};
    if (!json_is_array(list) && !is_null) {
        json_decref(root);
        return ERR_PROTOCOL;
    }
    *found = found_new();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        const struct entry entry = {.node = json_object_get(item, "Node"),
                                    .service = json_object_get(item, "Service"),
                                    .checks = json_object_get(item, "Checks")};
        const char *wrong = take_entry(&entry, reading, *found);

        if (wrong)
            reject(&entry, wrong, rejected);
    }
    json_decref(root);
    return OK;
}
