#include "base/lock.h"

#include "base/check.h"

void lock_init(struct lock *lock)
{
    CHECK(pthread_mutex_init(&lock->mutex, NULL) == 0);
}

void lock_fini(struct lock *lock)
{
    CHECK(pthread_mutex_destroy(&lock->mutex) == 0);
}

void lock_take(struct lock *lock)
{
    CHECK(pthread_mutex_lock(&lock->mutex) == 0);
}

void lock_give(struct lock *lock)
{
    CHECK(pthread_mutex_unlock(&lock->mutex) == 0);
}

void bell_init(struct bell *bell)
{
    CHECK(pthread_cond_init(&bell->cond, NULL) == 0);
}

void bell_fini(struct bell *bell)
{
    CHECK(pthread_cond_destroy(&bell->cond) == 0);
}

void bell_wait(struct bell *bell, struct lock *lock)
{
    CHECK(pthread_cond_wait(&bell->cond, &lock->mutex) == 0);
}

void bell_ring(struct bell *bell)
{
    CHECK(pthread_cond_signal(&bell->cond) == 0);
}

void bell_ring_all(struct bell *bell)
{
    CHECK(pthread_cond_broadcast(&bell->cond) == 0);
}
