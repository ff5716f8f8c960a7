/*
 * h1_scan.c - the portable searches, and the choice among the versions.
 */
#include "http/h1_scan.h"

#include "http/h1_parse.h"

#include <string.h>

const char *h1_scan_class(const char *at, const char *end, unsigned class, unsigned want)
{
    while (at < end && (octet_classes[(unsigned char)*at] & class) != want)
        at++;
    return at;
}

static const char *token_end(const char *at, const char *end, const char *floor)
{
    (void)floor;
    return h1_scan_class(at, end, OCTET_TOKEN, 0);
}

static const char *line_end(const char *at, const char *end, const char *floor)
{
    (void)floor;
    return h1_scan_class(at, end, OCTET_STOP, OCTET_STOP);
}

static const char *target_end(const char *at, const char *end, const char *floor)
{
    (void)floor;
    return h1_scan_class(at, end, OCTET_TARGET, 0);
}

static const struct h1_scan_set scalar = {"scalar", token_end, line_end, target_end};

/*
 * The one mutable variable of this layer: what the processor can do is a fact of the process, and
 * a pointer passed down to each parse would only repeat it. Written before threads start.
 */
static const struct h1_scan_set *chosen = &scalar;

const struct h1_scan_set *h1_scan_get(void)
{
    return chosen;
}

unsigned h1_scan_sets(const struct h1_scan_set *sets[H1_SCAN_SETS])
{
    unsigned n = 0;

#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        sets[n++] = &h1_scan_avx2;
    if (__builtin_cpu_supports("sse4.2"))
        sets[n++] = &h1_scan_sse42;
#endif
    sets[n++] = &scalar;
    return n;
}

const char *h1_scan_choose(const char *wanted)
{
    const struct h1_scan_set *sets[H1_SCAN_SETS];
    unsigned n = h1_scan_sets(sets);

    chosen = sets[0];
    for (unsigned i = 0; i < n; i++) {
        if (wanted != NULL && strcmp(sets[i]->name, wanted) == 0)
            chosen = sets[i];
    }
    return chosen->name;
}
