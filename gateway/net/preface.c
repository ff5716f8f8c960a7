#include "net/preface.h"

#include "base/alloc.h"
#include "net/conn.h"
#include "net/fault.h"
#include "net/transport.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct preface {
    struct transport transport;
    struct transport *next; /* whose turn it is afterwards */
    size_t len, sent;
    char bytes[];
};

struct preface *preface_new(struct sluice_span bytes)
{
    struct preface *preface =
        bytes.len > PREFACE_MAX ? NULL : alloc_zero_try(sizeof(*preface) + bytes.len);

    if (!preface)
        return NULL;
    preface->len = bytes.len;
    if (bytes.len > 0)
        memcpy(preface->bytes, bytes.ptr, bytes.len);
    return preface;
}

void preface_free(struct preface **preface)
{
    alloc_free(*preface);
    *preface = NULL;
}

/* Of a connection whose transport it is. */
static struct preface *preface_of(const struct conn *conn)
{
    return list_entry(conn->transport, struct preface, transport);
}

static void give_way(struct conn *conn, const struct preface *preface)
{
    conn->transport = preface->next;
}

static enum err send_rest(struct conn *conn, struct preface *preface)
{
    while (preface->sent < preface->len) {
        struct iovec piece = {preface->bytes + preface->sent, preface->len - preface->sent}, less;
        struct iovec *pieces = &piece;
        int n_pieces = 1;
        ssize_t put;
        enum err err = fault_write(conn, &pieces, &n_pieces, &less);

        if (err)
            return err;
        put = send(conn_fd(conn), pieces->iov_base, pieces->iov_len, MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return err_from_errno(errno);
        preface->sent += (size_t)put;
    }
    return OK;
}

static enum err handshake(struct conn *conn)
{
    struct preface *preface = preface_of(conn);
    enum err err = send_rest(conn, preface);

    if (err)
        return err;
    give_way(conn, preface);
    return transport_of(conn)->handshake ? transport_of(conn)->handshake(conn) : OK;
}

static void close_preface(struct conn *conn, bool in_order)
{
    give_way(conn, preface_of(conn));
    if (transport_of(conn)->close)
        transport_of(conn)->close(conn, in_order);
}

static const struct transport_ops transport_preface = {
    .name = "preface",
    .handshake = handshake,
    .close = close_preface,
};

void preface_say(struct conn *conn, struct preface *preface)
{
    preface->transport.ops = &transport_preface;
    preface->next = conn->transport;
    preface->sent = 0;
    conn_set_transport(conn, &preface->transport);
}

bool preface_is(const struct preface *preface, struct sluice_span bytes)
{
    if (!preface)
        return bytes.len == 0;
    return span_equal(span_make(preface->bytes, preface->len), bytes);
}
