/*
 * ports.h - the listening sockets of all listeners, one per worker, and how they change at a
 * reload.
 *
 * A change is prepared (everything that can fail happens there), then applied or forgotten. A
 * listener that keeps its name and address keeps its sockets; one that is gone is emptied by its
 * workers before it is closed.
 *
 * Threads: the control thread's.
 */
#ifndef SERVER_PORTS_H
#define SERVER_PORTS_H

#include "proxy/worker.h"

struct ports;
struct ports_change;

struct ports *ports_new(struct crew *crew, struct tally *tally);

/* The workers close their sockets; unix socket files are removed. */
void ports_free(struct ports **ports);

/*
 * Open what the snapshot's listeners need and is not there yet. ERR_SYSTEM: notes has it, nothing
 * changed.
 */
CHECKED enum err ports_prepare(struct ports *ports, const struct snapshot *snapshot,
                               struct notes *notes, struct ports_change **change);

/*
 * Hand the new sockets to the workers and let go of the others. After the snapshot was published.
 */
void ports_apply(struct ports *ports, struct ports_change **change);

/* Close what was opened for it. NULL is fine. */
void ports_forget(struct ports_change **change);

#endif /* SERVER_PORTS_H */
