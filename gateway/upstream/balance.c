#include "upstream/balance.h"

#include <stddef.h>

static const struct balance *const rules[] = {&balance_round, &balance_least};

const struct choice balance_choices[] = {
    {"round_robin", 0, "In turn, by weight (smooth weighted round robin)."},
    {"least_requests", 1, "The less busy of two chosen at random, weights respected."},
    {NULL, 0, NULL},
};

const struct balance *balance_get(int index)
{
    return rules[index];
}
