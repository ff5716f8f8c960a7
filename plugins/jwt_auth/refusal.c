/*
 * refusal.c - the list as a table.
 */
#include "refusal.h"

static const struct refusal_rule rules[REFUSAL_COUNT] = {
#define REFUSAL_ROW(name, word, status, error, description)                                        \
    [REFUSAL_##name] = {SLUICE_SPAN_INIT(word), (status), SLUICE_SPAN_INIT(error),                 \
                        SLUICE_SPAN_INIT(description)},
    REFUSAL_LIST(REFUSAL_ROW)
#undef REFUSAL_ROW
};

const struct refusal_rule *refusal_rule(enum refusal refusal)
{
    return &rules[refusal];
}
