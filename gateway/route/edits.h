/*
 * edits.h - making the lists of changes to fields. Private to route/.
 */
#ifndef ROUTE_EDITS_H
#define ROUTE_EDITS_H

#include "route/draft.h"

enum edits_side { EDITS_REQUEST, EDITS_RESPONSE };

/* key is what the list is called in the file ("request_fields"). */
void edits_make(const struct draft *draft, const struct draft_edits *written, enum edits_side side,
                const char *key, struct route_edits *edits);

/* The fields of respond: all are set. */
void edits_make_respond(const struct draft *draft, const struct items *pairs,
                        struct route_edits *edits);

/* True when text may be a field's name (RFC 9110 5.6.2), or its value. */
bool edits_is_token(struct sluice_span text);
bool edits_is_value(struct sluice_span text);

#endif /* ROUTE_EDITS_H */
