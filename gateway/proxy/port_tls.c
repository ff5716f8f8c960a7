#include "proxy/port_tls.h"

#include "net/listener.h"
#include "net/tls.h"
#include "observe/tally.h"
#include "proxy/worker.h"

void port_tls_begin(struct port *port)
{
    counter_add(&port->counters->tls_shaking, 1);
}

void port_tls_end(struct port *port)
{
    counter_sub(&port->counters->tls_shaking, 1);
    if (port->listener && port->conf->tls.handshakes > 0)
        listener_resume(port->listener);
}

bool port_tls_is_full(const struct port *port)
{
    uint64_t max = port->conf->tls.handshakes, n = 0;

    if (max == 0)
        return false;
    for (unsigned i = 0; i < port->worker->crew->n_workers; i++) {
        const struct port_counters *counters = tally_slot(port->tally, i);

        n += counter_get(&counters->tls_shaking);
    }
    return n >= max;
}

static enum port_tls_cipher cipher_of(const struct conn *conn)
{
    struct sluice_span name = tls_cipher(conn);

    if (span_has(name, SPAN("AES_128_GCM")))
        return PORT_TLS_AES_128_GCM;
    if (span_has(name, SPAN("AES_256_GCM")))
        return PORT_TLS_AES_256_GCM;
    return span_has(name, SPAN("CHACHA20")) ? PORT_TLS_CHACHA20 : PORT_TLS_OTHER_CIPHER;
}

static enum port_tls_protocol protocol_of(const struct conn *conn)
{
    struct sluice_span name = tls_protocol(conn);

    if (span_equal(name, SPAN("h2")))
        return PORT_TLS_H2;
    return name.len > 0 ? PORT_TLS_HTTP_1_1 : PORT_TLS_NO_PROTOCOL;
}

void port_tls_note(const struct port *port, const struct conn *conn)
{
    struct port_counters *counters = port->counters;
    bool is_1_3 = span_equal(tls_version(conn), SPAN("TLSv1.3"));

    histogram_add(&counters->tls_time, tls_handshake_us(conn));
    counter_add(tls_is_resumed(conn) ? &counters->tls_resumed : &counters->tls_full, 1);
    counter_add(is_1_3 ? &counters->tls_1_3 : &counters->tls_1_2, 1);
    counter_add(&counters->tls_ciphers[cipher_of(conn)], 1);
    counter_add(&counters->tls_protocols[protocol_of(conn)], 1);
    if (tls_is_early(conn))
        counter_add(&counters->tls_early, 1);
    if (tls_has_client_cert(conn))
        counter_add(&counters->tls_client_certs, 1);
}
