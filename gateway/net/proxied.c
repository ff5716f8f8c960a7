/*
 * proxied.c - take a PROXY header out of a stream.
 *
 * The header is only looked at (MSG_PEEK) until it is whole, and then read to its last byte and not
 * beyond: what follows stays in the socket for the transport whose turn it is then. Each edge that
 * finds no whole header costs another look at what is there, 8 KiB at most.
 */
#include "net/proxied.h"

#include "base/alloc.h"
#include "base/check.h"
#include "net/conn.h"
#include "net/fault.h"
#include "net/transport.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

struct proxied *proxied_new(const struct addr *by, bool is_optional)
{
    struct proxied *proxied = alloc_zero_try(sizeof(*proxied));

    if (proxied) {
        proxied->by = *by;
        proxied->is_optional = is_optional;
    }
    return proxied;
}

void proxied_free(struct proxied **proxied)
{
    if (*proxied)
        alloc_free((*proxied)->unique_id);
    alloc_free(*proxied);
    *proxied = NULL;
}

/* Of a connection whose transport it is. */
static struct proxied *proxied_of(const struct conn *conn)
{
    return list_entry(conn->transport, struct proxied, transport);
}

/* The transport below takes over. */
static void give_way(struct conn *conn, const struct proxied *proxied)
{
    conn->transport = proxied->next;
}

static ssize_t receive(const struct conn *conn, char *into, size_t room, int flags)
{
    ssize_t got;

    do {
        got = recv(conn_fd(conn), into, room, flags);
    } while (got < 0 && errno == EINTR);
    return got;
}

/* Has the peer ended its side, with no more to come? */
static bool has_ended(const struct conn *conn)
{
    struct pollfd poll_fd = {.fd = conn_fd(conn), .events = POLLRDHUP};

    return poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static enum err keep(struct proxied *proxied, const struct proxy_header *header)
{
    proxied->state = PROXIED_READ;
    proxied->version = header->version;
    if (header->is_local)
        return OK;
    proxied->from = header->from;
    proxied->to = header->to;
    proxied->is_tls = header->ssl.is_on;
    if (header->unique_id.len == 0)
        return OK;
    proxied->unique_id = alloc_zero_try(header->unique_id.len + 1);
    if (!proxied->unique_id)
        return ERR_MEMORY;
    memcpy(proxied->unique_id, header->unique_id.ptr, header->unique_id.len);
    return OK;
}

/* bytes were looked at: take the header that they begin with. */
static enum err take(struct conn *conn, struct proxied *proxied, char *at, size_t n)
{
    struct sluice_span bytes = span_make(at, n);
    struct proxy_header header;
    size_t used;
    enum err err;

    if (proxied->is_optional && !proxy_header_may_be(bytes)) {
        proxied->state = PROXIED_NONE;
        return OK;
    }
    err = proxy_header_read(bytes, &header, &used, &proxied->why);
    if (err == ERR_AGAIN && has_ended(conn)) {
        proxied->why = "the connection ended within the header";
        err = ERR_CLOSED;
    }
    if (err == ERR_AGAIN)
        return err;
    if (err) {
        proxied->state = PROXIED_WRONG;
        return err;
    }
    err = keep(proxied, &header);
    if (err)
        return err;
    /* They were there a moment ago, and nobody else reads. */
    return receive(conn, at, used, 0) == (ssize_t)used ? OK : ERR_RESET;
}

static enum err read_header(struct conn *conn, struct proxied *proxied)
{
    char *room = conn->loop->lent; /* nobody has it: this is the loop calling */
    size_t n = PROXY_HEADER_MAX;
    ssize_t got;
    enum err err = fault_read(conn, &n);

    if (err)
        return err;
    CHECK(conn->loop->lent_to == NULL);
    /* A look is to see all there is; what is seen in part once is seen in part for ever. */
    got = receive(conn, room, PROXY_HEADER_MAX, MSG_PEEK);
    if (got > 0)
        return take(conn, proxied, room, (size_t)got);
    if (got < 0)
        return err_from_errno(errno);
    proxied->state = PROXIED_WRONG;
    proxied->why = "the connection ended without a header";
    return ERR_CLOSED;
}

static enum err handshake(struct conn *conn)
{
    struct proxied *proxied = proxied_of(conn);
    enum err err = read_header(conn, proxied);

    if (err)
        return err;
    give_way(conn, proxied);
    if (proxied->then_ms > 0)
        conn_set_alarm(conn, proxied->then_ms);
    return transport_of(conn)->handshake ? transport_of(conn)->handshake(conn) : OK;
}

static void close_proxied(struct conn *conn, bool in_order)
{
    give_way(conn, proxied_of(conn));
    if (transport_of(conn)->close)
        transport_of(conn)->close(conn, in_order);
}

static const struct transport_ops transport_proxied = {
    .name = "proxied",
    .handshake = handshake,
    .close = close_proxied,
};

void proxied_await(struct conn *conn, struct proxied *proxied, uint64_t then_ms)
{
    proxied->transport.ops = &transport_proxied;
    proxied->next = conn->transport;
    proxied->then_ms = then_ms;
    conn_set_transport(conn, &proxied->transport);
}
