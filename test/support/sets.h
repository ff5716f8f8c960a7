/*
 * sets.h - members of the literal endpoints that a configuration lists, without a source.
 */
#ifndef TEST_SETS_H
#define TEST_SETS_H

#include "upstream/members.h"

/* The caller owns a reference. before: the newest set so far, or NULL. */
static inline struct members *sets_make(const struct upstream_conf *conf, struct shares *shares,
                                        const struct members *before)
{
    const struct endpoint_conf *endpoint = conf->source.endpoints.first;
    struct found *found = found_new();
    const struct members_recipe recipe = {.upstream = conf->named.name,
                                          .balance = conf->balance,
                                          .serial = before ? before->serial + 1 : 1,
                                          .found = found,
                                          .before = before,
                                          .shares = shares};
    struct members *members;

    for (size_t i = 0; i < conf->source.endpoints.n; i++) {
        endpoint_conf_add(&endpoint[i], found);
    }
    members = members_new(&recipe);
    found_unref(&found);
    return members;
}

#endif /* TEST_SETS_H */
