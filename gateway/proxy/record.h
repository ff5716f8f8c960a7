/*
 * record.h - what is counted and logged at the end of exchanges and of tunnels.
 *
 * Threads: the worker's.
 */
#ifndef PROXY_RECORD_H
#define PROXY_RECORD_H

#include "base/span.h"
#include "proxy/exchange.h"

struct endpoint;
struct tally_block;

/* Of an exchange: count and log its end. */
void record_exchange(struct exchange *ex);

/* Of a tunnel that lives on in its exchange: count the bytes that have come since the last time. */
void record_moved(struct exchange *ex);

/* All that can be told of a tunnel without its exchange. */
struct record_tunnel {
    struct exchange_from from;       /* no leg */
    const struct tally_block *route; /* struct route_counters; its key is the route's name */
    const struct endpoint *endpoint;
    uint64_t begun_us;
    uint64_t bytes_in, bytes_out;
    enum reason reason;
    struct sluice_span packed; /* what record_pack() has kept for the log line */
};

/*
 * Pack what the log line will need of the exchange beside that into out, which has room for
 * ACCESS_PACK_MAX bytes; returns how many it takes. 0: nothing, or no access log.
 */
size_t record_pack(struct exchange *ex, const struct record_tunnel *tunnel, char *out);

/* Count and log the end. Its bytes have been counted as they came. */
void record_tunnel_end(struct worker *worker, const struct record_tunnel *tunnel);

#endif /* PROXY_RECORD_H */
