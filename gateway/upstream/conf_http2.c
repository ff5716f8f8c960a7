#include "upstream/conf_http2.h"

#include "net/tls_conf.h"

#include <stddef.h>

static const struct choice protocols[] = {
    {"h1", SPEAK_H1, "HTTP/1.1."},
    {"h2", SPEAK_H2, "HTTP/2 over TLS; an endpoint that does not agree to it is not used."},
    {"h2c", SPEAK_H2C, "HTTP/2 without TLS, from the first byte (prior knowledge)."},
    {"auto", SPEAK_AUTO, "Over TLS: HTTP/2 where an endpoint agrees to it, else HTTP/1.1."},
    {NULL, 0, NULL},
};

const struct shape upstream_protocol_shape = {
    .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = protocols, .what = "h1, h2, h2c or auto"};

const char *upstream_protocol_name(int protocol)
{
    return protocols[protocol].name; /* they stand in the order of their numbers */
}

static const struct shape streams_shape = {.kind = SHAPE_UINT,
                                           .size = sizeof(uint64_t),
                                           .min = 1,
                                           .max = 65535,
                                           .what = "a number from 1 to 65535"};

static const struct shape window_shape = {.kind = SHAPE_SIZE,
                                          .size = sizeof(uint64_t),
                                          .min = 65535,
                                          .max = 16777216,
                                          .what = "a size from 65535 bytes to 16MiB"};

static const struct shape wait_shape = {.kind = SHAPE_DURATION,
                                        .size = sizeof(uint64_t),
                                        .min = 1,
                                        .what = "a duration such as 10s, above 0"};

#define AT(member) offsetof(struct upstream_http2, member)

static const struct field http2_fields[] = {
    {.name = "max_concurrent_streams",
     .shape = &streams_shape,
     .offset = AT(max_streams),
     .preset = "100",
     .help = "Requests at a time on one connection, if the endpoint does not want fewer; then "
             "another connection is made, as far as connections.max allows."},
    {.name = "initial_stream_window_size",
     .shape = &window_shape,
     .offset = AT(window),
     .preset = "256KiB",
     .help = "What an endpoint may send of a response before it is taken."},
    {.name = "initial_connection_window_size",
     .shape = &window_shape,
     .offset = AT(connection_window),
     .preset = "1MiB",
     .help = "The same for all responses of a connection together."},
    {.name = "keepalive_interval",
     .shape = &shape_duration,
     .offset = AT(ping_ms),
     .preset = "0s",
     .help = "A connection with requests on it that has been silent for so long is asked for a "
             "sign of life (PING). 0: never.",
     .example = "20s"},
    {.name = "keepalive_timeout",
     .shape = &wait_shape,
     .offset = AT(ping_timeout_ms),
     .preset = "10s",
     .help = "Without a sign of life for so long after that, the connection is given up."},
    {0},
};

#undef AT

const struct shape upstream_http2_shape = {.kind = SHAPE_STRUCT,
                                           .size = sizeof(struct upstream_http2),
                                           .fields = http2_fields,
                                           .title = "upstream http2"};

void conf_http2_check(struct bind *bind, struct mark at, int protocol, struct tls_client_conf *tls)
{
    bool is_tls = tls_client_conf_is_on(tls);

    if (protocol == SPEAK_H2 && !is_tls) {
        notes_error(bind->notes, at, "add tls: true, or write protocol: h2c",
                    "protocol h2 is HTTP/2 over TLS, and tls is off");
    } else if (protocol == SPEAK_H2C && is_tls) {
        notes_error(bind->notes, at, "write protocol: h2",
                    "protocol h2c is HTTP/2 without TLS, and tls is on");
    } else if (protocol == SPEAK_AUTO && !is_tls) {
        notes_warn(bind->notes, at, "add tls: true, or write h1 or h2c",
                   "protocol auto means h1 here: nothing can be agreed on without TLS");
    }
    if (protocol == SPEAK_H2)
        tls->alpn = TLS_ALPN_H2;
    if (protocol == SPEAK_AUTO)
        tls->alpn = TLS_ALPN_BOTH;
}
