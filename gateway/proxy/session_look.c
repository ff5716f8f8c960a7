#include "proxy/session_look.h"

#include "config/json.h"
#include "net/proxied.h"
#include "proxy/conn_json.h"
#include "proxy/session_h2.h"
#include "proxy/tunnel.h"
#include "proxy/worker.h"
#include "upstream/upstream.h"

static struct session *session_of(struct list *link)
{
    return list_entry(link, struct session, link);
}

const char *session_protocol_name(enum session_protocol protocol)
{
    static const char *const names[] = {[SESSION_NO_PROTOCOL] = "",
                                        [SESSION_HTTP_1] = "HTTP/1.1",
                                        [SESSION_HTTP_2] = "HTTP/2",
                                        [SESSION_TUNNELS] = "tunnel"};

    return names[protocol];
}

const struct conn *session_conn(struct list *link)
{
    return &session_of(link)->conn;
}

struct tunnel *session_tunnel_of(struct list *link)
{
    const struct session *session = session_of(link);

    return session->state == SESSION_TUNNEL ? session->tunnel : NULL;
}

/* -- a glance ---------------------------------------------------------------------- */

static uint64_t since_ms(const struct session *session, uint64_t then_us)
{
    return (loop_now_us(session->conn.loop) - then_us) / 1000;
}

static void look_at_exchange(const struct session *session, struct session_look *look)
{
    bool tunnels = session->exchange && session->exchange->state == EX_TUNNEL;

    look->protocol = tunnels ? SESSION_TUNNELS : SESSION_HTTP_1;
    look->state = tunnels ? "tunnel" : "active";
    look->n_streams = session->exchange != NULL;
}

static void look_at_tunnel(const struct session *session, struct session_look *look)
{
    struct conn_traffic traffic;

    look->protocol = SESSION_TUNNELS;
    look->state = "tunnel";
    look->n_streams = 1;
    (void)conn_traffic(&session->conn, &traffic);
    look->idle_ms = traffic.quiet_ms;
}

static void look_at_multiplex(const struct session *session, struct session_look *look)
{
    const struct multiplex *multiplex = session->multiplex;

    look->protocol = SESSION_HTTP_2;
    look->n_streams = multiplex->n_streams;
    look->state = multiplex->n_streams > 0 ? "active" : "idle";
    if (multiplex->n_streams == 0)
        look->idle_ms = conn_ticks_ms(conn_tick(session->conn.loop) - multiplex->quiet_since);
    if (multiplex->drain != DRAIN_NONE)
        look->state = "draining";
}

void session_look(struct list *link, struct session_look *look)
{
    const struct session *session = session_of(link);

    *look = (struct session_look){.id = session->id,
                                  .listener = session->port->name,
                                  .client = &session->peer,
                                  .opened = session->conn.opened,
                                  .age_ms = conn_age_ms(&session->conn),
                                  .requests = session->requests};
    switch ((enum session_state)session->state) {
    case SESSION_SHAKING:
        look->state = "handshake";
        break;
    case SESSION_IDLE:
        look->protocol = SESSION_HTTP_1;
        look->state = "idle";
        look->idle_ms = since_ms(session, session->idle_since_us);
        break;
    case SESSION_HEAD:
        look->protocol = SESSION_HTTP_1;
        look->state = "reading";
        break;
    case SESSION_EXCHANGE:
        look_at_exchange(session, look);
        break;
    case SESSION_TUNNEL:
        look_at_tunnel(session, look);
        break;
    case SESSION_MULTIPLEX:
        look_at_multiplex(session, look);
        break;
    case SESSION_LINGER:
        look->protocol = session->multiplex ? SESSION_HTTP_2 : SESSION_HTTP_1;
        look->state = "closing";
        look->requests = 0; /* forgotten already */
        break;
    }
    if (look->age_ms < look->idle_ms)
        look->age_ms = look->idle_ms; /* they are measured by clocks of other grain */
}

static unsigned each_of(const struct list *streams, unsigned max, session_exchange_fn *each,
                        void *arg)
{
    unsigned n = 0;

    list_each (node, streams) {
        if (n == max)
            break;
        each(arg, stream_exchange(node));
        n++;
    }
    return n;
}

unsigned session_each_exchange(struct list *link, unsigned max, session_exchange_fn *each,
                               void *arg)
{
    const struct session *session = session_of(link);
    unsigned n;

    if (session->state == SESSION_EXCHANGE && session->exchange && max > 0) {
        each(arg, session->exchange);
        return 1;
    }
    if (session->state != SESSION_MULTIPLEX)
        return 0;
    n = each_of(&session->multiplex->streams, max, each, arg);
    return n + each_of(&session->multiplex->fresh, max - n, each, arg);
}

/* -- in full -------------------------------------------------------------------------- */

static void add_proxied(struct json *json, const struct proxied *proxied)
{
    if (!proxied || proxied->state != PROXIED_READ)
        return;
    json_open_row(json, "proxy_protocol", '{');
    json_number(json, "version", proxied->version);
    conn_json_address(json, "peer", &proxied->by);
    json_close(json, '}');
}

/* Paths and fields are the client's own affair, and may have secrets in them. */
static void add_exchange(void *json_, struct exchange *ex)
{
    struct json *json = json_;

    json_open_row(json, NULL, '{');
    if (ex->from.stream > 0)
        json_number(json, "id", ex->from.stream);
    json_string(json, "request_id", exchange_id(ex));
    json_string(json, "state", span_of(exchange_state_name(ex)));
    json_string(json, "method", ex->request.method_text);
    json_string(json, "route", ex->route ? ex->route->name : SPAN(""));
    json_string(json, "upstream", ex->target ? ex->target->upstream : SPAN(""));
    json_string(json, "endpoint", ex->endpoint);
    json_number(json, "age_ms", (loop_now_us(ex->worker->loop) - ex->begun_us) / 1000);
    json_number(json, "bytes_in", (uint64_t)ex->request_bytes);
    json_number(json, "bytes_out", (uint64_t)ex->response_bytes);
    json_number(json, "tries", ex->tries);
    if (ex->head_sent)
        json_number(json, "status", ex->response.status);
    json_close(json, '}');
}

static void add_tunnel(struct json *json, const struct session *session)
{
    struct tunnel_look look;

    tunnel_look(session->tunnel, &look);
    json_open_row(json, NULL, '{');
    json_string(json, "state", SPAN("tunnelling"));
    json_string(json, "route", look.route);
    json_string(json, "upstream", span_of(look.endpoint->upstream->name));
    json_string(json, "endpoint", look.endpoint->member.text);
    json_number(json, "age_ms", since_ms(session, look.begun_us));
    json_number(json, "bytes_in", look.bytes_in);
    json_number(json, "bytes_out", look.bytes_out);
    json_close(json, '}');
}

static unsigned add_streams(struct json *json, struct list *link, unsigned max_streams)
{
    const struct session *session = session_of(link);
    unsigned n = 0;

    json_open_row(json, "streams", '[');
    if (session->state == SESSION_TUNNEL && max_streams > 0) {
        add_tunnel(json, session);
        n = 1;
    } else {
        n = session_each_exchange(link, max_streams, add_exchange, json);
    }
    json_close(json, ']');
    return n;
}

static void add_reset(struct json *json, const struct multiplex *multiplex)
{
    if (multiplex->reset_reason == REASON_NONE)
        return;
    json_open_row(json, "last_reset", '{');
    json_string(json, "by", multiplex->reset_by_client ? SPAN("client") : SPAN("sluice"));
    json_string(json, "code", span_of(h2_code_name(multiplex->reset_code)));
    json_string(json, "reason", span_of(reason_name((enum reason)multiplex->reset_reason)));
    json_close(json, '}');
}

unsigned session_write(struct list *link, const struct session_look *look, unsigned max_streams,
                       struct text *out)
{
    const struct session *session = session_of(link);
    struct json json = {.out = out};
    unsigned n;

    json_open_row(&json, NULL, '{');
    json_number(&json, "id", look->id);
    json_number(&json, "worker", session->port->worker->index);
    json_string(&json, "listener", span_of(look->listener));
    conn_json_address(&json, "client", look->client);
    add_proxied(&json, session->proxied);
    json_string(&json, "protocol", span_of(session_protocol_name(look->protocol)));
    json_string(&json, "state", span_of(look->state));
    if (!conn_is_dialling(&session->conn))
        conn_json_tls(&json, &session->conn);
    json_number(&json, "age_ms", look->age_ms);
    json_number(&json, "idle_ms", look->idle_ms);
    json_number(&json, "requests", look->requests);
    conn_json_traffic(&json, &session->conn);
    json_number(&json, "open_streams", look->n_streams);
    n = add_streams(&json, link, max_streams);
    if (session->state == SESSION_MULTIPLEX)
        add_reset(&json, session->multiplex);
    json_close(&json, '}');
    return n;
}
