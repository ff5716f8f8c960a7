/*
 * record.c - every exchange leaves its numbers, and a line in the access log if there is one.
 *
 * A tunnel outlives its exchange. It is logged by the configuration in force at its end: the one
 * at its beginning is not kept for it, and the file that it named may be gone.
 */
#include "proxy/record.h"

#include "base/log.h"
#include "chain/run.h"
#include "net/addr.h"
#include "net/proxied.h"
#include "net/tls.h"
#include "observe/access_pack.h"
#include "proxy/hedge.h"
#include "proxy/retry.h"
#include "proxy/worker.h"

static unsigned status_of(const struct exchange *ex)
{
    return ex->head_sent ? ex->response.status : 0;
}

static struct route_counters *counters_of(const struct exchange *ex)
{
    const struct snapshot *snapshot = ex->view->snapshot;
    const struct tally_block *tally =
        ex->route ? snapshot->route_tally[ex->route->index] : snapshot->unrouted_tally;

    return tally_slot(tally, ex->worker->index);
}

static void count(struct exchange *ex, uint64_t duration_us)
{
    struct route_counters *counters = counters_of(ex);

    counter_add(&ex->worker->counters.ends[ex->reason], 1);
    counter_add(&counters->requests[status_of(ex) / 100 % STATUS_CLASSES], 1);
    histogram_add(&counters->duration, duration_us);
    if (ex->tunnel) {
        record_moved(ex);
        return;
    }
    if (ex->request_bytes > 0)
        counter_add(&counters->request_bytes, (uint64_t)ex->request_bytes);
    counter_add(&counters->response_bytes, (uint64_t)ex->response_bytes);
    if (ex->grpc_end > 0)
        counter_add(&counters->grpc[ex->grpc_end - 1], 1);
}

void record_moved(struct exchange *ex)
{
    struct route_counters *counters = counters_of(ex);
    struct exchange_tunnel *tunnel = ex->tunnel;

    counter_add(&counters->request_bytes, (uint64_t)(ex->request_bytes - tunnel->counted_in));
    counter_add(&counters->response_bytes, (uint64_t)(ex->response_bytes - tunnel->counted_out));
    tunnel->counted_in = ex->request_bytes;
    tunnel->counted_out = ex->response_bytes;
}

static bool find_field(const struct access_record *record, bool of_response,
                       struct sluice_span name, struct sluice_span *value)
{
    const struct exchange *ex = record->owner;
    const struct fields *fields = of_response ? &ex->response.fields : &ex->request.fields;

    for (unsigned i = 0; i < fields->n; i++) {
        const struct field_line *line = &fields->line[i];

        /* What the gateway added may come from a file of secrets. */
        if (!(line->mark & FIELD_ADDED) && span_equal_nocase(field_name(line), name)) {
            *value = field_value(line);
            return true;
        }
    }
    return false;
}

static bool find_attribute(const struct access_record *record, struct sluice_span name,
                           struct sluice_span *value)
{
    const struct exchange *ex = record->owner;

    return ex->chain && chain_attribute(ex->chain, name, value);
}

static bool find_proxy(const struct proxied *proxied, struct arena *arena,
                       struct sluice_span *value)
{
    char text[ADDR_TEXT];

    if (!proxied)
        return false;
    *value = arena_copy(arena, span_make(text, addr_format(&proxied->by, text, sizeof(text))));
    return value->len > 0;
}

static bool fact_of(const struct exchange_from *from, struct arena *arena, enum access_fact fact,
                    struct sluice_span *value)
{
    const struct conn *conn = from->conn;

    switch (fact) {
    case ACCESS_FACT_TLS_VERSION:
        *value = tls_version(conn);
        break;
    case ACCESS_FACT_TLS_CIPHER:
        *value = tls_cipher(conn);
        break;
    case ACCESS_FACT_TLS_SNI:
        *value = tls_server_name(conn);
        break;
    case ACCESS_FACT_TLS_ALPN:
        *value = tls_protocol(conn);
        break;
    case ACCESS_FACT_TLS_SESSION:
        *value = tls_is_resumed(conn) ? SPAN("resumed") : SPAN("new");
        return tls_is_on(conn);
    case ACCESS_FACT_TLS_EARLY:
        *value = SPAN("1");
        return from->is_early;
    case ACCESS_FACT_TLS_CLIENT_SUBJECT:
        return tls_client_subject(conn, arena, value) == OK && value->len > 0;
    case ACCESS_FACT_TLS_CLIENT_FINGERPRINT:
        return tls_client_fingerprint(conn, arena, value) == OK && value->len > 0;
    case ACCESS_FACT_PROXY:
        return find_proxy(from->proxied, arena, value);
    case ACCESS_FACT_PROXY_UNIQUE_ID:
        *value = span_of(from->proxied ? from->proxied->unique_id : NULL);
        break;
    case ACCESS_FACT_RESET_BY:
    case ACCESS_FACT_RESET_CODE:
    case ACCESS_FACT_UPSTREAM_PROTOCOL:
        return false; /* an exchange's: see find_fact() */
    }
    return value->len > 0;
}

static bool find_reset(const struct exchange *ex, enum access_fact fact, struct sluice_span *value)
{
    struct leg *leg = ex->from.leg;
    struct leg_reset reset;

    if (!leg->ops->find_reset || !leg->ops->find_reset(leg, ex->down_end, &reset))
        return false;
    *value = fact == ACCESS_FACT_RESET_CODE ? span_of(reset.code)
             : reset.by_peer                ? SPAN("client")
                                            : SPAN("sluice");
    return true;
}

/* By the codec that the last try was given; none when nothing was sent. */
static bool find_upstream_protocol(const struct exchange *ex, struct sluice_span *value)
{
    if (!ex->attempt || ex->attempt->sent_us == 0)
        return false;
    *value = span_equal(span_of(ex->attempt->leg.ops->name), SPAN("h2")) ? SPAN("HTTP/2")
                                                                         : SPAN("HTTP/1.1");
    return true;
}

static bool find_fact(const struct access_record *record, enum access_fact fact,
                      struct sluice_span *value)
{
    const struct exchange *ex = record->owner;

    if (fact == ACCESS_FACT_RESET_BY || fact == ACCESS_FACT_RESET_CODE)
        return find_reset(ex, fact, value);
    if (fact == ACCESS_FACT_UPSTREAM_PROTOCOL)
        return find_upstream_protocol(ex, value);
    return fact_of(&ex->from, record->arena, fact, value);
}

/* For who looks into one case: what the metrics only count. */
static void tell(struct exchange *ex)
{
    if (ex->reason == REASON_COMPLETED || ex->reason == REASON_RESPONDED ||
        ex->reason == REASON_REDIRECTED)
        return;
    log_debug("exchange ended", F_SPAN("request_id", exchange_id(ex)),
              F_SPAN("client", exchange_client(ex)), F_STR("reason", reason_name(ex->reason)),
              F_STR("detail", ex->detail ? ex->detail : ""), F_SPAN("endpoint", ex->endpoint));
}

static struct access_record record_of(struct exchange *ex, uint64_t duration_us)
{
    const struct request *request = &ex->request;
    uint64_t now_us = loop_now_us(ex->worker->loop);
    bool tried = ex->answered_us > 0;

    return (struct access_record){
        .wall_us = worker_wall_us(ex->worker) - (now_us - ex->begun_us),
        .duration_us = duration_us,
        .upstream_us = tried ? (int64_t)(ex->answered_us - ex->begun_us) : ACCESS_NONE,
        .bytes_in = ex->request_bytes,
        .bytes_out = ex->response_bytes,
        .status = status_of(ex) ? (int64_t)status_of(ex) : ACCESS_NONE,
        .grpc_status = ex->grpc_end > 0 ? ex->grpc_end - 1 : ACCESS_NONE,
        .reason = reason_name(ex->reason),
        .client = exchange_client(ex),
        .method = request->method_text,
        .scheme = span_of(ex->from.scheme),
        .host = request->authority,
        .path = request->path,
        .query = request->query,
        .target = request->target,
        .protocol = span_of(ex->from.protocol),
        .route = ex->route ? ex->route->name : (struct sluice_span){NULL, 0},
        .upstream = ex->target ? ex->target->upstream : (struct sluice_span){NULL, 0},
        .endpoint = ex->endpoint,
        .listener = ex->from.port->conf->name,
        .client_port = ex->from.peer->port,
        .worker = ex->worker->index,
        .tries = ex->tries,
        .connection = ex->from.connection,
        .connection_requests = ex->from.requests,
        .stream = ex->from.stream,
        .generation = ex->view->snapshot->generation,
        .has_query = request->has_query,
        .reused = ex->reused,
        .find_field = find_field,
        .find_attribute = find_attribute,
        .find_fact = find_fact,
        .notes = ex->chain ? chain_notes(ex->chain) : SPAN(""),
        .owner = ex,
        .arena = &ex->arena,
    };
}

/* The record, with the texts that are made for it; reasons: memory for one of them. */
static struct access_record whole_record(struct exchange *ex, uint64_t duration_us,
                                         char reasons[RETRY_REASONS_TEXT])
{
    struct access_record record = record_of(ex, duration_us);

    record.hedged = hedge_text(ex);
    record.retry_reasons = retry_reasons(ex, reasons, RETRY_REASONS_TEXT);
    record.request_id = exchange_id(ex);
    return record;
}

/* A full ring drops the line and counts it: a worker never waits for a disk. */
static void write_line(struct worker *worker, const struct snapshot *snapshot,
                       struct access_record *record)
{
    record->second = &worker->second;
    text_reset(&worker->line);
    access_format_write(snapshot->access_log.format, record, &worker->line);
    if (!worker->line.cut)
        writer_line(worker->lane, snapshot->access_file, text_span(&worker->line));
}

void record_exchange(struct exchange *ex)
{
    const struct snapshot *snapshot = ex->view->snapshot;
    struct worker *worker = ex->worker;
    uint64_t duration_us = loop_now_us(worker->loop) - ex->begun_us;
    struct access_record record;
    char reasons[RETRY_REASONS_TEXT];

    count(ex, duration_us);
    if (log_is_on(LOG_DEBUG))
        tell(ex);
    if (!snapshot->access_file)
        return;
    record = whole_record(ex, duration_us, reasons);
    write_line(worker, snapshot, &record);
}

/* -- tunnels --------------------------------------------------------------- */

/* What can be told without the exchange; peer: memory for the client's address. */
static struct access_record base_of(struct worker *worker, const struct record_tunnel *tunnel,
                                    char peer[ADDR_TEXT])
{
    const struct exchange_from *from = &tunnel->from;
    uint64_t age_us = loop_now_us(worker->loop) - tunnel->begun_us;

    return (struct access_record){
        .wall_us = worker_wall_us(worker) - age_us,
        .duration_us = age_us,
        .upstream_us = ACCESS_NONE,
        .bytes_in = (int64_t)tunnel->bytes_in,
        .bytes_out = (int64_t)tunnel->bytes_out,
        .status = 101,
        .reason = reason_name(tunnel->reason),
        .client = span_make(peer, addr_format_ip(from->peer, peer, ADDR_TEXT)),
        .method = SPAN("GET"),
        .scheme = span_of(from->scheme),
        .protocol = span_of(from->protocol),
        .route = tunnel->route->key,
        .upstream = span_of(tunnel->endpoint->upstream->name),
        .endpoint = tunnel->endpoint->member.text,
        .listener = from->port->conf->name,
        .client_port = from->peer->port,
        .worker = worker->index,
        .tries = 1,
        .connection = from->connection,
        .connection_requests = from->requests,
    };
}

size_t record_pack(struct exchange *ex, const struct record_tunnel *tunnel, char *out)
{
    const struct snapshot *snapshot = ex->view->snapshot;
    char reasons[RETRY_REASONS_TEXT], peer[ADDR_TEXT];
    struct access_record record, base;

    if (!snapshot->access_file)
        return 0;
    base = base_of(ex->worker, tunnel, peer);
    record = whole_record(ex, base.duration_us, reasons);
    /* What the end will tell. */
    record.bytes_in = base.bytes_in;
    record.bytes_out = base.bytes_out;
    record.reason = base.reason;
    return access_pack(snapshot->access_log.format, &record, &base, out, ACCESS_PACK_MAX);
}

static bool find_kept_field(const struct access_record *record, bool of_response,
                            struct sluice_span name, struct sluice_span *value)
{
    const struct record_tunnel *tunnel = record->owner;

    return access_packed_field(tunnel->packed, of_response, name, value);
}

static bool find_kept_attribute(const struct access_record *record, struct sluice_span name,
                                struct sluice_span *value)
{
    const struct record_tunnel *tunnel = record->owner;

    return access_packed_attribute(tunnel->packed, name, value);
}

static bool find_tunnel_fact(const struct access_record *record, enum access_fact fact,
                             struct sluice_span *value)
{
    const struct record_tunnel *tunnel = record->owner;

    return fact_of(&tunnel->from, record->arena, fact, value);
}

static void log_tunnel(struct worker *worker, const struct record_tunnel *tunnel)
{
    const struct snapshot *snapshot = worker->view ? worker->view->snapshot : NULL;
    char peer[ADDR_TEXT];
    struct access_record record;
    struct arena arena;

    if (!snapshot || !snapshot->access_file)
        return;
    arena_init(&arena, &worker->chunks, ARENA_CHUNK);
    record = base_of(worker, tunnel, peer);
    record.find_field = find_kept_field;
    record.find_attribute = find_kept_attribute;
    record.find_fact = find_tunnel_fact;
    record.owner = tunnel;
    record.arena = &arena;
    access_unpack(tunnel->packed, &record);
    write_line(worker, snapshot, &record);
    arena_fini(&arena);
}

void record_tunnel_end(struct worker *worker, const struct record_tunnel *tunnel)
{
    struct route_counters *counters = tally_slot(tunnel->route, worker->index);

    counter_add(&worker->counters.ends[tunnel->reason], 1);
    counter_add(&counters->requests[1], 1); /* 101 */
    histogram_add(&counters->duration, loop_now_us(worker->loop) - tunnel->begun_us);
    if (log_is_on(LOG_DEBUG) && tunnel->reason != REASON_COMPLETED) {
        log_debug("tunnel ended", F_UINT("connection", tunnel->from.connection),
                  F_STR("reason", reason_name(tunnel->reason)),
                  F_SPAN("endpoint", tunnel->endpoint->member.text));
    }
    log_tunnel(worker, tunnel);
}
