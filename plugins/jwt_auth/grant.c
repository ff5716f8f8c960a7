/*
 * grant.c - one block: a table of lengths, and the text behind it.
 */
#include "grant.h"

#include "claims.h"

#include <stdlib.h>
#include <string.h>

#define ABSENT UINT16_MAX

struct slice {
    uint16_t at, len; /* len ABSENT: there is no value */
};

struct grant {
    size_t n;
    struct slice slices[]; /* n of them, then the text */
};

struct grant *grant_new(const json_t *claims, const struct sluice_span *names, size_t n)
{
    struct slice slices[GRANT_VALUES_MAX];
    char text[GRANT_BYTES_MAX];
    struct grant *grant;
    size_t used = 0;

    for (size_t i = 0; i < n; i++) {
        size_t len = 0;
        bool found =
            claims_render(claims_find(claims, names[i]), text + used, sizeof(text) - used, &len);

        slices[i] = (struct slice){(uint16_t)used, found ? (uint16_t)len : ABSENT};
        used += found ? len : 0;
    }
    grant = malloc(sizeof(*grant) + n * sizeof(struct slice) + used);
    if (!grant)
        return NULL;
    grant->n = n;
    memcpy(grant->slices, slices, n * sizeof(struct slice));
    memcpy(grant->slices + n, text, used);
    return grant;
}

void grant_free(struct grant **grant)
{
    free(*grant);
    *grant = NULL;
}

bool grant_value(const struct grant *grant, size_t i, struct sluice_span *value)
{
    const struct slice *slice = &grant->slices[i];

    if (slice->len == ABSENT)
        return false;
    *value = (struct sluice_span){(const char *)(grant->slices + grant->n) + slice->at, slice->len};
    return true;
}
