/*
 * keyfile.h - keys as text: one of the configuration, or a file of lines
 *
 *   NAME:GROUP,GROUP:SHA256 [from=TIME] [until=TIME]
 *
 * with the digest of the key in hexadecimal, "sha256:" before it or not. Empty lines and those that
 * begin with '#' are passed over. TIME is 2026-12-31, 2026-12-31T23:59:59Z or seconds since 1970.
 */
#ifndef API_KEY_KEYFILE_H
#define API_KEY_KEYFILE_H

#include "keys.h"
#include "kit/store.h"

/* Add all keys of the text. False: why says what is wrong and in which line; no key is named. */
bool keyfile_read(struct keys *keys, struct sluice_span text, char why[STORE_WHY]);

/* Such a text as what a store holds: struct keys. */
extern const struct store_kind keyfile_kind;

/* "sha256:HEX" or HEX alone; false: it is no digest. */
bool keyfile_digest(struct sluice_span text, unsigned char digest[KEYS_DIGEST]);
/* Does the text say that it is a digest? */
bool keyfile_is_digest(struct sluice_span text);
/* False: it is no time. */
bool keyfile_time(struct sluice_span text, uint32_t *seconds);
/* A name that may stand in a list with commas, in a log and in a field. */
bool keyfile_is_name(struct sluice_span text);

#endif /* API_KEY_KEYFILE_H */
