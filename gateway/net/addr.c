#include "net/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static bool parse_ip(struct sluice_span text, struct addr *addr)
{
    char host[INET6_ADDRSTRLEN];

    if (text.len == 0 || text.len >= sizeof(host))
        return false;
    memcpy(host, text.ptr, text.len);
    host[text.len] = '\0';
    memset(addr, 0, sizeof(*addr));
    if (inet_pton(AF_INET, host, addr->ip) == 1) {
        addr->family = AF_INET;
    } else if (inet_pton(AF_INET6, host, addr->ip) == 1) {
        addr->family = AF_INET6;
    }
    return addr->family != 0;
}

static enum err parse_unix(struct sluice_span path, struct arena *arena, struct addr *addr)
{
    struct sockaddr_un *sun = NULL;

    if (path.len == 0 || path.len >= sizeof(sun->sun_path))
        return ERR_PROTOCOL;
    memset(addr, 0, sizeof(*addr));
    addr->family = AF_UNIX;
    addr->path = arena_copy(arena, path).ptr;
    return addr->path ? OK : ERR_MEMORY;
}

enum err addr_parse(struct sluice_span text, struct arena *arena, struct addr *addr)
{
    struct sluice_span host = text;
    size_t colon = text.len;
    uint64_t port;

    if (span_starts(text, SPAN("unix:")))
        return parse_unix(span_make(text.ptr + 5, text.len - 5), arena, addr);
    while (colon > 0 && text.ptr[colon - 1] != ':') {
        colon--;
    }
    if (colon == 0 || span_number(span_make(text.ptr + colon, text.len - colon), 65535, &port))
        return ERR_PROTOCOL;
    host.len = colon - 1;
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        host = span_make(host.ptr + 1, host.len - 2);
        if (!parse_ip(host, addr) || addr->family != AF_INET6)
            return ERR_PROTOCOL;
    } else if (!parse_ip(host, addr) || addr->family != AF_INET) {
        return ERR_PROTOCOL;
    }
    addr->port = (uint16_t)port;
    return OK;
}

enum err addr_range_parse(struct sluice_span text, struct addr_range *range)
{
    size_t slash = span_find(text, '/');
    uint64_t bits;

    if (!parse_ip(span_make(text.ptr, slash), &range->base))
        return ERR_PROTOCOL;
    range->bits = range->base.family == AF_INET ? 32 : 128;
    if (slash == text.len)
        return OK;
    if (span_number(span_make(text.ptr + slash + 1, text.len - slash - 1), range->bits, &bits))
        return ERR_PROTOCOL;
    range->bits = (unsigned)bits;
    return OK;
}

const char *addr_unix_path(const struct addr *addr)
{
    return addr->family == AF_UNIX ? addr->path : NULL;
}

/* An IPv4 address that came in through an IPv6 socket counts as what it is. */
static const uint8_t *plain_ip(const struct addr *addr, uint16_t *family)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    *family = addr->family;
    if (addr->family != AF_INET6 || memcmp(addr->ip, mapped, sizeof(mapped)) != 0)
        return addr->ip;
    *family = AF_INET;
    return addr->ip + sizeof(mapped);
}

bool addr_range_has(const struct addr_range *range, const struct addr *addr)
{
    uint16_t family;
    const uint8_t *ip = plain_ip(addr, &family);
    unsigned bytes = range->bits / 8;
    unsigned rest = range->bits % 8;

    if (family != range->base.family || memcmp(ip, range->base.ip, bytes) != 0)
        return false;
    return rest == 0 || ((ip[bytes] ^ range->base.ip[bytes]) >> (8 - rest)) == 0;
}

/* 0 to 255 in decimal; returns how many digits. */
static size_t put_octet(char *out, unsigned octet)
{
    size_t n = 0;

    if (octet >= 100)
        out[n++] = (char)('0' + octet / 100);
    if (octet >= 10)
        out[n++] = (char)('0' + octet / 10 % 10);
    out[n++] = (char)('0' + octet % 10);
    return n;
}

/* By hand: this is done for every request, and inet_ntop() takes ten times as long. */
static size_t format_ip4(const uint8_t *ip, char *out)
{
    size_t n = 0;

    for (unsigned i = 0; i < 4; i++) {
        if (i > 0)
            out[n++] = '.';
        n += put_octet(out + n, ip[i]);
    }
    out[n] = '\0';
    return n;
}

size_t addr_format_ip(const struct addr *addr, char *out, size_t room)
{
    uint16_t family;
    const uint8_t *ip = plain_ip(addr, &family);

    if (family == AF_UNIX || family == 0)
        return (size_t)snprintf(out, room, "%s", family ? "unix" : "-");
    if (family == AF_INET && room >= INET_ADDRSTRLEN)
        return format_ip4(ip, out);
    if (!inet_ntop(family, ip, out, (socklen_t)room))
        out[0] = '\0';
    return strlen(out);
}

size_t addr_format(const struct addr *addr, char *out, size_t room)
{
    char ip[INET6_ADDRSTRLEN];
    int len;

    if (addr->family == AF_UNIX) {
        len = snprintf(out, room, "unix:%s", addr->path ? addr->path : "");
    } else {
        addr_format_ip(addr, ip, sizeof(ip));
        len = snprintf(out, room, strchr(ip, ':') ? "[%s]:%u" : "%s:%u", ip, (unsigned)addr->port);
    }
    return (size_t)len < room ? (size_t)len : room - 1;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    if (a->family != b->family || a->port != b->port || a->scope != b->scope)
        return false;
    if (a->family == AF_UNIX)
        return strcmp(a->path, b->path) == 0;
    return memcmp(a->ip, b->ip, a->family == AF_INET ? 4 : 16) == 0;
}

unsigned addr_to_sockaddr(const struct addr *addr, struct sockaddr *storage)
{
    struct sockaddr_in *in4 = (struct sockaddr_in *)(void *)storage;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)storage;
    struct sockaddr_un *sun = (struct sockaddr_un *)(void *)storage;

    memset(storage, 0, sizeof(struct sockaddr_storage));
    storage->sa_family = addr->family;
    if (addr->family == AF_INET) {
        in4->sin_port = htons(addr->port);
        memcpy(&in4->sin_addr, addr->ip, 4);
        return sizeof(*in4);
    }
    if (addr->family == AF_INET6) {
        in6->sin6_port = htons(addr->port);
        in6->sin6_scope_id = addr->scope;
        memcpy(&in6->sin6_addr, addr->ip, 16);
        return sizeof(*in6);
    }
    snprintf(sun->sun_path, sizeof(sun->sun_path), "%s", addr->path ? addr->path : "");
    return sizeof(*sun);
}

void addr_from_sockaddr(const struct sockaddr *sockaddr, struct addr *addr)
{
    const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)sockaddr;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sockaddr;

    memset(addr, 0, sizeof(*addr));
    addr->family = sockaddr->sa_family;
    if (addr->family == AF_INET) {
        addr->port = ntohs(in4->sin_port);
        memcpy(addr->ip, &in4->sin_addr, 4);
    } else if (addr->family == AF_INET6) {
        addr->port = ntohs(in6->sin6_port);
        addr->scope = in6->sin6_scope_id;
        memcpy(addr->ip, &in6->sin6_addr, 16);
    }
}
