/*
 * conn_json.h - what there is to be seen of any connection, as members of an open JSON object;
 * private to proxy.
 */
#ifndef PROXY_CONN_JSON_H
#define PROXY_CONN_JSON_H

struct addr;
struct conn;
struct json;

void conn_json_address(struct json *json, const char *name, const struct addr *addr);

/* tls, after its handshake; nothing without TLS. */
void conn_json_tls(struct json *json, const struct conn *conn);

/* bytes_in, bytes_out, rtt_us; nothing where the kernel does not count. */
void conn_json_traffic(struct json *json, const struct conn *conn);

#endif /* PROXY_CONN_JSON_H */
