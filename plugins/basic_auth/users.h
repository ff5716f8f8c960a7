/*
 * users.h - names, what verifies their passwords, and their groups: a table by name.
 *
 * A table is made once, sorted, and then only read, so any number of threads may look into it; who
 * shares one counts its holders.
 */
#ifndef BASIC_AUTH_USERS_H
#define BASIC_AUTH_USERS_H

#include "kit/store.h"

#define USERS_NAME_MAX 255  /* bytes of a name */
#define USERS_HASH_MAX 255  /* bytes of a password's hash */
#define USERS_LIST_MAX 4096 /* bytes of the groups of one user */

/* Valid as long as the table. */
struct user {
    struct sluice_span name, hash, groups; /* groups: separated by commas */
};

struct users;

/* One holder. NULL: out of memory. */
struct users *users_new(void);
struct users *users_hold(struct users *users);
/* The last holder's frees it. Accepts NULL. */
void users_free(struct users **users);

/* NULL, or what is wrong with the user; nothing secret is told. */
const char *users_add(struct users *users, const struct user *user);
/* Lines NAME:HASH or NAME:HASH:GROUP,GROUP. False: why says what is wrong and in which line. */
bool users_read(struct users *users, struct sluice_span text, char why[STORE_WHY]);
/* Such lines as what a store holds: struct users. */
extern const struct store_kind users_kind;
/* After the last users_add(). False: *name is there twice. */
bool users_sort(struct users *users, struct sluice_span *name);

/* Accept NULL: there is nobody. */
bool users_find(const struct users *users, struct sluice_span name, struct user *user);
size_t users_count(const struct users *users);
void users_at(const struct users *users, size_t i, struct user *user);

/* A name that may stand in a list with commas, in a log and in a field. */
bool users_is_name(struct sluice_span text);

#endif /* BASIC_AUTH_USERS_H */
