/*
 * upstreams_table.h - the JSON of /upstreams as a table for people.
 *
 * What others have chosen (names, zones, reasons) is shown without control characters: nothing in
 * it can steer the terminal.
 */
#ifndef SERVER_UPSTREAMS_TABLE_H
#define SERVER_UPSTREAMS_TABLE_H

#include "base/text.h"

#include <jansson.h>

/* Append it, a line for each endpoint. colour: with escape sequences of ECMA-48. */
void upstreams_table(const json_t *whole, bool colour, struct text *out);

#endif /* SERVER_UPSTREAMS_TABLE_H */
