/*
 * port_tls.h - what a listener counts of TLS.
 */
#ifndef PROXY_PORT_TLS_H
#define PROXY_PORT_TLS_H

#include <stdbool.h>

struct conn;
struct port;

/* A handshake has begun. Each is ended once, however it ended. */
void port_tls_begin(struct port *port);
void port_tls_end(struct port *port);

/* It has gone well: count what was agreed on. */
void port_tls_note(const struct port *port, const struct conn *conn);

/* Are as many handshakes under way, on all workers, as the listener allows at a time? */
bool port_tls_is_full(const struct port *port);

#endif /* PROXY_PORT_TLS_H */
