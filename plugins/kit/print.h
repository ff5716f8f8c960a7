/*
 * print.h - numbers as text, for what every request writes: a tenth of what printf takes.
 */
#ifndef KIT_PRINT_H
#define KIT_PRINT_H

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

/* The lowest n digits in hexadecimal, lower case, zeros in front. No NUL. */
static inline void print_hex(char *out, uint64_t number, size_t n)
{
    static const char digits[] = "0123456789abcdef";

    for (; n > 0; number >>= 4)
        out[--n] = digits[number & 15];
}

/* Returns the place behind it. */
static inline char *print_bytes(char *out, const char *bytes, size_t n)
{
    if (n > 0)
        memcpy(out, bytes, n);
    return out + n;
}

#endif /* KIT_PRINT_H */
