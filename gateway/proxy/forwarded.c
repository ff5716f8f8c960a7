/*
 * forwarded.c - what the upstream gets to see of a request's fields: nothing that belongs to the
 * hop before, and the truth about who sent it.
 */
#include "http/rules.h"
#include "net/addr_conf.h"
#include "net/tls.h"
#include "proxy/exchange.h"
#include "proxy/worker.h"

#include <sys/socket.h>

static bool is_trusted(const struct forwarded_conf *conf, const struct addr *addr)
{
    return addr_ranges_have(&conf->trust, addr);
}

bool exchange_trusts_peer(const struct exchange *ex)
{
    return is_trusted(&ex->from.port->conf->forwarded, ex->from.peer);
}

bool exchange_is_secure(const struct exchange *ex)
{
    const struct field_line *line;

    if (span_equal(span_of(ex->from.scheme), SPAN("https")))
        return true;
    line =
        exchange_trusts_peer(ex) ? fields_find(&ex->request.fields, FIELD_X_FORWARDED_PROTO) : NULL;
    return line && span_equal_nocase(field_value(line), SPAN("https"));
}

/* The last piece of a comma-separated list, cut off. */
static struct sluice_span cut_last(struct sluice_span *list)
{
    size_t at = list->len;
    struct sluice_span last;

    while (at > 0 && list->ptr[at - 1] != ',') {
        at--;
    }
    last = span_trim(span_make(list->ptr + at, list->len - at));
    list->len = at > 0 ? at - 1 : 0;
    return last;
}

/*
 * All lines of a name as one list, in order (RFC 9110 5.3); empty when there is none or no
 * memory.
 */
static struct sluice_span join(struct exchange *ex, enum field_id id)
{
    const struct fields *fields = &ex->request.fields;
    struct sluice_span all = {NULL, 0};

    if (fields_have_none(fields, field_bit(id)))
        return all;
    for (unsigned i = 0; i < fields->n; i++) {
        struct sluice_span value = field_value(&fields->line[i]);

        if (fields->line[i].id != id || (fields->line[i].mark & FIELD_DROPPED))
            continue;
        if (all.len > 0) {
            value = arena_format(&ex->arena, "%.*s, %.*s", (int)all.len, all.ptr, (int)value.len,
                                 value.ptr);
        }
        all = value;
    }
    return all;
}

/* Who a trusted peer says the client is: the last address that is not trusted itself. */
static struct sluice_span told_client(struct exchange *ex, const struct forwarded_conf *conf)
{
    struct sluice_span list = join(ex, FIELD_X_FORWARDED_FOR);
    struct sluice_span client = {NULL, 0};

    while (list.len > 0) {
        struct addr_range range;

        client = cut_last(&list);
        if (addr_range_parse(client, &range) != OK || span_find(client, '/') < client.len)
            return (struct sluice_span){NULL, 0};
        if (!is_trusted(conf, &range.base))
            break;
    }
    return client;
}

struct sluice_span exchange_peer(struct exchange *ex)
{
    char text[ADDR_TEXT];

    if (ex->peer.len == 0) {
        ex->peer = arena_copy(&ex->arena,
                              span_make(text, addr_format_ip(ex->from.peer, text, sizeof(text))));
    }
    return ex->peer;
}

struct sluice_span exchange_client(struct exchange *ex)
{
    const struct forwarded_conf *conf = &ex->from.port->conf->forwarded;

    if (ex->client.len > 0)
        return ex->client;
    if (conf->trust.n > 0 && is_trusted(conf, ex->from.peer))
        ex->client = told_client(ex, conf);
    if (ex->client.len == 0)
        ex->client = exchange_peer(ex);
    return ex->client;
}

/* The lines of a name, if any, and one more value, as one list in one line. */
static enum err append(struct exchange *ex, enum field_id id, struct sluice_span value)
{
    struct fields *fields = &ex->request.fields;
    struct sluice_span before = join(ex, id);

    if (before.len > 0) {
        value = arena_format(&ex->arena, "%.*s, %.*s", (int)before.len, before.ptr, (int)value.len,
                             value.ptr);
    }
    if (!value.ptr)
        return ERR_MEMORY;
    return before.len > 0 ? fields_set(fields, name_text(id), value)
                          : fields_put(fields, id, value);
}

static enum err set_if_missing(struct fields *fields, enum field_id id, struct sluice_span value)
{
    if (value.len == 0 || fields_find(fields, id))
        return OK;
    return fields_put(fields, id, value);
}

static enum err add_x_forwarded(struct exchange *ex, struct sluice_span peer)
{
    struct fields *fields = &ex->request.fields;
    enum err err = OK;

    if (ex->from.peer->family != AF_UNIX) /* which has no address to tell */
        err = append(ex, FIELD_X_FORWARDED_FOR, peer);
    if (err == OK)
        err = set_if_missing(fields, FIELD_X_FORWARDED_PROTO, span_of(ex->from.scheme));
    if (err == OK)
        err = set_if_missing(fields, FIELD_X_FORWARDED_HOST, ex->request.authority);
    return err;
}

/* RFC 7239: IPv6 addresses stand in brackets and quotes; so does a host with a port. */
static enum err add_forwarded(struct exchange *ex, struct sluice_span peer)
{
    bool is_v6 = span_find(peer, ':') < peer.len;
    struct sluice_span host = ex->request.authority;
    struct sluice_span node = ex->from.peer->family == AF_UNIX ? SPAN("unknown") : peer;
    struct sluice_span value =
        arena_format(&ex->arena, "for=%s%.*s%s;proto=%s%s%.*s%s", is_v6 ? "\"[" : "", (int)node.len,
                     node.ptr, is_v6 ? "]\"" : "", ex->from.scheme, host.len ? ";host=\"" : "",
                     (int)host.len, host.ptr ? host.ptr : "", host.len ? "\"" : "");

    return value.ptr ? append(ex, FIELD_FORWARDED, value) : ERR_MEMORY;
}

/* Names by which a client could pass for somebody else. */
#define FORWARDING                                                                                 \
    (field_bit(FIELD_FORWARDED) | field_bit(FIELD_X_FORWARDED_FOR) |                               \
     field_bit(FIELD_X_FORWARDED_PROTO) | field_bit(FIELD_X_FORWARDED_HOST) |                      \
     field_bit(FIELD_X_FORWARDED_PORT) | field_bit(FIELD_X_REAL_IP))

/*
 * Many upstreams read X_Forwarded_For as the same variable as X-Forwarded-For, so a name with an
 * underscore in it must not bring in what was dropped.
 */
static bool is_disguised(const struct field_line *line)
{
    char name[32];

    if (line->name_len > sizeof(name) || span_find(field_name(line), '_') == line->name_len)
        return false;
    for (unsigned i = 0; i < line->name_len; i++) {
        name[i] = (char)(line->name[i] == '_' ? '-' : line->name[i]);
    }
    return (field_bit(name_find(span_make(name, line->name_len))) & FORWARDING) != 0;
}

/* Is it a name of as many octets, in any case and however disguised? */
static bool reads_as(struct sluice_span name, struct sluice_span known)
{
    for (size_t i = 0; i < known.len; i++) {
        char wanted = known.ptr[i];

        if (wanted == '-' ? name.ptr[i] != '-' && name.ptr[i] != '_'
                          : (name.ptr[i] | 0x20) != wanted)
            return false;
    }
    return true;
}

/* Only we may say what certificate the client has (RFC 9440 2.4): upstreams believe these. */
static bool is_client_cert(struct sluice_span name)
{
    if (name.len == sizeof("client-cert") - 1)
        return reads_as(name, SPAN("client-cert"));
    return name.len == sizeof("client-cert-chain") - 1 && reads_as(name, SPAN("client-cert-chain"));
}

/* Drop what only we, or who is trusted to speak for others, may say about the client. */
static void drop_claims(struct fields *fields, bool trusted)
{
    uint64_t claims = trusted ? 0 : FORWARDING;

    if (fields_have_none(fields, claims | field_bit(FIELD_OTHER)))
        return;
    for (unsigned i = 0; i < fields->n; i++) {
        struct field_line *line = &fields->line[i];

        if (line->id == FIELD_OTHER
                ? is_client_cert(field_name(line)) || (!trusted && is_disguised(line))
                : (field_bit(line->id) & claims) != 0)
            line->mark |= FIELD_DROPPED;
    }
}

static enum err tell_client_cert(struct exchange *ex)
{
    struct sluice_span value;
    enum err err;

    if (!ex->from.port->conf->tls.client.forward)
        return OK;
    err = tls_client_cert(ex->from.conn, &ex->arena, &value);
    if (err || value.len == 0)
        return err;
    return fields_add(&ex->request.fields, SPAN("client-cert"), value);
}

/* The endpoint may answer 425 to what somebody may be repeating (RFC 8470 5.1). */
static enum err tell_early(struct exchange *ex)
{
    struct fields *fields = &ex->request.fields;

    for (unsigned i = 0; i < fields->n; i++) {
        if (span_equal_nocase(field_name(&fields->line[i]), SPAN("early-data")))
            fields->line[i].mark |= FIELD_DROPPED; /* there is to be one */
    }
    return fields_add(fields, SPAN("early-data"), SPAN("1"));
}

static enum err tell_client(struct exchange *ex, const struct forwarded_conf *conf)
{
    bool trusted = conf->trust.n > 0 && is_trusted(conf, ex->from.peer);
    struct sluice_span peer = exchange_peer(ex);
    enum err err = OK;

    if (!peer.ptr || !exchange_client(ex).ptr) /* before the fields change */
        return ERR_MEMORY;
    drop_claims(&ex->request.fields, trusted);
    if (conf->send == FORWARDED_X || conf->send == FORWARDED_BOTH)
        err = add_x_forwarded(ex, peer);
    if (err == OK && (conf->send == FORWARDED_STANDARD || conf->send == FORWARDED_BOTH))
        err = add_forwarded(ex, peer);
    return err;
}

enum err forwarded_apply(struct exchange *ex)
{
    const struct listener_conf *listener = ex->from.port->conf;
    struct fields *fields = &ex->request.fields;
    struct field_line *line;
    enum err err;

    rules_drop_hop_by_hop(fields);
    if (ex->request.minor == 0) {
        line = fields_find(fields, FIELD_EXPECT);
        if (line)
            line->mark |= FIELD_DROPPED; /* an HTTP/1.0 client cannot mean it (RFC 9110 10.1.1) */
    }
    err = tell_client(ex, &listener->forwarded);
    if (err == OK)
        err = tell_client_cert(ex);
    if (err == OK && ex->from.is_early)
        err = tell_early(ex);
    if (err == OK && listener->via)
        err = fields_put(fields, FIELD_VIA, ex->from.via);
    if (err == OK && ex->route->request_edits.n > 0)
        err = route_edit_fields(&ex->route->request_edits, fields);
    while ((line = fields_find(fields, FIELD_HOST)) != NULL) {
        line->mark |= FIELD_DROPPED; /* the leg writes the one that was decided on */
    }
    return err;
}
