#include "proxy/proxying.h"

#include "net/conn.h"
#include "net/preface.h"
#include "net/proxied.h"
#include "net/tls.h"
#include "proxy/exchange.h"
#include "upstream/conf_proxying.h"

#include <stdio.h>

static struct sluice_span if_wanted(const struct proxying_conf *conf, enum proxying_tlv tlv,
                                    struct sluice_span value)
{
    return proxying_has(conf, tlv) ? value : SPAN("");
}

/* Where the client was going: to us, or to who sent us its header. */
static void set_to(const struct exchange_from *from, struct addr *to)
{
    if (from->proxied && from->proxied->to.family != 0) {
        *to = from->proxied->to;
    } else {
        conn_local_address(from->conn, to);
    }
}

struct sluice_span proxying_header(struct exchange *ex, const struct proxying_conf *conf)
{
    const struct exchange_from *from = &ex->from;
    const struct conn *conn = from->conn;
    char id[24], bytes[PREFACE_MAX];
    int id_len = snprintf(id, sizeof(id), "%llu", (unsigned long long)from->connection);
    struct proxy_header header = {.version = conf->version == PROXYING_V1 ? 1 : 2,
                                  .from = *from->peer};

    set_to(from, &header.to);
    header.alpn = if_wanted(conf, PROXYING_ALPN, tls_protocol(conn));
    header.authority = if_wanted(conf, PROXYING_AUTHORITY, tls_server_name(conn));
    header.unique_id = if_wanted(conf, PROXYING_UNIQUE_ID, span_make(id, (size_t)id_len));
    header.has_crc = proxying_has(conf, PROXYING_CRC32C);
    if (proxying_has(conf, PROXYING_SSL) && tls_is_on(conn)) {
        header.ssl.is_on = true;
        header.ssl.has_cert = header.ssl.is_verified = tls_has_client_cert(conn);
        header.ssl.version = tls_version(conn);
        header.ssl.cipher = tls_cipher(conn);
    }
    return arena_copy(&ex->arena,
                      span_make(bytes, proxy_header_write(bytes, sizeof(bytes), &header)));
}
