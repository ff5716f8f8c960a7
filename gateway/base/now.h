/*
 * now.h - clocks. Ask the loop's cached time first; these call the kernel's page each time.
 */
#ifndef BASE_NOW_H
#define BASE_NOW_H

#include <stdint.h>

/* Microseconds since an arbitrary moment, never going back. */
uint64_t now_us(void);

/*
 * Milliseconds of the same clock as of the kernel's last tick, up to 10 ms ago: a few loads. Where
 * no loop is at hand.
 */
uint64_t now_coarse_ms(void);

/* Microseconds since 1970, UTC. */
uint64_t now_wall_us(void);

enum { NOW_TEXT = 28 };

/* "2026-01-31T12:34:56.789012Z" and a NUL into out. */
void now_format(uint64_t wall_us, char out[NOW_TEXT]);

#endif /* BASE_NOW_H */
