/*
 * h2_budget.c - how much of what costs us more than the peer it may do in an interval.
 */
#include "http/h2_state.h"

#include <string.h>

enum { FRAME_TYPES = 10 /* of RFC 9113: 0 to 9 */ };

void h2_tell_cause(struct h2 *h2, enum h2_cause cause)
{
    if (h2->causes & (1U << cause))
        return;
    h2->causes |= 1U << cause;
    h2->ops->on_cause(h2, cause);
}

void h2_budget_turn(struct h2 *h2, uint64_t now_us)
{
    h2->now_us = now_us;
    if (now_us - h2->budget.began_us >= h2->settings->limits.interval_ms * UINT64_C(1000))
        h2->budget = (struct h2_budget){.began_us = now_us};
}

enum err h2_budget_spend(struct h2 *h2, uint32_t *spent, uint32_t limit, enum h2_cause cause)
{
    if (++*spent <= limit || limit == 0)
        return OK;
    h2_end(h2, cause);
    return ERR_LIMIT;
}

/* A frame has begun. */
static enum err on_frame(struct h2 *h2)
{
    const struct h2_limits *limits = &h2->settings->limits;
    const uint8_t *head = h2->walk.head;
    unsigned type = head[3];

    h2->walk.left = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
    h2->walk.n = 0;
    if (type == NGHTTP2_PRIORITY || type == NGHTTP2_PRIORITY_UPDATE) {
        return h2_budget_spend(h2, &h2->budget.priorities, limits->priorities, H2_CAUSE_PRIORITIES);
    }
    if (type >= FRAME_TYPES)
        return h2_budget_spend(h2, &h2->budget.empty, limits->empty_frames, H2_CAUSE_EMPTY_FRAMES);
    return OK;
}

enum err h2_budget_walk(struct h2 *h2, struct sluice_span bytes)
{
    struct h2_walk *walk = &h2->walk;
    size_t at = 0;
    enum err err = OK;

    while (at < bytes.len && err == OK) {
        size_t rest = bytes.len - at;

        if (walk->left > 0) {
            size_t n = walk->left < rest ? walk->left : rest;

            walk->left -= (uint32_t)n;
            at += n;
            continue;
        }
        if (walk->n == 0 && rest >= sizeof(walk->head)) {
            memcpy(walk->head, bytes.ptr + at, sizeof(walk->head));
            walk->n = sizeof(walk->head);
            at += sizeof(walk->head);
        } else {
            walk->head[walk->n++] = (uint8_t)bytes.ptr[at++];
        }
        if (walk->n == sizeof(walk->head))
            err = on_frame(h2);
    }
    return err;
}

void h2_budget_provoked(struct h2 *h2)
{
    (void)!h2_budget_spend(h2, &h2->budget.provoked, h2->settings->limits.provoked_resets,
                           H2_CAUSE_PROVOKED_RESET);
}

/*
 * Who speaks for many (a proxy, a client of gRPC) cancels many, too, and has most of its requests
 * answered: beyond the limit, as many may be reset as were not.
 */
enum err h2_budget_reset(struct h2 *h2)
{
    uint32_t limit = h2->settings->limits.resets;
    uint32_t half = h2->budget.requests / 2;

    return h2_budget_spend(h2, &h2->budget.resets, limit == 0 || limit > half ? limit : half,
                           H2_CAUSE_RAPID_RESET);
}
