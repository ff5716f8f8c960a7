#include "context.h"

#include "kit/print.h"

#include <string.h>

/* -- hexadecimal ------------------------------------------------------------- */

/* -1: no digit. Capitals are malformed in both formats. */
static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_hex(const char *text, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool is_zero(const uint8_t *bytes, size_t n)
{
    uint8_t any = 0;

    for (size_t i = 0; i < n; i++)
        any |= bytes[i];
    return any == 0;
}

/* An id: digits that are not all zero. */
static bool parse_id(const char *text, size_t n, uint8_t *out)
{
    return parse_hex(text, n, out) && !is_zero(out, n);
}

void context_print_hex(const uint8_t *bytes, size_t n, char *out)
{
    print_hex_bytes(out, bytes, n);
}

/* -- traceparent --------------------------------------------------------------- */

/* Trace Context level 2, 3.2 and 4.3: a higher version may say more, and begins as this one. */
bool context_parse_w3c(struct sluice_span text, struct context *context)
{
    struct context read = {.has_ids = true};
    uint8_t version, flags;

    if (text.len < CONTEXT_PARENT_LEN || !parse_hex(text.ptr, 1, &version) || version == 0xff ||
        text.ptr[2] != '-' || text.ptr[35] != '-' || text.ptr[52] != '-')
        return false;
    if (text.len > CONTEXT_PARENT_LEN && (version == 0 || text.ptr[CONTEXT_PARENT_LEN] != '-'))
        return false;
    if (!parse_id(text.ptr + 3, CONTEXT_TRACE_BYTES, read.trace) ||
        !parse_id(text.ptr + 36, CONTEXT_SPAN_BYTES, read.span) ||
        !parse_hex(text.ptr + 53, 1, &flags))
        return false;
    read.flags = flags & (CONTEXT_SAMPLED | CONTEXT_RANDOM);
    read.decision = flags & CONTEXT_SAMPLED ? CONTEXT_IS_SAMPLED : CONTEXT_NOT_SAMPLED;
    *context = read;
    return true;
}

void context_print_w3c(const uint8_t trace[CONTEXT_TRACE_BYTES],
                       const uint8_t span[CONTEXT_SPAN_BYTES], uint8_t flags,
                       char out[CONTEXT_PARENT_LEN])
{
    out[0] = out[1] = '0';
    out[2] = '-';
    print_hex_bytes(out + 3, trace, CONTEXT_TRACE_BYTES);
    out[35] = '-';
    print_hex_bytes(out + 36, span, CONTEXT_SPAN_BYTES);
    out[52] = '-';
    print_hex(out + 53, flags, 2);
}

/* -- B3 -------------------------------------------------------------------------- */

/* 64 or 128 bits. */
static bool parse_b3_trace(struct sluice_span text, uint8_t trace[CONTEXT_TRACE_BYTES])
{
    memset(trace, 0, CONTEXT_TRACE_BYTES);
    if (!text.ptr)
        return false;
    if (text.len == 32)
        return parse_id(text.ptr, 16, trace);
    return text.len == 16 && parse_id(text.ptr, 8, trace + 8);
}

static bool parse_b3_decision(struct sluice_span text, struct context *context)
{
    if (text.len != 1)
        return false;
    switch (text.ptr[0]) {
    case '0':
        context->decision = CONTEXT_NOT_SAMPLED;
        return true;
    case '1':
        context->decision = CONTEXT_IS_SAMPLED;
        break;
    case 'd':
        context->decision = CONTEXT_DEBUG;
        break;
    default:
        return false;
    }
    context->flags = CONTEXT_SAMPLED;
    return true;
}

static struct sluice_span part(struct sluice_span *rest)
{
    const char *dash = rest->len > 0 ? memchr(rest->ptr, '-', rest->len) : NULL;
    size_t len = dash ? (size_t)(dash - rest->ptr) : rest->len;
    struct sluice_span out = {rest->ptr, len};

    rest->ptr += len + (dash ? 1 : 0);
    rest->len -= len + (dash ? 1 : 0);
    return out;
}

bool context_parse_b3(struct sluice_span text, struct context *context)
{
    struct context read = {0};
    struct sluice_span rest = text, span, decision, parent;
    uint8_t ignored[CONTEXT_SPAN_BYTES];

    if (text.len == 0 || text.ptr[text.len - 1] == '-')
        return false;
    if (text.len == 1) {
        if (!parse_b3_decision(text, &read))
            return false;
        *context = read;
        return true;
    }
    read.has_ids = true;
    if (!parse_b3_trace(part(&rest), read.trace))
        return false;
    span = part(&rest);
    if (span.len != 16 || !parse_id(span.ptr, 8, read.span))
        return false;
    decision = part(&rest);
    parent = part(&rest);
    if ((decision.len > 0 && !parse_b3_decision(decision, &read)) ||
        (parent.len > 0 && (parent.len != 16 || !parse_hex(parent.ptr, 8, ignored))) ||
        (decision.len == 0 && parent.len > 0) || rest.len > 0)
        return false;
    *context = read;
    return true;
}

static bool equals(struct sluice_span text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.ptr, word, text.len) == 0;
}

bool context_parse_b3_fields(const struct context_b3 *fields, struct context *context)
{
    struct context read = {0};

    if (fields->sampled.ptr) {
        struct sluice_span sampled = fields->sampled;

        if (equals(sampled, "true")) {
            sampled.ptr = "1";
            sampled.len = 1;
        } else if (equals(sampled, "false")) {
            sampled.ptr = "0";
            sampled.len = 1;
        }
        if (equals(sampled, "d") || !parse_b3_decision(sampled, &read))
            return false;
    }
    if (fields->flags.ptr && equals(fields->flags, "1")) {
        read.decision = CONTEXT_DEBUG;
        read.flags = CONTEXT_SAMPLED;
    } else if (fields->flags.ptr && !equals(fields->flags, "0")) {
        return false;
    }
    read.has_ids = fields->trace.ptr || fields->span.ptr;
    if (read.has_ids && (!parse_b3_trace(fields->trace, read.trace) || fields->span.len != 16 ||
                         !parse_id(fields->span.ptr, 8, read.span)))
        return false;
    if (!read.has_ids && read.decision == CONTEXT_UNDECIDED)
        return false;
    *context = read;
    return true;
}

size_t context_print_b3(const struct context *self, const uint8_t *parent, char decision,
                        char out[CONTEXT_B3_LEN])
{
    context_print_hex(self->trace, CONTEXT_TRACE_BYTES, out);
    out[32] = '-';
    context_print_hex(self->span, CONTEXT_SPAN_BYTES, out + 33);
    out[49] = '-';
    out[50] = decision;
    if (!parent)
        return 51;
    out[51] = '-';
    context_print_hex(parent, CONTEXT_SPAN_BYTES, out + 52);
    return CONTEXT_B3_LEN;
}

/* -- tracestate -------------------------------------------------------------------- */

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_key(const char *text, size_t len)
{
    if (len == 0 || len > 256 || (!is_lower(text[0]) && !is_digit(text[0])))
        return false;
    for (size_t i = 1; i < len; i++) {
        char c = text[i];

        if (!is_lower(c) && !is_digit(c) && (c == '\0' || !strchr("_-*/@", c)))
            return false;
    }
    return true;
}

static bool is_value(const char *text, size_t len)
{
    if (len == 0 || len > 256 || text[len - 1] == ' ')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < ' ' || text[i] > '~' || text[i] == ',' || text[i] == '=')
            return false;
    }
    return true;
}

static struct sluice_span trim(const char *text, size_t len)
{
    while (len > 0 && (text[0] == ' ' || text[0] == '\t')) {
        text++;
        len--;
    }
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        len--;
    return (struct sluice_span){text, len};
}

static bool is_member(struct sluice_span text)
{
    const char *equal = memchr(text.ptr, '=', text.len);
    size_t key = equal ? (size_t)(equal - text.ptr) : 0;

    return equal && is_key(text.ptr, key) && is_value(equal + 1, text.len - key - 1);
}

bool context_state_add(struct context_state *state, struct sluice_span line)
{
    for (size_t at = 0; at < line.len;) {
        const char *comma = memchr(line.ptr + at, ',', line.len - at);
        size_t len = comma ? (size_t)(comma - line.ptr) - at : line.len - at;
        struct sluice_span member = trim(line.ptr + at, len);

        at += len + 1;
        if (member.len == 0)
            continue;
        if (state->n == CONTEXT_STATE_MEMBERS || !is_member(member))
            return false;
        state->bytes += member.len + (state->n > 0);
        state->member[state->n++] = member;
    }
    return true;
}

static void leave_out(struct context_state *state, unsigned index)
{
    state->bytes -= state->member[index].len + (state->n > 1);
    state->n--;
    memmove(&state->member[index], &state->member[index + 1],
            (state->n - index) * sizeof(state->member[0]));
}

/* Trace Context 3.3.1.5: the large ones first, then from the end. */
void context_state_trim(struct context_state *state)
{
    for (unsigned i = state->n; i-- > 0 && state->bytes > CONTEXT_STATE_MAX;) {
        if (state->member[i].len > CONTEXT_STATE_LARGE)
            leave_out(state, i);
    }
    while (state->bytes > CONTEXT_STATE_MAX)
        leave_out(state, state->n - 1);
}

size_t context_state_print(const struct context_state *state, char out[CONTEXT_STATE_MAX])
{
    size_t len = 0;

    for (unsigned i = 0; i < state->n; i++) {
        if (i > 0)
            out[len++] = ',';
        memcpy(out + len, state->member[i].ptr, state->member[i].len);
        len += state->member[i].len;
    }
    return len;
}
