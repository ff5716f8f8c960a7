/*
 * consul_kv_set.h - an answer of /v1/kv as a set of pieces (private to consul_kv*.c).
 */
#ifndef DISCOVERY_CONSUL_KV_SET_H
#define DISCOVERY_CONSUL_KV_SET_H

#include "discovery/consul_kv.h"

enum { CONSUL_KV_WHY = 160 };

/*
 * Read a body (empty: no keys). ERR_PROTOCOL: it is not what Consul writes; ERR_LIMIT: too much;
 * why has it in words, CONSUL_KV_WHY bytes.
 */
CHECKED enum err consul_kv_set_read(struct sluice_span body, struct consul_kv_set **set, char *why);
void consul_kv_set_free(struct consul_kv_set **set);

#endif /* DISCOVERY_CONSUL_KV_SET_H */
