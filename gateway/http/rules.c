/*
 * rules.c - hop by hop, and what a trailer may say.
 */
#include "http/rules.h"

/* Only for this hop, whether Connection names them or not (RFC 9110 7.6.1); TE is looked at. */
#define OF_THIS_HOP                                                                                \
    (field_bit(FIELD_CONNECTION) | field_bit(FIELD_KEEP_ALIVE) |                                   \
     field_bit(FIELD_PROXY_CONNECTION) | field_bit(FIELD_TE) |                                     \
     field_bit(FIELD_TRANSFER_ENCODING) | field_bit(FIELD_CONTENT_LENGTH) |                        \
     field_bit(FIELD_UPGRADE) | field_bit(FIELD_PROXY_AUTHENTICATE) |                              \
     field_bit(FIELD_PROXY_AUTHORIZATION))

/*
 * What a sender may not take out of the message by naming it in Connection: with it, a client
 * could hide from the upstream what the gateway decided by or added. Framing and routing (Host,
 * Content-*, Expect), who asks (Authorization, Cookie), where it came from (Forwarded and kin,
 * Via, request and trace ids), and how the answer may be stored (Cache-Control, Set-Cookie ...).
 */
#define PROTECTED                                                                                  \
    (field_bit(FIELD_HOST) | field_bit(FIELD_TRAILER) | field_bit(FIELD_EXPECT) |                  \
     field_bit(FIELD_VIA) | field_bit(FIELD_FORWARDED) | field_bit(FIELD_X_FORWARDED_FOR) |        \
     field_bit(FIELD_X_FORWARDED_PROTO) | field_bit(FIELD_X_FORWARDED_HOST) |                      \
     field_bit(FIELD_X_FORWARDED_PORT) | field_bit(FIELD_X_REAL_IP) |                              \
     field_bit(FIELD_X_REQUEST_ID) | field_bit(FIELD_DATE) | field_bit(FIELD_SERVER) |             \
     field_bit(FIELD_COOKIE) | field_bit(FIELD_SET_COOKIE) | field_bit(FIELD_AUTHORIZATION) |      \
     field_bit(FIELD_CONTENT_TYPE) | field_bit(FIELD_CONTENT_ENCODING) |                           \
     field_bit(FIELD_CONTENT_RANGE) | field_bit(FIELD_CACHE_CONTROL) | field_bit(FIELD_LOCATION) | \
     field_bit(FIELD_RETRY_AFTER) | field_bit(FIELD_ALLOW) | field_bit(FIELD_ORIGIN) |             \
     field_bit(FIELD_TRACEPARENT))

/* Protected too, for the same reasons, but without a number of their own. */
static const struct sluice_span protected_names[] = {
    {"range", 5},
    {"vary", 4},
    {"age", 3},
    {"expires", 7},
    {"pragma", 6},
    {"max-forwards", 12},
    {"etag", 4},
    {"last-modified", 13},
    {"if-match", 8},
    {"if-none-match", 13},
    {"if-modified-since", 17},
    {"if-unmodified-since", 19},
    {"if-range", 8},
    {"tracestate", 10},
    {"www-authenticate", 16},
    {"strict-transport-security", 25},
    {"content-security-policy", 23},
    {"content-location", 16},
};

/* Known names that frame, route, authenticate, steer or describe the message they trail. */
#define NO_TRAILER                                                                                 \
    (OF_THIS_HOP | (PROTECTED & ~(field_bit(FIELD_SERVER) | field_bit(FIELD_ORIGIN))))

static const struct sluice_span no_trailers[] = {
    {"range", 5},
    {"vary", 4},
    {"age", 3},
    {"expires", 7},
    {"pragma", 6},
    {"max-forwards", 12},
    {"if-match", 8},
    {"if-none-match", 13},
    {"if-modified-since", 17},
    {"if-unmodified-since", 19},
    {"if-range", 8},
    {"www-authenticate", 16},
    {"authentication-info", 19},
    {"proxy-authentication-info", 25},
    {"warning", 7},
    {"tracestate", 10},
    {"content-location", 16},
    {"content-disposition", 19},
    {"content-language", 16},
    {"http2-settings", 14},
    {"client-cert", 11},
    {"client-cert-chain", 17},
    {"early-data", 10},
};

enum { LONGEST = 32 /* bytes: all names here are shorter */ };

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static bool is_listed(const struct sluice_span *names, size_t n, struct sluice_span name)
{
    for (size_t i = 0; i < n; i++) {
        if (span_equal_nocase(names[i], name))
            return true;
    }
    return false;
}

bool rules_list_has(struct sluice_span value, struct sluice_span token)
{
    struct sluice_span rest = value, piece;

    while (span_split(&rest, ',', &piece)) {
        if (span_equal_nocase(piece, token))
            return true;
    }
    return false;
}

/* The name as upstreams may read it for whom '_' and '-' are one (CGI); in room when it differs. */
static struct sluice_span undisguise(struct sluice_span name, char room[LONGEST])
{
    if (name.len > LONGEST || span_find(name, '_') == name.len)
        return name;
    for (size_t i = 0; i < name.len; i++) {
        room[i] = (char)(name.ptr[i] == '_' ? '-' : name.ptr[i]);
    }
    return span_make(room, name.len);
}

bool rules_may_be_trailer(struct sluice_span name)
{
    char room[LONGEST];
    enum field_id id;

    name = undisguise(name, room);
    id = name_find(name);
    if (id != FIELD_OTHER)
        return (field_bit(id) & NO_TRAILER) == 0;
    return !is_listed(no_trailers, COUNT(no_trailers), name);
}

/* Drop what one Connection value names, as far as the sender may decide about it. */
static void drop_named(struct fields *fields, struct sluice_span value)
{
    struct sluice_span rest = value, name;

    while (span_split(&rest, ',', &name)) {
        enum field_id id = name_find(name);

        if (name.len == 0 || (field_bit(id) & (PROTECTED | OF_THIS_HOP)))
            continue;
        if (id == FIELD_OTHER && is_listed(protected_names, COUNT(protected_names), name))
            continue;
        fields_remove(fields, name);
    }
}

/* The usual values, which name no field: nothing to look up. */
static bool names_nothing(struct sluice_span value)
{
    return span_equal_nocase(value, SPAN("keep-alive")) || span_equal_nocase(value, SPAN("close"));
}

void rules_drop_hop_by_hop(struct fields *fields)
{
    if (fields_have_none(fields, OF_THIS_HOP))
        return;
    for (unsigned i = 0; i < fields->n; i++) {
        struct field_line *line = &fields->line[i];

        if (!(field_bit(line->id) & OF_THIS_HOP))
            continue;
        if (line->id == FIELD_CONNECTION && !names_nothing(field_value(line)))
            drop_named(fields, field_value(line));
        if (line->id == FIELD_TE && rules_list_has(field_value(line), SPAN("trailers"))) {
            line->value = "trailers";
            line->value_len = sizeof("trailers") - 1;
            continue;
        }
        line->mark |= FIELD_DROPPED;
    }
}
