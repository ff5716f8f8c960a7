/*
 * subrequest.h - what the service is told about a request.
 */
#ifndef EXT_AUTH_SUBREQUEST_H
#define EXT_AUTH_SUBREQUEST_H

#include "options.h"

/*
 * Begin the sub-request of this exchange, with that content. Returns what http_call() did; 0: not
 * possible.
 */
uint64_t subrequest_begin(const struct sluice_call *call, const struct options *options,
                          struct sluice_span body, sluice_http_fn *done);

#endif /* EXT_AUTH_SUBREQUEST_H */
