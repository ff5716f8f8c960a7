/*
 * balance_ewma.c - the shorter expected wait of two endpoints chosen at random by weight.
 *
 * The wait is the endpoint's recent time to the head of an answer, times the requests it would
 * have in flight (this worker's), by weight. The recent time is a moving average that forgets with
 * a time constant of 10 s and jumps at once to anything above it: a sudden stall counts before
 * the average would notice, and is forgiven slowly.
 *
 * While nothing is in flight the average is read as if it had gone on sinking, so that a slow
 * endpoint is tried again some time. As soon as one request is on its way it counts in
 * full: one request tries, not a crowd. An endpoint without any answer yet is taken for
 * twice as fast as the mean, so it is tried soon, and what waits at it counts against it.
 */
#include "upstream/balance.h"
#include "upstream/upstream.h"

#include <math.h>

enum { DECAY_US = 10 * 1000 * 1000, MEAN_SHARE = 32 /* answers that the mean is about */ };

/* What is left of an old average. */
static double left_after(uint64_t since_us, uint64_t now_us)
{
    return now_us > since_us ? exp(-(double)(now_us - since_us) / DECAY_US) : 1;
}

static void on_latency(struct endpoint *endpoint, uint64_t latency_us)
{
    struct upstream *upstream = endpoint->upstream;
    uint64_t now = loop_now_us(upstream->loop);
    double latency = (double)latency_us;

    if (endpoint->latency_at_us == 0 || latency >= endpoint->latency_us) {
        endpoint->latency_us = latency;
    } else {
        double old = left_after(endpoint->latency_at_us, now);

        endpoint->latency_us = endpoint->latency_us * old + latency * (1 - old);
    }
    endpoint->latency_at_us = now;
    counter_set(&endpoint->counters->latency_us, (uint64_t)endpoint->latency_us);
    upstream->latency_us +=
        upstream->latency_us > 0 ? (latency - upstream->latency_us) / MEAN_SHARE : latency;
}

static double expected_us(const struct endpoint *endpoint)
{
    double latency = endpoint->latency_us;

    if (endpoint->latency_at_us == 0) {
        latency = endpoint->upstream->latency_us / 2;
    } else if (endpoint->active == 0) {
        latency *= left_after(endpoint->latency_at_us, loop_now_us(endpoint->upstream->loop));
    }
    return latency > 1 ? latency : 1; /* requests in flight must always count */
}

/* Idle endpoints are compared by their times alone: the draws follow the weights already. */
static double cost(const struct band *band, const struct endpoint *endpoint)
{
    double mean = (double)band->weights * ENDPOINT_FULL / (double)band->n;

    return expected_us(endpoint) *
           (1 + endpoint->active * mean / (double)endpoint_weight(endpoint));
}

static struct endpoint *pick(struct band *band, const struct lease *lease)
{
    struct endpoint *first, *second;
    size_t index;

    first = balance_draw(band, lease, band->n, &index);
    if (!first || band->n == 1)
        return first;
    second = balance_draw(band, lease, index, &index);
    return second && cost(band, second) < cost(band, first) ? second : first;
}

const struct balance balance_ewma = {.name = "peak_ewma", .pick = pick, .on_latency = on_latency};
