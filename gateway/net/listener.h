/*
 * listener.h - accept connections on one descriptor of one worker.
 *
 * Accepts in batches. Out of descriptors it sheds: a reserve descriptor is given up to accept and
 * close, so that clients see an end instead of a hang; the loop never spins. Options that a
 * connection needs (TCP_NODELAY) are set on the listening socket and inherited.
 *
 * Threads: listener_bind() the control thread's, the rest the loop's.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "base/err.h"
#include "net/addr.h"

struct listener;
struct loop;

struct listener_ops {
    /* A new connection; the callee owns fd (non-blocking). */
    void (*on_accept)(void *owner, int fd, const struct addr *peer);
    /*
     * May one more be accepted now? False pauses: asked again after a moment and by
     * listener_resume().
     */
    bool (*may_accept)(void *owner);
    /* Out of descriptors or memory; n connections were turned away. */
    void (*on_shed)(void *owner, unsigned n);
};

/*
 * Open, bind and listen; share: with SO_REUSEPORT, one call per worker. port 0 chooses one: ask
 * listener_address(). A stale unix socket file is replaced. ERR_SYSTEM and errno when it fails.
 */
CHECKED enum err listener_bind(const struct addr *addr, int backlog, bool share, int *fd);

/* The address a descriptor is bound to. A unix path is borrowed from wanted. */
CHECKED enum err listener_address(int fd, const struct addr *wanted, struct addr *addr);

/* Start to accept; takes over fd. */
struct listener *listener_new(struct loop *loop, int fd, const struct listener_ops *ops,
                              void *owner);

/* Accept what is queued already, then close. */
void listener_free(struct listener **listener);

/* There is room again. */
void listener_resume(struct listener *listener);

#endif /* NET_LISTENER_H */
