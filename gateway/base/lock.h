/*
 * lock.h - for the few places where threads must take turns, each of them for a few instructions.
 *
 * Nothing on the path of a request that is served without plugins takes one; nobody waits for
 * anything else while holding one.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <pthread.h>

struct lock {
    pthread_mutex_t mutex;
};

/* Something that threads sleep for. */
struct bell {
    pthread_cond_t cond;
};

void lock_init(struct lock *lock);
void lock_fini(struct lock *lock);
void lock_take(struct lock *lock);
void lock_give(struct lock *lock);

void bell_init(struct bell *bell);
void bell_fini(struct bell *bell);
/* Give the lock, sleep until somebody rings (or for no reason), take it again. */
void bell_wait(struct bell *bell, struct lock *lock);
void bell_ring(struct bell *bell);     /* wake one */
void bell_ring_all(struct bell *bell); /* wake all */

#endif /* BASE_LOCK_H */
