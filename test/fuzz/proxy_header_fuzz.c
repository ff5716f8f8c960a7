/*
 * proxy_header_fuzz.c - the PROXY protocol's header: what is read is the same however the bytes are
 * cut, lies within them, and reads the same when it is written again.
 */
#include "base/check.h"
#include "net/proxy_header.h"

#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

enum { OUT = 2 * PROXY_HEADER_MAX };

static void check_within(struct sluice_span bytes, struct sluice_span text)
{
    if (text.len > 0)
        CHECK(text.ptr >= bytes.ptr && text.ptr + text.len <= bytes.ptr + bytes.len);
}

/* A part of a header is a part of a header, and never another one. */
static void check_cut(struct sluice_span bytes, size_t used)
{
    struct proxy_header header;
    const char *why;
    size_t n;

    for (size_t cut = 0; cut < used; cut++) {
        CHECK(proxy_header_may_be(span_make(bytes.ptr, cut)));
        CHECK(proxy_header_read(span_make(bytes.ptr, cut), &header, &n, &why) == ERR_AGAIN);
    }
    CHECK(proxy_header_read(span_make(bytes.ptr, used), &header, &n, &why) == OK && n == used);
}

static void check_written(const struct proxy_header *header)
{
    static char out[OUT];
    struct proxy_header again;
    const char *why;
    size_t used, n = proxy_header_write(out, sizeof(out), header);

    CHECK(n > 0);
    CHECK(proxy_header_read(span_make(out, n), &again, &used, &why) == OK && used == n);
    CHECK(again.version == header->version);
    if (again.is_local || header->from.family == AF_UNIX)
        return;
    CHECK(again.from.port == header->from.port && again.to.port == header->to.port);
    if (header->version == 1)
        return;
    CHECK(span_equal(again.alpn, header->alpn) && span_equal(again.authority, header->authority));
    CHECK(span_equal(again.unique_id, header->unique_id) && again.has_crc == header->has_crc);
    CHECK(again.ssl.is_on == header->ssl.is_on);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
    struct sluice_span bytes = span_make((const char *)input, len);
    struct proxy_header header;
    const char *why = NULL;
    size_t used;
    enum err err = proxy_header_read(bytes, &header, &used, &why);

    CHECK(err == OK || err == ERR_AGAIN || (err == ERR_PROTOCOL && why));
    CHECK(err != ERR_AGAIN || len < PROXY_HEADER_MAX);
    if (err)
        return 0;
    CHECK(used <= len && used <= PROXY_HEADER_MAX);
    check_within(bytes, header.alpn);
    check_within(bytes, header.authority);
    check_within(bytes, header.unique_id);
    check_within(bytes, header.ssl.cipher);
    check_cut(bytes, used);
    check_written(&header);
    return 0;
}
