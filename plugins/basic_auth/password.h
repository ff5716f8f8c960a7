/*
 * password.h - hashes of passwords as crypt(5) writes them, and whether a password fits one.
 */
#ifndef BASIC_AUTH_PASSWORD_H
#define BASIC_AUTH_PASSWORD_H

#include "sluice_plugin.h"

#define PASSWORD_MAX 511 /* bytes; crypt(3) takes no longer ones */

/* NULL: a hash that is accepted; else what is wrong with it. */
const char *password_fault(struct sluice_span hash);

enum password_answer { PASSWORD_WRONG, PASSWORD_RIGHT, PASSWORD_NO_MEMORY };

/* Takes its time: for a helper thread. Both NUL-terminated. */
enum password_answer password_check(const char *password, const char *hash);

#endif /* BASIC_AUTH_PASSWORD_H */
