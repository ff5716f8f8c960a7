/*
 * log.c - a line is built on the caller's stack, so that logging works when memory is out.
 *
 * Values are cut at VALUE_MAX and fields that do not fit any more are left out as a whole and
 * said to be (cut=true): a line is always one line, and one JSON object in that form.
 */
#include "base/log.h"

#include "base/now.h"
#include "base/text.h"

#include <errno.h>
#include <unistd.h>

enum {
    LINE_MAX_BYTES = 8192,
    VALUE_MAX = 1024,
    TAIL_BYTES = 24, /* for what ends a cut line */
};

static const char *const level_names[] = {"error", "warn", "info", "debug", "trace"};

/* Process-wide on purpose (see log.h). All of it is atomic. */
static enum log_level level_now = LOG_INFO;
static enum log_form form_now = LOG_TEXT;

/* Readers take sink and arg as a pair: sink_turn is odd while they are being set. */
static unsigned sink_turn;
static log_sink_fn *sink_now;
static void *sink_arg;

/* What this thread's last log_gate_pass() wants its next line to say. */
static _Thread_local uint64_t suppressed_here;

/* -- settings ---------------------------------------------------------- */

bool log_is_on(enum log_level level)
{
    return level <= log_level();
}

enum log_level log_level(void)
{
    return __atomic_load_n(&level_now, __ATOMIC_RELAXED);
}

void log_set(enum log_level level, enum log_form form)
{
    __atomic_store_n(&level_now, level, __ATOMIC_RELAXED);
    __atomic_store_n(&form_now, form, __ATOMIC_RELAXED);
}

void log_set_sink(log_sink_fn *sink, void *arg)
{
    unsigned turn = __atomic_load_n(&sink_turn, __ATOMIC_RELAXED) & ~1u;

    while (!__atomic_compare_exchange_n(&sink_turn, &turn, turn + 1, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED))
        turn &= ~1u;
    __atomic_store_n(&sink_now, sink, __ATOMIC_SEQ_CST);
    __atomic_store_n(&sink_arg, arg, __ATOMIC_SEQ_CST);
    __atomic_store_n(&sink_turn, turn + 2, __ATOMIC_SEQ_CST);
}

static log_sink_fn *peek_sink(void **arg)
{
    unsigned before, after;
    log_sink_fn *sink;

    do {
        before = __atomic_load_n(&sink_turn, __ATOMIC_SEQ_CST);
        sink = __atomic_load_n(&sink_now, __ATOMIC_SEQ_CST);
        *arg = __atomic_load_n(&sink_arg, __ATOMIC_SEQ_CST);
        after = __atomic_load_n(&sink_turn, __ATOMIC_SEQ_CST);
    } while (before != after || (before & 1) != 0);
    return sink;
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

bool log_level_find(struct sluice_span name, enum log_level *level)
{
    for (unsigned i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (!span_equal(name, span_of(level_names[i])))
            continue;
        *level = (enum log_level)i;
        return true;
    }
    return false;
}

/* -- lines ------------------------------------------------------------- */

static void add_number(struct text *line, const struct log_field *field)
{
    uint64_t number = (uint64_t)field->number;

    if (field->kind == LOG_KIND_INT && field->number < 0) {
        text_add_char(line, '-');
        number = 0 - number;
    }
    text_add_number(line, number);
}

static bool is_bare(struct sluice_span value)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];

        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return value.len > 0;
}

static void add_quoted(struct text *line, struct sluice_span value)
{
    text_add_char(line, '"');
    if (value.len > VALUE_MAX) {
        text_add_json(line, span_make(value.ptr, VALUE_MAX));
        text_add(line, SPAN("..."));
    } else {
        text_add_json(line, value);
    }
    text_add_char(line, '"');
}

static void add_value(struct text *line, const struct log_field *field, enum log_form form)
{
    switch (field->kind) {
    case LOG_KIND_TEXT:
        if (form == LOG_TEXT && field->text.len <= VALUE_MAX && is_bare(field->text)) {
            text_add(line, field->text);
        } else {
            add_quoted(line, field->text);
        }
        break;
    case LOG_KIND_INT:
    case LOG_KIND_UINT:
        add_number(line, field);
        break;
    case LOG_KIND_BOOL:
        text_add(line, field->number != 0 ? SPAN("true") : SPAN("false"));
        break;
    }
}

static void add_head(struct text *line, enum log_level level, const char *message,
                     enum log_form form)
{
    const char *name = log_level_name(level);
    struct sluice_span said = span_of(message);
    char now[NOW_TEXT];

    now_format(now_wall_us(), now);
    if (form == LOG_TEXT) {
        text_format(line, "%s %-5s ", now, name);
        text_add_json(line, span_make(said.ptr, said.len < VALUE_MAX ? said.len : VALUE_MAX));
        return;
    }
    text_format(line, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":", now, name);
    add_quoted(line, said);
}

/* Add one field as a whole; false when it does not fit, and then nothing is added. */
static bool add_field(struct text *line, const struct log_field *field, enum log_form form,
                      bool first)
{
    size_t before = line->len;

    if (form == LOG_TEXT) {
        text_format(line, "%s%s=", first ? "  " : " ", field->name);
    } else {
        text_format(line, ",\"%s\":", field->name);
    }
    add_value(line, field, form);
    if (!line->cut)
        return true;
    line->len = before;
    line->cut = false;
    return false;
}

static void add_fields(struct text *line, const struct log_field *fields, enum log_form form)
{
    const struct log_field suppressed = F_UINT("suppressed", suppressed_here);
    const struct log_field cut = F_BOOL("cut", true);
    bool first = true;
    bool fits = true;

    line->max -= TAIL_BYTES;
    if (suppressed_here > 0) {
        fits = add_field(line, &suppressed, form, first);
        first = false;
        suppressed_here = 0;
    }
    for (; fits && fields->name; fields++) {
        fits = add_field(line, fields, form, first);
        first = first && !fits;
    }
    line->max += TAIL_BYTES;
    if (!fits)
        add_field(line, &cut, form, first);
}

static void write_stderr(struct sluice_span line)
{
    while (line.len > 0) {
        ssize_t n = write(STDERR_FILENO, line.ptr, line.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nobody is left to be told */
        line.ptr += n;
        line.len -= (size_t)n;
    }
}

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
    enum log_form form = __atomic_load_n(&form_now, __ATOMIC_RELAXED);
    char buffer[LINE_MAX_BYTES];
    int errno_before = errno;
    struct text line;
    log_sink_fn *sink;
    void *arg;

    text_init_fixed(&line, buffer, sizeof(buffer));
    add_head(&line, level, message, form);
    add_fields(&line, fields, form);
    text_add(&line, form == LOG_TEXT ? SPAN("\n") : SPAN("}\n"));
    sink = peek_sink(&arg);
    if (sink) {
        sink(arg, text_span(&line));
    } else {
        write_stderr(text_span(&line));
    }
    errno = errno_before;
}

/* -- the gate ---------------------------------------------------------- */

/*
 * state is the moment at which the messages so far would be paid for at the average rate. A
 * message passes when that lies less than a burst in the future, and moves it on by one.
 */
bool log_gate_pass(struct log_gate *gate)
{
    uint64_t cost_us = 1000000 / (gate->per_second > 0 ? gate->per_second : 1);
    uint64_t burst_us = cost_us * (gate->burst > 0 ? gate->burst : 1);
    uint64_t now = now_us();
    uint64_t paid_at = __atomic_load_n(&gate->state, __ATOMIC_RELAXED);
    uint64_t next;

    do {
        next = (paid_at > now ? paid_at : now) + cost_us;
        if (next - now > burst_us) {
            __atomic_add_fetch(&gate->suppressed, 1, __ATOMIC_RELAXED);
            return false;
        }
    } while (!__atomic_compare_exchange_n(&gate->state, &paid_at, next, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    suppressed_here = __atomic_exchange_n(&gate->suppressed, 0, __ATOMIC_RELAXED);
    return true;
}
