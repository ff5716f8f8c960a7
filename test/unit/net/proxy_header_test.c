#include "net/proxy_header.h"

#include "unit.h"

#include <string.h>
#include <sys/socket.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define IP4_BLOCK "\x0a\x01\x02\x03\xc0\xa8\x00\x01\x30\x39\x01\xbb"

/* Read it whole, and one byte more at a time: the results must be equal. */
static enum err read_all(struct sluice_span bytes, struct proxy_header *header, size_t *used)
{
    const char *why = NULL, *why_slowly = NULL;
    enum err err = proxy_header_read(bytes, header, used, &why);
    struct proxy_header slowly;
    size_t n, used_slowly;

    for (n = 0; n <= bytes.len; n++) {
        char *copy = malloc(n + 1);
        enum err err_slowly;

        memcpy(copy, bytes.ptr, n);
        err_slowly = proxy_header_read(span_make(copy, n), &slowly, &used_slowly, &why_slowly);
        free(copy);
        if (err_slowly == ERR_AGAIN) {
            ck_assert_msg(n < bytes.len || err == ERR_AGAIN, "never whole");
            continue;
        }
        ck_assert_int_eq(err_slowly, err);
        if (err == OK)
            ck_assert_uint_eq(used_slowly, *used);
        break;
    }
    if (err == ERR_PROTOCOL)
        ck_assert_ptr_nonnull(why);
    return err;
}

static enum err read_text(const char *text)
{
    struct proxy_header header;
    size_t used;

    return read_all(span_of(text), &header, &used);
}

START_TEST(addresses_of_version_1_are_read)
{
    struct proxy_header header;
    char from[ADDR_TEXT], to[ADDR_TEXT];
    size_t used;

    ck_assert_int_eq(
        read_all(SPAN("PROXY TCP4 10.1.2.3 192.168.0.1 12345 443\r\nGET / "), &header, &used), OK);
    ck_assert_uint_eq(used, 43);
    addr_format(&header.from, from, sizeof(from));
    addr_format(&header.to, to, sizeof(to));
    ck_assert_str_eq(from, "10.1.2.3:12345");
    ck_assert_str_eq(to, "192.168.0.1:443");
    ck_assert_uint_eq(header.version, 1);
    ck_assert(!header.is_local);
    ck_assert_int_eq(read_all(SPAN("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n"), &header, &used), OK);
    addr_format(&header.from, from, sizeof(from));
    ck_assert_str_eq(from, "[2001:db8::1]:0");
    ck_assert_uint_eq(header.to.port, 65535);
}
END_TEST

START_TEST(an_unknown_client_of_version_1_has_no_addresses)
{
    static const char *const texts[] = {"PROXY UNKNOWN\r\n", "PROXY UNKNOWN \r\n",
                                        "PROXY UNKNOWN what ever 1 2 3 4 5 6\r\n"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct proxy_header header;
        size_t used;

        ck_assert_int_eq(read_all(span_of(texts[i]), &header, &used), OK);
        ck_assert_uint_eq(used, strlen(texts[i]));
        ck_assert(header.is_local);
        ck_assert_uint_eq(header.from.family, 0);
    }
}
END_TEST

START_TEST(what_bends_version_1_is_refused)
{
    static const char *const texts[] = {
        "GET / HTTP/1.1\r\n",
        "proxy TCP4 10.1.2.3 192.168.0.1 12345 443\r\n",
        "PROXY  TCP4 10.1.2.3 192.168.0.1 12345 443\r\n",
        "PROXY TCP4  10.1.2.3 192.168.0.1 12345 443\r\n",
        "PROXY TCP4 10.1.2.3 192.168.0.1 12345 443 \r\n",
        "PROXY TCP4 10.1.2.3 192.168.0.1 12345 443 1\r\n",
        "PROXY TCP4\t10.1.2.3 192.168.0.1 12345 443\r\n",
        "PROXY TCP4 \t10.1.2.3 192.168.0.1 12345 443\r\n",
        "PROXY TCP4 10.1.2.3 192.168.0.1 12345 443\n",
        "PROXY TCP4 10.1.2.3 192.168.0.1 12345 443\r\r\n",
        "PROXY TCP4 10.1.2.3 192.168.0.1 12345 443\rX",
        "PROXY TCP4 10.1.2.3 192.168.0.1 12345\r\n",
        "PROXY TCP4 10.1.2.3 192.168.0.1 012345 443\r\n",
        "PROXY TCP4 10.1.2.3 192.168.0.1 00 443\r\n",
        "PROXY TCP4 10.1.2.3 192.168.0.1 65536 443\r\n",
        "PROXY TCP4 10.1.2.3 192.168.0.1 +1 443\r\n",
        "PROXY TCP4 10.1.2.3 192.168.0.1 -1 443\r\n",
        "PROXY TCP4 10.1.2.03 192.168.0.1 1 443\r\n",
        "PROXY TCP4 10.1.2 192.168.0.1 1 443\r\n",
        "PROXY TCP4 ::1 ::1 1 443\r\n",
        "PROXY TCP6 10.1.2.3 192.168.0.1 1 443\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 443\r\n",
        "PROXY TCP5 ::1 ::1 1 443\r\n",
        "PROXY tcp6 ::1 ::1 1 443\r\n",
        "PROXY UDP4 10.1.2.3 192.168.0.1 1 443\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY UNKNOWN \x01\r\n",
        "PROXY \r\n",
        "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
        "65535 655351 1\r\n",
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        ck_assert_msg(read_text(texts[i]) == ERR_PROTOCOL, "%s", texts[i]);
    }
}
END_TEST

START_TEST(the_longest_line_of_version_1_is_read_and_no_longer_one)
{
    char line[200] = "PROXY UNKNOWN ";

    memset(line + 14, 'x', sizeof(line) - 14);
    memcpy(line + 105, "\r\n", 3);
    ck_assert_int_eq(read_text(line), OK);
    memcpy(line + 105, "x\r\n", 4);
    ck_assert_int_eq(read_text(line), ERR_PROTOCOL);
}
END_TEST

/* A header of version 2 of this command and family, with this behind its sixteen bytes. */
static struct sluice_span made(unsigned command, unsigned family, struct sluice_span rest)
{
    static char bytes[PROXY_HEADER_MAX * 2];

    memcpy(bytes, SIGNATURE, 12);
    bytes[12] = (char)command;
    bytes[13] = (char)family;
    bytes[14] = (char)(rest.len >> 8);
    bytes[15] = (char)rest.len;
    memcpy(bytes + 16, rest.ptr, rest.len);
    return span_make(bytes, 16 + rest.len);
}

static enum err read_made(unsigned command, unsigned family, struct sluice_span rest,
                          struct proxy_header *header)
{
    struct sluice_span bytes = made(command, family, rest);
    size_t used;
    enum err err = read_all(bytes, header, &used);

    if (err == OK)
        ck_assert_uint_eq(used, bytes.len);
    return err;
}

START_TEST(addresses_of_version_2_are_read)
{
    struct proxy_header header;
    char text[ADDR_TEXT];

    ck_assert_int_eq(read_made(0x21, 0x11, SPAN(IP4_BLOCK), &header), OK);
    ck_assert_uint_eq(header.version, 2);
    addr_format(&header.from, text, sizeof(text));
    ck_assert_str_eq(text, "10.1.2.3:12345");
    addr_format(&header.to, text, sizeof(text));
    ck_assert_str_eq(text, "192.168.0.1:443");
    ck_assert_int_eq(
        read_made(0x21, 0x21,
                  SPAN("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"
                       "\x12\x34\x00\x50"),
                  &header),
        OK);
    addr_format(&header.from, text, sizeof(text));
    ck_assert_str_eq(text, "[2001:db8::1]:4660");
}
END_TEST

START_TEST(unix_sockets_of_version_2_have_a_family_only)
{
    char block[216] = "/run/a.sock";
    struct proxy_header header;

    ck_assert_int_eq(read_made(0x21, 0x31, span_make(block, sizeof(block)), &header), OK);
    ck_assert_uint_eq(header.from.family, AF_UNIX);
    ck_assert_ptr_null(header.from.path);
    ck_assert_int_eq(read_made(0x21, 0x31, span_make(block, 215), &header), ERR_PROTOCOL);
}
END_TEST

START_TEST(who_speaks_for_itself_is_not_looked_at)
{
    struct proxy_header header;

    ck_assert_int_eq(read_made(0x20, 0x00, SPAN(""), &header), OK);
    ck_assert(header.is_local);
    ck_assert_int_eq(read_made(0x20, 0x11, SPAN(IP4_BLOCK "\x03\x00\x04zzzz"), &header), OK);
    ck_assert(header.is_local);
    ck_assert_uint_eq(header.from.family, 0);
    ck_assert_int_eq(read_made(0x21, 0x00, SPAN("anything"), &header), OK);
    ck_assert(header.is_local);
}
END_TEST

START_TEST(what_bends_version_2_is_refused)
{
    static const struct {
        unsigned command, family;
        struct sluice_span rest;
    } rows[] = {
        {0x11, 0x11, SPAN(IP4_BLOCK)},                        /* version 1 */
        {0x31, 0x11, SPAN(IP4_BLOCK)},                        /* version 3 */
        {0x22, 0x11, SPAN(IP4_BLOCK)},                        /* a command that is none */
        {0x21, 0x12, SPAN(IP4_BLOCK)},                        /* datagrams */
        {0x21, 0x41, SPAN(IP4_BLOCK)},                        /* a family that is none */
        {0x21, 0x10, SPAN(IP4_BLOCK)},                        /* a family without a transport */
        {0x21, 0x11, SPAN("\x0a\x01\x02\x03\xc0\xa8\0\1\1")}, /* short */
        {0x21, 0x21, SPAN(IP4_BLOCK)},
        {0x21, 0x11, SPAN(IP4_BLOCK "\x04")}, /* TLVs that end too soon */
        {0x21, 0x11, SPAN(IP4_BLOCK "\x04\x00")},
        {0x21, 0x11, SPAN(IP4_BLOCK "\x04\x00\x01")},
        {0x21, 0x11,
         SPAN(IP4_BLOCK "\x02\x00\x01"
                        "a\x02\x00\x01"
                        "b")}, /* twice */
        {0x21, 0x11,
         SPAN(IP4_BLOCK "\x02\x00\x02"
                        "a\n")}, /* no text */
        {0x21, 0x11,
         SPAN(IP4_BLOCK "\x20\x00\x04"
                        "\1\0\0\0")}, /* SSL: short */
        {0x21, 0x11,
         SPAN(IP4_BLOCK "\x20\x00\x07"
                        "\1\0\0\0\0\x21\0")},
        {0x21, 0x11,
         SPAN(IP4_BLOCK "\x03\x00\x04"
                        "abcd")}, /* a checksum of something else */
        {0x21, 0x11,
         SPAN(IP4_BLOCK "\x03\x00\x03"
                        "abc")},
    };
    struct proxy_header header;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_msg(read_made(rows[i].command, rows[i].family, rows[i].rest, &header) ==
                          ERR_PROTOCOL,
                      "row %zu", i);
    }
}
END_TEST

START_TEST(a_header_beyond_the_limit_is_refused_before_it_is_there)
{
    const char *why;
    struct proxy_header header;
    size_t used;

    ck_assert_int_eq(
        proxy_header_read(span_make(SIGNATURE "\x21\x11\x1f\xf1", 16), &header, &used, &why),
        ERR_PROTOCOL);
    ck_assert_int_eq(
        proxy_header_read(span_make(SIGNATURE "\x21\x11\x1f\xf0", 16), &header, &used, &why),
        ERR_AGAIN);
}
END_TEST

START_TEST(more_entries_than_the_limit_are_refused)
{
    char rest[12 + 3 * (PROXY_HEADER_TLVS + 1)] = IP4_BLOCK;
    struct proxy_header header;

    for (size_t i = 12; i < sizeof(rest); i += 3) {
        memcpy(rest + i, "\x04\0\0", 3);
    }
    ck_assert_int_eq(read_made(0x21, 0x11, span_make(rest, sizeof(rest) - 3), &header), OK);
    ck_assert_int_eq(read_made(0x21, 0x11, span_make(rest, sizeof(rest)), &header), ERR_PROTOCOL);
}
END_TEST

static struct proxy_header sample(uint8_t version)
{
    struct proxy_header header = {.version = version, .has_crc = true};

    header.from = (struct addr){.family = AF_INET, .port = 12345, .ip = {10, 1, 2, 3}};
    header.to = (struct addr){.family = AF_INET, .port = 443, .ip = {192, 168, 0, 1}};
    header.alpn = SPAN("h2");
    header.authority = SPAN("www.example.com");
    header.unique_id = SPAN("00ff-12");
    header.ssl = (struct proxy_ssl){.is_on = true,
                                    .has_cert = true,
                                    .is_verified = true,
                                    .version = SPAN("TLSv1.3"),
                                    .cipher = SPAN("TLS_AES_128_GCM_SHA256"),
                                    .common_name = SPAN("someone")};
    return header;
}

START_TEST(what_is_written_reads_the_same)
{
    struct proxy_header header = sample(2), got;
    char out[512];
    size_t n = proxy_header_write(out, sizeof(out), &header), used;

    ck_assert_uint_gt(n, 0);
    ck_assert_int_eq(read_all(span_make(out, n), &got, &used), OK);
    ck_assert_uint_eq(used, n);
    ck_assert(addr_equal(&got.from, &header.from) && addr_equal(&got.to, &header.to));
    ck_assert(span_equal(got.alpn, header.alpn) && span_equal(got.authority, header.authority));
    ck_assert(span_equal(got.unique_id, header.unique_id) && got.has_crc);
    ck_assert(got.ssl.is_on && got.ssl.has_cert && got.ssl.is_verified);
    ck_assert(span_equal(got.ssl.version, header.ssl.version));
    ck_assert(span_equal(got.ssl.cipher, header.ssl.cipher));
    ck_assert(span_equal(got.ssl.common_name, header.ssl.common_name));
    for (size_t room = 0; room < n; room++) {
        ck_assert_uint_eq(proxy_header_write(out, room, &header), 0);
    }
}
END_TEST

START_TEST(one_wrong_bit_is_seen_by_the_checksum)
{
    struct proxy_header header = sample(2), got;
    char out[512];
    size_t n = proxy_header_write(out, sizeof(out), &header), used;
    const char *why;

    for (size_t i = 16; i < n; i++) {
        enum err err;

        out[i] ^= 0x40;
        err = proxy_header_read(span_make(out, n), &got, &used, &why);
        /* Where the checksum's own type is bent, there is none. */
        ck_assert_msg(err == ERR_PROTOCOL || !got.has_crc, "byte %zu", i);
        out[i] ^= 0x40;
    }
}
END_TEST

START_TEST(version_1_is_written_with_addresses_of_one_family)
{
    struct proxy_header header = sample(1);
    char out[PROXY_HEADER_V1_MAX + 1];
    size_t n = proxy_header_write(out, sizeof(out), &header);

    ck_assert_str_eq(out, "PROXY TCP4 10.1.2.3 192.168.0.1 12345 443\r\n");
    ck_assert_uint_eq(n, strlen(out));
    header.to = (struct addr){.family = AF_INET6, .port = 443, .ip = {[15] = 1}};
    n = proxy_header_write(out, sizeof(out), &header);
    ck_assert_str_eq(out, "PROXY TCP6 ::ffff:10.1.2.3 ::1 12345 443\r\n");
    ck_assert_uint_eq(n, strlen(out));
    header.to.family = AF_UNIX;
    n = proxy_header_write(out, sizeof(out), &header);
    ck_assert_str_eq(out, "PROXY UNKNOWN\r\n");
    header.is_local = true;
    ck_assert_uint_eq(proxy_header_write(out, sizeof(out), &header), n);
}
END_TEST

START_TEST(who_speaks_for_itself_writes_sixteen_bytes)
{
    struct proxy_header header = {.version = 2, .is_local = true}, got;
    char out[64];
    size_t used;

    ck_assert_uint_eq(proxy_header_write(out, sizeof(out), &header), 16);
    ck_assert_mem_eq(out, SIGNATURE "\x20\0\0\0", 16);
    ck_assert_int_eq(read_all(span_make(out, 16), &got, &used), OK);
    ck_assert(got.is_local);
}
END_TEST

START_TEST(what_may_be_a_header_is_known_by_its_first_byte)
{
    ck_assert(proxy_header_may_be(SPAN("")));
    ck_assert(proxy_header_may_be(SPAN("P")));
    ck_assert(proxy_header_may_be(SPAN("\r\n\r")));
    ck_assert(proxy_header_may_be(span_make(SIGNATURE "\x21", 13)));
    ck_assert(!proxy_header_may_be(SPAN("PO")));
    ck_assert(!proxy_header_may_be(SPAN("GET ")));
    ck_assert(!proxy_header_may_be(SPAN("\x16\x03\x01")));
}
END_TEST

UNIT_MAIN("net/proxy_header", addresses_of_version_1_are_read,
          an_unknown_client_of_version_1_has_no_addresses, what_bends_version_1_is_refused,
          the_longest_line_of_version_1_is_read_and_no_longer_one, addresses_of_version_2_are_read,
          unix_sockets_of_version_2_have_a_family_only, who_speaks_for_itself_is_not_looked_at,
          what_bends_version_2_is_refused, a_header_beyond_the_limit_is_refused_before_it_is_there,
          more_entries_than_the_limit_are_refused, what_is_written_reads_the_same,
          one_wrong_bit_is_seen_by_the_checksum, version_1_is_written_with_addresses_of_one_family,
          who_speaks_for_itself_writes_sixteen_bytes,
          what_may_be_a_header_is_known_by_its_first_byte)
