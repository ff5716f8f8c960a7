/*
 * digest.c - SipHash-2-4 with 128 bits of output, as its authors define it.
 */
#include "digest.h"

#include <string.h>

struct state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t word, int by)
{
    return word << by | word >> (64 - by);
}

static inline void stir(struct state *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static inline void absorb(struct state *s, uint64_t word)
{
    s->v3 ^= word;
    stir(s);
    stir(s);
    s->v0 ^= word;
}

static uint64_t squeeze(struct state *s)
{
    for (int i = 0; i < 4; i++)
        stir(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* Little-endian, as the definition has it; one instruction where the machine is, too. */
static inline uint64_t whole_word(const char *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static uint64_t last_word(const char *bytes, size_t n)
{
    uint64_t word = 0;

    for (size_t i = 0; i < n; i++)
        word |= (uint64_t)(unsigned char)bytes[i] << 8 * i;
    return word;
}

struct digest digest_of(const struct digest_key *key, struct sluice_span text)
{
    struct state s = {key->k0 ^ 0x736f6d6570736575, key->k1 ^ 0x646f72616e646f6d ^ 0xee,
                      key->k0 ^ 0x6c7967656e657261, key->k1 ^ 0x7465646279746573};
    size_t whole = text.len / 8 * 8;
    struct digest digest;

    if (text.len == 0)
        text.ptr = "";
    for (size_t i = 0; i < whole; i += 8)
        absorb(&s, whole_word(text.ptr + i));
    absorb(&s, (uint64_t)text.len << 56 | last_word(text.ptr + whole, text.len - whole));
    s.v2 ^= 0xee;
    digest.low = squeeze(&s);
    s.v1 ^= 0xdd;
    digest.high = squeeze(&s);
    return digest;
}
