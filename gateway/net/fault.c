#include "net/fault.h"

#ifdef SLUICE_FAULTS

#include "base/check.h"
#include "net/conn.h"

#include <event2/event.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct plan {
    unsigned long read, write, again, reset, accept, dial; /* 0: no such fault */
};

enum plan_state { PLAN_UNREAD, PLAN_BEING_READ, PLAN_READ };

/*
 * Process-wide on purpose: the N-th call is counted over everything. Read from the environment
 * once, by whoever comes first; the others wait for it.
 */
static struct plan plan;
static enum plan_state plan_state; /* atomic */
static unsigned long calls, accepts, dials;

static unsigned long number_of(const char *name)
{
    const char *text = getenv(name);

    return text ? strtoul(text, NULL, 10) : 0;
}

static const struct plan *plan_get(void)
{
    enum plan_state before = PLAN_UNREAD;

    if (__atomic_load_n(&plan_state, __ATOMIC_ACQUIRE) == PLAN_READ)
        return &plan;
    if (__atomic_compare_exchange_n(&plan_state, &before, PLAN_BEING_READ, false, __ATOMIC_ACQUIRE,
                                    __ATOMIC_ACQUIRE)) {
        plan.read = number_of("SLUICE_FAULT_READ");
        plan.write = number_of("SLUICE_FAULT_WRITE");
        plan.again = number_of("SLUICE_FAULT_AGAIN");
        plan.reset = number_of("SLUICE_FAULT_RESET");
        plan.accept = number_of("SLUICE_FAULT_ACCEPT");
        plan.dial = number_of("SLUICE_FAULT_DIAL");
        __atomic_store_n(&plan_state, PLAN_READ, __ATOMIC_RELEASE);
    }
    while (before != PLAN_READ && __atomic_load_n(&plan_state, __ATOMIC_ACQUIRE) != PLAN_READ) {
        sched_yield();
    }
    return &plan;
}

static bool is_nth(unsigned long n, unsigned long every)
{
    return every > 0 && n % every == 0;
}

/* Have epoll announce what the descriptor is ready for, once more. */
static void announce_again(struct conn *conn)
{
    CHECK(event_del(&conn->event) == 0);
    CHECK(event_add(&conn->event, NULL) == 0);
}

static void break_off(const struct conn *conn, unsigned long n, const char *what)
{
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};

    dprintf(STDERR_FILENO, "fault: reset at call %lu, a %s\n", n, what);
    CHECK(connect(conn_fd(conn), &nobody, sizeof(nobody)) == 0);
}

/* One read or write is about to be made: break the connection, put the call off, or neither. */
static enum err count_call(struct conn *conn, const char *what)
{
    const struct plan *now = plan_get();
    unsigned long n = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);

    if (n == now->reset)
        break_off(conn, n, what);
    if (!is_nth(n, now->again))
        return OK;
    announce_again(conn);
    return ERR_AGAIN;
}

enum err fault_read(struct conn *conn, size_t *room)
{
    unsigned long most = plan_get()->read;

    if (most > 0 && *room > most)
        *room = most;
    return count_call(conn, "read");
}

bool fault_left_more(const struct conn *conn)
{
    int unread = 0;

    if (plan_get()->read == 0)
        return false;
    return ioctl(conn_fd(conn), FIONREAD, &unread) == 0 && unread > 0;
}

enum err fault_write(struct conn *conn, struct iovec **pieces, int *n_pieces, struct iovec *one)
{
    unsigned long most = plan_get()->write;
    enum err err = count_call(conn, "write");

    if (err || most == 0)
        return err;
    *one = (*pieces)[0];
    if (one->iov_len <= most && *n_pieces == 1)
        return OK;
    if (one->iov_len > most)
        one->iov_len = most;
    *pieces = one;
    *n_pieces = 1;
    announce_again(conn);
    return OK;
}

enum err fault_drain(struct conn *conn, size_t *n)
{
    unsigned long most = plan_get()->write;
    enum err err = count_call(conn, "write");

    if (err || most == 0 || *n <= most)
        return err;
    *n = most;
    announce_again(conn);
    return OK;
}

bool fault_accept(void)
{
    if (!is_nth(__atomic_add_fetch(&accepts, 1, __ATOMIC_RELAXED), plan_get()->accept))
        return false;
    errno = EMFILE;
    return true;
}

bool fault_dial(void)
{
    if (!is_nth(__atomic_add_fetch(&dials, 1, __ATOMIC_RELAXED), plan_get()->dial))
        return false;
    errno = EADDRNOTAVAIL;
    return true;
}

/* Who wants to break each of them has to know how many there are. */
__attribute__((destructor)) static void tell_calls(void)
{
    if (plan.reset > 0)
        dprintf(STDERR_FILENO, "faults: %lu calls\n", calls);
}

#else

/* A file must declare something. */
typedef int fault_none;

#endif /* SLUICE_FAULTS */
