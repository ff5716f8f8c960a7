/*
 * source.h - where in a request the token is, and how it is taken out.
 */
#ifndef JWT_AUTH_SOURCE_H
#define JWT_AUTH_SOURCE_H

#include "options.h"

/* Find the one token. REFUSAL_MISSING: there is none; REFUSAL_SEVERAL: more than one. */
enum refusal source_find(const struct sluice_call *call, const struct options *options,
                         struct sluice_span *token);

/* Take the token out of what goes on, as the options say. False: not possible. */
bool source_strip(const struct sluice_call *call, const struct options *options);

/*
 * Remove the fields that are ours to set, also in writings that an upstream may take for them
 * (X_User for X-User). False: not possible.
 */
bool source_clear(const struct sluice_call *call, const struct options *options);

#endif /* JWT_AUTH_SOURCE_H */
