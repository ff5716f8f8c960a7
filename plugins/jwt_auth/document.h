/*
 * document.h - JSON from strangers, within bounds.
 *
 * A document is one JSON object: RFC 8259 to the letter, no member twice on any level, no NUL, no
 * number that does not fit, nested at most DOCUMENT_DEPTH deep, and nothing behind it.
 */
#ifndef JWT_AUTH_DOCUMENT_H
#define JWT_AUTH_DOCUMENT_H

#include "sluice_plugin.h"

#include <jansson.h>

#define DOCUMENT_DEPTH 16 /* real tokens and key sets stay below 6 */

/* The object, owned by the caller (json_decref); NULL: not such a document. */
json_t *document_parse(struct sluice_span text);

/* The text of a member; an empty span with NULL: there is none, or it is not text. */
struct sluice_span document_text(const json_t *object, const char *name);

/* The text of a JSON string; an empty span with NULL otherwise. Borrowed from value. */
struct sluice_span document_span(const json_t *value);

#endif /* JWT_AUTH_DOCUMENT_H */
