/*
 * websocket.c - SHA-1 as RFC 6455 wants it: a sign that the server has read the request, no secret.
 */
#include "http/websocket.h"

#include <string.h>

enum { SHA1_BLOCK = 64, SHA1_WORDS = 5, SHA1_BYTES = 20, SHA1_ROUNDS = 80 };

struct sha1 {
    uint32_t state[SHA1_WORDS];
    uint64_t bytes;
    unsigned char block[SHA1_BLOCK];
};

static uint32_t rotate(uint32_t word, unsigned bits)
{
    return word << bits | word >> (32 - bits);
}

/* FIPS 180-4 6.1.2 */
static void sha1_block(struct sha1 *sha)
{
    uint32_t w[SHA1_ROUNDS];
    uint32_t a = sha->state[0], b = sha->state[1], c = sha->state[2], d = sha->state[3],
             e = sha->state[4];

    for (unsigned i = 0; i < 16; i++) {
        const unsigned char *at = sha->block + (size_t)i * 4;

        w[i] = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    }
    for (unsigned i = 16; i < SHA1_ROUNDS; i++) {
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    }
    for (unsigned i = 0; i < SHA1_ROUNDS; i++) {
        static const uint32_t k[] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
        uint32_t f = b ^ c ^ d, next;

        if (i < 20) {
            f = (b & c) | (~b & d);
        } else if (i >= 40 && i < 60) {
            f = (b & c) | (b & d) | (c & d);
        }
        next = rotate(a, 5) + f + e + k[i / 20] + w[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    sha->state[0] += a;
    sha->state[1] += b;
    sha->state[2] += c;
    sha->state[3] += d;
    sha->state[4] += e;
}

static void sha1_octet(struct sha1 *sha, unsigned char octet)
{
    sha->block[sha->bytes++ % SHA1_BLOCK] = octet;
    if (sha->bytes % SHA1_BLOCK == 0)
        sha1_block(sha);
}

static void sha1_add(struct sha1 *sha, struct sluice_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        sha1_octet(sha, (unsigned char)text.ptr[i]);
    }
}

static void sha1_end(struct sha1 *sha, unsigned char digest[SHA1_BYTES])
{
    uint64_t bits = sha->bytes * 8;

    sha1_octet(sha, 0x80);
    while (sha->bytes % SHA1_BLOCK != SHA1_BLOCK - 8) {
        sha1_octet(sha, 0);
    }
    for (unsigned i = 0; i < 8; i++) {
        sha1_octet(sha, (unsigned char)(bits >> (56 - 8 * i)));
    }
    for (unsigned i = 0; i < SHA1_BYTES; i++) {
        digest[i] = (unsigned char)(sha->state[i / 4] >> (24 - 8 * (i % 4)));
    }
}

/* RFC 4648 4; out has room for four octets for each three or part of three. */
static void base64(const unsigned char *bytes, size_t n, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < n; i += 3) {
        uint32_t three = (uint32_t)bytes[i] << 16;

        if (i + 1 < n)
            three |= (uint32_t)bytes[i + 1] << 8;
        if (i + 2 < n)
            three |= bytes[i + 2];
        *out++ = digits[three >> 18];
        *out++ = digits[three >> 12 & 63];
        out[0] = digits[three >> 6 & 63];
        out[1] = digits[three & 63];
        if (i + 1 >= n)
            out[0] = '=';
        if (i + 2 >= n)
            out[1] = '=';
        out += 2;
    }
}

void websocket_key(const uint64_t random[2], char key[WEBSOCKET_KEY])
{
    unsigned char bytes[16];

    memcpy(bytes, random, sizeof(bytes));
    base64(bytes, sizeof(bytes), key);
}

void websocket_accept(struct sluice_span key, char accept[WEBSOCKET_ACCEPT])
{
    struct sha1 sha = {.state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}};
    unsigned char digest[SHA1_BYTES];

    sha1_add(&sha, key);
    sha1_add(&sha, SPAN("258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    sha1_end(&sha, digest);
    base64(digest, sizeof(digest), accept);
}
