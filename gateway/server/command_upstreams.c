/*
 * command_upstreams.c - ask the admin listener how upstreams and endpoints are, once or until told
 * to stop, and show it: as a table on paper, as a screen that is drawn anew, or as JSON.
 */
#include "base/alloc.h"
#include "base/log.h"
#include "base/now.h"
#include "core/alarm.h"
#include "core/loop.h"
#include "core/signals.h"
#include "core/watch.h"
#include "server/terminal.h"
#include "server/upstreams_reading.h"
#include "server/upstreams_table.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum {
    INTERVAL_PRESET_MS = 1000,
    INTERVAL_MIN_MS = 100,
    INTERVAL_MAX_MS = 3600 * 1000,
    SHOWN_BYTES = 512 << 20, /* the JSON of some 500,000 endpoints */
    STATUS_ROOM = 512
};

/* A look, or many. */
struct viewing {
    const struct args *args;
    struct admin_place place;
    struct loop *loop;
    struct upstreams_reading reading;
    struct alarm next;
    uint64_t interval_ms;
    struct terminal terminal;
    struct signals *signals;   /* owned; NULL: one look */
    struct watch *keys;        /* owned; NULL: no keys */
    struct text table;         /* of the last reading that went well */
    char trouble[STATUS_ROOM]; /* why the last one did not; "" when it did */
    size_t top;                /* the first line on the screen */
    bool has_seen;             /* one has gone well */
    int code;
};

static bool is_repeated(const struct viewing *viewing)
{
    return viewing->args->value[OPTION_WATCH] != NULL;
}

static void stop(struct viewing *viewing, int code)
{
    viewing->code = code;
    loop_stop(viewing->loop);
}

/* -- the screen --------------------------------------------------------------------- */

static size_t count_lines(struct sluice_span text)
{
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++) {
        n += text.ptr[i] == '\n';
    }
    return n;
}

static void draw(struct viewing *viewing)
{
    size_t n = count_lines(text_span(&viewing->table));
    size_t room = terminal_lines() - 1;
    char buffer[STATUS_ROOM], when[NOW_TEXT];
    struct text status;

    if (viewing->top + room > n)
        viewing->top = n > room ? n - room : 0;
    now_format(now_wall_us(), when);
    text_init_fixed(&status, buffer, sizeof(buffer));
    text_format(&status, " q ends  %.19sZ", when);
    if (viewing->trouble[0])
        text_format(&status, "  NO ANSWER: %s", viewing->trouble);
    if (n > room) {
        text_format(&status, "  lines %zu to %zu of %zu", viewing->top + 1, viewing->top + room, n);
    }
    text_format(&status, "  %s ", viewing->place.bind);
    if (!terminal_draw(text_span(&viewing->table), viewing->top, text_span(&status)))
        stop(viewing, EXIT_FAILED);
}

static void move(struct viewing *viewing, bool down, size_t lines)
{
    if (down) {
        viewing->top += lines;
    } else {
        viewing->top -= lines < viewing->top ? lines : viewing->top;
    }
}

/*
 * Cut the next key off. Arrows and pages come as "ESC [ A" and "ESC [ 5 ~": what is inside of an
 * escape is no letter of ours. 0: a key that means nothing here.
 */
static char next_key(struct sluice_span *keys)
{
    static const char means[][2] = {{'A', 'k'}, {'B', 'j'}, {'5', 'b'}, {'6', ' '}, {'H', 'g'}};
    char key = keys->ptr[0];
    size_t len = 1;

    if (key == '\033' && keys->len > 2 && keys->ptr[1] == '[') {
        len = 3;
        for (key = keys->ptr[2]; len < keys->len && keys->ptr[len - 1] < '@';)
            len++;
        for (size_t i = 0; i < sizeof(means) / sizeof(means[0]); i++) {
            if (means[i][0] == keys->ptr[2])
                key = means[i][1];
        }
        if (key == keys->ptr[2])
            key = 0;
    }
    *keys = span_make(keys->ptr + len, keys->len - len);
    return key;
}

static void press(struct viewing *viewing, char key)
{
    size_t page = terminal_lines() > 2 ? terminal_lines() - 2 : 1;

    switch (key) {
    case 'q':
    case 'Q':
    case 4: /* Ctrl-D */
        stop(viewing, EXIT_FINE);
        return;
    case 'j':
    case 'k':
        move(viewing, key == 'j', 1);
        break;
    case ' ':
    case 'b':
        move(viewing, key == ' ', page);
        break;
    case 'g':
        viewing->top = 0;
        break;
    default:
        return;
    }
    draw(viewing);
}

static void on_keys(void *viewing_, int fd, unsigned ready)
{
    struct viewing *viewing = viewing_;
    char keys[64];
    ssize_t n = read(fd, keys, sizeof(keys));

    (void)ready;
    if (n < 0 && errno == EINTR)
        return;
    if (n <= 0) {
        watch_set(viewing->keys, 0); /* no more keys; signals still end it */
        return;
    }
    for (struct sluice_span rest = span_make(keys, (size_t)n); rest.len > 0;)
        press(viewing, next_key(&rest));
}

static void on_signal(void *viewing_, int number)
{
    struct viewing *viewing = viewing_;

    if (number != SIGWINCH) {
        stop(viewing, EXIT_FINE);
    } else if (viewing->terminal.is_open && viewing->has_seen) {
        draw(viewing);
    }
}

/* -- one answer ----------------------------------------------------------------------- */

static int add_to_text(const char *bytes, size_t len, void *out)
{
    text_add(out, span_make(bytes, len));
    return 0;
}

static int print_json(const struct viewing *viewing)
{
    size_t flags = is_repeated(viewing) ? JSON_COMPACT : JSON_INDENT(2);
    struct text out;

    text_init(&out, SHOWN_BYTES);
    json_dump_callback(viewing->reading.whole, add_to_text, &out, flags);
    text_add_char(&out, '\n');
    return command_out(&out);
}

static int print_table(const struct viewing *viewing)
{
    char when[NOW_TEXT];
    struct text out;

    text_init(&out, SHOWN_BYTES);
    if (is_repeated(viewing)) {
        now_format(now_wall_us(), when);
        text_format(&out, "-- %.19sZ\n", when);
    }
    upstreams_table(viewing->reading.whole, terminal_has_colour(), &out);
    return command_out(&out);
}

static void show_screen(struct viewing *viewing)
{
    if (!viewing->terminal.is_open) {
        terminal_open(&viewing->terminal);
        if (viewing->terminal.has_keys) {
            viewing->keys = watch_new(viewing->loop, STDIN_FILENO, on_keys, viewing);
            watch_set(viewing->keys, WATCH_READ);
        }
    }
    text_reset(&viewing->table);
    upstreams_table(viewing->reading.whole, terminal_has_colour(), &viewing->table);
    draw(viewing);
}

static void show(struct viewing *viewing)
{
    int code = EXIT_FINE;

    viewing->has_seen = true;
    viewing->trouble[0] = 0;
    if (viewing->args->value[OPTION_JSON]) {
        code = print_json(viewing);
    } else if (is_repeated(viewing) && terminal_is_there()) {
        show_screen(viewing);
    } else {
        code = print_table(viewing);
    }
    if (code != EXIT_FINE)
        stop(viewing, code);
}

/* Said, and the exit code. */
static int fail(const struct viewing *viewing)
{
    const struct upstreams_reading *reading = &viewing->reading;

    if (reading->err == ERR_MISSING && viewing->args->n_operands > 0 && reading->status == 404) {
        return command_fail(EXIT_FAILED, "the gateway has no upstream '%s'",
                            viewing->args->operand[0]);
    }
    if (reading->err == ERR_MISSING || reading->err == ERR_PROTOCOL)
        return admin_call_foreign(&viewing->place, reading->status);
    return admin_call_unanswered(&viewing->place, reading->why);
}

/* A gateway that is being started again, say: the screen goes on, and says so. */
static void bear(struct viewing *viewing)
{
    struct text trouble;

    text_init_fixed(&trouble, viewing->trouble, sizeof(viewing->trouble));
    text_format(&trouble, "%s", viewing->reading.why[0] ? viewing->reading.why : "no sluice");
    draw(viewing);
}

static void on_read(struct upstreams_reading *reading)
{
    struct viewing *viewing = reading->owner;

    if (reading->err == OK) {
        show(viewing);
    } else if (viewing->terminal.is_open) {
        bear(viewing);
    } else {
        stop(viewing, fail(viewing));
        return;
    }
    if (is_repeated(viewing)) {
        alarm_arm(viewing->loop, &viewing->next, viewing->interval_ms);
    } else {
        loop_stop(viewing->loop);
    }
}

static void on_next(struct alarm *alarm)
{
    upstreams_reading_start(&list_entry(alarm, struct viewing, next)->reading);
}

/* -- the command ------------------------------------------------------------------------ */

/* "2s", "500ms", "1m"; a number alone is seconds. */
static bool read_interval(const char *told, uint64_t *ms)
{
    size_t digits = strspn(told, "0123456789");
    const char *unit = told + digits;
    uint64_t factor = 0;

    if (!unit[0] || strcmp(unit, "s") == 0)
        factor = 1000;
    if (strcmp(unit, "ms") == 0)
        factor = 1;
    if (strcmp(unit, "m") == 0)
        factor = (uint64_t)60 * 1000;
    if (factor == 0 || span_number(span_make(told, digits), INTERVAL_MAX_MS, ms))
        return false;
    *ms *= factor;
    return *ms >= INTERVAL_MIN_MS && *ms <= INTERVAL_MAX_MS;
}

static void look(struct viewing *viewing)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
    struct upstreams_reading *reading = &viewing->reading;

    viewing->loop = loop_new();
    reading->fetcher = fetcher_new(viewing->loop, 1);
    reading->place = &viewing->place;
    reading->name = viewing->args->n_operands ? viewing->args->operand[0] : NULL;
    reading->done = on_read;
    reading->owner = viewing;
    alarm_init(&viewing->next, on_next);
    text_init(&viewing->table, SHOWN_BYTES);
    if (is_repeated(viewing)) {
        viewing->signals = signals_new(viewing->loop, numbers, sizeof(numbers) / sizeof(numbers[0]),
                                       on_signal, viewing);
    }
    upstreams_reading_start(reading);
    loop_run(viewing->loop);
    terminal_close(&viewing->terminal);
    watch_free(&viewing->keys);
    signals_free(&viewing->signals);
    alarm_disarm(&viewing->next);
    upstreams_reading_fini(reading);
    fetcher_free(&reading->fetcher);
    text_fini(&viewing->table);
    loop_free(&viewing->loop);
}

int command_upstreams(const struct args *args)
{
    struct viewing viewing = {.args = args, .interval_ms = INTERVAL_PRESET_MS};
    const char *interval = args->value[OPTION_INTERVAL];

    if (interval && !read_interval(interval, &viewing.interval_ms)) {
        return command_usage(args->command,
                             "'%s' is not a time from 100ms to 1h, such as 500ms or 2s", interval);
    }
    viewing.code = admin_place_find(args, &viewing.place);
    if (viewing.code == EXIT_FINE)
        look(&viewing);
    admin_place_fini(&viewing.place);
    return viewing.code;
}
