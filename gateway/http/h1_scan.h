/*
 * h1_scan.h - find the byte that ends a name, a line or a target; private to http.
 *
 * Three searches, each in a portable version and in versions for SSE4.2 and AVX2. All return
 * the first byte of [at, end) that ends the run, or end. floor <= at is where readable memory
 * begins: a vector version may read [floor, end) to finish with one overlapping load instead of
 * a loop over single bytes.
 */
#ifndef HTTP_H1_SCAN_H
#define HTTP_H1_SCAN_H

#include "http/octet.h"

typedef const char *h1_scan_fn(const char *at, const char *end, const char *floor);

struct h1_scan_set {
    const char *name;
    h1_scan_fn *token_end;  /* the first byte that is no tchar */
    h1_scan_fn *line_end;   /* the first control byte but the tab: CR, LF or a wrong one */
    h1_scan_fn *target_end; /* the first byte that is not visible ASCII, or '#' */
};

/* The sets this processor can run, best first; the last is the portable one. Returns how many. */
enum { H1_SCAN_SETS = 3 };
unsigned h1_scan_sets(const struct h1_scan_set *sets[H1_SCAN_SETS]);

/* The set in use. */
const struct h1_scan_set *h1_scan_get(void);

/* The first byte whose bits of class are want: what the vector versions use in small buffers. */
const char *h1_scan_class(const char *at, const char *end, unsigned class, unsigned want);

#if defined(__x86_64__)
extern const struct h1_scan_set h1_scan_sse42, h1_scan_avx2;
#endif

#endif /* HTTP_H1_SCAN_H */
