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

typedef uint8_t print_digits __attribute__((vector_size(16)));

/* The 16 hexadecimal digits of eight bytes, in their order. */
static inline print_digits print_hex_digits(uint64_t bytes)
{
    typedef uint64_t words __attribute__((vector_size(16)));
    print_digits both = (print_digits)(words){bytes, 0}, digits;

    digits = __builtin_shufflevector(both >> 4, both & 15, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21,
                                     6, 22, 7, 23);
    return digits + '0' + ((print_digits)(digits > 9) & ('a' - '0' - 10));
}

/* Two digits a byte, lower case, in the order of the bytes. No NUL. */
static inline void print_hex_bytes(char *out, const uint8_t *bytes, size_t n)
{
    for (; n > 0; bytes += 8, out += 16) {
        size_t here = n < 8 ? n : 8;
        uint64_t word = 0;
        print_digits digits;

        memcpy(&word, bytes, here);
        digits = print_hex_digits(word);
        memcpy(out, &digits, 2 * here);
        n -= here;
    }
}

/* The lowest n digits in hexadecimal, at most 16, lower case, zeros in front. No NUL. */
static inline void print_hex(char *out, uint64_t number, size_t n)
{
    print_digits digits = print_hex_digits(htobe64(number));

    memcpy(out, (const char *)&digits + sizeof(digits) - n, n);
}

/* Returns the place behind it. */
static inline char *print_bytes(char *out, const char *bytes, size_t n)
{
    if (n > 0)
        memcpy(out, bytes, n);
    return out + n;
}

#endif /* KIT_PRINT_H */
