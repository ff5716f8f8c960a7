/*
 * date.h - IMF-fixdate (RFC 9110 5.6.7).
 */
#ifndef HTTP_DATE_H
#define HTTP_DATE_H

#include <stdint.h>

enum { DATE_TEXT = 29 };

/* "Sun, 06 Nov 1994 08:49:37 GMT", exactly DATE_TEXT bytes, no NUL. */
void date_format(uint64_t wall_s, char out[DATE_TEXT]);

#endif /* HTTP_DATE_H */
