/*
 * collect.c - what workers count themselves is said per worker, what lies in the tally as sums.
 */
#include "proxy/collect.h"

#include "http/h2.h"
#include "observe/writer.h"
#include "proxy/worker.h"
#include "upstream/collect.h"

#include <stddef.h>
#include <stdio.h>

/* One counter of a slot. Rows of the same family follow each other; only the first has a help. */
struct row {
    const char *family, *help;
    enum page_type type;
    const char *label, *value; /* the row's own label; NULL: none */
    size_t offset;
};

/* One family being said: what tally_each() hands on. */
struct saying {
    struct page *page;
    const struct row *row;
    unsigned n_workers;
};

/* -- workers ------------------------------------------------------------- */

#define AT(member) offsetof(struct worker_counters, member)

static const struct row worker_rows[] = {
    {"sluice_worker_connections", "Open downstream connections of a worker.", PAGE_GAUGE, NULL,
     NULL, AT(connections)},
    {"sluice_worker_exchanges_active", "Exchanges that are going on.", PAGE_GAUGE, NULL, NULL,
     AT(exchanges)},
    {"sluice_worker_tunnels", "Exchanges that have become tunnels.", PAGE_GAUGE, NULL, NULL,
     AT(tunnels)},
    {"sluice_worker_accepted_total", "Connections accepted.", PAGE_COUNTER, NULL, NULL,
     AT(accepted)},
    {"sluice_worker_handed_off_total", "Accepted connections given to another worker.",
     PAGE_COUNTER, NULL, NULL, AT(handed_off)},
    {"sluice_worker_spliced_bodies_total", "Responses whose content the kernel has moved.",
     PAGE_COUNTER, NULL, NULL, AT(spliced_bodies)},
    {"sluice_worker_spliced_bytes_total", "Content that the kernel has moved, not copied.",
     PAGE_COUNTER, NULL, NULL, AT(spliced_bytes)},
};

#undef AT

static void say_worker(struct page *page, unsigned index, uint64_t value)
{
    char number[16];
    int len = snprintf(number, sizeof(number), "%u", index);
    struct label label = {"worker", span_make(number, (size_t)len)};

    page_count(page, &label, 1, value);
}

static void say_turns(const struct crew *crew, struct page *page)
{
    page_family(page, "sluice_worker_slow_turns_total", PAGE_COUNTER,
                "Turns of the event loop that took longer than 10 ms.");
    for (unsigned j = 0; j < crew->n_workers; j++) {
        say_worker(page, j, counter_get(&crew->worker[j]->loop->slow_turns));
    }
    page_family(page, "sluice_worker_turn_seconds", PAGE_HISTOGRAM,
                "How long turns of the event loop took: so late is whoever waits for it.");
    for (unsigned j = 0; j < crew->n_workers; j++) {
        char number[16];
        int len = snprintf(number, sizeof(number), "%u", j);
        struct label label = {"worker", span_make(number, (size_t)len)};

        page_histogram(page, &label, 1, &crew->worker[j]->loop->turn_times, 1, 0);
    }
}

static void say_given_back(const struct crew *crew, struct page *page)
{
    page_family(page, "sluice_worker_released_bytes_total", PAGE_COUNTER,
                "Memory that the system has back, after bursts, of blocks and slabs.");
    for (unsigned j = 0; j < crew->n_workers; j++) {
        say_worker(page, j,
                   __atomic_load_n(&crew->worker[j]->loop->slabs.released, __ATOMIC_RELAXED));
    }
}

static const struct {
    const char *family, *help;
    enum page_type type;
    size_t offset;
} pipe_rows[] = {
    {"sluice_worker_pipes_used", "Pipes with content that clients have not taken yet.", PAGE_GAUGE,
     offsetof(struct pipes, used)},
    {"sluice_worker_pipes_spare", "Empty pipes that are kept.", PAGE_GAUGE,
     offsetof(struct pipes, spare)},
    {"sluice_worker_pipe_bytes", "Content in pipes: the kernel's memory.", PAGE_GAUGE,
     offsetof(struct pipes, bytes)},
    {"sluice_worker_pipes_missed_total", "Times that content was copied for want of a pipe.",
     PAGE_COUNTER, offsetof(struct pipes, missed)},
};

static void say_pipes(const struct crew *crew, struct page *page)
{
    for (size_t i = 0; i < sizeof(pipe_rows) / sizeof(pipe_rows[0]); i++) {
        page_family(page, pipe_rows[i].family, pipe_rows[i].type, pipe_rows[i].help);
        for (unsigned j = 0; j < crew->n_workers; j++) {
            const char *pipes = (const char *)&crew->worker[j]->loop->pipes;

            say_worker(page, j, counter_get((const void *)(pipes + pipe_rows[i].offset)));
        }
    }
}

static void say_workers(const struct crew *crew, struct page *page)
{
    page_family(page, "sluice_workers", PAGE_GAUGE, "Threads that carry traffic.");
    page_count(page, NULL, 0, crew->n_workers);
    for (size_t i = 0; i < sizeof(worker_rows) / sizeof(worker_rows[0]); i++) {
        const struct row *row = &worker_rows[i];

        page_family(page, row->family, row->type, row->help);
        for (unsigned j = 0; j < crew->n_workers; j++) {
            const char *counters = (const char *)&crew->worker[j]->counters;

            say_worker(page, j,
                       counter_get((const struct counter *)(const void *)(counters + row->offset)));
        }
    }
    page_family(page, "sluice_worker_loop_turns_total", PAGE_COUNTER, "Turns of the event loop.");
    for (unsigned j = 0; j < crew->n_workers; j++) {
        say_worker(page, j, counter_get(&crew->worker[j]->loop->turns));
    }
    say_turns(crew, page);
    page_family(page, "sluice_worker_block_bytes", PAGE_GAUGE, "Memory for bytes in flight.");
    for (unsigned j = 0; j < crew->n_workers; j++) {
        const struct loop *loop = crew->worker[j]->loop;

        say_worker(page, j, slab_bytes(&loop->blocks) + slab_bytes(&loop->large_blocks));
    }
    page_family(page, "sluice_worker_slab_bytes", PAGE_GAUGE,
                "Memory for connections and exchanges, with what HTTP/2 streams of clients queue.");
    for (unsigned j = 0; j < crew->n_workers; j++) {
        const struct worker *worker = crew->worker[j];

        say_worker(page, j,
                   slab_bytes(&worker->sessions) + slab_bytes(&worker->chunks) +
                       slab_bytes(&worker->tunnels) + h2_bench_bytes(worker->h2));
    }
    say_given_back(crew, page);
    say_pipes(crew, page);
}

static void say_ends(const struct crew *crew, struct page *page)
{
    page_family(page, "sluice_request_ends_total", PAGE_COUNTER, "How exchanges ended.");
    for (int reason = REASON_NONE + 1; reason < REASON_COUNT; reason++) {
        struct label label = {"reason", span_of(reason_name((enum reason)reason))};
        uint64_t sum = 0;

        for (unsigned i = 0; i < crew->n_workers; i++) {
            sum += counter_get(&crew->worker[i]->counters.ends[reason]);
        }
        page_count(page, &label, 1, sum);
    }
}

/* -- listeners ----------------------------------------------------------- */

#define AT(member) offsetof(struct port_counters, member)

#define CAUSE_ROW(symbol, name, text)                                                              \
    {"sluice_http2_ended_total",                                                                   \
     H2_CAUSE_##symbol == 0 ? "HTTP/2 connections and streams ended for what clients did." : NULL, \
     PAGE_COUNTER,                                                                                 \
     "cause",                                                                                      \
     (name),                                                                                       \
     AT(h2_causes[H2_CAUSE_##symbol])},

/* "sluice_http2_resets_received_total" and its sister: a row each code. */
#define NTH(at, n) ((at) + (n) * sizeof(struct counter))
#define RESET_ROWS(family, help, at)                                                               \
    {(family), (help), PAGE_COUNTER, "code", "no_error", NTH(at, 0)},                              \
        {(family), NULL, PAGE_COUNTER, "code", "protocol_error", NTH(at, 1)},                      \
        {(family), NULL, PAGE_COUNTER, "code", "internal_error", NTH(at, 2)},                      \
        {(family), NULL, PAGE_COUNTER, "code", "flow_control_error", NTH(at, 3)},                  \
        {(family), NULL, PAGE_COUNTER, "code", "settings_timeout", NTH(at, 4)},                    \
        {(family), NULL, PAGE_COUNTER, "code", "stream_closed", NTH(at, 5)},                       \
        {(family), NULL, PAGE_COUNTER, "code", "frame_size_error", NTH(at, 6)},                    \
        {(family), NULL, PAGE_COUNTER, "code", "refused_stream", NTH(at, 7)},                      \
        {(family), NULL, PAGE_COUNTER, "code", "cancel", NTH(at, 8)},                              \
        {(family), NULL, PAGE_COUNTER, "code", "compression_error", NTH(at, 9)},                   \
        {(family), NULL, PAGE_COUNTER, "code", "connect_error", NTH(at, 10)},                      \
        {(family), NULL, PAGE_COUNTER, "code", "enhance_your_calm", NTH(at, 11)},                  \
        {(family), NULL, PAGE_COUNTER, "code", "inadequate_security", NTH(at, 12)},                \
        {(family), NULL, PAGE_COUNTER, "code", "http_1_1_required", NTH(at, 13)},                  \
    {                                                                                              \
        (family), NULL, PAGE_COUNTER, "code", "other", NTH(at, 14)                                 \
    }

static const struct row port_rows[] = {
    {"sluice_downstream_connections", "Open connections of a listener.", PAGE_GAUGE, NULL, NULL,
     AT(open)},
    {"sluice_downstream_connections_total", "Connections that a listener accepted.", PAGE_COUNTER,
     NULL, NULL, AT(accepted)},
    {"sluice_downstream_refused_total", "Times a connection could not be taken.", PAGE_COUNTER,
     "cause", "limit", AT(refused_limit)},
    {"sluice_downstream_refused_total", NULL, PAGE_COUNTER, "cause", "handshakes",
     AT(refused_handshakes)},
    {"sluice_downstream_refused_total", NULL, PAGE_COUNTER, "cause", "descriptors",
     AT(refused_descriptors)},
    {"sluice_proxy_protocol_total", "How connections of a listener with PROXY headers began.",
     PAGE_COUNTER, "result", "v1", AT(proxy_v1)},
    {"sluice_proxy_protocol_total", NULL, PAGE_COUNTER, "result", "v2", AT(proxy_v2)},
    {"sluice_proxy_protocol_total", NULL, PAGE_COUNTER, "result", "none", AT(proxy_none)},
    {"sluice_proxy_protocol_total", NULL, PAGE_COUNTER, "result", "refused", AT(proxy_refused)},
    {"sluice_proxy_protocol_total", NULL, PAGE_COUNTER, "result", "malformed", AT(proxy_wrong)},
    {"sluice_proxy_protocol_total", NULL, PAGE_COUNTER, "result", "timeout", AT(proxy_timeout)},
    {"sluice_tls_handshakes_total", "How TLS handshakes of a listener ended.", PAGE_COUNTER,
     "result", "full", AT(tls_full)},
    {"sluice_tls_handshakes_total", NULL, PAGE_COUNTER, "result", "resumed", AT(tls_resumed)},
    {"sluice_tls_handshakes_total", NULL, PAGE_COUNTER, "result", "failed", AT(tls_failed)},
    {"sluice_tls_handshakes_total", NULL, PAGE_COUNTER, "result", "timeout", AT(tls_timeout)},
    {"sluice_tls_handshakes_total", NULL, PAGE_COUNTER, "result", "plain_http", AT(tls_plain)},
    {"sluice_tls_handshakes", "TLS handshakes of a listener under way.", PAGE_GAUGE, NULL, NULL,
     AT(tls_shaking)},
    {"sluice_tls_versions_total", "TLS connections of a listener by version.", PAGE_COUNTER,
     "version", "1.2", AT(tls_1_2)},
    {"sluice_tls_versions_total", NULL, PAGE_COUNTER, "version", "1.3", AT(tls_1_3)},
    {"sluice_tls_ciphers_total", "TLS connections of a listener by cipher.", PAGE_COUNTER, "cipher",
     "aes_128_gcm", AT(tls_ciphers[PORT_TLS_AES_128_GCM])},
    {"sluice_tls_ciphers_total", NULL, PAGE_COUNTER, "cipher", "aes_256_gcm",
     AT(tls_ciphers[PORT_TLS_AES_256_GCM])},
    {"sluice_tls_ciphers_total", NULL, PAGE_COUNTER, "cipher", "chacha20_poly1305",
     AT(tls_ciphers[PORT_TLS_CHACHA20])},
    {"sluice_tls_ciphers_total", NULL, PAGE_COUNTER, "cipher", "other",
     AT(tls_ciphers[PORT_TLS_OTHER_CIPHER])},
    {"sluice_tls_protocols_total", "TLS connections of a listener by protocol (ALPN).",
     PAGE_COUNTER, "protocol", "h2", AT(tls_protocols[PORT_TLS_H2])},
    {"sluice_tls_protocols_total", NULL, PAGE_COUNTER, "protocol", "http/1.1",
     AT(tls_protocols[PORT_TLS_HTTP_1_1])},
    {"sluice_tls_protocols_total", NULL, PAGE_COUNTER, "protocol", "none",
     AT(tls_protocols[PORT_TLS_NO_PROTOCOL])},
    {"sluice_tls_early_data_total",
     "TLS connections of a listener whose client sent data before the handshake was over.",
     PAGE_COUNTER, NULL, NULL, AT(tls_early)},
    {"sluice_tls_client_certificates_total",
     "TLS connections of a listener whose client showed a good certificate.", PAGE_COUNTER, NULL,
     NULL, AT(tls_client_certs)},
    {"sluice_http2_connections", "Open HTTP/2 connections of a listener.", PAGE_GAUGE, NULL, NULL,
     AT(h2_open)},
    {"sluice_http2_connections_total", "Connections that began to speak HTTP/2.", PAGE_COUNTER,
     NULL, NULL, AT(h2_accepted)},
    {"sluice_http2_dead_total", "HTTP/2 connections that answered no PING.", PAGE_COUNTER, NULL,
     NULL, AT(h2_dead)},
    {"sluice_http2_streams_total", "Requests that came by HTTP/2.", PAGE_COUNTER, NULL, NULL,
     AT(h2_streams)},
    {"sluice_http2_put_off_total",
     "Requests by HTTP/2 that waited while others were served, as their connection had begun as "
     "many as it may at a time.",
     PAGE_COUNTER, NULL, NULL, AT(h2_put_off)},
    {"sluice_http2_not_begun_total",
     "Requests by HTTP/2 that ended, by a reset or with their connection, before they were begun: "
     "no upstream heard of them.",
     PAGE_COUNTER, NULL, NULL, AT(h2_not_begun)},
    H2_CAUSES(CAUSE_ROW) RESET_ROWS("sluice_http2_resets_received_total",
                                    "Streams that clients reset.", AT(h2_resets_in)),
    RESET_ROWS("sluice_http2_resets_sent_total", "Streams that the gateway reset.",
               AT(h2_resets_out)),
};

#undef AT

static void say_port(void *saying_, const struct tally_block *block)
{
    const struct saying *saying = saying_;
    const struct row *row = saying->row;
    struct label labels[] = {{"listener", block->key}, {row->label, span_of(row->value)}};

    page_count(saying->page, labels, row->label ? 2 : 1,
               collect_sum(block, saying->n_workers, row->offset));
}

/* Only what there was. */
static void say_failures(void *saying_, const struct tally_block *block)
{
    const struct saying *saying = saying_;
    struct label labels[] = {{"listener", block->key}, {.name = "cause"}};

    for (size_t i = 0; i < TLS_CAUSE_COUNT; i++) {
        size_t offset = offsetof(struct port_counters, tls_causes) + i * sizeof(struct counter);
        uint64_t n = collect_sum(block, saying->n_workers, offset);

        labels[1].value = span_of(tls_cause_name((enum tls_cause)i));
        if (n > 0)
            page_count(saying->page, labels, 2, n);
    }
}

static void say_handshakes(void *saying_, const struct tally_block *block)
{
    const struct saying *saying = saying_;
    const struct label label = {"listener", block->key};

    collect_times(saying->page, &label, block, saying->n_workers,
                  offsetof(struct port_counters, tls_time));
}

static void say_ports(struct saying *saying, const struct tally *tally)
{
    for (size_t i = 0; i < sizeof(port_rows) / sizeof(port_rows[0]); i++) {
        saying->row = &port_rows[i];
        if (saying->row->help)
            page_family(saying->page, saying->row->family, saying->row->type, saying->row->help);
        tally_each(tally, PORT_TALLY, say_port, saying);
    }
    page_family(saying->page, "sluice_tls_handshake_failures_total", PAGE_COUNTER,
                "TLS handshakes of a listener that failed, by cause.");
    tally_each(tally, PORT_TALLY, say_failures, saying);
    page_family(saying->page, "sluice_tls_handshake_duration_seconds", PAGE_HISTOGRAM,
                "TLS handshakes of a listener that went well, from when the connection was taken.");
    tally_each(tally, PORT_TALLY, say_handshakes, saying);
}

/* -- routes -------------------------------------------------------------- */

static void say_requests(void *saying_, const struct tally_block *block)
{
    static const char *const classes[STATUS_CLASSES] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
    const struct saying *saying = saying_;
    struct label labels[] = {{"route", block->key}, {.name = "class"}};

    for (size_t i = 0; i < STATUS_CLASSES; i++) {
        size_t offset = offsetof(struct route_counters, requests) + i * sizeof(struct counter);

        labels[1].value = span_of(classes[i]);
        page_count(saying->page, labels, 2, collect_sum(block, saying->n_workers, offset));
    }
}

/* Only what there was: most routes serve no calls. */
static void say_grpc(void *saying_, const struct tally_block *block)
{
    const struct saying *saying = saying_;
    struct label labels[] = {{"route", block->key}, {.name = "grpc_status"}};

    for (size_t i = 0; i < GRPC_STATUS_COUNT; i++) {
        size_t offset = offsetof(struct route_counters, grpc) + i * sizeof(struct counter);
        uint64_t n = collect_sum(block, saying->n_workers, offset);

        labels[1].value = span_of(grpc_status_name((enum grpc_status)i));
        if (n > 0)
            page_count(saying->page, labels, 2, n);
    }
}

static void say_duration(void *saying_, const struct tally_block *block)
{
    const struct saying *saying = saying_;
    const struct route_counters *first = tally_slot(block, 0);
    struct label label = {"route", block->key};

    page_histogram(saying->page, &label, 1, &first->duration, saying->n_workers, block->stride);
}

static void say_request_bytes(void *saying_, const struct tally_block *block)
{
    const struct saying *saying = saying_;
    struct label label = {"route", block->key};

    page_count(
        saying->page, &label, 1,
        collect_sum(block, saying->n_workers, offsetof(struct route_counters, request_bytes)));
}

static void say_response_bytes(void *saying_, const struct tally_block *block)
{
    const struct saying *saying = saying_;
    struct label label = {"route", block->key};

    page_count(
        saying->page, &label, 1,
        collect_sum(block, saying->n_workers, offsetof(struct route_counters, response_bytes)));
}

static void say_tunnels(void *saying_, const struct tally_block *block)
{
    const struct saying *saying = saying_;
    struct label label = {"route", block->key};

    page_count(saying->page, &label, 1,
               collect_sum(block, saying->n_workers, offsetof(struct route_counters, tunnels)));
}

static void say_routes(struct saying *saying, const struct tally *tally)
{
    static const struct {
        const char *family, *help;
        enum page_type type;
        tally_each_fn *say;
    } families[] = {
        {"sluice_requests_total", "Requests by class of the final status.", PAGE_COUNTER,
         say_requests},
        {"sluice_grpc_responses_total", "Calls of gRPC by how they ended.", PAGE_COUNTER, say_grpc},
        {"sluice_request_duration_seconds", "From the request's first byte to the end.",
         PAGE_HISTOGRAM, say_duration},
        {"sluice_request_body_bytes_total", "Bytes of request bodies.", PAGE_COUNTER,
         say_request_bytes},
        {"sluice_response_body_bytes_total", "Bytes of response bodies.", PAGE_COUNTER,
         say_response_bytes},
        {"sluice_tunnels", "Tunnels (WebSocket) that are open.", PAGE_GAUGE, say_tunnels},
    };

    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        page_family(saying->page, families[i].family, families[i].type, families[i].help);
        tally_each(tally, ROUTE_TALLY, families[i].say, saying);
    }
}

/* -- logs ---------------------------------------------------------------- */

static void say_dropped(const struct writer *writer, struct page *page)
{
    struct label access = {"log", SPAN("access")}, other = {"log", SPAN("main")};

    if (!writer)
        return;
    page_family(page, "sluice_log_dropped_total", PAGE_COUNTER, "Lines that could not be written.");
    page_count(page, &access, 1, writer_dropped_lanes(writer));
    page_count(page, &other, 1, writer_dropped_shared(writer));
}

void collect_traffic(void *arg, struct page *page)
{
    const struct traffic_numbers *numbers = arg;
    struct saying saying = {page, NULL, numbers->crew->n_workers};

    say_workers(numbers->crew, page);
    say_ports(&saying, numbers->tally);
    say_routes(&saying, numbers->tally);
    say_ends(numbers->crew, page);
    say_dropped(numbers->crew->writer, page);
}
