/*
 * record.c - every exchange leaves its numbers, and a line in the access log if there is one.
 */
#include "base/log.h"
#include "chain/run.h"
#include "net/proxied.h"
#include "net/tls.h"
#include "observe/access_log.h"
#include "proxy/exchange.h"
#include "proxy/hedge.h"
#include "proxy/retry.h"
#include "proxy/worker.h"

static unsigned status_of(const struct exchange *ex)
{
    return ex->head_sent ? ex->response.status : 0;
}

static void count(const struct exchange *ex, uint64_t duration_us)
{
    const struct snapshot *snapshot = ex->view->snapshot;
    const struct tally_block *tally =
        ex->route ? snapshot->route_tally[ex->route->index] : snapshot->unrouted_tally;
    struct route_counters *counters = tally_slot(tally, ex->worker->index);

    counter_add(&ex->worker->counters.ends[ex->reason], 1);
    counter_add(&counters->requests[status_of(ex) / 100 % STATUS_CLASSES], 1);
    if (ex->request_bytes > 0)
        counter_add(&counters->request_bytes, (uint64_t)ex->request_bytes);
    counter_add(&counters->response_bytes, (uint64_t)ex->response_bytes);
    if (ex->grpc_end > 0)
        counter_add(&counters->grpc[ex->grpc_end - 1], 1);
    histogram_add(&counters->duration, duration_us);
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

static bool find_fact(const struct access_record *record, enum access_fact fact,
                      struct sluice_span *value)
{
    const struct exchange *ex = record->owner;
    const struct conn *conn = ex->from.conn;

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
    case ACCESS_FACT_TLS_CLIENT_SUBJECT:
        return tls_client_subject(conn, record->arena, value) == OK && value->len > 0;
    case ACCESS_FACT_TLS_CLIENT_FINGERPRINT:
        return tls_client_fingerprint(conn, record->arena, value) == OK && value->len > 0;
    case ACCESS_FACT_PROXY:
        return find_proxy(ex->from.proxied, record->arena, value);
    case ACCESS_FACT_PROXY_UNIQUE_ID:
        *value = span_of(ex->from.proxied ? ex->from.proxied->unique_id : NULL);
        break;
    }
    return value->len > 0;
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

void exchange_record(struct exchange *ex)
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
    record = record_of(ex, duration_us);
    record.hedged = hedge_text(ex);
    record.retry_reasons = retry_reasons(ex, reasons, sizeof(reasons));
    record.request_id = exchange_id(ex);
    text_reset(&worker->line);
    access_format_write(snapshot->access_log.format, &record, &worker->line);
    /* A full ring drops the line and counts it: a worker never waits for a disk. */
    if (!worker->line.cut)
        writer_line(worker->lane, snapshot->access_file, text_span(&worker->line));
}
