/*
 * print.h - numbers as text, for what every request writes: a tenth of what printf takes.
 */
#ifndef KIT_PRINT_H
#define KIT_PRINT_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { PRINT_NUMBER_MAX = 20 };

/* Decimal digits, at most PRINT_NUMBER_MAX of them. Returns how many. No NUL. */
static inline size_t print_number(char *out, uint64_t number)
{
    char digits[PRINT_NUMBER_MAX];
    size_t n = 0;

    do {
        digits[sizeof(digits) - ++n] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    memcpy(out, digits + sizeof(digits) - n, n);
    return n;
}

/* The eight hexadecimal digits of a number, as they stand in memory. */
static inline uint64_t print_hex_word(uint32_t number)
{
    const uint64_t ones = 0x0101010101010101U;
    uint64_t digits = number, above_nine;

    /* one digit into each byte, the lowest into the lowest */
    digits = (digits << 16 | digits) & 0x0000ffff0000ffffU;
    digits = (digits << 8 | digits) & 0x00ff00ff00ff00ffU;
    digits = (digits << 4 | digits) & 0x0f0f0f0f0f0f0f0fU;
    above_nine = (digits + 6 * ones) >> 4 & ones;
    return htobe64(digits + '0' * ones + above_nine * ('a' - '0' - 10));
}

/* The lowest n digits in hexadecimal, lower case, zeros in front. No NUL. */
static inline void print_hex(char *out, uint64_t number, size_t n)
{
    uint64_t word;

    for (; n >= 8; n -= 8, number >>= 32) {
        word = print_hex_word((uint32_t)number);
        memcpy(out + n - 8, &word, sizeof(word));
    }
    if (n > 0) {
        word = print_hex_word((uint32_t)number);
        memcpy(out, (const char *)&word + 8 - n, n);
    }
}

/* Returns the place behind it. */
static inline char *print_bytes(char *out, const char *bytes, size_t n)
{
    if (n > 0)
        memcpy(out, bytes, n);
    return out + n;
}

#endif /* KIT_PRINT_H */
