/*
 * decision.h - what the service said about a request, as far as it matters: one block of memory.
 *
 * Names are the configuration's; values are the decision's own.
 */
#ifndef EXT_AUTH_DECISION_H
#define EXT_AUTH_DECISION_H

#include "options.h"

/* What is to be done with a value. */
enum item_kind { ITEM_UPSTREAM, ITEM_CLIENT, ITEM_ATTRIBUTE, ITEM_DENIED };

struct item {
    enum item_kind kind;
    uint32_t id;             /* ITEM_ATTRIBUTE */
    struct sluice_span name; /* of the field, else */
    struct sluice_span value;
};

struct decision {
    bool is_allowed;
    uint32_t status;
    struct sluice_span content_type, body; /* when it is not allowed */
    size_t bytes;                          /* of all of it */
    size_t n;
    struct item items[];
};

/* From an answer of 200 to 499. NULL: out of memory. */
struct decision *decision_new(const struct options *options,
                              const struct sluice_http_response *response);
void decision_free(struct decision **decision);

/*
 * How long the answer may be remembered, by the options and its Cache-Control: milliseconds; 0: not
 * at all.
 */
uint64_t decision_ttl_ms(const struct options *options,
                         const struct sluice_http_response *response);

#endif /* EXT_AUTH_DECISION_H */
