#include "base/sip.h"

#include "base/rng.h"

#include <endian.h>
#include <string.h>

struct state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

static inline void turn(struct state *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 = rotate(s->v2, 32);
}

/* Up to 8 bytes as a little-endian number, whatever the machine. */
static inline uint64_t read_word(const char *bytes, size_t n)
{
    uint64_t word = 0;

    if (n >= 8) {
        memcpy(&word, bytes, 8);
        return le64toh(word);
    }
    for (size_t i = 0; i < n; i++)
        word |= (uint64_t)(unsigned char)bytes[i] << (8 * i);
    return word;
}

/* What is behind the whole words: of a longer text the last word, without what was read of it. */
static inline uint64_t read_rest(struct sluice_span text, size_t whole)
{
    size_t n = text.len - whole;

    if (n == 0)
        return 0;
    return whole > 0 ? read_word(text.ptr + text.len - 8, 8) >> (8 * (8 - n))
                     : read_word(text.ptr, n);
}

static void take(struct state *s, uint64_t word)
{
    s->v3 ^= word;
    turn(s);
    s->v0 ^= word;
}

static uint64_t finish(struct state *s)
{
    for (int i = 0; i < 3; i++)
        turn(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

struct sip_hash sip_hash(const struct sip_key *key, struct sluice_span text)
{
    /* The words are those of the algorithm's paper; 0xee and 0xdd mark a result of 128 bits. */
    struct state s = {key->word[0] ^ 0x736f6d6570736575, key->word[1] ^ 0x646f72616e646f6d ^ 0xee,
                      key->word[0] ^ 0x6c7967656e657261, key->word[1] ^ 0x7465646279746573};
    size_t whole = text.len & ~(size_t)7;
    struct sip_hash hash;

    for (size_t at = 0; at < whole; at += 8)
        take(&s, read_word(text.ptr + at, 8));
    take(&s, (uint64_t)text.len << 56 | read_rest(text, whole));
    s.v2 ^= 0xee;
    hash.word[0] = finish(&s);
    s.v1 ^= 0xdd;
    hash.word[1] = finish(&s);
    return hash;
}

void sip_key_init(struct sip_key *key)
{
    struct rng rng;

    rng_init(&rng);
    key->word[0] = rng_next(&rng);
    key->word[1] = rng_next(&rng);
}
