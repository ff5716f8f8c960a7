#include "net/listener.h"

#include "base/alloc.h"
#include "core/alarm.h"
#include "core/loop.h"
#include "net/fault.h"

#include <event2/event.h>
#include <event2/event_struct.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BATCH = 64,        /* then other events get their turn */
    PAUSE_MS = 50,     /* before a full worker looks again by itself */
    DRAIN_MAX = 65536, /* more than any backlog */
};

struct listener {
    struct event event;
    struct alarm alarm;
    const struct listener_ops *ops; /* borrowed, static */
    void *owner;                    /* borrowed, outlives us */
    struct loop *loop;              /* borrowed, outlives us */
    int fd;
    int reserve; /* given up when no descriptor is left; -1: gone */
    bool paused;
};

static int reserve_open(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Set what every connection inherits, then bind and listen. */
static enum err set_up(int fd, const struct addr *addr, int backlog, bool share)
{
    struct sockaddr_storage storage;
    struct sockaddr *sockaddr = (struct sockaddr *)&storage;
    socklen_t len = addr_to_sockaddr(addr, sockaddr);
    int one = 1;

    if (addr->family != AF_UNIX) {
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
            return ERR_SYSTEM;
        if (share && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0)
            return ERR_SYSTEM;
    }
    if (addr->family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0)
        return ERR_SYSTEM;
    if (bind(fd, sockaddr, len) < 0 || listen(fd, backlog) < 0)
        return ERR_SYSTEM;
    return OK;
}

/* A socket file that nobody listens on any more would make bind() fail for ever. */
static void remove_stale(const struct addr *addr)
{
    struct sockaddr_storage storage;
    struct sockaddr *sockaddr = (struct sockaddr *)&storage;
    struct stat status;
    socklen_t len = addr_to_sockaddr(addr, sockaddr);
    int fd;

    if (stat(addr->path, &status) < 0 || !S_ISSOCK(status.st_mode))
        return;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    if (connect(fd, sockaddr, len) < 0 && errno == ECONNREFUSED)
        unlink(addr->path);
    close(fd);
}

enum err listener_bind(const struct addr *addr, int backlog, bool share, int *fd)
{
    int number;

    if (addr->family == AF_UNIX)
        remove_stale(addr);
    *fd = socket(addr->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return ERR_SYSTEM;
    if (set_up(*fd, addr, backlog, share) == OK)
        return OK;
    number = errno;
    close(*fd);
    errno = number;
    return ERR_SYSTEM;
}

enum err listener_address(int fd, const struct addr *wanted, struct addr *addr)
{
    struct sockaddr_storage storage;
    struct sockaddr *sockaddr = (struct sockaddr *)&storage;
    socklen_t len = sizeof(storage);

    *addr = *wanted;
    if (wanted->family == AF_UNIX)
        return OK;
    if (getsockname(fd, sockaddr, &len) < 0)
        return ERR_SYSTEM;
    addr_from_sockaddr(sockaddr, addr);
    return OK;
}

static void pause_accepting(struct listener *listener)
{
    if (!listener->paused) {
        listener->paused = true;
        event_del(&listener->event);
    }
    alarm_arm(listener->loop, &listener->alarm, PAUSE_MS);
}

/* Accept with the reserve and close, so that the client is not left hanging. */
static void shed(struct listener *listener)
{
    unsigned n = 0;
    int fd = -1;

    if (listener->reserve >= 0) {
        close(listener->reserve);
        fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
    }
    while (fd >= 0 && n < BATCH) {
        n++;
        close(fd);
        fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
    }
    if (fd >= 0)
        close(fd);
    listener->reserve = reserve_open();
    listener->ops->on_shed(listener->owner, n);
    pause_accepting(listener);
}

/* Accept one connection; false when there is none or no room. */
static bool accept_one(struct listener *listener)
{
    struct sockaddr_storage storage;
    struct sockaddr *sockaddr = (struct sockaddr *)&storage;
    socklen_t len = sizeof(storage);
    struct addr peer;
    int fd =
        fault_accept() ? -1 : accept4(listener->fd, sockaddr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        addr_from_sockaddr(sockaddr, &peer);
        listener->ops->on_accept(listener->owner, fd, &peer);
        return true;
    }
    if (errno == ECONNABORTED || errno == EINTR)
        return true;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        shed(listener);
    return false;
}

static void on_readable(evutil_socket_t fd, short what, void *listener_)
{
    struct listener *listener = listener_;

    (void)fd;
    (void)what;
    for (int i = 0; i < BATCH; i++) {
        if (!listener->ops->may_accept(listener->owner)) {
            pause_accepting(listener);
            return;
        }
        if (!accept_one(listener))
            return;
    }
}

static void on_alarm(struct alarm *alarm)
{
    struct listener *listener = list_entry(alarm, struct listener, alarm);

    listener_resume(listener);
}

struct listener *listener_new(struct loop *loop, int fd, const struct listener_ops *ops,
                              void *owner)
{
    struct listener *listener = alloc_new(sizeof(*listener));

    listener->loop = loop;
    listener->ops = ops;
    listener->owner = owner;
    listener->fd = fd;
    listener->reserve = reserve_open();
    alarm_init(&listener->alarm, on_alarm);
    event_assign(&listener->event, loop->base, fd, EV_READ | EV_PERSIST, on_readable, listener);
    event_add(&listener->event, NULL);
    return listener;
}

void listener_free(struct listener **listener)
{
    struct listener *old = *listener;
    unsigned left = DRAIN_MAX;

    if (!old)
        return;
    *listener = NULL;
    while (left > 0 && accept_one(old)) {
        left--;
    }
    alarm_disarm(&old->alarm);
    event_del(&old->event);
    close(old->fd);
    if (old->reserve >= 0)
        close(old->reserve);
    alloc_free(old);
}

void listener_resume(struct listener *listener)
{
    if (!listener->paused)
        return;
    listener->paused = false;
    alarm_disarm(&listener->alarm);
    event_add(&listener->event, NULL);
}
