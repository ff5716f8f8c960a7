/*
 * unreachable.h - warns of routes that others always win over. Private to route/.
 */
#ifndef ROUTE_UNREACHABLE_H
#define ROUTE_UNREACHABLE_H

#include "route/match_host.h"

/*
 * Note a warning at each route that no request can reach, naming the route that takes its
 * requests. Sees: equal matches, wider conditions at the same path, and prefixes that cover
 * all a pattern or a route without path could match. any: routes without hosts.
 */
void unreachable_warn(const struct hosts *hosts, const struct paths *any,
                      const struct route *const *routes, size_t n_routes, struct notes *notes);

#endif /* ROUTE_UNREACHABLE_H */
