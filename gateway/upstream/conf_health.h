/*
 * conf_health.h - active checks as configured: how an endpoint is asked whether it is well.
 */
#ifndef UPSTREAM_CONF_HEALTH_H
#define UPSTREAM_CONF_HEALTH_H

#include "config/shape.h"

enum health_kind { HEALTH_HTTP, HEALTH_TCP, HEALTH_GRPC };

/* Statuses that are expected, both ends included. */
struct health_status {
    uint16_t first, last;
};

/* A field to send. */
struct health_field {
    struct named named;
    struct sluice_span value;
};

struct health_conf {
    struct mark at;
    bool is_written, enabled;
    int kind;                                    /* enum health_kind */
    uint64_t interval_ms, unhealthy_ms, idle_ms; /* 0: as interval_ms */
    uint64_t timeout_ms;
    uint64_t rise, fall; /* checks in a row */
    bool reuse;          /* the connection of the check before */
    double jitter;
    uint64_t port; /* 0: the endpoint's */
    bool plain;    /* without TLS, whatever the upstream has */
    struct sluice_span path, method, host;
    struct items fields; /* of struct health_field */
    struct items status; /* of struct health_status */
    struct sluice_span body;
    struct body_pattern *pattern; /* in the arena; NULL: none */
    struct sluice_span send, expect;
    struct sluice_span service;
};

extern const struct shape health_shape;

/* Are there checks? */
bool health_conf_is_on(const struct health_conf *conf);

#endif /* UPSTREAM_CONF_HEALTH_H */
