/*
 * conf_proxying.h - the PROXY protocol towards endpoints, as configured.
 */
#ifndef UPSTREAM_CONF_PROXYING_H
#define UPSTREAM_CONF_PROXYING_H

#include "config/shape.h"

enum proxying_version { PROXYING_NONE, PROXYING_V1, PROXYING_V2 };

/* What version 2 says beside addresses. */
enum proxying_tlv {
    PROXYING_ALPN,
    PROXYING_AUTHORITY,
    PROXYING_SSL,
    PROXYING_UNIQUE_ID,
    PROXYING_CRC32C,
};

struct proxying_conf {
    int version;       /* enum proxying_version */
    struct items tlvs; /* of int: enum proxying_tlv */
};

extern const struct shape proxying_shape;

bool proxying_has(const struct proxying_conf *conf, enum proxying_tlv tlv);

/* The header of a connection that is made for nobody but ourselves; static bytes. */
struct sluice_span proxying_local(enum proxying_version version);

#endif /* UPSTREAM_CONF_PROXYING_H */
