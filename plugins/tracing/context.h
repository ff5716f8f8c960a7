/*
 * context.h - trace context as it stands in fields: W3C Trace Context and B3. Bytes only.
 *
 * What cannot be read is not there: no part of a malformed context is believed.
 */
#ifndef TRACING_CONTEXT_H
#define TRACING_CONTEXT_H

#include "sluice_plugin.h"

enum {
    CONTEXT_TRACE_BYTES = 16,
    CONTEXT_SPAN_BYTES = 8,
    CONTEXT_PARENT_LEN = 55, /* of a traceparent of version 00 */
    CONTEXT_B3_LEN = 68,     /* of our b3: trace, span, decision, parent */
    CONTEXT_STATE_MEMBERS = 32,
    CONTEXT_STATE_MAX = 512,   /* bytes of a tracestate that is passed on */
    CONTEXT_STATE_LARGE = 128, /* members above this are the first to go */
};

enum context_flags {
    CONTEXT_SAMPLED = 1u << 0,
    CONTEXT_RANDOM = 1u << 1, /* the trace id is random (level 2) */
};

enum context_decision { CONTEXT_UNDECIDED, CONTEXT_NOT_SAMPLED, CONTEXT_IS_SAMPLED, CONTEXT_DEBUG };

/* Who called, and what it decided. */
struct context {
    uint8_t trace[CONTEXT_TRACE_BYTES];
    uint8_t span[CONTEXT_SPAN_BYTES]; /* of who called: our parent */
    bool has_ids;                     /* a decision of B3 may come without */
    uint8_t flags;                    /* enum context_flags */
    uint8_t decision;                 /* enum context_decision */
};

/* False: malformed, *context is not touched. */
bool context_parse_w3c(struct sluice_span text, struct context *context);
bool context_parse_b3(struct sluice_span text, struct context *context);

/* The five fields of B3; ptr NULL: not there. */
struct context_b3 {
    struct sluice_span trace, span, parent, sampled, flags;
};
bool context_parse_b3_fields(const struct context_b3 *fields, struct context *context);

void context_print_w3c(const uint8_t trace[CONTEXT_TRACE_BYTES],
                       const uint8_t span[CONTEXT_SPAN_BYTES], uint8_t flags,
                       char out[CONTEXT_PARENT_LEN]);
/* decision is '0', '1' or 'd'; parent NULL: none. Returns the length. */
size_t context_print_b3(const struct context *self, const uint8_t *parent, char decision,
                        char out[CONTEXT_B3_LEN]);
/* Lower case; 2 * n characters. */
void context_print_hex(const uint8_t *bytes, size_t n, char *out);

/* Members of tracestate lines, in order. Their text is borrowed. */
struct context_state {
    struct sluice_span member[CONTEXT_STATE_MEMBERS];
    unsigned n;
    size_t bytes; /* of all members, joined */
};
/* Add the members of one line. False: malformed, or too many: drop all lines. */
bool context_state_add(struct context_state *state, struct sluice_span line);
/* Leave out members until the rest fits CONTEXT_STATE_MAX; whole ones only. */
void context_state_trim(struct context_state *state);
/* Returns the length. Trimmed before. */
size_t context_state_print(const struct context_state *state, char out[CONTEXT_STATE_MAX]);

#endif /* TRACING_CONTEXT_H */
