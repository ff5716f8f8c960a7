/*
 * dns.h - a DNS server on the loop of the test, whose answers the test changes as it goes.
 *
 * It answers over UDP on a free port of 127.0.0.1; it knows what it is told, one question at a time,
 * and says NXDOMAIN of all other names.
 */
#ifndef TEST_DNS_H
#define TEST_DNS_H

#include "core/watch.h"
#include "discovery/conf.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DNS_NAMES = 4, DNS_RECORDS = 4, DNS_MESSAGE = 512, DNS_SERVFAIL = 2, DNS_NXDOMAIN = 3 };

struct dns_srv {
    uint16_t priority, weight, port;
    const char *target;
};

/* What is known of a name. */
struct dns_name {
    const char *name;
    const char *a[DNS_RECORDS]; /* "10.0.0.1" */
    size_t n_a;
    struct dns_srv srv[DNS_RECORDS];
    size_t n_srv;
    uint8_t failure; /* DNS_SERVFAIL; 0: none */
    unsigned asked;
};

struct dns {
    int fd;
    struct watch *watch;
    struct dns_name name[DNS_NAMES];
    struct sluice_span address; /* "127.0.0.1:5353" */
    char text[32];
    uint32_t ttl_s;
};

/* A message being written. */
struct dns_message {
    unsigned char bytes[DNS_MESSAGE];
    size_t len;
};

static inline void dns_put(struct dns_message *message, uint32_t value, size_t bytes)
{
    ck_assert_uint_le(message->len + bytes, DNS_MESSAGE);
    while (bytes-- > 0)
        message->bytes[message->len++] = (unsigned char)(value >> 8 * bytes);
}

static inline void dns_put_name(struct dns_message *message, const char *name)
{
    while (*name) {
        size_t len = strcspn(name, ".");

        dns_put(message, (uint32_t)len, 1);
        for (size_t i = 0; i < len; i++)
            dns_put(message, (unsigned char)name[i], 1);
        name += len + (name[len] == '.');
    }
    dns_put(message, 0, 1);
}

/* Name (that of the question), type, class and time to live. */
static inline void dns_put_record(struct dns_message *message, const struct dns *dns, uint16_t type,
                                  uint16_t data)
{
    dns_put(message, 0xc00c, 2);
    dns_put(message, type, 2);
    dns_put(message, 1, 2);
    dns_put(message, dns->ttl_s, 4);
    dns_put(message, data, 2);
}

static inline void dns_put_answers(struct dns_message *message, const struct dns *dns,
                                   const struct dns_name *name, uint16_t type)
{
    struct in_addr addr;

    for (size_t i = 0; type == 1 && i < name->n_a; i++) {
        ck_assert_int_eq(inet_pton(AF_INET, name->a[i], &addr), 1);
        dns_put_record(message, dns, type, 4);
        dns_put(message, ntohl(addr.s_addr), 4);
    }
    for (size_t i = 0; type == 33 && i < name->n_srv; i++) {
        const struct dns_srv *srv = &name->srv[i];

        dns_put_record(message, dns, type, (uint16_t)(8 + strlen(srv->target)));
        dns_put(message, srv->priority, 2);
        dns_put(message, srv->weight, 2);
        dns_put(message, srv->port, 2);
        dns_put_name(message, srv->target);
    }
}

/* The name of a question as text; returns where it ends. */
static inline size_t dns_read_name(const unsigned char *bytes, char text[256])
{
    size_t at = 12, len = 0;

    while (bytes[at]) {
        memcpy(text + len, bytes + at + 1, bytes[at]);
        len += bytes[at];
        at += bytes[at] + 1u;
        text[len++] = bytes[at] ? '.' : 0;
    }
    return at + 1;
}

static inline void dns_on_question(void *dns_, int fd, unsigned ready)
{
    struct dns *dns = dns_;
    const struct dns_name unknown = {.failure = DNS_NXDOMAIN};
    const struct dns_name *name = &unknown;
    struct dns_message answer = {.len = 0};
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    char text[256];
    ssize_t n = recvfrom(fd, answer.bytes, DNS_MESSAGE, 0, (struct sockaddr *)&from, &from_len);
    size_t end;
    uint16_t type;

    (void)ready;
    ck_assert_int_gt(n, 16);
    end = dns_read_name(answer.bytes, text);
    type = (uint16_t)(answer.bytes[end] << 8 | answer.bytes[end + 1]);
    for (size_t i = 0; i < DNS_NAMES; i++) {
        if (dns->name[i].name && strcmp(dns->name[i].name, text) == 0) {
            dns->name[i].asked++;
            name = &dns->name[i];
        }
    }
    answer.len = 2;
    dns_put(&answer, 0x8580u | name->failure, 2);
    dns_put(&answer, 1, 2);
    dns_put(&answer, name->failure ? 0 : (uint32_t)(type == 1 ? name->n_a : name->n_srv), 2);
    dns_put(&answer, 0, 4); /* no authority, and nothing else (EDNS) */
    answer.len = end + 4;   /* the question stays as it came */
    if (!name->failure)
        dns_put_answers(&answer, dns, name, type);
    sendto(fd, answer.bytes, answer.len, 0, (struct sockaddr *)&from, from_len);
}

static inline void dns_open(struct dns *dns, struct loop *loop)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);

    *dns = (struct dns){.fd = socket(AF_INET, SOCK_DGRAM, 0), .ttl_s = 60};
    ck_assert_int_ge(dns->fd, 0);
    ck_assert_int_eq(bind(dns->fd, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(getsockname(dns->fd, (struct sockaddr *)&address, &len), 0);
    snprintf(dns->text, sizeof(dns->text), "127.0.0.1:%u", ntohs(address.sin_port));
    dns->address = span_of(dns->text);
    dns->watch = watch_new(loop, dns->fd, dns_on_question, dns);
    watch_set(dns->watch, WATCH_READ);
}

static inline void dns_close(struct dns *dns)
{
    watch_free(&dns->watch);
    close(dns->fd);
}

/* Ask this server, for IPv4 alone, again after so long at the earliest and at the latest. */
static inline struct dns_conf dns_conf_of(const struct dns *dns, uint64_t min_ms, uint64_t max_ms)
{
    return (struct dns_conf){.servers = {(void *)(uintptr_t)&dns->address, 1},
                             .family = DNS_IPV4,
                             .timeout_ms = 1000,
                             .min_ms = min_ms,
                             .max_ms = max_ms};
}

#endif /* TEST_DNS_H */
