/*
 * grant.h - what a verified token grants: the values that go on with each request that carries it.
 *
 * Rendered once, when a token is first seen; then only copied.
 */
#ifndef JWT_AUTH_GRANT_H
#define JWT_AUTH_GRANT_H

#include "sluice_plugin.h"

#include <jansson.h>

#define GRANT_VALUES_MAX 64
#define GRANT_BYTES_MAX  4096 /* of all values: what a request can carry on */

struct grant;

/* The n claims of that name, as text. NULL: out of memory. Owned by the caller. */
struct grant *grant_new(const json_t *claims, const struct sluice_span *names, size_t n);
void grant_free(struct grant **grant);

/* False: the token has no such claim, or none that can be told as a line of text. */
bool grant_value(const struct grant *grant, size_t i, struct sluice_span *value);

#endif /* JWT_AUTH_GRANT_H */
