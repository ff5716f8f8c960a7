#include "server/terminal.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { SCREEN_BYTES = 1 << 20, LINES_PRESET = 24, COLUMNS_PRESET = 80 };

bool terminal_is_there(void)
{
    const char *kind = getenv("TERM");

    return isatty(STDOUT_FILENO) && (!kind || strcmp(kind, "dumb") != 0);
}

bool terminal_has_colour(void)
{
    const char *no_colour = getenv("NO_COLOR");

    return terminal_is_there() && (!no_colour || !no_colour[0]);
}

static struct winsize size_of_screen(void)
{
    struct winsize size = {0};

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0)
        size.ws_row = LINES_PRESET;
    if (size.ws_col == 0)
        size.ws_col = COLUMNS_PRESET;
    return size;
}

size_t terminal_lines(void)
{
    return size_of_screen().ws_row;
}

static bool say(struct sluice_span bytes)
{
    return fwrite(bytes.ptr, bytes.len, 1, stdout) == 1 && fflush(stdout) == 0;
}

void terminal_open(struct terminal *terminal)
{
    struct termios raw;

    terminal->is_open = true;
    terminal->has_keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &terminal->before) == 0;
    if (terminal->has_keys) {
        raw = terminal->before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        raw.c_cc[VSUSP] = _POSIX_VDISABLE; /* stopped, it would leave the shell a raw terminal */
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    say(SPAN("\033[?1049h\033[?25l")); /* the other screen, no cursor */
}

void terminal_close(struct terminal *terminal)
{
    if (!terminal->is_open)
        return;
    terminal->is_open = false;
    say(SPAN("\033[?25h\033[?1049l"));
    if (terminal->has_keys)
        tcsetattr(STDIN_FILENO, TCSANOW, &terminal->before);
}

/* The length of the escape sequence that text begins with ("ESC [ ... letter"), or 0. */
static size_t escape_length(struct sluice_span text)
{
    size_t i = 2;

    if (text.len < 2 || text.ptr[0] != '\033' || text.ptr[1] != '[')
        return 0;
    while (i < text.len && (text.ptr[i] < '@' || text.ptr[i] > '~'))
        i++;
    return i < text.len ? i + 1 : text.len;
}

static bool is_inside_character(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* So many columns of a line; colours end with it, and so does what stood there before. */
static void add_line(struct text *out, struct sluice_span line, size_t columns)
{
    size_t column = 0;

    for (size_t i = 0; i < line.len;) {
        size_t escape = escape_length(span_make(line.ptr + i, line.len - i));

        if (escape == 0 && !is_inside_character(line.ptr[i]) && column++ == columns)
            break;
        if (escape == 0)
            escape = 1;
        text_add(out, span_make(line.ptr + i, escape));
        i += escape;
    }
    text_add(out, SPAN("\033[0m\033[K\n"));
}

/* Cut the next line off, blanks and all; false when there is none. */
static bool next_line(struct sluice_span *text, struct sluice_span *line)
{
    size_t end = span_find(*text, '\n');

    if (text->len == 0)
        return false;
    *line = span_make(text->ptr, end);
    end += end < text->len;
    *text = span_make(text->ptr + end, text->len - end);
    return true;
}

bool terminal_draw(struct sluice_span text, size_t top, struct sluice_span status)
{
    struct winsize size = size_of_screen();
    struct sluice_span line;
    struct text out;
    size_t n = 0;
    bool drawn;

    text_init(&out, SCREEN_BYTES);
    text_add(&out, SPAN("\033[H"));
    while (n + 1 < top + size.ws_row && next_line(&text, &line)) {
        if (n++ >= top)
            add_line(&out, line, size.ws_col);
    }
    text_format(&out, "\033[J\033[%u;1H\033[7m%.*s\033[0m\033[K", size.ws_row,
                status.len < size.ws_col ? (int)status.len : (int)size.ws_col, status.ptr);
    drawn = say(text_span(&out));
    text_fini(&out);
    return drawn;
}
