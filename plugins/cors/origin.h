/*
 * origin.h - which origins may read our answers.
 *
 *   *                        every origin
 *   null                     sandboxed documents and files
 *   https://a.example        that one
 *   https://a.example:*      any port
 *
 * and with "*." before the host: every host below it, at any depth, but not that host itself.
 */
#ifndef CORS_ORIGIN_H
#define CORS_ORIGIN_H

#include "sluice_plugin.h"

/* One pattern, taken apart. All borrow from the text. */
struct origin {
    struct sluice_span scheme, host, port; /* port with its colon; empty: none */
    bool is_any, is_null, any_subdomain, any_port;
};

/* NULL, or what is wrong with the pattern. */
const char *origin_parse(struct sluice_span text, struct origin *origin);

/* Does the value of an Origin field fit? Scheme and host without case. */
bool origin_fits(const struct origin *origin, struct sluice_span value);

/* Is it the request's own origin (which is no cross-origin request)? */
bool origin_is_own(struct sluice_span value, struct sluice_span scheme, struct sluice_span host);

bool origin_same_name(struct sluice_span a, struct sluice_span b);

#endif /* CORS_ORIGIN_H */
