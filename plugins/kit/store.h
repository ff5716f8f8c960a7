/*
 * store.h - the table that a file holds (keys, users), which may change while it is served.
 *
 * One store for each place. A helper thread looks at the file, reads it when it has changed, and
 * puts a new table in; workers look at a number with each request, and take the table when the
 * number has changed. A file with a mistake changes nothing.
 *
 * Threads: any.
 */
#ifndef KIT_STORE_H
#define KIT_STORE_H

#include "sluice_plugin.h"

#define STORE_WHY 160

/* What tables are. They are counted: one may be held by workers when the next one is there. */
struct store_kind {
    /* The table of a text, held once. NULL: why says what is wrong ("out of memory" before). */
    void *(*read)(struct sluice_span text, char why[STORE_WHY]);
    void *(*hold)(void *table); /* NULL is fine */
    void (*drop)(void *table);  /* NULL is fine */
};

struct store;

/* NULL: out of memory. */
struct store *store_new(const struct store_kind *kind);
void store_free(struct store **store);

enum store_news { STORE_SAME, STORE_CHANGED, STORE_GONE, STORE_WRONG };

/* Put the table of this text in. STORE_WRONG: why says what is; the table is that of before. */
enum store_news store_read(struct store *store, struct sluice_span text, char why[STORE_WHY]);

/* What a worker holds of a store. */
struct store_view {
    void *table; /* held; NULL: none yet */
    unsigned serial;
};

/* The table as it is now, as long as the view is not asked again. Locks only after a change. */
const void *store_table(struct store *store, struct store_view *view);
/* store may be NULL: there was none. */
void store_view_fini(struct store *store, struct store_view *view);

/* One look at the file; what it said last time is put in before. Blocks. */
struct store_look {
    uint64_t stamp[4];    /* of the file when it was read */
    enum store_news news; /* what came of it */
    char why[STORE_WHY];  /* STORE_GONE, STORE_WRONG */
};

void store_look(struct store *store, const char *path, struct store_look *look);

#endif /* KIT_STORE_H */
