/*
 * conf_deadline.h - what an upstream is told of the time that is left.
 */
#ifndef UPSTREAM_CONF_DEADLINE_H
#define UPSTREAM_CONF_DEADLINE_H

#include "config/shape.h"

struct deadline_conf {
    struct sluice_span field; /* that carries milliseconds; empty: none */
    bool accept;              /* believe it when a trusted peer sends it */
    bool grpc;                /* read and write grpc-timeout of gRPC calls */
};

/* The "deadline:" map: a SHAPE_STRUCT of struct deadline_conf. */
extern const struct shape deadline_shape;

#endif /* UPSTREAM_CONF_DEADLINE_H */
