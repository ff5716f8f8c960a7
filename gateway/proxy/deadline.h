/*
 * deadline.h - how long an exchange may take, by whoever says the shortest time, and what the
 * endpoint is told of it.
 *
 * Threads: the worker's.
 */
#ifndef PROXY_DEADLINE_H
#define PROXY_DEADLINE_H

#include "http/message.h"
#include "upstream/conf_deadline.h"

struct exchange;

/* Could a request of this method bring a deadline of its own? */
static inline bool deadline_may_come(const struct deadline_conf *conf, enum method method)
{
    return conf->field.len > 0 || (conf->grpc && method == METHOD_POST);
}

/*
 * Before the first try, when ex->times is settled and no field has changed: take the client's
 * time where it counts, and start the clock. ERR_PROTOCOL, with ex->detail, when it is malformed.
 */
CHECKED enum err deadline_begin(struct exchange *ex);

/* Before each head that is sent: say in its fields what is left. ERR_MEMORY, ERR_LIMIT. */
CHECKED enum err deadline_tell(struct exchange *ex, struct fields *fields);

#endif /* PROXY_DEADLINE_H */
