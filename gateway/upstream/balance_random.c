/*
 * balance_random.c - at random, by weight.
 */
#include "upstream/balance.h"
#include "upstream/upstream.h"

static struct endpoint *pick(struct band *band, const struct lease *lease)
{
    size_t index;

    return balance_draw(band, lease, band->n, &index);
}

const struct balance balance_random = {.name = "random", .pick = pick};
