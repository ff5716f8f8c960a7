/*
 * kinds.h - the kinds of sources there are (private to discovery).
 */
#ifndef DISCOVERY_KINDS_H
#define DISCOVERY_KINDS_H

#include "discovery/source.h"

extern const struct source_kind source_static; /* "endpoints" */

#endif /* DISCOVERY_KINDS_H */
