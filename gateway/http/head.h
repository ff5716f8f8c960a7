/*
 * head.h - what the parts of a head may look like, whatever version it came in; private to http.
 *
 * HTTP/1 and HTTP/2 cut heads differently, and judge the parts by these rules, so that what either
 * lets through the other would have let through too.
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include "http/h1_parse.h"

/*
 * Cut request->target by request->method into form, scheme, authority, path and query; those were
 * emptied before. The bytes of the target are visible ASCII without '#'. NONE or TARGET.
 */
enum h1_rule head_target(struct request *request);

/* The number that a Content-Length says. NONE or LENGTH. */
enum h1_rule head_length(struct sluice_span value, int64_t *length);

/* Is it this word, in any case? word is in lower case and has letters, digits and '-' only. */
bool head_is_word(struct sluice_span text, struct sluice_span word);

#endif /* HTTP_HEAD_H */
