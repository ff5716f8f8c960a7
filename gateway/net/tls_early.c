/*
 * tls_early.c - data that a client sends together with the first message of its handshake.
 *
 * Whoever saw these bytes can send them again (within some ten seconds, by the age of the ticket):
 * the gateway marks such requests, serves those alone that may be repeated, and leaves the rest to
 * the upstream (RFC 8470). Until the handshake is over, OpenSSL wants other calls for both
 * directions; afterwards nothing is left of all this.
 */
#include "net/tls_state.h"

#include "base/alloc.h"

#include <string.h>

bool tls_early_is_on(const struct tls *tls)
{
    return tls->server && tls->server->takes_early && !SSL_is_init_finished(tls->ssl);
}

int tls_early_read(struct tls *tls, char *into, size_t room, size_t *got, bool *is_over)
{
    *got = 0;
    *is_over = false;
    switch (SSL_read_early_data(tls->ssl, into, room, got)) {
    case SSL_READ_EARLY_DATA_SUCCESS:
        return 1;
    case SSL_READ_EARLY_DATA_FINISH:
        tls->may_be_early = false;
        *is_over = true;
        return 1;
    default:
        return 0;
    }
}

enum err tls_early_keep(struct tls *tls, const char *bytes, size_t n)
{
    tls->early = alloc_try(n);
    if (!tls->early)
        return ERR_MEMORY;
    memcpy(tls->early, bytes, n);
    tls->early_at = 0;
    tls->early_end = (uint16_t)n;
    return OK;
}

size_t tls_early_take(struct tls *tls, char *into, size_t room)
{
    size_t n = (size_t)(tls->early_end - tls->early_at);

    if (n > room)
        n = room;
    if (n > 0)
        memcpy(into, tls->early + tls->early_at, n);
    tls->early_at = (uint16_t)(tls->early_at + n);
    if (tls->early_at == tls->early_end) {
        alloc_free(tls->early);
        tls->early = NULL;
    }
    return n;
}

bool tls_is_early(const struct conn *conn)
{
    const struct tls *tls = tls_of(conn);

    return tls && tls_early_is_on(tls);
}

bool tls_is_accepted(const struct conn *conn)
{
    const struct tls *tls = tls_of(conn);

    return tls && tls->server;
}

bool tls_took_early(const struct conn *conn)
{
    const struct tls *tls = tls_of(conn);

    return tls && tls->server && SSL_get_early_data_status(tls->ssl) == SSL_EARLY_DATA_ACCEPTED;
}
