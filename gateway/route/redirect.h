/*
 * redirect.h - making the redirect of a route. Private to route/.
 */
#ifndef ROUTE_REDIRECT_H
#define ROUTE_REDIRECT_H

#include "route/rewrite.h"

enum redirect_scheme { REDIRECT_SAME, REDIRECT_HTTP, REDIRECT_HTTPS };

struct route_redirect {
    unsigned status;
    enum redirect_scheme scheme;
    struct sluice_span host; /* empty: the request's */
    unsigned port;           /* 0: the request's, or the default of a changed scheme or host */
    struct route_rewrite path;
};

/* Sets route->redirect. */
void redirect_make(const struct draft *draft);

#endif /* ROUTE_REDIRECT_H */
