#include "policy/hedge.h"

#include <stddef.h>

#define AT(member) offsetof(struct hedge_rule, member)

static const struct shape max_shape = {.kind = SHAPE_UINT,
                                       .size = sizeof(uint64_t),
                                       .min = 1,
                                       .max = HEDGE_MAX,
                                       .what = "a number from 1 to 3"};

static const struct field hedge_fields[] = {
    {.name = "after",
     .shape = &shape_duration,
     .offset = AT(after_ms),
     .preset = "0s",
     .help = "When no head of a response has come by then, the request is also sent to another "
             "endpoint, and the first head wins. 0: never. With percentile: the least.",
     .example = "50ms"},
    {.name = "percentile",
     .shape = &shape_ratio,
     .offset = AT(percentile),
     .preset = "0%",
     .help = "Wait until this part of the answers would have come, as each worker has measured "
             "them lately; until it has seen 100, after counts alone. 0: after counts.",
     .example = "95%"},
    {.name = "max",
     .shape = &max_shape,
     .offset = AT(max),
     .preset = "1",
     .help = "At most so many attempts beside the first, each after another such wait."},
    {0},
};

#undef AT

static void hedge_check(struct bind *bind, const struct tree *node, void *out)
{
    struct hedge_rule *rule = out;

    if (!node)
        return;
    rule->is_written = true;
    if (rule->percentile >= 1) {
        notes_error(bind->notes, node->at, "write a part such as 95%",
                    "percentile must be below 100%%");
    }
}

const struct shape hedge_shape = {.kind = SHAPE_STRUCT,
                                  .size = sizeof(struct hedge_rule),
                                  .fields = hedge_fields,
                                  .scalar = "after",
                                  .check = hedge_check,
                                  .title = "hedge"};

bool hedge_rule_is_on(const struct hedge_rule *rule)
{
    return rule->after_ms > 0 || rule->percentile > 0;
}

uint64_t hedge_wait_ms(const struct hedge_rule *rule, uint64_t learnt_us)
{
    uint64_t ms = (learnt_us + 999) / 1000;

    if (rule->percentile <= 0 || ms < rule->after_ms)
        return rule->after_ms;
    return ms;
}
