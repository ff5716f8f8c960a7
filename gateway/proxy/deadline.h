/*
 * deadline.h - how long an exchange may take, by whoever says the shortest time, and what the
 * endpoint is told of it.
 *
 * Threads: the worker's.
 */
#ifndef PROXY_DEADLINE_H
#define PROXY_DEADLINE_H

#include "base/err.h"

struct exchange;

/*
 * Before the first try, when ex->times is settled and no field has changed: take the client's
 * time where it counts, and start the clock. ERR_PROTOCOL, with ex->detail, when it is malformed.
 */
CHECKED enum err deadline_begin(struct exchange *ex);

/* Before each head that is sent: say what is left. ERR_MEMORY, ERR_LIMIT. */
CHECKED enum err deadline_tell(struct exchange *ex);

#endif /* PROXY_DEADLINE_H */
