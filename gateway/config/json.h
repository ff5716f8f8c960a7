/*
 * json.h - write indented JSON (private to config).
 *
 * Objects and lists open and close; members come in between, each with its
 * name, or NULL inside a list. A row is a list or object on one line.
 */
#ifndef CONFIG_JSON_H
#define CONFIG_JSON_H

#include "base/text.h"

/* Zero-initialise all but out. */
struct json {
    struct text *out; /* borrowed */
    unsigned depth;
    unsigned rows; /* open ones that are rows, or inside a row */
    bool filled;   /* the innermost open one has a member */
};

void json_open(struct json *json, const char *name, char bracket);
void json_open_row(struct json *json, const char *name, char bracket);
void json_close(struct json *json, char bracket);

void json_string(struct json *json, const char *name, struct sluice_span value);

/* A number, true or false, as it is. */
void json_literal(struct json *json, const char *name, struct sluice_span value);
void json_number(struct json *json, const char *name, uint64_t value);

#endif /* CONFIG_JSON_H */
