/*
 * watch.h - a descriptor that somebody else's library reads and writes, watched by the loop.
 *
 * For libraries that own their sockets and want to be told when one is ready (names, registries).
 * Connections of our own are net/conn's.
 *
 * Threads: the loop's.
 */
#ifndef CORE_WATCH_H
#define CORE_WATCH_H

struct loop;
struct watch;

enum { WATCH_READ = 1, WATCH_WRITE = 2 };

/* fd is ready for this of what is watched; again as long as it is. May end the watch. */
typedef void watch_fn(void *arg, int fd, unsigned ready);

/* Watches nothing yet. fd is borrowed: end the watch before it is closed. */
struct watch *watch_new(struct loop *loop, int fd, watch_fn *on_ready, void *arg);
void watch_free(struct watch **watch);

/* What to be told of from now on: any of the above, 0 for nothing. */
void watch_set(struct watch *watch, unsigned wanted);

#endif /* CORE_WATCH_H */
