/*
 * refusal.h - every reason to refuse a request, with its word in the access log and its status.
 */
#ifndef BASIC_AUTH_REFUSAL_H
#define BASIC_AUTH_REFUSAL_H

#include "sluice_plugin.h"

enum refusal {
    REFUSAL_NONE,
    REFUSAL_MISSING,
    REFUSAL_SEVERAL,
    REFUSAL_MALFORMED,
    REFUSAL_WRONG,
    REFUSAL_GROUP,
    REFUSAL_BUSY
};

struct refusal_rule {
    struct sluice_span word;
    uint32_t status;
};

/* A name that nobody has and a password that is wrong are one reason: a log is read by many. */
static const struct refusal_rule refusal_rules[] = {
    [REFUSAL_NONE] = {SLUICE_SPAN_INIT("passed"), 0},
    [REFUSAL_MISSING] = {SLUICE_SPAN_INIT("basic_auth_missing"), 401},
    [REFUSAL_SEVERAL] = {SLUICE_SPAN_INIT("basic_auth_several"), 400},
    [REFUSAL_MALFORMED] = {SLUICE_SPAN_INIT("basic_auth_malformed"), 401},
    [REFUSAL_WRONG] = {SLUICE_SPAN_INIT("basic_auth_wrong"), 401},
    [REFUSAL_GROUP] = {SLUICE_SPAN_INIT("basic_auth_group"), 403},
    [REFUSAL_BUSY] = {SLUICE_SPAN_INIT("basic_auth_busy"), 503},
};

#endif /* BASIC_AUTH_REFUSAL_H */
