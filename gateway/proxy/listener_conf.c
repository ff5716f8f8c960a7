#include "proxy/listener_conf.h"

#include "net/addr_conf.h"
#include "route/route.h"

#include <stddef.h>
#include <string.h>

/* -- forwarded -------------------------------------------------------------- */

static const struct choice send_choices[] = {
    {"x-forwarded", FORWARDED_X, "X-Forwarded-For, -Proto and -Host."},
    {"forwarded", FORWARDED_STANDARD, "Forwarded (RFC 7239)."},
    {"both", FORWARDED_BOTH, "Both forms."},
    {"none", FORWARDED_NONE, "Neither."},
    {NULL, 0, NULL},
};

static const struct shape send_shape = {
    .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = send_choices};

static const struct field forwarded_fields[] = {
    {.name = "trust",
     .shape = &addr_ranges_shape,
     .offset = offsetof(struct forwarded_conf, trust),
     .preset = "[]",
     .help = "Peers whose X-Forwarded-*, Forwarded and X-Real-IP fields are believed and added to; "
             "from all "
             "others they are replaced.",
     .example = "[ 10.0.0.0/8, \"fd00::/8\" ]"},
    {.name = "send",
     .shape = &send_shape,
     .offset = offsetof(struct forwarded_conf, send),
     .preset = "x-forwarded",
     .help = "How upstreams are told of the client."},
    {0},
};

static const struct shape forwarded_shape = {.kind = SHAPE_STRUCT,
                                             .size = sizeof(struct forwarded_conf),
                                             .fields = forwarded_fields,
                                             .title = "forwarded"};

/* -- limits and timeouts ---------------------------------------------------- */

static const struct shape line_shape = {.kind = SHAPE_SIZE,
                                        .size = sizeof(uint64_t),
                                        .min = 64,
                                        .max = 65536,
                                        .what = "a size from 64 to 64KiB"};
static const struct shape count_shape = {.kind = SHAPE_UINT,
                                         .size = sizeof(uint64_t),
                                         .min = 1,
                                         .max = 1000,
                                         .what = "a number from 1 to 1000"};

#define AT(member) offsetof(struct listener_limits, member)

static const struct field limits_fields[] = {
    {.name = "line",
     .shape = &line_shape,
     .offset = AT(line_bytes),
     .preset = "8KiB",
     .help = "The request's start line; beyond it the answer is 414."},
    {.name = "fields",
     .shape = &count_shape,
     .offset = AT(fields),
     .preset = "100",
     .help = "Field lines of a head; beyond it the answer is 431."},
    {.name = "head",
     .shape = &line_shape,
     .offset = AT(head_bytes),
     .preset = "16KiB",
     .help = "A whole head, of requests and of responses; beyond it the answer is 431, or 502."},
    {.name = "body",
     .shape = &shape_size,
     .offset = AT(body_bytes),
     .preset = "0",
     .help = "The content of a request; beyond it the answer is 413. 0: no limit (content is "
             "streamed, never "
             "collected)."},
    {0},
};

#undef AT
#define AT(member) offsetof(struct listener_times, member)

static const struct shape limits_shape = {.kind = SHAPE_STRUCT,
                                          .size = sizeof(struct listener_limits),
                                          .fields = limits_fields,
                                          .title = "limits"};

static const struct shape wait_shape = {.kind = SHAPE_DURATION,
                                        .size = sizeof(uint64_t),
                                        .min = 1,
                                        .what = "a duration such as 10s, above 0"};

static const struct field times_fields[] = {
    {.name = "head",
     .shape = &wait_shape,
     .offset = AT(head_ms),
     .preset = "10s",
     .help = "For a whole request head, from its first byte (or from connecting)."},
    {.name = "body",
     .shape = &wait_shape,
     .offset = AT(body_ms),
     .preset = "30s",
     .help = "Between two pieces of a request's content."},
    {.name = "idle",
     .shape = &wait_shape,
     .offset = AT(idle_ms),
     .preset = "75s",
     .help = "Between two requests of one connection."},
    {.name = "write",
     .shape = &wait_shape,
     .offset = AT(write_ms),
     .preset = "30s",
     .help = "For the client to take more of a response."},
    {0},
};

#undef AT

static const struct shape times_shape = {.kind = SHAPE_STRUCT,
                                         .size = sizeof(struct listener_times),
                                         .fields = times_fields,
                                         .title = "timeout"};

/* -- the listener ------------------------------------------------------------- */

static const struct choice half_close_choices[] = {
    {"abort", HALF_CLOSE_ABORT, "It has gone away: its exchange is ended."},
    {"allow", HALF_CLOSE_ALLOW, "It may still read: its exchange goes on."},
    {NULL, 0, NULL},
};

static const struct shape half_close_shape = {
    .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = half_close_choices};

static const struct shape backlog_shape = {.kind = SHAPE_UINT,
                                           .size = sizeof(uint64_t),
                                           .min = 1,
                                           .max = 65535,
                                           .what = "a number from 1 to 65535"};

static const struct choice protocol_choices[] = {
    {"http/1.1", PROTOCOL_HTTP_1_1, "HTTP/1.1 and HTTP/1.0."},
    {"h2", PROTOCOL_H2, "HTTP/2."},
    {NULL, 0, NULL},
};

static const struct shape protocol_shape = {
    .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = protocol_choices};

static const struct shape protocols_shape = {.kind = SHAPE_LIST,
                                             .size = sizeof(struct items),
                                             .element = &protocol_shape,
                                             .min = 1,
                                             .what = "a list of protocols"};

/* What is agreed on by ALPN (RFC 7301): lengths and names, the best first. */
static void settle_protocols(struct listener_conf *conf)
{
    const int *protocol = conf->protocols.first;
    struct tls_protocols *alpn = &conf->tls.alpn;

    for (size_t i = 0; i < conf->protocols.n; i++) {
        bool *speaks = protocol[i] == PROTOCOL_H2 ? &conf->speaks_h2 : &conf->speaks_h1;
        struct sluice_span name = protocol[i] == PROTOCOL_H2 ? SPAN("\2h2") : SPAN("\10http/1.1");

        if (*speaks)
            continue;
        *speaks = true;
        memcpy(alpn->wire + alpn->len, name.ptr, name.len);
        alpn->len += (unsigned)name.len;
    }
}

/* false, true, or the port of HTTPS. */
static enum err parse_redirect(struct bind *bind, const struct tree *node, void *out)
{
    struct redirect_conf *conf = out;
    uint64_t port = 0;

    if (node->kind == TREE_SCALAR && span_equal(node->text, SPAN("true"))) {
        port = 443;
    } else if (node->kind != TREE_SCALAR ||
               (!span_equal(node->text, SPAN("false")) &&
                (span_number(node->text, 65535, &port) || port == 0))) {
        notes_error(bind->notes, node->at, "write true, false, or a port such as 8443",
                    "expected whether to redirect");
        return ERR_CONFIG;
    }
    conf->port = (unsigned)port;
    conf->route = port > 0 ? route_to_https(bind->arena, conf->port) : NULL;
    return OK;
}

static const struct shape redirect_conf_shape = {.kind = SHAPE_CUSTOM,
                                                 .size = sizeof(struct redirect_conf),
                                                 .parse = parse_redirect,
                                                 .what = "true, false or a port",
                                                 .pattern = "^(true|false|[0-9]+)$"};

static void check_redirect(struct bind *bind, const struct listener_conf *conf)
{
    if (conf->redirect.port > 0 && conf->tls.is_on) {
        notes_error(bind->notes, conf->at, "take out tls, or redirect_to_https",
                    "listener '%s' speaks HTTPS, and would redirect to itself", conf->name.ptr);
    }
}

static void listener_check(struct bind *bind, const struct tree *node, void *out)
{
    struct listener_conf *conf = out;

    conf->at = node ? node->at : (struct mark){0};
    if (addr_parse(conf->bind, bind->arena, &conf->addr)) {
        notes_error(bind->notes, conf->at,
                    "write ADDRESS:PORT, [V6]:PORT or unix:PATH; 0.0.0.0:8080 listens everywhere",
                    "'%s' is not an address to listen on", conf->bind.ptr);
    }
    if (conf->name.len == 0)
        conf->name = conf->bind;
    /* The start line is a part of the head. */
    if (conf->limits.line_bytes > conf->limits.head_bytes)
        conf->limits.line_bytes = conf->limits.head_bytes;
    settle_protocols(conf);
    http2_conf_settle(&conf->http2, &conf->limits);
    check_redirect(bind, conf);
}

#define AT(member) offsetof(struct listener_conf, member)

static const struct field listener_fields[] = {
    {.name = "name",
     .shape = &shape_text,
     .offset = AT(name),
     .help = "What routes, logs and metrics call it. The bind text when not given."},
    {.name = "bind",
     .shape = &shape_text,
     .offset = AT(bind),
     .required = true,
     .help = "Where to listen: ADDRESS:PORT, [V6]:PORT or unix:PATH. Port 0 chooses a free one.",
     .example = "\"0.0.0.0:8080\""},
    {.name = "connections",
     .shape = &shape_uint,
     .offset = AT(connections),
     .preset = "0",
     .help = "Connections at most; further ones wait in the backlog. 0: only limits.connections "
             "holds."},
    {.name = "backlog",
     .shape = &backlog_shape,
     .offset = AT(backlog),
     .preset = "4096",
     .help = "Connections that may wait to be accepted, per worker."},
    {.name = "limits",
     .shape = &limits_shape,
     .offset = AT(limits),
     .help = "How large a request may be."},
    {.name = "timeout",
     .shape = &times_shape,
     .offset = AT(timeout),
     .help = "How long clients may take. body and write measure inactivity, not the whole.",
     .example = "{ head: 5s, idle: 2m }"},
    {.name = "forwarded",
     .shape = &forwarded_shape,
     .offset = AT(forwarded),
     .help = "What upstreams are told of the client, and whom to believe."},
    {.name = "proxy_protocol",
     .shape = &proxied_conf_shape,
     .offset = AT(proxied),
     .help = "Connections begin with a PROXY header (version 1 or 2), before TLS, that says whose "
             "they are. It is asked of the peers in from, and believed of them alone.",
     .example = "{ from: [ 10.0.0.0/8 ] }"},
    {.name = "redirect_to_https",
     .shape = &redirect_conf_shape,
     .offset = AT(redirect),
     .preset = "false",
     .help = "Answer every request with 308 to the same place over HTTPS; a number is the port "
             "there, true means 443. Not what a trusted peer says came over HTTPS.",
     .example = "true"},
    {.name = "via",
     .shape = &shape_bool,
     .offset = AT(via),
     .preset = "true",
     .help = "Add Via to requests (RFC 9110 7.6.3)."},
    {.name = "merge_slashes",
     .shape = &shape_bool,
     .offset = AT(merge_slashes),
     .preset = "true",
     .help = "Treat several slashes in a path as one."},
    {.name = "half_close",
     .shape = &half_close_shape,
     .offset = AT(half_close),
     .preset = "abort",
     .help = "What it means when a client ends its side before it has its answer."},
    {.name = "protocols",
     .shape = &protocols_shape,
     .offset = AT(protocols),
     .preset = "[ h2, http/1.1 ]",
     .help = "What may be spoken, the best first: with TLS what is agreed on (ALPN); else a client "
             "that begins with HTTP/2 is understood (prior knowledge)."},
    {.name = "http2",
     .shape = &http2_shape,
     .offset = AT(http2),
     .help = "How HTTP/2 is spoken here, and what its clients may do.",
     .example = "{ max_concurrent_streams: 250 }"},
    {.name = "tls",
     .shape = &tls_server_shape,
     .offset = AT(tls),
     .help = "Speak TLS. Plain when not given.",
     .example = "{ certificates: [ { cert: tls/www.pem, key: tls/www.key } ] }"},
    {.name = "plugins",
     .shape = &shape_plugins,
     .offset = AT(plugins),
     .help = "For requests of this listener, after those of the top level."},
    {0},
};

#undef AT

static const struct shape listener_shape = {.kind = SHAPE_STRUCT,
                                            .size = sizeof(struct listener_conf),
                                            .fields = listener_fields,
                                            .scalar = "bind",
                                            .check = listener_check,
                                            .title = "listener"};

const struct shape listener_list_shape = {.kind = SHAPE_LIST,
                                          .size = sizeof(struct items),
                                          .element = &listener_shape,
                                          .max = 64,
                                          .what = "a list of listeners"};
