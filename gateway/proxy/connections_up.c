/*
 * connections_up.c - the connections to endpoints. Those that are kept or shared are found by
 * endpoint; one that an exchange or a tunnel has for itself, by the session that it serves: so
 * nobody keeps a list of them. The few on which plugins' own calls are under way are not found.
 */
#include "proxy/connections_state.h"

#include "config/json.h"
#include "proxy/conn_json.h"
#include "proxy/exchange.h"
#include "proxy/hedge.h"
#include "proxy/tunnel.h"
#include "proxy/worker.h"
#include "upstream/upstream.h"

#include <limits.h>

/* One turn of the walk. */
struct looking {
    const struct connections_subject *subject;
    struct connections_met *met;
    unsigned worker;
    uint64_t connection; /* of the client whose exchange or tunnel it serves; 0: nobody's */
};

/* A row to be written. */
struct peer_row {
    const struct peer_look *look;
    const struct looking *looking;
    uint64_t idle_ms;
};

static enum session_protocol protocol_of(const struct peer_look *look)
{
    static const enum session_protocol protocols[] = {[PEER_UNKNOWN] = SESSION_NO_PROTOCOL,
                                                      [PEER_HTTP_1] = SESSION_HTTP_1,
                                                      [PEER_HTTP_2] = SESSION_HTTP_2,
                                                      [PEER_TUNNEL] = SESSION_TUNNELS};

    return protocols[look->protocol];
}

static unsigned write_row(const void *row_, unsigned max_streams, struct text *out)
{
    const struct peer_row *row = row_;
    const struct peer_look *look = row->look;
    struct json json = {.out = out};
    struct addr local;

    (void)max_streams;
    json_open_row(&json, NULL, '{');
    json_number(&json, "worker", row->looking->worker);
    json_string(&json, "upstream", span_of(look->endpoint->upstream->name));
    json_string(&json, "endpoint", look->endpoint->member.text);
    conn_local_address(look->conn, &local);
    if (local.family != 0)
        conn_json_address(&json, "local", &local);
    json_string(&json, "protocol", span_of(session_protocol_name(protocol_of(look))));
    json_string(&json, "state", span_of(look->state));
    if (!conn_is_dialling(look->conn))
        conn_json_tls(&json, look->conn);
    json_number(&json, "age_ms", conn_age_ms(look->conn));
    json_number(&json, "idle_ms", row->idle_ms);
    json_number(&json, "requests", look->requests);
    conn_json_traffic(&json, look->conn);
    if (row->looking->connection != 0)
        json_number(&json, "connection", row->looking->connection);
    if (look->is_shared) {
        json_number(&json, "open_streams", look->streams);
        json_number(&json, "waiting", look->waiting);
        json_number(&json, "room", look->room);
    }
    json_close(&json, '}');
    return 0;
}

static uint64_t idle_ms_of(const struct peer_look *look)
{
    struct conn_traffic traffic;

    if (!look->is_idle)
        return 0;
    (void)conn_traffic(look->conn, &traffic);
    return traffic.quiet_ms;
}

static void on_peer(void *looking_, const struct peer_look *look)
{
    const struct looking *looking = looking_;
    const struct connections_wanted *wanted = &looking->subject->wanted;
    struct connections_met *met = looking->met;
    struct peer_row row = {look, looking, idle_ms_of(look)};
    const struct sight sight = {.id = ++met->total,
                                .opened = look->conn->opened,
                                .idle_ms = row.idle_ms,
                                .requests = look->requests,
                                .write = write_row,
                                .from = &row};

    met->cost += 2;
    if ((wanted->protocol == CONNECTIONS_ANY || (int)protocol_of(look) == wanted->protocol) &&
        (wanted->idle_over_ms == 0 || row.idle_ms > wanted->idle_over_ms) &&
        (wanted->name.len == 0 ||
         span_equal(span_of(look->endpoint->upstream->name), wanted->name)))
        connections_keep(met, looking->subject, &sight);
}

/* -- the walk ---------------------------------------------------------------------------- */

static void look_at_attempt(struct looking *looking, const struct attempt *attempt)
{
    struct peer_look look;

    if (attempt && lease_look(&attempt->lease, &look))
        on_peer(looking, &look);
}

static void on_exchange(void *looking, struct exchange *ex)
{
    look_at_attempt(looking, ex->attempt);
    for (unsigned i = 0; ex->hedge && i < HEDGE_MAX; i++)
        look_at_attempt(looking, ex->hedge->rival[i].attempt);
}

static void look_at_session(struct looking *looking, struct list *link)
{
    struct tunnel *tunnel = session_tunnel_of(link);
    struct peer_look look;
    struct tunnel_look its;

    looking->connection = session_id(link);
    looking->met->cost++;
    if (tunnel) {
        tunnel_look(tunnel, &its);
        tenancy_look(its.tenancy, &look);
        on_peer(looking, &look);
    } else {
        looking->met->cost += session_each_exchange(link, UINT_MAX, on_exchange, looking);
    }
    looking->connection = 0;
}

bool connections_look_up(const struct connections_subject *subject, struct worker *worker,
                         struct connections_met *met)
{
    struct looking looking = {.subject = subject, .met = met, .worker = worker->index};

    while (met->cost < CONNECTIONS_TURN_COST) {
        struct list *link = session_walk_next(&met->walk, worker);

        if (link) {
            look_at_session(&looking, link);
        } else if (!peer_walk_on(&met->peers, worker->upstreams, on_peer, &looking)) {
            return true;
        } else {
            met->cost++;
        }
    }
    return false;
}
