/*
 * kinds.h - the kinds of sources there are (private to discovery).
 */
#ifndef DISCOVERY_KINDS_H
#define DISCOVERY_KINDS_H

#include "discovery/source.h"

extern const struct source_kind source_static; /* "endpoints" */
extern const struct source_kind source_file;   /* "file" */
extern const struct source_kind source_dns;    /* "dns" */

#endif /* DISCOVERY_KINDS_H */
