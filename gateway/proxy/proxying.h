/*
 * proxying.h - tell an endpoint by a PROXY header whose connection it gets.
 */
#ifndef PROXY_PROXYING_H
#define PROXY_PROXYING_H

#include "base/span.h"

struct exchange;
struct proxying_conf;

/*
 * The header for the client of this exchange, in its arena: the same for all requests of one
 * connection. Empty when there is no memory for it.
 */
struct sluice_span proxying_header(struct exchange *ex, const struct proxying_conf *conf);

#endif /* PROXY_PROXYING_H */
