/*
 * source.h - where in a request the key is, and how it is taken out.
 */
#ifndef API_KEY_SOURCE_H
#define API_KEY_SOURCE_H

#include "options.h"

/* How many keys there are, and the last of them; borrowed from the request. */
unsigned source_find(const struct sluice_call *call, const struct options *options,
                     struct sluice_span *key);

/* Take the keys out of what goes on, as the options say. False: not possible. */
bool source_strip(const struct sluice_call *call, const struct options *options);

#endif /* API_KEY_SOURCE_H */
