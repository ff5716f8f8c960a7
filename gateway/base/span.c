#include "base/span.h"

#include <string.h>

struct sluice_span span_of(const char *text)
{
    return span_make(text, text ? strlen(text) : 0);
}

/* -- questions -------------------------------------------------------- */

/* memcmp() may not be given NULL, not even for no bytes. */
static int compare(const char *a, const char *b, size_t len)
{
    return len > 0 ? memcmp(a, b, len) : 0;
}

bool span_equal(struct sluice_span a, struct sluice_span b)
{
    return a.len == b.len && compare(a.ptr, b.ptr, a.len) == 0;
}

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

bool span_equal_nocase(struct sluice_span a, struct sluice_span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    }
    return true;
}

bool span_starts(struct sluice_span text, struct sluice_span prefix)
{
    return text.len >= prefix.len && compare(text.ptr, prefix.ptr, prefix.len) == 0;
}

bool span_ends(struct sluice_span text, struct sluice_span suffix)
{
    if (text.len < suffix.len || suffix.len == 0)
        return suffix.len == 0;
    return compare(text.ptr + (text.len - suffix.len), suffix.ptr, suffix.len) == 0;
}

int span_order(struct sluice_span a, struct sluice_span b)
{
    int order = compare(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);

    if (order != 0 || a.len == b.len)
        return order;
    return a.len < b.len ? -1 : 1;
}

size_t span_find(struct sluice_span text, char c)
{
    const char *found = text.len > 0 ? memchr(text.ptr, c, text.len) : NULL;

    return found ? (size_t)(found - text.ptr) : text.len;
}

bool span_has(struct sluice_span text, struct sluice_span needle)
{
    if (text.len < needle.len || needle.len == 0)
        return needle.len == 0;
    return memmem(text.ptr, text.len, needle.ptr, needle.len) != NULL;
}

/* -- cutting ---------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct sluice_span span_trim(struct sluice_span text)
{
    while (text.len > 0 && is_blank(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && is_blank(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

bool span_split(struct sluice_span *rest, char separator, struct sluice_span *piece)
{
    size_t len;

    if (rest->len == 0)
        return false;
    len = span_find(*rest, separator);
    *piece = span_trim(span_make(rest->ptr, len));
    if (len < rest->len)
        len++; /* the separator goes with the piece before it */
    rest->ptr += len;
    rest->len -= len;
    return true;
}

/* -- numbers ---------------------------------------------------------- */

enum err span_number(struct sluice_span text, uint64_t max, uint64_t *number)
{
    uint64_t sum = 0;

    if (text.len == 0)
        return ERR_PROTOCOL;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(unsigned char)text.ptr[i] - '0';

        if (digit > 9 || digit > max || sum > (max - digit) / 10)
            return ERR_PROTOCOL;
        sum = sum * 10 + digit;
    }
    *number = sum;
    return OK;
}

/* -- hash: SipHash-1-3, because who does not know the seed cannot make keys collide ---- */

struct sip {
    uint64_t v[4];
};

static uint64_t rotate(uint64_t x, unsigned by)
{
    return (x << by) | (x >> (64 - by));
}

static void sip_round(struct sip *sip)
{
    uint64_t *v = sip->v;

    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static void sip_word(struct sip *sip, uint64_t word)
{
    sip->v[3] ^= word;
    sip_round(sip);
    sip->v[0] ^= word;
}

uint64_t span_hash(struct sluice_span text, uint64_t seed)
{
    uint64_t second = rotate(seed, 29) * UINT64_C(0x9e3779b97f4a7c15); /* of the key's two words */
    struct sip sip = {{seed ^ UINT64_C(0x736f6d6570736575), second ^ UINT64_C(0x646f72616e646f6d),
                       seed ^ UINT64_C(0x6c7967656e657261), second ^ UINT64_C(0x7465646279746573)}};
    uint64_t last = (uint64_t)text.len << 56;
    uint64_t word;
    size_t i = 0;

    for (; text.len - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, text.ptr + i, sizeof(word));
        sip_word(&sip, word);
    }
    for (unsigned shift = 0; i < text.len; i++, shift += 8)
        last |= (uint64_t)(unsigned char)text.ptr[i] << shift;
    sip_word(&sip, last);
    sip.v[2] ^= 0xff;
    sip_round(&sip);
    sip_round(&sip);
    sip_round(&sip);
    return sip.v[0] ^ sip.v[1] ^ sip.v[2] ^ sip.v[3];
}
