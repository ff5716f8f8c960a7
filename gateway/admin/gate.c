#include "admin/gate.h"

#include <arpa/inet.h>
#include <string.h>

enum { PORT_MAX = 65535 };

static bool is_address(int family, struct sluice_span text)
{
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr address; /* the larger of the two */

    if (text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return strlen(copy) == text.len && inet_pton(family, copy, &address) == 1;
}

static bool is_port(struct sluice_span text)
{
    uint64_t port;

    return span_number(text, PORT_MAX, &port) == OK;
}

bool gate_has_host(struct sluice_span host)
{
    bool bracketed = host.len > 0 && host.ptr[0] == '[';
    struct sluice_span name = span_make(host.ptr, span_find(host, bracketed ? ']' : ':'));
    struct sluice_span rest;

    if (bracketed) {
        if (name.len == host.len)
            return false;
        name = span_make(name.ptr + 1, name.len - 1);
        rest = span_make(name.ptr + name.len + 1, host.len - name.len - 2);
    } else {
        rest = span_make(name.ptr + name.len, host.len - name.len);
    }
    if (rest.len > 0 && (rest.ptr[0] != ':' || !is_port(span_make(rest.ptr + 1, rest.len - 1))))
        return false;
    if (bracketed)
        return is_address(AF_INET6, name);
    return span_equal_nocase(name, SPAN("localhost")) || is_address(AF_INET, name);
}
