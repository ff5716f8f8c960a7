/*
 * access_pack.h - what a line will say of an exchange whose memory is about to go.
 *
 * A tunnel may last for days after its request was forgotten. What its line will need, and what
 * cannot be told at its end from something that is there anyway, is packed into as many bytes as
 * that takes. The line is then written in the format that is in force at its end: what the format
 * at the beginning did not ask for is missing.
 *
 * Threads: any.
 */
#ifndef OBSERVE_ACCESS_PACK_H
#define OBSERVE_ACCESS_PACK_H

#include "observe/access_log.h"

/*
 * Pack what format says of record and differs from base; fields and attributes always, facts never.
 * Texts are cut as a line would cut them. Returns the bytes of out that are filled, at most room: a
 * value that does not fit is left out. Texts of record that are ACCESS_CHARS must be static.
 */
size_t access_pack(const struct access_format *format, const struct access_record *record,
                   const struct access_record *base, char *out, size_t room);

enum { ACCESS_PACK_MAX = 32 * 1024 }; /* room for all that a line has room for */

/*
 * Put into record what was packed; spans are borrowed from packed, or in record->arena. Callbacks
 * are the caller's.
 */
void access_unpack(struct sluice_span packed, struct access_record *record);

/* For the callbacks: a field of a message, an attribute; false when it was not packed. */
bool access_packed_field(struct sluice_span packed, bool of_response, struct sluice_span name,
                         struct sluice_span *value);
bool access_packed_attribute(struct sluice_span packed, struct sluice_span name,
                             struct sluice_span *value);

#endif /* OBSERVE_ACCESS_PACK_H */
