/*
 * claims.h - what a verified token must say, and until when it may be believed.
 */
#ifndef JWT_AUTH_CLAIMS_H
#define JWT_AUTH_CLAIMS_H

#include "refusal.h"

#include <jansson.h>

/* One entry of `claims`. Each condition that is set must hold. */
struct claims_rule {
    struct sluice_span name;     /* a member, or a path: "realm_access.roles" */
    struct sluice_span equals;   /* ptr NULL: not asked */
    struct sluice_list one_of;   /* of struct sluice_span: the claim is one of them */
    struct sluice_list contains; /* of struct sluice_span: the claim, a list, has all of them */
};

struct claims_rules {
    struct sluice_list issuers, audiences; /* of struct sluice_span; empty: not asked */
    struct sluice_list claims;             /* of struct claims_rule */
    struct sluice_list scopes;             /* of struct sluice_span */
    bool any_scope;                        /* one of them is enough */
    bool needs_exp;
    uint64_t leeway_ms;
    uint64_t max_age_ms; /* since iat; 0: not asked */
};

/*
 * Check claims at now_us (since 1970). *until_us is the moment from which REFUSAL_NONE is not true
 * any more; UINT64_MAX: never.
 */
enum refusal claims_check(const struct claims_rules *rules, const json_t *claims, uint64_t now_us,
                          uint64_t *until_us);

/* A claim by its name, or by a path of names with dots between them; NULL: it is not there. */
const json_t *claims_find(const json_t *claims, struct sluice_span name);

/*
 * A claim as one line of text in out: text as it is, numbers and booleans as JSON, lists of those
 * joined by commas, objects as JSON. List elements that hold a comma are left out, for they would
 * read as two. False: not there, null, longer than cap, or with control characters in it.
 */
bool claims_render(const json_t *value, char *out, size_t cap, size_t *len);

#endif /* JWT_AUTH_CLAIMS_H */
