#include "proxy/http2_conf.h"

#include "proxy/listener_conf.h"

#include <stddef.h>

enum {
    STREAMS_MAX = 1000,
    WINDOW_MIN = 1024,
    WINDOW_MAX = 16 * 1024 * 1024,
    CONNECTION_WINDOW_MIN = 65535, /* what RFC 9113 6.9.2 begins with: it cannot shrink */
    TABLE_MAX = 64 * 1024,
    FLOOD_MAX = 1000000,
    HOUR_MS = 3600 * 1000,
};

static const struct shape streams_shape = {.kind = SHAPE_UINT,
                                           .size = sizeof(uint64_t),
                                           .min = 1,
                                           .max = STREAMS_MAX,
                                           .what = "a number from 1 to 1000"};

static const struct shape window_shape = {.kind = SHAPE_SIZE,
                                          .size = sizeof(uint64_t),
                                          .min = WINDOW_MIN,
                                          .max = WINDOW_MAX,
                                          .what = "a size from 1KiB to 16MiB"};

static const struct shape connection_window_shape = {.kind = SHAPE_SIZE,
                                                     .size = sizeof(uint64_t),
                                                     .min = CONNECTION_WINDOW_MIN,
                                                     .max = WINDOW_MAX,
                                                     .what = "a size from 65535 to 16MiB"};

static const struct shape table_shape = {
    .kind = SHAPE_SIZE, .size = sizeof(uint64_t), .max = TABLE_MAX, .what = "a size up to 64KiB"};

static const struct shape count_shape = {.kind = SHAPE_UINT,
                                         .size = sizeof(uint64_t),
                                         .max = FLOOD_MAX,
                                         .what = "a number up to 1000000; 0: no limit"};

static const struct shape frames_shape = {.kind = SHAPE_UINT,
                                          .size = sizeof(uint64_t),
                                          .min = 1,
                                          .max = FLOOD_MAX,
                                          .what = "a number from 1 to 1000000"};

static const struct shape interval_shape = {.kind = SHAPE_DURATION,
                                            .size = sizeof(uint64_t),
                                            .min = 1000,
                                            .max = HOUR_MS,
                                            .what = "a duration from 1s to 1h"};

#define AT(member) offsetof(struct http2_flood_conf, member)

static const struct field flood_fields[] = {
    {.name = "interval",
     .shape = &interval_shape,
     .offset = AT(interval_ms),
     .preset = "10s",
     .help = "What is counted is forgotten after it."},
    {.name = "resets",
     .shape = &count_shape,
     .offset = AT(resets),
     .preset = "500",
     .help = "Streams that the client resets before they are answered (rapid reset), once they "
             "are also more than half of those that it opened. A browser that leaves a page resets "
             "up to max_concurrent_streams of them."},
    {.name = "provoked_resets",
     .shape = &count_shape,
     .offset = AT(provoked_resets),
     .preset = "100",
     .help = "Streams that the gateway must reset for what the client does wrong."},
    {.name = "settings",
     .shape = &count_shape,
     .offset = AT(settings),
     .preset = "50",
     .help = "SETTINGS frames."},
    {.name = "pings",
     .shape = &count_shape,
     .offset = AT(pings),
     .preset = "200",
     .help = "PING frames, beyond one for each frame of content in either direction."},
    {.name = "empty_frames",
     .shape = &count_shape,
     .offset = AT(empty_frames),
     .preset = "200",
     .help = "DATA frames without content, and frames of unknown types."},
    {.name = "priorities",
     .shape = &count_shape,
     .offset = AT(priorities),
     .preset = "1000",
     .help = "PRIORITY and PRIORITY_UPDATE frames."},
    {.name = "tiny_windows",
     .shape = &count_shape,
     .offset = AT(tiny_windows),
     .preset = "500",
     .help = "WINDOW_UPDATE frames of less than 256 bytes."},
    {.name = "continuations",
     .shape = &frames_shape,
     .offset = AT(continuations),
     .preset = "8",
     .help = "CONTINUATION frames of one head, whatever the interval."},
    {.name = "control_queue",
     .shape = &frames_shape,
     .offset = AT(control_queue),
     .preset = "500",
     .help = "Answers to SETTINGS and PING that wait for the client to read, at any time."},
    {0},
};

#undef AT
#define AT(member) offsetof(struct http2_conf, member)

static const struct shape flood_shape = {.kind = SHAPE_STRUCT,
                                         .size = sizeof(struct http2_flood_conf),
                                         .fields = flood_fields,
                                         .title = "http2 flood"};

static const struct field http2_fields[] = {
    {.name = "max_concurrent_streams",
     .shape = &streams_shape,
     .offset = AT(max_streams),
     .preset = "100",
     .help = "Requests of one connection at the same time."},
    {.name = "initial_window",
     .shape = &window_shape,
     .offset = AT(window),
     .preset = "64KiB",
     .help = "Content of one request that a client may send before it is taken; so much is kept "
             "at most while the upstream takes nothing."},
    {.name = "connection_window",
     .shape = &connection_window_shape,
     .offset = AT(connection_window),
     .preset = "1MiB",
     .help = "The same for all requests of a connection together."},
    {.name = "header_table",
     .shape = &table_shape,
     .offset = AT(head_table),
     .preset = "4KiB",
     .help = "Memory for the compression of what a client sends (HPACK)."},
    {.name = "response_header_table",
     .shape = &table_shape,
     .offset = AT(response_table),
     .preset = "0",
     .help = "The same for what it is sent: some 4KiB make repeated fields a byte each, and cost "
             "that memory for each connection."},
    {.name = "keepalive",
     .shape = &shape_duration,
     .offset = AT(keepalive_ms),
     .preset = "0s",
     .help = "While requests are open and nothing is heard of the client for so long, ask it by a "
             "PING; without an answer in the same time again it is given up. 0s: never."},
    {.name = "max_age",
     .shape = &shape_duration,
     .offset = AT(max_age_ms),
     .preset = "0s",
     .help = "An older connection is told to end when it asks for more; what it asks for is "
             "served. 0s: no limit."},
    {.name = "extended_connect",
     .shape = &shape_bool,
     .offset = AT(extended_connect),
     .preset = "true",
     .help = "Offer WebSocket over HTTP/2 (RFC 8441); routes say what they allow."},
    {.name = "flood",
     .shape = &flood_shape,
     .offset = AT(flood),
     .help = "How much a connection may do that costs the gateway more than its client; beyond a "
             "limit it is ended with ENHANCE_YOUR_CALM.",
     .example = "{ resets: 200, pings: 50 }"},
    {0},
};

#undef AT

const struct shape http2_shape = {.kind = SHAPE_STRUCT,
                                  .size = sizeof(struct http2_conf),
                                  .fields = http2_fields,
                                  .title = "http2"};

void http2_conf_settle(struct http2_conf *conf, const struct listener_limits *limits)
{
    const struct http2_flood_conf *flood = &conf->flood;

    conf->settings =
        (struct h2_settings){.max_streams = (uint32_t)conf->max_streams,
                             .window = (uint32_t)conf->window,
                             .connection_window = (uint32_t)conf->connection_window,
                             .line_bytes = (uint32_t)limits->line_bytes,
                             .head_bytes = (uint32_t)limits->head_bytes,
                             .field_count = (uint16_t)limits->fields,
                             .decoder_table = (uint32_t)conf->head_table,
                             .encoder_table = (uint32_t)conf->response_table,
                             .extended_connect = conf->extended_connect,
                             .limits = {.interval_ms = (uint32_t)flood->interval_ms,
                                        .resets = (uint32_t)flood->resets,
                                        .provoked_resets = (uint32_t)flood->provoked_resets,
                                        .settings = (uint32_t)flood->settings,
                                        .pings = (uint32_t)flood->pings,
                                        .empty_frames = (uint32_t)flood->empty_frames,
                                        .priorities = (uint32_t)flood->priorities,
                                        .tiny_windows = (uint32_t)flood->tiny_windows,
                                        .continuations = (uint32_t)flood->continuations,
                                        .control_queue = (uint32_t)flood->control_queue}};
}
