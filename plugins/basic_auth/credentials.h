/*
 * credentials.h - the field Authorization with the scheme Basic (RFC 7617), read strictly.
 */
#ifndef BASIC_AUTH_CREDENTIALS_H
#define BASIC_AUTH_CREDENTIALS_H

#include "password.h"
#include "refusal.h"
#include "users.h"

struct credentials {
    char text[USERS_NAME_MAX + 1 + PASSWORD_MAX + 1]; /* name NUL password NUL */
    struct sluice_span name, password;                /* in text, NUL-terminated */
};

/*
 * Find and read the credentials of a request. REFUSAL_NONE: they are there, and well-formed. Call
 * credentials_wipe() when done.
 */
enum refusal credentials_read(const struct sluice_call *call, struct credentials *credentials);
void credentials_wipe(struct credentials *credentials);

/* Take the field out of what goes on, if it is ours. False: not possible. */
bool credentials_strip(const struct sluice_call *call);

#endif /* BASIC_AUTH_CREDENTIALS_H */
