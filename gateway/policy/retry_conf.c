/*
 * retry_conf.c - the table of "retry:", and how a route's lies over an upstream's.
 */
#include "policy/retry.h"

#include "http/grpc_status.h"

#include <stddef.h>

/* One word of "on": a cause, or a range of statuses. */
struct retry_word {
    uint32_t causes;
    uint16_t first, last; /* 0: no status */
};

enum {
    HAS_ATTEMPTS = 1,
    HAS_ON = 2,
    HAS_METHODS = 4,
    HAS_PER_TRY = 8,
    HAS_BODY = 16,
    HAS_BASE = 32,
    HAS_MAX = 64,
    HAS_GRPC = 128,
};

/* -- on ------------------------------------------------------------------- */

static const struct {
    const char *name;
    struct retry_word word;
} words[] = {
    {"connect", {.causes = 1u << RETRY_CONNECT}},   {"refused", {.causes = 1u << RETRY_REFUSED}},
    {"reset", {.causes = 1u << RETRY_RESET}},       {"timeout", {.causes = 1u << RETRY_TIMEOUT}},
    {"gateway-error", {.first = 502, .last = 504}}, {"5xx", {.first = 500, .last = 599}},
};

#define WHAT "connect, refused, reset, timeout, gateway-error, 5xx or a status from 400 to 599"

static enum err parse_word(struct bind *bind, const struct tree *node, void *out)
{
    struct retry_word *word = out;
    uint64_t status;

    for (size_t i = 0; node->kind == TREE_SCALAR && i < sizeof(words) / sizeof(words[0]); i++) {
        if (span_equal(node->text, span_of(words[i].name))) {
            *word = words[i].word;
            return OK;
        }
    }
    if (node->kind == TREE_SCALAR && span_number(node->text, RETRY_STATUS_LAST, &status) == OK &&
        status >= RETRY_STATUS_FIRST) {
        word->first = word->last = (uint16_t)status;
        return OK;
    }
    notes_error(bind->notes, node->at, "write " WHAT, "'%.*s' is nothing to retry on",
                node->kind == TREE_SCALAR ? (int)node->text.len : 0,
                node->text.ptr ? node->text.ptr : "");
    return ERR_CONFIG;
}

static const struct shape word_shape = {
    .kind = SHAPE_CUSTOM,
    .size = sizeof(struct retry_word),
    .parse = parse_word,
    .what = WHAT,
    .pattern = "^(connect|refused|reset|timeout|gateway-error|5xx|[45][0-9][0-9])$",
    .min = RETRY_STATUS_FIRST,
    .max = RETRY_STATUS_LAST};
static const struct shape words_shape = {
    .kind = SHAPE_LIST, .size = sizeof(struct items), .element = &word_shape, .max = 64};

static const struct choice grpc_statuses[] = {
    {"cancelled", GRPC_CANCELLED, NULL},     {"deadline_exceeded", GRPC_DEADLINE_EXCEEDED, NULL},
    {"internal", GRPC_INTERNAL, NULL},       {"resource_exhausted", GRPC_RESOURCE_EXHAUSTED, NULL},
    {"unavailable", GRPC_UNAVAILABLE, NULL}, {NULL, 0, NULL},
};
static const struct shape grpc_shape = {.kind = SHAPE_CHOICE,
                                        .size = sizeof(int),
                                        .choices = grpc_statuses,
                                        .what = "a status of gRPC such as unavailable"};
static const struct shape grpcs_shape = {
    .kind = SHAPE_LIST, .size = sizeof(struct items), .element = &grpc_shape, .max = 16};

static const struct choice methods[] = {
    {"GET", METHOD_GET, NULL},
    {"HEAD", METHOD_HEAD, NULL},
    {"POST", METHOD_POST, NULL},
    {"PUT", METHOD_PUT, NULL},
    {"DELETE", METHOD_DELETE, NULL},
    {"OPTIONS", METHOD_OPTIONS, NULL},
    {"TRACE", METHOD_TRACE, NULL},
    {"PATCH", METHOD_PATCH, NULL},
    {NULL, 0, NULL},
};
static const struct shape method_shape = {
    .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = methods, .what = "a method such as GET"};
static const struct shape methods_shape = {
    .kind = SHAPE_LIST, .size = sizeof(struct items), .element = &method_shape, .max = 16};

/* -- the rule --------------------------------------------------------------- */

static const struct shape attempts_shape = {.kind = SHAPE_UINT,
                                            .size = sizeof(uint64_t),
                                            .max = RETRY_ATTEMPTS_MAX,
                                            .what = "a number from 0 to 9"};
static const struct shape body_shape = {.kind = SHAPE_SIZE,
                                        .size = sizeof(uint64_t),
                                        .max = RETRY_BODY_MAX,
                                        .what = "a size up to 256KiB"};
static const struct shape pause_shape = {
    .kind = SHAPE_DURATION, .size = sizeof(uint64_t), .max = 60000, .what = "a duration up to 60s"};

static const struct field backoff_fields[] = {
    {.name = "base",
     .shape = &pause_shape,
     .offset = offsetof(struct retry_backoff, base_ms),
     .help = "The most that the first retry waits; doubled for each that follows.",
     .example = "25ms"},
    {.name = "max",
     .shape = &pause_shape,
     .offset = offsetof(struct retry_backoff, max_ms),
     .help = "No retry waits longer. A response whose Retry-After asks for more is not retried.",
     .example = "250ms"},
    {0},
};
static const struct shape backoff_shape = {.kind = SHAPE_STRUCT,
                                           .size = sizeof(struct retry_backoff),
                                           .fields = backoff_fields,
                                           .scalar = "base",
                                           .title = "backoff"};

static const struct field retry_fields[] = {
    {.name = "attempts",
     .shape = &attempts_shape,
     .offset = offsetof(struct retry_rule, attempts),
     .help = "How often a request may be sent again after the first try, another endpoint first; a "
             "number alone means the same. 0: never.",
     .example = "2"},
    {.name = "on",
     .shape = &words_shape,
     .offset = offsetof(struct retry_rule, on),
     .help = "Which failures: connect (no connection could be made), refused (HTTP/2: the endpoint "
             "says that it has not processed it, whatever the method), reset (it ended before the "
             "head of a response), timeout (no head of a response in time), a status, "
             "gateway-error (502, 503, 504), 5xx.",
     .example = "[ connect, reset, 503 ]"},
    {.name = "grpc",
     .shape = &grpcs_shape,
     .offset = offsetof(struct retry_rule, grpc),
     .help = "Calls of gRPC that end with one of these, without a message before it, are sent "
             "again as far as their content was kept; the methods do not matter. None when not "
             "given. When grpc-retry-pushback-ms tells how long to wait, that holds, within the "
             "deadline or else timeout.response; what it forbids is not sent again.",
     .example = "[ unavailable, resource_exhausted ]"},
    {.name = "methods",
     .shape = &methods_shape,
     .offset = offsetof(struct retry_rule, methods),
     .help = "A request of another method is sent again only when no byte of it has left. One that "
             "is not idempotent (POST, PATCH) may then be processed twice: add it on purpose.",
     .example = "[ GET, HEAD, POST ]"},
    {.name = "per_try_timeout",
     .shape = &pause_shape,
     .offset = offsetof(struct retry_rule, per_try_ms),
     .help = "One try may take this long, from its endpoint chosen to the head of the response; it "
             "is then a timeout. 0: only timeout.connect and timeout.response hold.",
     .example = "500ms"},
    {.name = "body",
     .shape = &body_shape,
     .offset = offsetof(struct retry_rule, body_bytes),
     .help = "So much content of a request is kept to be sent again; a request with more is not "
             "retried once content has left.",
     .example = "16KiB"},
    {.name = "backoff",
     .shape = &backoff_shape,
     .offset = offsetof(struct retry_rule, backoff),
     .help = "Retries wait a random time, so that they do not come all at once. Where the "
             "connection could not be made, the next endpoint is tried without waiting.",
     .example = "{ base: 25ms, max: 250ms }"},
    {0},
};

static uint32_t written_in(const struct tree *node)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } keys[] = {{"attempts", HAS_ATTEMPTS},
                {"on", HAS_ON},
                {"methods", HAS_METHODS},
                {"grpc", HAS_GRPC},
                {"per_try_timeout", HAS_PER_TRY},
                {"body", HAS_BODY},
                {"backoff", HAS_BASE}};
    const struct tree *backoff;
    uint32_t written = 0;

    if (!node || node->kind != TREE_MAP)
        return HAS_ATTEMPTS; /* the scalar form */
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (tree_find(node, span_of(keys[i].name)))
            written |= keys[i].bit;
    }
    backoff = tree_find(node, SPAN("backoff"));
    if (backoff && backoff->kind == TREE_MAP) {
        written &= ~(uint32_t)HAS_BASE;
        written |= tree_find(backoff, SPAN("base")) ? HAS_BASE : 0;
        written |= tree_find(backoff, SPAN("max")) ? HAS_MAX : 0;
    }
    return written;
}

static void check(struct bind *bind, const struct tree *node, void *out)
{
    struct retry_rule *rule = out;
    const struct retry_word *word = rule->on.first;
    const int *method = rule->methods.first;

    const int *grpc = rule->grpc.first;

    (void)bind;
    rule->written = written_in(node);
    for (size_t i = 0; i < rule->grpc.n; i++) {
        rule->grpc_bits |= 1u << grpc[i];
    }
    for (size_t i = 0; i < rule->methods.n; i++) {
        rule->method_bits |= 1u << method[i];
    }
    for (size_t i = 0; i < rule->on.n; i++) {
        rule->causes |= word[i].causes;
        for (unsigned status = word[i].first; word[i].first && status <= word[i].last; status++) {
            unsigned bit = status - RETRY_STATUS_FIRST;

            rule->status_bits[bit / 64] |= UINT64_C(1) << (bit % 64);
        }
    }
}

const struct shape retry_shape = {.kind = SHAPE_STRUCT,
                                  .size = sizeof(struct retry_rule),
                                  .fields = retry_fields,
                                  .scalar = "attempts",
                                  .check = check,
                                  .title = "retry"};

void retry_print_on(const struct retry_rule *rule, struct text *out)
{
    const struct retry_word *word = rule->on.first;
    const char *separator = "";

    for (size_t i = 0; i < rule->on.n; i++, separator = ", ") {
        text_add(out, span_of(separator));
        for (unsigned cause = 0; cause < RETRY_CAUSE_COUNT; cause++) {
            if (word[i].causes >> cause & 1)
                text_add(out, span_of(retry_cause_name((enum retry_cause)cause)));
        }
        if (word[i].first != 0)
            text_add_number(out, word[i].first);
        if (word[i].last != word[i].first)
            text_format(out, "-%u", word[i].last);
    }
}

void retry_rule_over(struct retry_rule *out, const struct retry_rule *base,
                     const struct retry_rule *own)
{
    *out = *base;
    if (own->written & HAS_ATTEMPTS)
        out->attempts = own->attempts;
    if (own->written & HAS_GRPC) {
        out->grpc = own->grpc;
        out->grpc_bits = own->grpc_bits;
    }
    if (own->written & HAS_ON) {
        out->on = own->on;
        out->causes = own->causes;
        for (size_t i = 0; i < sizeof(out->status_bits) / sizeof(out->status_bits[0]); i++) {
            out->status_bits[i] = own->status_bits[i];
        }
    }
    if (own->written & HAS_METHODS) {
        out->methods = own->methods;
        out->method_bits = own->method_bits;
    }
    if (own->written & HAS_PER_TRY)
        out->per_try_ms = own->per_try_ms;
    if (own->written & HAS_BODY)
        out->body_bytes = own->body_bytes;
    if (own->written & HAS_BASE)
        out->backoff.base_ms = own->backoff.base_ms;
    if (own->written & HAS_MAX)
        out->backoff.max_ms = own->backoff.max_ms;
}
