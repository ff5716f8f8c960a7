/*
 * kinds.h - the kinds of sources there are (private to discovery).
 */
#ifndef DISCOVERY_KINDS_H
#define DISCOVERY_KINDS_H

#include "discovery/source.h"

extern const struct source_kind source_static; /* "endpoints" */
extern const struct source_kind source_file;   /* "file" */
extern const struct source_kind source_dns;    /* "dns" */
extern const struct source_kind source_consul; /* "consul" */

#endif /* DISCOVERY_KINDS_H */
