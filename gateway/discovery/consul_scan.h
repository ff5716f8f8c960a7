/*
 * consul_scan.h - walk through a list of checks as it arrives, without building anything of it.
 *
 * In a cluster with 50,000 endpoints /v1/health/state/any is 20 MB, of which three members of each
 * check matter. What is told in pieces is forgotten up to the check that is not whole yet.
 */
#ifndef DISCOVERY_CONSUL_SCAN_H
#define DISCOVERY_CONSUL_SCAN_H

#include "base/text.h"

enum { CONSUL_CHECK_MAX = 1024 * 1024 /* bytes; Consul stores no more */ };

/* One check. Texts are as between the quotes: with their escapes, if there are any. */
struct consul_check {
    struct sluice_span node, service; /* service "": a check of the node */
    uint64_t modified;                /* index */
};

typedef void consul_check_fn(void *arg, const struct consul_check *check);

enum consul_scan_place { SCAN_BEFORE, SCAN_OPENED, SCAN_CHECK, SCAN_AFTER, SCAN_CLOSED };

/* A list that is being told. */
struct consul_scan {
    enum consul_scan_place place;
    bool is_wrong;
    struct text rest; /* not taken yet */
    consul_check_fn *each;
    void *arg;
};

/* Every whole check will be told to each, once. */
void consul_scan_init(struct consul_scan *scan, consul_check_fn *each, void *arg);
void consul_scan_fini(struct consul_scan *scan);

/* The next piece. */
void consul_scan_add(struct consul_scan *scan, struct sluice_span piece);

/* ERR_PROTOCOL when the pieces were not a whole list of objects. */
CHECKED enum err consul_scan_end(const struct consul_scan *scan);

#endif /* DISCOVERY_CONSUL_SCAN_H */
