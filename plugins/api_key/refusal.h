/*
 * refusal.h - every reason to refuse a request, with its word in the access log and its status.
 */
#ifndef API_KEY_REFUSAL_H
#define API_KEY_REFUSAL_H

#include "sluice_plugin.h"

enum refusal {
    REFUSAL_NONE,
    REFUSAL_MISSING,
    REFUSAL_SEVERAL,
    REFUSAL_UNKNOWN,
    REFUSAL_EARLY,
    REFUSAL_EXPIRED,
    REFUSAL_GROUP
};

struct refusal_rule {
    struct sluice_span word;
    uint32_t status;
};

static const struct refusal_rule refusal_rules[] = {
    [REFUSAL_NONE] = {SLUICE_SPAN_INIT("passed"), 0},
    [REFUSAL_MISSING] = {SLUICE_SPAN_INIT("api_key_missing"), 401},
    [REFUSAL_SEVERAL] = {SLUICE_SPAN_INIT("api_key_several"), 400},
    [REFUSAL_UNKNOWN] = {SLUICE_SPAN_INIT("api_key_unknown"), 401},
    [REFUSAL_EARLY] = {SLUICE_SPAN_INIT("api_key_early"), 401},
    [REFUSAL_EXPIRED] = {SLUICE_SPAN_INIT("api_key_expired"), 401},
    [REFUSAL_GROUP] = {SLUICE_SPAN_INIT("api_key_group"), 403},
};

#endif /* API_KEY_REFUSAL_H */
