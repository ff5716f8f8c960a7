/*
 * consul_parse.h - what Consul says of a service, as a set of endpoints. Without any I/O.
 *
 * Node by node: one that cannot be used is left out and counted, the others stay.
 */
#ifndef DISCOVERY_CONSUL_PARSE_H
#define DISCOVERY_CONSUL_PARSE_H

#include "discovery/found.h"

/* How to read a node; borrowed. */
struct consul_reading {
    struct sluice_span address; /* the tagged address to use: "lan", "wan_ipv6"; "": none */
    struct sluice_span zone;    /* name of the meta of a node that says its zone */
    struct sluice_span weight;  /* meta "NAME: 5" or tag "NAME=5" that overrides the weights */
    uint32_t passing, warning;  /* weights when the registry gives none */
    bool passing_only;          /* a warning counts as failing */
};

enum { CONSUL_WHY = 160 };

/* What was left out. */
struct consul_rejected {
    size_t n;
    char why[CONSUL_WHY]; /* of the first: "node n1, service web-1: port 0" */
};

/*
 * Read the answer of /v1/health/service/NAME, a list, or of /v1/query/ID/execute, an object with
 * "Nodes". ERR_PROTOCOL when it is neither; *found is then NULL. Else the caller owns it.
 */
CHECKED enum err consul_parse(struct sluice_span json, const struct consul_reading *reading,
                              struct found **found, struct consul_rejected *rejected);

#endif /* DISCOVERY_CONSUL_PARSE_H */
