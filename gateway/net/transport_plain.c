#include "net/conn.h"
#include "net/fault.h"
#include "net/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/*
 * In a process with threads, recv() and send() of the C library are points of cancellation, which
 * costs two locked instructions a call. Nobody is ever cancelled here. Sanitizers want to see the
 * calls that they know, and where a system has no such numbers the library's do.
 */
#if defined(SYS_recvfrom) && defined(SYS_sendto) && !defined(SLUICE_DEBUG)
static inline ssize_t receive(int fd, char *into, size_t room)
{
    return syscall(SYS_recvfrom, fd, into, room, 0, NULL, NULL);
}

static inline ssize_t transmit(int fd, const void *from, size_t n)
{
    return syscall(SYS_sendto, fd, from, n, MSG_NOSIGNAL, NULL, 0);
}
#else
static inline ssize_t receive(int fd, char *into, size_t room)
{
    return recv(fd, into, room, 0);
}

static inline ssize_t transmit(int fd, const void *from, size_t n)
{
    return send(fd, from, n, MSG_NOSIGNAL);
}
#endif

static enum err plain_read(struct conn *conn, char *into, size_t room, struct transfer *moved)
{
    size_t asked = room;
    ssize_t got;
    enum err err = fault_read(conn, &room);

    if (err)
        return err;
    do {
        got = receive(conn_fd(conn), into, room);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        moved->n = (size_t)got;
        moved->drained = moved->n < asked;
        return OK;
    }
    if (got == 0)
        return ERR_CLOSED;
    /* Only an end in order is told as one: a tunnel's content has no other mark of being whole. */
    err = err_from_errno(errno);
    return err == ERR_CLOSED ? ERR_RESET : err;
}

static enum err plain_write(struct conn *conn, struct iovec *pieces, int n_pieces,
                            struct transfer *moved)
{
    struct iovec less;
    ssize_t put;
    enum err err = fault_write(conn, &pieces, &n_pieces, &less);

    if (err)
        return err;
    do {
        if (n_pieces == 1) {
            put = transmit(conn_fd(conn), pieces->iov_base, pieces->iov_len);
        } else {
            struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)n_pieces};

            put = sendmsg(conn_fd(conn), &message, MSG_NOSIGNAL);
        }
    } while (put < 0 && errno == EINTR);
    if (put < 0)
        return err_from_errno(errno);
    moved->n = (size_t)put;
    return OK;
}

/* What a system says that does not do it with such a socket, forbids it or has no memory for it. */
static bool is_refusal(int number)
{
    return number == EINVAL || number == ENOSYS || number == EPERM || number == EACCES ||
           number == EOPNOTSUPP || number == ENOMEM;
}

static enum err plain_fill(struct conn *conn, int pipe, size_t most, struct transfer *moved)
{
    ssize_t got;
    enum err err = fault_read(conn, &most);

    if (err)
        return err;
    do {
        got = splice(conn_fd(conn), NULL, pipe, NULL, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        moved->n = (size_t)got;
        return OK;
    }
    if (got == 0)
        return ERR_CLOSED;
    if (is_refusal(errno))
        return ERR_MISSING;
    err = err_from_errno(errno);
    return err == ERR_CLOSED ? ERR_RESET : err;
}

static enum err plain_drain(struct conn *conn, int pipe, size_t n, struct transfer *moved)
{
    ssize_t put;
    enum err err = fault_drain(conn, &n);

    if (err)
        return err;
    do {
        put = splice(pipe, NULL, conn_fd(conn), NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    } while (put < 0 && errno == EINTR);
    if (put < 0)
        return err_from_errno(errno);
    if (put == 0)
        return ERR_SYSTEM; /* there is something in it */
    moved->n = (size_t)put;
    return OK;
}

static enum err plain_peek(struct conn *conn)
{
    char byte;
    ssize_t n = recv(conn_fd(conn), &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    if (n > 0)
        return OK;
    return n == 0 ? ERR_CLOSED : err_from_errno(errno);
}

const struct transport_ops transport_plain = {
    .name = "tcp",
    .read = plain_read,
    .write = plain_write,
    .fill = plain_fill,
    .drain = plain_drain,
    .peek = plain_peek,
};
