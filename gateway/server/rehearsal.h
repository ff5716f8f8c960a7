/*
 * rehearsal.h - a configuration built as for a start, with nothing opened: for check and explain.
 */
#ifndef SERVER_REHEARSAL_H
#define SERVER_REHEARSAL_H

#include "server/remote.h"

/* loaded.arena has moved into the snapshot: conf points there. */
struct rehearsal {
    struct gateway_loaded loaded;
    struct tally *tally; /* owned, as the following */
    struct chain_home *home;
    struct shares *shares;
    struct loop *loop; /* turns only while rehearsal_start() waits for sources */
    struct sources *sources;
    struct consul *consul;
    struct consul_kv *kv;
    struct roster *roster;
    struct snapshot *snapshot; /* NULL: refused */
};

/*
 * Load and build; what is wrong is in notes. Names are resolved and registries asked, for some
 * seconds at most: what is not found now is a warning. End it with rehearsal_stop() in either case.
 */
CHECKED enum err rehearsal_start(struct rehearsal *rehearsal, const struct gateway_source *source,
                                 struct notes *notes);
void rehearsal_stop(struct rehearsal *rehearsal);

#endif /* SERVER_REHEARSAL_H */
