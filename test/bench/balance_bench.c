/*
 * balance_bench.c - nanoseconds a pick for each rule of balancing with 10 and 10,000 endpoints,
 * and the milliseconds that making a set of members ready takes.
 *
 * Not a test: it judges nothing. Started by "make bench-parts".
 */
#include "base/check.h"

#include "crowd.h"

#include <stdio.h>
#include <time.h>

enum { TRIES = 3, PREPARES = 5 };

static const struct {
    const char *more;
    int rule;
} rules[] = {
    {"balance: round_robin", 0},
    {"balance: least_requests", 1},
    {"balance: random", 2},
    {"balance: peak_ewma", 3},
    {"balance: ring_hash, hash: source", 4},
    {"balance: ring_hash, hash: { by: source, bound: 125% }", 4},
    {"balance: maglev, hash: source", 5},
    {"balance: maglev, hash: { by: source, bound: 125% }", 5},
    {"balance: sticky_cookie", 6},
};

static unsigned uneven(size_t i)
{
    return i % 3 ? 10 : 20;
}

static double now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* The best of some tries; each endpoint has up to 64 of the last picks in flight. */
static double pick_ns(struct crowd *crowd, unsigned picks)
{
    double best = 0;

    for (unsigned try = 0; try < TRIES; try++) {
        struct endpoint *last[64] = {NULL};
        double begun = now_ns();
        double took;

        for (unsigned i = 0; i < picks; i++) {
            uint64_t key = balance_mix(i);
            struct endpoint *endpoint = crowd_pick(crowd, &key);

            if (last[i % 64]) {
                last[i % 64]->active--;
                crowd->upstream->n_active--;
            }
            last[i % 64] = endpoint;
            crowd_busy(endpoint, 1);
        }
        took = (now_ns() - begun) / picks;
        if (try == 0 || took < best)
            best = took;
        crowd_idle(crowd);
    }
    return best;
}

static double prepare_ms(struct crowd *crowd, int rule)
{
    double best = 0;

    for (unsigned try = 0; try < PREPARES; try++) {
        double begun = now_ns();
        double took;

        balance_prepare(rule, crowd->upstream->members);
        took = (now_ns() - begun) / 1e6;
        if (try == 0 || took < best)
            best = took;
    }
    return best;
}

static void measure(size_t n, crowd_weight_fn *weight)
{
    printf("%zu endpoints, %s weights\n", n, weight ? "uneven" : "equal");
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        struct crowd *crowd = crowd_open(rules[i].more, n, weight);
        double ns;

        for (size_t at = 0; at < n; at++) {
            endpoint_note_latency(crowd->upstream->endpoint[at], 1000 + at % 7 * 100);
        }
        ns = pick_ns(crowd, 500000);
        printf("  %-55s %9.0f ns/pick %7.2f ms/set\n", rules[i].more, ns,
               prepare_ms(crowd, rules[i].rule));
        crowd_close(&crowd);
    }
}

int main(void)
{
    measure(10, NULL);
    measure(10, uneven);
    measure(10000, NULL);
    measure(10000, uneven);
    return 0;
}
