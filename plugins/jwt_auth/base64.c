/*
 * base64.c - a table a character, four characters a step.
 */
#include "base64.h"

#define XX 0xff /* not of the alphabet */

/* One table for both alphabets: 62 and 63 are told apart by the caller's two characters. */
static const uint8_t values[256] = {
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, XX, XX, XX, XX, XX, XX, XX, 0,  1,  2,  3,  4,  5,  6,
    7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, XX, XX, XX, XX, XX,
    XX, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48,
    49, 50, 51, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
};

/* What 62 and 63 are written as. */
struct alphabet {
    char c62, c63;
};

static uint32_t value_of(char character, struct alphabet alphabet)
{
    if (character == alphabet.c62)
        return 62;
    if (character == alphabet.c63)
        return 63;
    return values[(unsigned char)character];
}

/* The last two or three characters; the bits that stand for nothing are zero. */
static bool decode_tail(struct sluice_span tail, struct alphabet alphabet, unsigned char *out)
{
    uint32_t a = value_of(tail.ptr[0], alphabet), b = value_of(tail.ptr[1], alphabet), c = 0;

    if (tail.len == 3)
        c = value_of(tail.ptr[2], alphabet);
    if ((a | b | c) > 63)
        return false;
    out[0] = (unsigned char)(a << 2 | b >> 4);
    if (tail.len == 2)
        return (b & 15) == 0;
    out[1] = (unsigned char)(b << 4 | c >> 2);
    return (c & 3) == 0;
}

static bool decode(struct sluice_span text, struct alphabet alphabet, unsigned char *out,
                   size_t cap, size_t *len)
{
    size_t whole = text.len / 4 * 4, rest = text.len % 4, n = 0;

    if (rest == 1 || base64_room(text) > cap)
        return false;
    for (size_t i = 0; i < whole; i += 4) {
        uint32_t a = value_of(text.ptr[i], alphabet), b = value_of(text.ptr[i + 1], alphabet);
        uint32_t c = value_of(text.ptr[i + 2], alphabet), d = value_of(text.ptr[i + 3], alphabet);
        uint32_t bits = a << 18 | b << 12 | c << 6 | d;

        if ((a | b | c | d) > 63)
            return false;
        out[n++] = (unsigned char)(bits >> 16);
        out[n++] = (unsigned char)(bits >> 8);
        out[n++] = (unsigned char)bits;
    }
    if (rest > 0) {
        struct sluice_span tail = {text.ptr + whole, rest};

        if (!decode_tail(tail, alphabet, out + n))
            return false;
        n += rest - 1;
    }
    *len = n;
    return true;
}

size_t base64_room(struct sluice_span text)
{
    size_t rest = text.len % 4;

    return text.len / 4 * 3 + (rest > 1 ? rest - 1 : 0);
}

bool base64_decode_url(struct sluice_span text, unsigned char *out, size_t cap, size_t *len)
{
    return decode(text, (struct alphabet){'-', '_'}, out, cap, len);
}

bool base64_decode_padded(struct sluice_span text, unsigned char *out, size_t cap, size_t *len)
{
    if (text.len % 4 != 0)
        return false;
    for (int i = 0; i < 2 && text.len > 0 && text.ptr[text.len - 1] == '='; i++)
        text.len--;
    return decode(text, (struct alphabet){'+', '/'}, out, cap, len);
}
