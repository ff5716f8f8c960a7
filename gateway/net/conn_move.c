#include "net/conn_move.h"

#include "net/conn_state.h"
#include "net/transport.h"

/* Do both see to it, and does nothing come before these bytes on either side? */
static bool can_move(const struct conn *from, struct conn *to)
{
    return transport_of(from)->fill && transport_of(to)->drain && conn_peek(from).len == 0 &&
           conn_flush(to) == OK && !conn_is_dialling(to);
}

static enum err note_read(struct conn *from, enum err err)
{
    if (err == ERR_AGAIN)
        from->state &= (uint16_t) ~(READABLE | SHORT);
    if (err == ERR_CLOSED && (from->state & BROKEN))
        return ERR_RESET;
    return err;
}

/* Nothing is tried here: conn_flush() sends it, and whoever calls that hears how it went. */
static void queue(struct conn *to, struct block *pipe, size_t n)
{
    pipe_add(to->loop, pipe, n, &to->out);
    to->room = 0; /* nobody has counted */
    to->state |= LATER;
    conn_hurry(to);
}

enum err conn_move(struct conn *from, struct conn *to, size_t most, size_t *n)
{
    struct transfer moved = {0};
    struct block *pipe;
    enum err err;

    if (from->holds != 0 || !(from->state & READABLE))
        return ERR_AGAIN;
    pipe = can_move(from, to) ? pipe_take(to->loop) : NULL;
    if (!pipe)
        return ERR_MISSING;
    if (most > PIPE_BYTES)
        most = PIPE_BYTES;
    err = transport_of(from)->fill(from, pipe_of(pipe)->write_fd, most, &moved);
    if (err) {
        if (err == ERR_MISSING)
            pipes_rest(to->loop);
        pipe_give(to->loop, pipe);
        return note_read(from, err);
    }
    from->state &= (uint16_t)~SHORT;
    queue(to, pipe, moved.n);
    *n = moved.n;
    return OK;
}

void conn_moved_all(struct conn *conn)
{
    if (transport_of(conn)->peek(conn) == ERR_AGAIN)
        conn->state &= (uint16_t) ~(READABLE | SHORT);
}
