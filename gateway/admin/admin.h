/*
 * admin.h - the control port: what an operator sees and does while the gateway runs.
 *
 * A small HTTP server (libevent's) on the control thread, apart from the workers, so
 * that it answers when they are busy. It looks at everything below and changes nothing by itself:
 * what it is asked to do, it asks its host, which is server/.
 *
 * Threads: the control thread's.
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include "base/text.h"
#include "config/tree.h"
#include "net/addr.h"
#include "proxy/worker.h"

struct admin;
struct loop;
struct metrics;
struct roster;

/* The last attempt to change the configuration. */
struct admin_reload {
    uint64_t wall_us; /* 0: none yet */
    bool applied;
    const struct text *notes_json; /* a JSON list, see config/note.h; borrowed */
    const struct text *notes_text;
    uint64_t n_applied, n_refused;
    uint64_t n_by_files; /* of them, because a certificate or key changed */
};

enum admin_readiness { ADMIN_STARTING, ADMIN_READY, ADMIN_DRAINING };

/* What server/ offers. Filled by it, borrowed by us, outlives us. */
struct admin_host {
    void *owner;
    struct crew *crew;
    struct tally *tally;
    struct metrics *metrics;
    struct mailbox *mailbox;     /* of the control thread: what workers answer comes there */
    const struct roster *roster; /* the newest members of all upstreams */
    uint64_t started_wall_us;
    const char *version;

    enum admin_readiness (*readiness)(void *owner);
    /* The newest snapshot and the tree it was made from, valid until the next event of the loop. */
    struct snapshot *(*snapshot)(void *owner);
    const struct tree *(*tree)(void *owner);
    const char *(*source)(void *owner); /* the file's path, or "built in" */
    uint64_t (*loaded_wall_us)(void *owner);
    void (*last_reload)(void *owner, struct admin_reload *reload);
    /* Generations that are still held, the newest included, and what they take. NULL: not known. */
    void (*generations)(void *owner, uint64_t *n, uint64_t *bytes);
    /* Read, check and publish now; true when applied. last_reload() then has the notes. */
    bool (*reload)(void *owner);
    /* Begin to drain. The loop must turn at least once more: the answer is still to go out. */
    void (*drain)(void *owner);
};

/* Serve pages on fd (a listening socket, taken over). */
struct admin *admin_new(struct loop *loop, int fd, const struct admin_host *host);

/* Cuts what is open. Not from inside a call to the host: that comes from a request. */
void admin_free(struct admin **admin);

#endif /* ADMIN_ADMIN_H */
