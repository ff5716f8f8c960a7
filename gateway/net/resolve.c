#include "net/resolve.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { ADDRS_MAX = 256 };

static int by_address(const void *a_, const void *b_)
{
    const struct addr *a = a_;
    const struct addr *b = b_;

    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->ip, b->ip, sizeof(a->ip));
}

static size_t collect(const struct addrinfo *found, struct addr *addrs, uint16_t port)
{
    size_t n = 0;
    size_t kept = 0;

    for (const struct addrinfo *info = found; info && n < ADDRS_MAX; info = info->ai_next) {
        addr_from_sockaddr(info->ai_addr, &addrs[n]);
        addrs[n].port = port;
        n++;
    }
    qsort(addrs, n, sizeof(*addrs), by_address);
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || !addr_equal(&addrs[kept - 1], &addrs[i]))
            addrs[kept++] = addrs[i];
    }
    return kept;
}

static enum err look_up(struct sluice_span host, uint16_t port, struct arena *arena,
                        struct addr **addrs, size_t *n, const char **why)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found = NULL;
    struct sluice_span name = arena_copy(arena, host);
    int result = getaddrinfo(name.ptr, NULL, &hints, &found);

    if (result != 0) {
        *why = gai_strerror(result);
        return ERR_MISSING;
    }
    *addrs = arena_new(arena, ADDRS_MAX * sizeof(**addrs));
    *n = collect(found, *addrs, port);
    freeaddrinfo(found);
    *why = "the name has no address";
    return *n > 0 ? OK : ERR_MISSING;
}

enum err resolve(struct sluice_span text, struct arena *arena, struct addr **addrs, size_t *n,
                 const char **why)
{
    struct addr *addr = arena_new(arena, sizeof(*addr));
    size_t colon = span_find(text, ':');
    uint64_t port;

    *why = "write host:port";
    if (addr_parse(text, arena, addr) == OK) {
        *addrs = addr;
        *n = 1;
        if (addr->family == AF_UNIX || addr->port != 0)
            return OK;
        *why = "port 0 cannot be connected to";
        return ERR_PROTOCOL;
    }
    if (colon == 0 || colon == text.len || colon > 253)
        return ERR_PROTOCOL;
    if (span_number(span_make(text.ptr + colon + 1, text.len - colon - 1), 65535, &port) ||
        port == 0)
        return ERR_PROTOCOL;
    return look_up(span_make(text.ptr, colon), (uint16_t)port, arena, addrs, n, why);
}
