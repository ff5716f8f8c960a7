/*
 * collect_redis.c - what the workers' clients of Redis count, as sums.
 */
#include "proxy/collect.h"
#include "proxy/worker.h"

#include <stddef.h>

struct row {
    const char *family, *help;
    enum page_type type;
    size_t offset;
};

#define AT(member) offsetof(struct redis_counters, member)

static const struct row rows[] = {
    {"sluice_redis_connections", "Connections to Redis that stand.", PAGE_GAUGE, AT(connections)},
    {"sluice_redis_waiting", "Commands that wait for a connection.", PAGE_GAUGE, AT(waiting)},
    {"sluice_redis_in_flight", "Commands without an answer yet.", PAGE_GAUGE, AT(in_flight)},
    {"sluice_redis_commands_total", "Commands begun.", PAGE_COUNTER, AT(commands)},
    {"sluice_redis_answers_total", "Answers that came in time.", PAGE_COUNTER, AT(answers)},
    {"sluice_redis_errors_total", "Answers that were errors.", PAGE_COUNTER, AT(errors)},
    {"sluice_redis_timeouts_total", "Commands whose answer did not come in time.", PAGE_COUNTER,
     AT(timeouts)},
    {"sluice_redis_unreachable_total", "Commands that failed for want of a connection.",
     PAGE_COUNTER, AT(unreachable)},
    {"sluice_redis_refused_total", "Commands refused because the queue was full.", PAGE_COUNTER,
     AT(refused)},
    {"sluice_redis_connects_total", "Connections made.", PAGE_COUNTER, AT(connects)},
    {"sluice_redis_connect_failures_total", "Connections that could not be made.", PAGE_COUNTER,
     AT(connect_failures)},
    {"sluice_redis_breaks_total", "Connections that broke.", PAGE_COUNTER, AT(breaks)},
};

static uint64_t sum_of(const struct crew *crew, size_t offset)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < crew->n_workers; i++) {
        const void *counter = (const char *)&crew->worker[i]->redis_counters + offset;

        sum += counter_get(counter);
    }
    return sum;
}

void collect_redis(void *crew_, struct page *page)
{
    const struct crew *crew = crew_;
    struct histogram sum = {0};

    /* Nobody has asked it anything. */
    if (sum_of(crew, AT(commands)) + sum_of(crew, AT(refused)) == 0)
        return;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        page_family(page, rows[i].family, rows[i].type, rows[i].help);
        page_count(page, NULL, 0, sum_of(crew, rows[i].offset));
    }
    page_family(page, "sluice_redis_answer_seconds", PAGE_HISTOGRAM,
                "From a command's beginning to its answer.");
    for (unsigned i = 0; i < crew->n_workers; i++) {
        const struct histogram *time = &crew->worker[i]->redis_counters.time;

        for (unsigned j = 0; j < HISTOGRAM_BUCKETS; j++)
            counter_add(&sum.bucket[j], counter_get(&time->bucket[j]));
        counter_add(&sum.sum_us, counter_get(&time->sum_us));
    }
    page_histogram(page, NULL, 0, &sum, 1, 0);
}
