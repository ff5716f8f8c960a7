/*
 * rate_key.c - by what clients are told apart.
 */
#include "rate.h"

#include <arpa/inet.h>
#include <string.h>

/* Keep the first bits of an address. */
static void cut(unsigned char *address, size_t bytes, uint64_t bits)
{
    for (size_t i = 0; i < bytes; i++) {
        uint64_t here = bits > i * 8 ? bits - i * 8 : 0;

        if (here < 8)
            address[i] = (unsigned char)(address[i] & ~(0xffu >> here));
    }
}

/* The client's network. One household has many IPv6 addresses, so a prefix is one client. */
static struct sluice_span network(const struct sluice_call *call, char *text, size_t size)
{
    const struct rate_conf *conf = call->conf;
    struct sluice_span address;
    unsigned char bytes[sizeof(struct in6_addr)];
    char name[INET6_ADDRSTRLEN];

    if (!call->host->attribute_get(call, conf->address, &address) || address.len >= sizeof(name))
        return (struct sluice_span){NULL, 0};
    memcpy(name, address.ptr, address.len);
    name[address.len] = '\0';
    if (inet_pton(AF_INET, name, bytes) == 1) {
        cut(bytes, sizeof(struct in_addr), conf->ipv4_bits);
        inet_ntop(AF_INET, bytes, text, (socklen_t)size);
    } else if (inet_pton(AF_INET6, name, bytes) == 1) {
        cut(bytes, sizeof(struct in6_addr), conf->ipv6_bits);
        inet_ntop(AF_INET6, bytes, text, (socklen_t)size);
    } else {
        return address; /* a unix socket's peer */
    }
    return (struct sluice_span){text, strlen(text)};
}

static struct sluice_span join(const struct sluice_call *call, const struct rate_limit *limit,
                               struct sluice_span value)
{
    const struct rate_conf *conf = call->conf;
    size_t len = value.len < RATE_KEY_MAX ? value.len : RATE_KEY_MAX;
    char *text = call->host->alloc(call, conf->prefix.len + limit->name.len + 1 + len);
    char *at = text;

    if (!text)
        return (struct sluice_span){NULL, 0};
    memcpy(at, conf->prefix.ptr, conf->prefix.len);
    at += conf->prefix.len;
    memcpy(at, limit->name.ptr, limit->name.len);
    at += limit->name.len;
    *at++ = ':';
    memcpy(at, value.ptr, len);
    return (struct sluice_span){text, (size_t)(at - text) + len};
}

bool rate_key(const struct sluice_call *call, const struct rate_limit *limit,
              struct sluice_span *key)
{
    const struct rate_conf *conf = call->conf;
    struct sluice_span value = {NULL, 0};
    char text[INET6_ADDRSTRLEN];

    *key = value;
    if (!limit->by_address)
        value = call->host->render(call, limit->value);
    if (value.len == 0 && !limit->by_address) {
        if (conf->missing == RATE_MISSING_REFUSE)
            return false;
        if (conf->missing == RATE_MISSING_SKIP)
            return true;
    }
    if (value.len == 0)
        value = network(call, text, sizeof(text));
    if (value.len > 0)
        *key = join(call, limit, value);
    return value.len == 0 || key->len > 0;
}
