/*
 * terminal.h - a whole screen that is drawn again and again, and keys that need no Enter.
 *
 * While open, the screen is another one than the shell's, keys are not shown, and Ctrl-C still
 * is SIGINT: who opens it must take SIGINT, SIGTERM and SIGHUP and close it.
 */
#ifndef SERVER_TERMINAL_H
#define SERVER_TERMINAL_H

#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

/* Zero-initialise. */
struct terminal {
    bool is_open, has_keys;
    struct termios before; /* of stdin, when has_keys */
};

/* Are escape sequences welcome on stdout? */
bool terminal_has_colour(void);

/* stdout is one. */
bool terminal_is_there(void);

void terminal_open(struct terminal *terminal);

/* As it was. Safe when not open. */
void terminal_close(struct terminal *terminal);

/* Lines that fit; 24 when it does not tell. */
size_t terminal_lines(void);

/*
 * Draw the lines of text from number top on, cut at the right edge, and status in the last line.
 * False when the terminal is gone.
 */
bool terminal_draw(struct sluice_span text, size_t top, struct sluice_span status);

#endif /* SERVER_TERMINAL_H */
