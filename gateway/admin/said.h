/*
 * said.h - what a plugin says of itself: is it JSON, is it a refusal (private to admin).
 *
 * Apart from the pages: the reader of JSON and the writer share names.
 */
#ifndef ADMIN_SAID_H
#define ADMIN_SAID_H

#include "base/span.h"

/* One JSON value, and nothing else. */
bool said_is_json(struct sluice_span said);

/* An object with a member "error": so a plugin refuses a command. */
bool said_is_refusal(struct sluice_span said);

#endif /* ADMIN_SAID_H */
