/*
 * log.h - the gateway's own log: a constant message, then fields.
 *
 *   log_warn("endpoint refused", F_STR("upstream", name), F_ERR(err), F_INT("attempt", 2));
 *
 * A line is formatted by the caller's thread (text or JSON, one line always; control bytes in
 * values are escaped) and handed to the sink, which must not block. Until a sink is set, lines
 * go to stderr with write(2).
 *
 * Threads: any. The level, form and sink are process-wide on purpose: a line must come out
 * wherever it is said, before and after everything else lives.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/err.h"
#include "base/span.h"

#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };
enum log_form { LOG_TEXT, LOG_JSON };

enum log_kind { LOG_KIND_TEXT, LOG_KIND_INT, LOG_KIND_UINT, LOG_KIND_BOOL };

struct log_field {
    const char *name;
    enum log_kind kind;
    struct sluice_span text;
    int64_t number;
};

#define F_SPAN(name, span)  ((struct log_field){(name), LOG_KIND_TEXT, (span), 0})
#define F_STR(name, text)   ((struct log_field){(name), LOG_KIND_TEXT, span_of(text), 0})
#define F_INT(name, number) ((struct log_field){(name), LOG_KIND_INT, {NULL, 0}, (int64_t)(number)})
#define F_UINT(name, number)                                                                       \
    ((struct log_field){(name), LOG_KIND_UINT, {NULL, 0}, (int64_t)(number)})
#define F_BOOL(name, truth) ((struct log_field){(name), LOG_KIND_BOOL, {NULL, 0}, (truth) ? 1 : 0})
#define F_ERR(err)          F_STR("err", err_text(err))

/* Evaluates nothing of its arguments when the level is off. */
#define log_at(level, ...)                                                                         \
    (log_is_on(level) ? log_write((level), LOG_ARGS(__VA_ARGS__, (struct log_field){0})) : (void)0)
#define LOG_ARGS(message, ...)                                                                     \
    (message), (const struct log_field[])                                                          \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

/*
 * A gate for messages that a peer can trigger: at most burst at once and per_second on average
 * pass (0 counts as 1); the first that passes after refused ones carries their number as field
 * "suppressed": the next line that this thread writes has it, so write it at once.
 * Zero-initialise all but the rates. Threads: any (the state is atomic).
 */
struct log_gate {
    unsigned per_second, burst;
    uint64_t state; /* atomic: time and tokens */
    uint64_t suppressed;
};
bool log_gate_pass(struct log_gate *gate);

/* line ends in '\n'; must not block. */
typedef void log_sink_fn(void *arg, struct sluice_span line);

bool log_is_on(enum log_level level);

/* fields ends with one whose name is NULL. */
void log_write(enum log_level level, const char *message, const struct log_field *fields);

void log_set(enum log_level level, enum log_form form);
enum log_level log_level(void);

/* NULL sets stderr again. The old sink is not called once this has returned on the same thread. */
void log_set_sink(log_sink_fn *sink, void *arg);

/* "warn" for LOG_WARN; false when the name is none. */
const char *log_level_name(enum log_level level);
bool log_level_find(struct sluice_span name, enum log_level *level);

#endif /* BASE_LOG_H */
