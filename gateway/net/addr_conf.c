#include "net/addr_conf.h"

#include "net/addr.h"

#include <sys/socket.h>

static enum err parse_range(struct bind *bind, const struct tree *node, void *out)
{
    if (node->kind == TREE_SCALAR && span_equal(node->text, SPAN("unix"))) {
        *(struct addr_range *)out = (struct addr_range){.base = {.family = AF_UNIX}};
        return OK;
    }
    if (node->kind == TREE_SCALAR && addr_range_parse(node->text, out) == OK)
        return OK;
    notes_error(
        bind->notes, node->at,
        "write an address, a network such as 10.0.0.0/8, or unix for all peers of a unix socket",
        "expected a network to trust");
    return ERR_CONFIG;
}

static const struct shape range_shape = {.kind = SHAPE_CUSTOM,
                                         .size = sizeof(struct addr_range),
                                         .parse = parse_range,
                                         .what = "a network such as 10.0.0.0/8",
                                         .pattern = "^([0-9a-fA-F:.]+(/[0-9]+)?|unix)$"};

const struct shape addr_ranges_shape = {.kind = SHAPE_LIST,
                                        .size = sizeof(struct items),
                                        .element = &range_shape,
                                        .what = "a list of networks"};

bool addr_ranges_have(const struct items *ranges, const struct addr *addr)
{
    const struct addr_range *range = ranges->first;

    for (size_t i = 0; i < ranges->n; i++) {
        if (addr_range_has(&range[i], addr))
            return true;
    }
    return false;
}
