#include "route/route.h"

#include "base/text.h"
#include "route/table.h"

const struct route_target *route_pick(const struct route *route, uint64_t random)
{
    uint64_t at;

    if (!route->n_targets)
        return NULL;
    if (route->n_targets == 1)
        return &route->targets[0];
    at = random % route->weight_sum; /* weights are far below 2^64: the bias is nothing */
    for (size_t i = 0; i < route->n_targets; i++) {
        if (at < route->targets[i].weight)
            return &route->targets[i];
        at -= route->targets[i].weight;
    }
    return &route->targets[0]; /* not reached: the weights add up to weight_sum */
}

void route_methods_print(uint32_t methods, struct text *out)
{
    bool is_first = true;

    for (unsigned method = METHOD_GET; method <= METHOD_PATCH; method++) {
        if (!(methods & (UINT32_C(1) << method)))
            continue;
        if (!is_first)
            text_add(out, SPAN(", "));
        text_add(out, span_of(method_name((enum method)method)));
        is_first = false;
    }
}
