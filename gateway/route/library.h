/*
 * library.h - the version of the library behind this layer, for `sluice version -v`.
 */
#ifndef ROUTE_LIBRARY_H
#define ROUTE_LIBRARY_H

#include "base/text.h"

/* Append that of PCRE2, such as "10.42 2022-12-11". */
void library_pcre2(struct text *out);

#endif /* ROUTE_LIBRARY_H */
