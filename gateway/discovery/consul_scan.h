/*
 * consul_scan.h - walk through the answer of /v1/health/state/any without building anything of it.
 *
 * In a cluster with 50,000 endpoints it is 20 MB, of which three members of each check matter.
 */
#ifndef DISCOVERY_CONSUL_SCAN_H
#define DISCOVERY_CONSUL_SCAN_H

#include "base/span.h"

/* One check. Texts are as between the quotes: with their escapes, if there are any. */
struct consul_check {
    struct sluice_span node, service; /* service "": a check of the node */
    uint64_t modified;                /* index */
};

typedef void consul_check_fn(void *arg, const struct consul_check *check);

/*
 * Tell each check. ERR_PROTOCOL when it is not a list of objects, after telling those before the
 * place where it is wrong.
 */
CHECKED enum err consul_scan(struct sluice_span json, consul_check_fn *each, void *arg);

#endif /* DISCOVERY_CONSUL_SCAN_H */
