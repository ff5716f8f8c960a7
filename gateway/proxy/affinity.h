/*
 * affinity.h - requests that belong together go to the same endpoint: what a rule of balancing
 * goes by is taken from the request, and told to the client where a cookie says it.
 *
 * Threads: the worker's.
 */
#ifndef PROXY_AFFINITY_H
#define PROXY_AFFINITY_H

#include "http/message.h"

struct exchange;

/* Set the key of the attempt's lease if the target's rule wants one and the request has it. */
void affinity_find(struct exchange *ex);

/* Add the cookie that names the endpoint, when the client does not have it. */
CHECKED enum err affinity_tell(const struct exchange *ex, struct fields *fields);

#endif /* PROXY_AFFINITY_H */
