/*
 * proxy_header.c - the PROXY protocol (haproxy.org, proxy-protocol.txt), sections 2.1 and 2.2.
 */
#include "net/proxy_header.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
    SIGNATURE_BYTES = 12,
    V2_HEAD_BYTES = 16,
    IP4_BLOCK = 12,
    IP6_BLOCK = 36,
    UNIX_BLOCK = 216,
    TLV_HEAD = 3,
    SSL_HEAD = 5, /* the flags and the verdict before its own entries */
    NAME_MAX_BYTES = 255,
};

/* Family and transport in one octet; datagrams cannot be what a stream is for. */
enum { FAMILY_UNSPEC = 0x00, FAMILY_TCP4 = 0x11, FAMILY_TCP6 = 0x21, FAMILY_UNIX = 0x31 };

enum {
    TLV_ALPN = 0x01,
    TLV_AUTHORITY = 0x02,
    TLV_CRC32C = 0x03,
    TLV_UNIQUE_ID = 0x05,
    TLV_SSL = 0x20,
    TLV_SSL_VERSION = 0x21,
    TLV_SSL_CN = 0x22,
    TLV_SSL_CIPHER = 0x23,
};

enum { SSL_IS_ON = 1, SSL_CERT_CONN = 2, SSL_CERT_SESSION = 4 };

static const unsigned char signature[SIGNATURE_BYTES] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                                         0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
static const char word[] = "PROXY ";

static enum err wrong(const char **why, const char *text)
{
    *why = text;
    return ERR_PROTOCOL;
}

static unsigned octet(struct sluice_span bytes, size_t at)
{
    return (unsigned char)bytes.ptr[at];
}

static unsigned two_octets(struct sluice_span bytes, size_t at)
{
    return octet(bytes, at) << 8 | octet(bytes, at + 1);
}

static bool begins_as(struct sluice_span bytes, const void *what, size_t len)
{
    return bytes.len > 0 && memcmp(bytes.ptr, what, bytes.len < len ? bytes.len : len) == 0;
}

bool proxy_header_may_be(struct sluice_span bytes)
{
    return bytes.len == 0 || begins_as(bytes, word, sizeof(word) - 1) ||
           begins_as(bytes, signature, sizeof(signature));
}

/* -- version 1 ------------------------------------------------------------- */

static bool take_ip(struct sluice_span text, int family, struct addr *addr)
{
    char ip[INET6_ADDRSTRLEN];

    if (text.len == 0 || text.len >= sizeof(ip))
        return false;
    memcpy(ip, text.ptr, text.len);
    ip[text.len] = '\0';
    addr->family = (uint16_t)family;
    return inet_pton(family, ip, addr->ip) == 1;
}

/* In decimal, and in one way only. */
static bool take_port(struct sluice_span text, struct addr *addr)
{
    uint64_t port;

    if (text.len == 0 || (text.len > 1 && text.ptr[0] == '0') || span_number(text, 65535, &port))
        return false;
    addr->port = (uint16_t)port;
    return true;
}

static enum err read_words(struct sluice_span line, struct proxy_header *header, const char **why)
{
    struct sluice_span piece[5];
    bool ends_blank = line.len > 0 && line.ptr[line.len - 1] == ' ';
    size_t n = 0;
    int family;

    for (size_t i = 0; i < line.len; i++) {
        if (octet(line, i) < 0x20 || octet(line, i) >= 0x7f)
            return wrong(why, "the line is no text");
    }
    while (n < 5 && span_split(&line, ' ', &piece[n]))
        n++;
    if (n > 0 && span_equal(piece[0], SPAN("UNKNOWN"))) {
        header->is_local = true;
        return OK;
    }
    if (n != 5 || line.len > 0 || ends_blank)
        return wrong(why, "PROXY is not followed by a family, two addresses and two ports");
    if (span_equal(piece[0], SPAN("TCP4"))) {
        family = AF_INET;
    } else if (span_equal(piece[0], SPAN("TCP6"))) {
        family = AF_INET6;
    } else {
        return wrong(why, "the family is not TCP4, TCP6 or UNKNOWN");
    }
    if (!take_ip(piece[1], family, &header->from) || !take_ip(piece[2], family, &header->to))
        return wrong(why, "an address is none of its family");
    if (!take_port(piece[3], &header->from) || !take_port(piece[4], &header->to))
        return wrong(why, "a port is no number from 0 to 65535");
    return OK;
}

static enum err read_v1(struct sluice_span bytes, struct proxy_header *header, size_t *used,
                        const char **why)
{
    size_t n = bytes.len < PROXY_HEADER_V1_MAX ? bytes.len : PROXY_HEADER_V1_MAX;
    size_t end = span_find(span_make(bytes.ptr, n), '\r');
    size_t feed = span_find(span_make(bytes.ptr, n), '\n');
    size_t skip = sizeof(word) - 1;

    if (feed < end || (end + 1 < n && feed != end + 1))
        return wrong(why, "the line does not end with CRLF");
    if (feed >= n) {
        return n < PROXY_HEADER_V1_MAX ? ERR_AGAIN
                                       : wrong(why, "the line is longer than 107 bytes");
    }
    header->version = 1;
    *used = feed + 1;
    return read_words(span_make(bytes.ptr + skip, end - skip), header, why);
}

/* -- version 2 ------------------------------------------------------------- */

/* CRC-32C (Castagnoli) of one octet more; bit by bit: a header is short. */
static uint32_t crc_add(uint32_t crc, unsigned value)
{
    crc ^= value;
    for (int i = 0; i < 8; i++) {
        crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78U : 0);
    }
    return crc;
}

/* Of all bytes, taking the four from at for zero. */
static uint32_t crc_of(struct sluice_span bytes, size_t at)
{
    uint32_t crc = 0xffffffffU;

    for (size_t i = 0; i < bytes.len; i++) {
        crc = crc_add(crc, i >= at && i < at + 4 ? 0 : octet(bytes, i));
    }
    return ~crc;
}

/* One entry, or the one being built. */
struct tlv {
    unsigned type;
    struct sluice_span value;
};

/* The next entry of *rest; false when what is left is none. */
static bool next_tlv(struct sluice_span *rest, struct tlv *tlv)
{
    size_t len;

    if (rest->len < TLV_HEAD)
        return false;
    tlv->type = octet(*rest, 0);
    len = two_octets(*rest, 1);
    if (len > rest->len - TLV_HEAD)
        return false;
    tlv->value = span_make(rest->ptr + TLV_HEAD, len);
    *rest = span_make(rest->ptr + TLV_HEAD + len, rest->len - TLV_HEAD - len);
    return true;
}

/* A text for logs: none that could be read as two. */
static bool take_text(struct sluice_span value, size_t max, struct sluice_span *out)
{
    for (size_t i = 0; i < value.len; i++) {
        if (octet(value, i) < 0x20 || octet(value, i) == 0x7f)
            return false;
    }
    if (out->ptr || value.len > max)
        return false;
    *out = value;
    return true;
}

static bool take_ssl_entry(const struct tlv *tlv, struct proxy_ssl *ssl)
{
    switch (tlv->type) {
    case TLV_SSL_VERSION:
        return take_text(tlv->value, NAME_MAX_BYTES, &ssl->version);
    case TLV_SSL_CIPHER:
        return take_text(tlv->value, NAME_MAX_BYTES, &ssl->cipher);
    case TLV_SSL_CN:
        return take_text(tlv->value, NAME_MAX_BYTES, &ssl->common_name);
    default: /* other people's */
        return true;
    }
}

static bool take_ssl(struct sluice_span value, struct proxy_ssl *ssl)
{
    struct sluice_span rest;
    struct tlv tlv;
    unsigned flags, n = 0;

    if (value.len < SSL_HEAD)
        return false;
    flags = octet(value, 0);
    ssl->is_on = flags & SSL_IS_ON;
    ssl->has_cert = flags & (SSL_CERT_CONN | SSL_CERT_SESSION);
    ssl->is_verified = ssl->has_cert && two_octets(value, 1) == 0 && two_octets(value, 3) == 0;
    rest = span_make(value.ptr + SSL_HEAD, value.len - SSL_HEAD);
    while (rest.len > 0) {
        if (++n > PROXY_HEADER_TLVS || !next_tlv(&rest, &tlv) || !take_ssl_entry(&tlv, ssl))
            return false;
    }
    return true;
}

static bool take_crc(struct sluice_span whole, struct sluice_span value)
{
    size_t at = (size_t)(value.ptr - whole.ptr);

    return value.len == 4 &&
           crc_of(whole, at) == ((uint32_t)two_octets(value, 0) << 16 | two_octets(value, 2));
}

static bool take_tlv(const struct tlv *tlv, struct proxy_header *header)
{
    switch (tlv->type) {
    case TLV_ALPN: /* any octets (RFC 7301), but none that a log could not show */
        return take_text(tlv->value, NAME_MAX_BYTES, &header->alpn);
    case TLV_AUTHORITY:
        return take_text(tlv->value, NAME_MAX_BYTES, &header->authority);
    case TLV_UNIQUE_ID:
        return take_text(tlv->value, PROXY_HEADER_ID_BYTES, &header->unique_id);
    case TLV_SSL:
        return take_ssl(tlv->value, &header->ssl);
    default: /* padding, network namespaces, other people's */
        return true;
    }
}

static enum err read_tlvs(struct sluice_span whole, size_t at, struct proxy_header *header,
                          const char **why)
{
    struct sluice_span rest = span_make(whole.ptr + at, whole.len - at);
    struct tlv tlv;
    bool has_ssl = false;
    unsigned n = 0;

    while (rest.len > 0) {
        if (++n > PROXY_HEADER_TLVS)
            return wrong(why, "there are more than 64 TLVs");
        if (!next_tlv(&rest, &tlv))
            return wrong(why, "a TLV is longer than the header");
        if (tlv.type == TLV_CRC32C) {
            if (header->has_crc || !take_crc(whole, tlv.value))
                return wrong(why, "the checksum is wrong");
            header->has_crc = true;
        } else if ((tlv.type == TLV_SSL && has_ssl) || !take_tlv(&tlv, header)) {
            return wrong(why, "a TLV is malformed, too long, or there twice");
        }
        has_ssl |= tlv.type == TLV_SSL;
    }
    return OK;
}

static void take_ips(struct sluice_span whole, struct proxy_header *header, int family, size_t n)
{
    size_t at = V2_HEAD_BYTES;

    header->from.family = header->to.family = (uint16_t)family;
    memcpy(header->from.ip, whole.ptr + at, n);
    memcpy(header->to.ip, whole.ptr + at + n, n);
    header->from.port = (uint16_t)two_octets(whole, at + 2 * n);
    header->to.port = (uint16_t)two_octets(whole, at + 2 * n + 2);
}

static enum err read_block(struct sluice_span whole, struct proxy_header *header, const char **why)
{
    size_t len = whole.len - V2_HEAD_BYTES;

    switch (octet(whole, 13)) {
    case FAMILY_UNSPEC: /* what follows is not to be looked at */
        header->is_local = true;
        return OK;
    case FAMILY_TCP4:
        if (len < IP4_BLOCK)
            return wrong(why, "there is no room for two IPv4 addresses");
        take_ips(whole, header, AF_INET, 4);
        return read_tlvs(whole, V2_HEAD_BYTES + IP4_BLOCK, header, why);
    case FAMILY_TCP6:
        if (len < IP6_BLOCK)
            return wrong(why, "there is no room for two IPv6 addresses");
        take_ips(whole, header, AF_INET6, 16);
        return read_tlvs(whole, V2_HEAD_BYTES + IP6_BLOCK, header, why);
    case FAMILY_UNIX:
        if (len < UNIX_BLOCK)
            return wrong(why, "there is no room for two socket names");
        header->from.family = header->to.family = AF_UNIX;
        return read_tlvs(whole, V2_HEAD_BYTES + UNIX_BLOCK, header, why);
    default:
        return wrong(why, "the family is not that of a stream");
    }
}

static enum err read_v2(struct sluice_span bytes, struct proxy_header *header, size_t *used,
                        const char **why)
{
    unsigned command;
    size_t whole;

    if (bytes.len <= SIGNATURE_BYTES)
        return ERR_AGAIN;
    command = octet(bytes, 12);
    if (command != 0x20 && command != 0x21)
        return wrong(why, "neither LOCAL nor PROXY of version 2");
    if (bytes.len < V2_HEAD_BYTES)
        return ERR_AGAIN;
    whole = V2_HEAD_BYTES + two_octets(bytes, 14);
    if (whole > PROXY_HEADER_MAX)
        return wrong(why, "the header is longer than 8 KiB");
    if (bytes.len < whole)
        return ERR_AGAIN;
    header->version = 2;
    *used = whole;
    if (command == 0x20) { /* LOCAL: what follows is not to be looked at */
        header->is_local = true;
        return OK;
    }
    return read_block(span_make(bytes.ptr, whole), header, why);
}

enum err proxy_header_read(struct sluice_span bytes, struct proxy_header *header, size_t *used,
                           const char **why)
{
    *header = (struct proxy_header){.version = 0};
    *used = 0;
    if (bytes.len == 0)
        return ERR_AGAIN;
    if (begins_as(bytes, signature, sizeof(signature)))
        return read_v2(bytes, header, used, why);
    if (!begins_as(bytes, word, sizeof(word) - 1))
        return wrong(why, "there is no PROXY header");
    return bytes.len < sizeof(word) - 1 ? ERR_AGAIN : read_v1(bytes, header, used, why);
}

/* -- writing ---------------------------------------------------------------- */

static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_ip(const struct addr *addr)
{
    return addr->family == AF_INET || addr->family == AF_INET6;
}

static struct addr as_ip6(const struct addr *addr)
{
    struct addr made = {.family = AF_INET6, .port = addr->port};

    if (addr->family == AF_INET6) {
        memcpy(made.ip, addr->ip, sizeof(made.ip));
    } else {
        memcpy(made.ip, mapped, sizeof(mapped));
        memcpy(made.ip + sizeof(mapped), addr->ip, 4);
    }
    return made;
}

/* An IPv4 address that came in through an IPv6 socket is written as what it is. */
static struct addr as_plain(const struct addr *addr)
{
    struct addr made = {.family = AF_INET, .port = addr->port};

    if (addr->family != AF_INET6 || memcmp(addr->ip, mapped, sizeof(mapped)) != 0)
        return *addr;
    memcpy(made.ip, addr->ip + sizeof(mapped), 4);
    return made;
}

/* Both addresses in one family; false when they have none that can be said. */
static bool settle(const struct proxy_header *header, struct addr *from, struct addr *to)
{
    *from = as_plain(&header->from);
    *to = as_plain(&header->to);
    if (header->is_local || !is_ip(from) || !is_ip(to))
        return false;
    if (from->family != to->family) {
        *from = as_ip6(from);
        *to = as_ip6(to);
    }
    return true;
}

static size_t write_v1(char *out, size_t room, const struct proxy_header *header)
{
    char from_ip[INET6_ADDRSTRLEN], to_ip[INET6_ADDRSTRLEN];
    struct addr from, to;
    int n;

    if (!settle(header, &from, &to)) {
        n = snprintf(out, room, "PROXY UNKNOWN\r\n");
    } else {
        inet_ntop(from.family, from.ip, from_ip, sizeof(from_ip));
        inet_ntop(to.family, to.ip, to_ip, sizeof(to_ip));
        n = snprintf(out, room, "PROXY TCP%c %s %s %u %u\r\n", from.family == AF_INET ? '4' : '6',
                     from_ip, to_ip, (unsigned)from.port, (unsigned)to.port);
    }
    return n > 0 && (size_t)n < room ? (size_t)n : 0;
}

/* What is being written; what does not fit is left out, and told at the end. */
struct out {
    char *at;
    size_t used, room;
    bool is_full;
};

static void put(struct out *out, const void *bytes, size_t len)
{
    if (len > out->room - out->used) {
        out->is_full = true;
    } else if (len > 0) {
        memcpy(out->at + out->used, bytes, len);
        out->used += len;
    }
}

static void put_octet(struct out *out, unsigned value)
{
    unsigned char byte = (unsigned char)value;

    put(out, &byte, 1);
}

static void put_two(struct out *out, size_t value)
{
    put_octet(out, (unsigned)(value >> 8));
    put_octet(out, (unsigned)value);
}

static void put_tlv(struct out *out, unsigned type, struct sluice_span value)
{
    if (value.len == 0)
        return;
    put_octet(out, type);
    put_two(out, value.len);
    put(out, value.ptr, value.len);
}

static size_t tlv_bytes(struct sluice_span value)
{
    return value.len > 0 ? TLV_HEAD + value.len : 0;
}

static void put_ssl(struct out *out, const struct proxy_ssl *ssl)
{
    unsigned flags = SSL_IS_ON | (ssl->has_cert ? SSL_CERT_CONN | SSL_CERT_SESSION : 0);

    if (!ssl->is_on)
        return;
    put_octet(out, TLV_SSL);
    put_two(out, SSL_HEAD + tlv_bytes(ssl->version) + tlv_bytes(ssl->cipher) +
                     tlv_bytes(ssl->common_name));
    put_octet(out, flags);
    put_two(out, 0);
    put_two(out, ssl->is_verified ? 0 : 1);
    put_tlv(out, TLV_SSL_VERSION, ssl->version);
    put_tlv(out, TLV_SSL_CIPHER, ssl->cipher);
    put_tlv(out, TLV_SSL_CN, ssl->common_name);
}

static void put_block(struct out *out, const struct addr *from, const struct addr *to)
{
    size_t n = from->family == AF_INET ? 4 : 16;

    put(out, from->ip, n);
    put(out, to->ip, n);
    put_two(out, from->port);
    put_two(out, to->port);
}

/* Room for the checksum; returns where. */
static size_t put_crc_room(struct out *out)
{
    static const char zeros[4];

    put_octet(out, TLV_CRC32C);
    put_two(out, sizeof(zeros));
    put(out, zeros, sizeof(zeros));
    return out->used - sizeof(zeros);
}

static void set_two(struct out *out, size_t at, size_t value)
{
    out->at[at] = (char)(value >> 8);
    out->at[at + 1] = (char)value;
}

static size_t write_v2(char *bytes, size_t room, const struct proxy_header *header)
{
    struct out out = {.at = bytes, .room = room};
    struct addr from, to;
    bool has_addresses = settle(header, &from, &to);
    uint32_t crc;
    size_t crc_at = 0;

    put(&out, signature, sizeof(signature));
    put_octet(&out, header->is_local ? 0x20 : 0x21);
    if (!has_addresses) {
        put_octet(&out, FAMILY_UNSPEC);
        put_two(&out, 0);
        return out.is_full ? 0 : out.used;
    }
    put_octet(&out, from.family == AF_INET ? FAMILY_TCP4 : FAMILY_TCP6);
    put_two(&out, 0);
    put_block(&out, &from, &to);
    put_tlv(&out, TLV_ALPN, header->alpn);
    put_tlv(&out, TLV_AUTHORITY, header->authority);
    put_tlv(&out, TLV_UNIQUE_ID, header->unique_id);
    put_ssl(&out, &header->ssl);
    if (header->has_crc)
        crc_at = put_crc_room(&out);
    if (out.is_full)
        return 0;
    set_two(&out, 14, out.used - V2_HEAD_BYTES);
    if (header->has_crc) {
        crc = crc_of(span_make(bytes, out.used), crc_at);
        set_two(&out, crc_at, crc >> 16);
        set_two(&out, crc_at + 2, crc);
    }
    return out.used;
}

size_t proxy_header_write(char *out, size_t room, const struct proxy_header *header)
{
    return header->version == 1 ? write_v1(out, room, header) : write_v2(out, room, header);
}
