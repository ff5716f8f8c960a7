#include "proxy/conn_json.h"

#include "config/json.h"
#include "net/addr.h"
#include "net/conn.h"
#include "net/tls.h"

enum { SUBJECT_MAX = 16 * 1024 /* of a client's certificate, and what making its text takes */ };

void conn_json_address(struct json *json, const char *name, const struct addr *addr)
{
    char text[ADDR_TEXT];

    json_string(json, name, span_make(text, addr_format(addr, text, sizeof(text))));
}

static void add_bool(struct json *json, const char *name, bool value)
{
    json_literal(json, name, value ? SPAN("true") : SPAN("false"));
}

static void add_subject(struct json *json, const struct conn *conn)
{
    struct sluice_span subject;
    struct arena arena;

    if (!tls_has_client_cert(conn))
        return;
    arena_init(&arena, NULL, SUBJECT_MAX);
    if (tls_client_subject(conn, &arena, &subject) == OK)
        json_string(json, "client_subject", subject);
    arena_fini(&arena);
}

void conn_json_tls(struct json *json, const struct conn *conn)
{
    if (!tls_is_on(conn))
        return;
    json_open_row(json, "tls", '{');
    json_string(json, "version", tls_version(conn));
    json_string(json, "cipher", tls_cipher(conn));
    json_string(json, "server_name", tls_server_name(conn));
    json_string(json, "alpn", tls_protocol(conn));
    add_bool(json, "resumed", tls_is_resumed(conn));
    if (tls_is_accepted(conn))
        add_bool(json, "early_data", tls_took_early(conn));
    add_subject(json, conn);
    json_close(json, '}');
}

void conn_json_traffic(struct json *json, const struct conn *conn)
{
    struct conn_traffic traffic;

    if (!conn_traffic(conn, &traffic))
        return;
    json_number(json, "bytes_in", traffic.bytes_in);
    json_number(json, "bytes_out", traffic.bytes_out);
    json_number(json, "rtt_us", traffic.rtt_us);
}
