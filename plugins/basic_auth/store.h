/*
 * store.h - the users of a file, which may change while they are served.
 *
 * One store for each place. A helper thread looks at the file, reads it when it has changed, and
 * puts a new table in; workers look at a number with each request, and take the table when the
 * number has changed. A file with a mistake changes nothing.
 *
 * Threads: any.
 */
#ifndef BASIC_AUTH_STORE_H
#define BASIC_AUTH_STORE_H

#include "users.h"

struct store;

/* NULL: out of memory. */
struct store *store_new(void);
void store_free(struct store **store);

enum store_news { STORE_SAME, STORE_CHANGED, STORE_GONE, STORE_WRONG };

/* Put the users of this text in. STORE_WRONG: why says what is; the users are those of before. */
enum store_news store_read(struct store *store, struct sluice_span text, char why[USERS_WHY]);

/* What a worker holds of a store. */
struct store_view {
    struct users *users; /* held; NULL: none yet */
    unsigned serial;
};

/* The users as they are now, as long as the view is not asked again. Locks only after a change. */
const struct users *store_users(struct store *store, struct store_view *view);
void store_view_fini(struct store_view *view);

/* One look at the file; what it said last time is put in before. Blocks. */
struct store_look {
    uint64_t stamp[4];    /* of the file when it was read */
    enum store_news news; /* what came of it */
    char why[USERS_WHY];  /* STORE_GONE, STORE_WRONG */
};

void store_look(struct store *store, const char *path, struct store_look *look);

#endif /* BASIC_AUTH_STORE_H */
