/*
 * table_private.h - what a table is made of, for table.c and explain.c. Private to route/.
 */
#ifndef ROUTE_TABLE_PRIVATE_H
#define ROUTE_TABLE_PRIVATE_H

#include "route/draft.h"
#include "route/match_host.h"
#include "route/table.h"

/* Immutable once built; lives in the snapshot's arena. */
struct route_table {
    const struct route **routes; /* n, in the order written */
    size_t n;
    unsigned n_selections; /* targets with a subset */
    struct hosts hosts;
    struct paths any; /* routes without hosts, or for "*" */
};

#endif /* ROUTE_TABLE_PRIVATE_H */
