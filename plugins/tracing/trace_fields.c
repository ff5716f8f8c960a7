/*
 * trace_fields.c - trace context in the fields of requests.
 *
 * What came in is read once, and the request is cleaned at once of what nobody may see: other
 * plugins, copies of the request and tries upstream all begin from clean fields.
 */
#include "trace.h"

#include <arpa/inet.h>
#include <string.h>

static const struct sluice_span traceparent = SLUICE_SPAN_INIT("traceparent");
static const struct sluice_span tracestate = SLUICE_SPAN_INIT("tracestate");
static const struct sluice_span baggage = SLUICE_SPAN_INIT("baggage");
static const struct sluice_span b3 = SLUICE_SPAN_INIT("b3");
static const struct sluice_span b3_trace = SLUICE_SPAN_INIT("x-b3-traceid");
static const struct sluice_span b3_span = SLUICE_SPAN_INIT("x-b3-spanid");
static const struct sluice_span b3_parent = SLUICE_SPAN_INIT("x-b3-parentspanid");
static const struct sluice_span b3_sampled = SLUICE_SPAN_INIT("x-b3-sampled");
static const struct sluice_span b3_flags = SLUICE_SPAN_INIT("x-b3-flags");

/* What the request says of traces; ptr NULL: nothing. */
struct found {
    struct sluice_span parent, b3;
    struct context_b3 multi;
    unsigned n_parents, n_b3;
    bool has_multi, has_baggage;
    unsigned n_states;
    bool is_bad_state;
    struct context_state state;
};

/* -- reading ---------------------------------------------------------------------- */

static bool is_named(struct sluice_span name, struct sluice_span lower)
{
    if (name.len != lower.len)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != lower.ptr[i])
            return false;
    }
    return true;
}

static void look_at_b3(const struct sluice_pair *line, struct found *found)
{
    struct context_b3 *multi = &found->multi;
    const struct {
        struct sluice_span name, *value;
    } known[] = {{b3_trace, &multi->trace},
                 {b3_span, &multi->span},
                 {b3_parent, &multi->parent},
                 {b3_sampled, &multi->sampled},
                 {b3_flags, &multi->flags}};

    if (is_named(line->name, b3)) {
        found->b3 = line->value;
        found->n_b3++;
        return;
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        if (is_named(line->name, known[i].name)) {
            *known[i].value = line->value;
            found->has_multi = true;
        }
    }
}

static void look_at(const struct trace_conf *conf, const struct sluice_pair *line,
                    struct found *found)
{
    switch (line->name.len) {
    case sizeof("traceparent") - 1:
        if (is_named(line->name, traceparent)) {
            found->parent = line->value;
            found->n_parents++;
        }
        break;
    case sizeof("tracestate") - 1:
        if (is_named(line->name, tracestate)) {
            found->n_states++;
            found->is_bad_state |= !context_state_add(&found->state, line->value);
        }
        break;
    case sizeof("baggage") - 1:
        found->has_baggage |= is_named(line->name, baggage);
        break;
    default:
        break;
    }
    if (conf->b3 != TRACE_B3_OFF)
        look_at_b3(line, found);
}

static void count_malformed(const struct sluice_call *call, struct sluice_span what)
{
    const struct trace_conf *conf = call->conf;

    call->host->metric_add(call, conf->malformed, &what, 1);
}

static bool read_b3(const struct sluice_call *call, const struct found *found,
                    struct context *parent)
{
    if (found->n_b3 == 0 && !found->has_multi)
        return false;
    if ((found->n_b3 == 1 && context_parse_b3(found->b3, parent)) ||
        (found->n_b3 == 0 && context_parse_b3_fields(&found->multi, parent)))
        return true;
    count_malformed(call, SLUICE_SPAN("b3"));
    return false;
}

/* -- whom we believe ------------------------------------------------------------------ */

static bool is_inside(const uint8_t address[16], const struct sluice_network *network)
{
    uint32_t bytes = network->bits / 8, rest = network->bits % 8;

    if (memcmp(address, network->address, bytes) != 0)
        return false;
    return rest == 0 || ((address[bytes] ^ network->address[bytes]) >> (8 - rest)) == 0;
}

static bool is_trusted(const struct sluice_call *call)
{
    const struct trace_conf *conf = call->conf;
    const struct sluice_network *network = conf->trust.first;
    uint8_t address[16] = {[10] = 0xff, [11] = 0xff};
    char copy[INET6_ADDRSTRLEN];
    struct sluice_span peer;

    if (conf->trust.n == 0)
        return true;
    if (!call->host->attribute_get(call, conf->peer, &peer) || peer.len >= sizeof(copy))
        return false;
    memcpy(copy, peer.ptr, peer.len);
    copy[peer.len] = '\0';
    if (inet_pton(AF_INET, copy, address + 12) != 1 && inet_pton(AF_INET6, copy, address) != 1)
        return false;
    for (size_t i = 0; i < conf->trust.n; i++) {
        if (is_inside(address, &network[i]))
            return true;
    }
    return false;
}

/* -- cleaning --------------------------------------------------------------------------- */

static void remove_field(const struct sluice_call *call, struct sluice_span name)
{
    call->host->field_remove(call, SLUICE_REQUEST, name);
}

/* One line of what may go on; nothing when it belongs to no context that we know. */
static void clean_state(const struct sluice_call *call, struct found *found, bool is_ours)
{
    struct trace_ctx *ctx = call->ctx;
    char text[CONTEXT_STATE_MAX];
    size_t whole = found->state.bytes, len;

    if (found->is_bad_state)
        count_malformed(call, tracestate);
    if (found->is_bad_state || !is_ours) {
        remove_field(call, tracestate);
        return;
    }
    context_state_trim(&found->state);
    ctx->has_state = found->state.n > 0;
    if (!ctx->has_state) {
        remove_field(call, tracestate);
    } else if (found->n_states > 1 || found->state.bytes < whole) {
        len = context_state_print(&found->state, text);
        if (!call->host->field_set(call, SLUICE_REQUEST, tracestate,
                                   (struct sluice_span){text, len}))
            remove_field(call, tracestate);
    }
}

static void clean_b3(const struct sluice_call *call)
{
    remove_field(call, b3);
    remove_field(call, b3_trace);
    remove_field(call, b3_span);
    remove_field(call, b3_parent);
    remove_field(call, b3_sampled);
    remove_field(call, b3_flags);
}

void trace_read(const struct sluice_call *call)
{
    const struct trace_conf *conf = call->conf;
    struct trace_ctx *ctx = call->ctx;
    struct found found;
    struct sluice_pair line;
    bool is_w3c = false;

    memset(&found, 0, offsetof(struct found, state));
    found.state.n = 0;
    found.state.bytes = 0;
    for (size_t at = 0; call->host->field_each(call, SLUICE_REQUEST, &at, &line);)
        look_at(conf, &line, &found);
    if (found.n_parents > 0) {
        is_w3c = found.n_parents == 1 && context_parse_w3c(found.parent, &ctx->parent);
        if (!is_w3c)
            count_malformed(call, traceparent);
    }
    if (!is_w3c && conf->b3 != TRACE_B3_OFF)
        (void)read_b3(call, &found, &ctx->parent);
    if ((ctx->parent.has_ids || ctx->parent.decision != CONTEXT_UNDECIDED) && !is_trusted(call)) {
        ctx->parent = (struct context){0};
        is_w3c = false;
    }
    if (found.n_states > 0)
        clean_state(call, &found, is_w3c);
    if (found.n_parents > 0 && !is_w3c)
        remove_field(call, traceparent);
    if (found.n_b3 > 0 || found.has_multi)
        clean_b3(call);
    if (found.has_baggage && conf->baggage == TRACE_BAGGAGE_STRIP)
        remove_field(call, baggage);
}

/* -- writing --------------------------------------------------------------------------------- */

static void write_multi(const struct sluice_call *call, enum sluice_side side,
                        const struct context *self, const uint8_t *parent, char decision)
{
    char trace[2 * CONTEXT_TRACE_BYTES], span[2 * CONTEXT_SPAN_BYTES];
    const struct sluice_host *host = call->host;

    context_print_hex(self->trace, CONTEXT_TRACE_BYTES, trace);
    host->field_set(call, side, b3_trace, (struct sluice_span){trace, sizeof(trace)});
    context_print_hex(self->span, CONTEXT_SPAN_BYTES, span);
    host->field_set(call, side, b3_span, (struct sluice_span){span, sizeof(span)});
    if (parent) {
        context_print_hex(parent, CONTEXT_SPAN_BYTES, span);
        host->field_set(call, side, b3_parent, (struct sluice_span){span, sizeof(span)});
    }
    /* a debug trace is told by its flag alone */
    if (decision == 'd') {
        host->field_set(call, side, b3_flags, SLUICE_SPAN("1"));
    } else {
        host->field_set(call, side, b3_sampled, (struct sluice_span){&decision, 1});
    }
}

static void write_b3(const struct sluice_call *call, enum sluice_side side,
                     const uint8_t span[CONTEXT_SPAN_BYTES])
{
    const struct trace_conf *conf = call->conf;
    const struct trace_ctx *ctx = call->ctx;
    struct context self = ctx->self;
    const uint8_t *parent = NULL;
    char decision = ctx->is_sampled ? '1' : '0', text[CONTEXT_B3_LEN];

    if (ctx->is_sampled && ctx->parent.decision == CONTEXT_DEBUG)
        decision = 'd';
    memcpy(self.span, span, sizeof(self.span));
    if (memcmp(span, ctx->self.span, sizeof(self.span)) != 0) {
        parent = ctx->self.span;
    } else if (ctx->parent.has_ids) {
        parent = ctx->parent.span;
    }
    if (conf->b3 == TRACE_B3_SINGLE || conf->b3 == TRACE_B3_BOTH) {
        size_t len = context_print_b3(&self, parent, decision, text);

        call->host->field_set(call, side, b3, (struct sluice_span){text, len});
    }
    if (conf->b3 == TRACE_B3_MULTI || conf->b3 == TRACE_B3_BOTH)
        write_multi(call, side, &self, parent, decision);
}

void trace_write(const struct sluice_call *call, enum sluice_side side,
                 const uint8_t span[CONTEXT_SPAN_BYTES])
{
    const struct trace_conf *conf = call->conf;
    const struct trace_ctx *ctx = call->ctx;
    char text[CONTEXT_PARENT_LEN];

    context_print_w3c(ctx->self.trace, span, ctx->self.flags, text);
    /* no memory: none rather than another's */
    if (!call->host->field_set(call, side, traceparent,
                               (struct sluice_span){text, CONTEXT_PARENT_LEN})) {
        call->host->field_remove(call, side, traceparent);
    }
    if (conf->b3 != TRACE_B3_OFF)
        write_b3(call, side, span);
}
