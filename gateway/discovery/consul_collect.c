/* consul_collect.c - the numbers of each service that comes from Consul, for the metrics page. */
#include "base/now.h"
#include "discovery/consul.h"
#include "observe/metrics.h"

/* One family over all services. */
struct family {
    struct page *page;
    uint64_t (*value)(const struct consul_facts *facts);
};

static void add_count(void *family_, const struct consul_facts *facts)
{
    const struct family *family = family_;
    const struct label labels[] = {{"service", span_of(facts->service)},
                                   {"datacenter", span_of(facts->datacenter)}};

    page_count(family->page, labels, 2, family->value(facts));
}

static void add_state(void *page, const struct consul_facts *facts)
{
    const struct label labels[] = {{"service", span_of(facts->service)},
                                   {"datacenter", span_of(facts->datacenter)},
                                   {"state", span_of(source_state_name(facts->state))},
                                   {"mode", span_of(consul_mode_name(facts->mode))}};

    page_count(page, labels, 4, 1);
}

static void add_age(void *page, const struct consul_facts *facts)
{
    const struct label labels[] = {{"service", span_of(facts->service)},
                                   {"datacenter", span_of(facts->datacenter)}};

    if (facts->as_of_wall_us == 0)
        return;
    page_sample(page, labels, 2, (double)(now_wall_us() - facts->as_of_wall_us) / 1e6);
}

static uint64_t index_of(const struct consul_facts *facts)
{
    return facts->index;
}

static uint64_t endpoints_of(const struct consul_facts *facts)
{
    return facts->n_endpoints;
}

static uint64_t updates_of(const struct consul_facts *facts)
{
    return facts->updates;
}

static uint64_t errors_of(const struct consul_facts *facts)
{
    return facts->errors;
}

static uint64_t held_of(const struct consul_facts *facts)
{
    return facts->held;
}

static uint64_t rejected_of(const struct consul_facts *facts)
{
    return facts->rejected;
}

static uint64_t resets_of(const struct consul_facts *facts)
{
    return facts->resets;
}

void consul_collect(void *consul, struct page *page)
{
    static const struct {
        const char *name, *help;
        enum page_type type;
        uint64_t (*value)(const struct consul_facts *facts);
    } families[] = {
        {"sluice_consul_index", "X-Consul-Index of what is in use", PAGE_GAUGE, index_of},
        {"sluice_consul_endpoints", "Endpoints that Consul names", PAGE_GAUGE, endpoints_of},
        {"sluice_consul_updates_total", "Sets of endpoints that differed", PAGE_COUNTER,
         updates_of},
        {"sluice_consul_errors_total", "Questions without an answer to use", PAGE_COUNTER,
         errors_of},
        {"sluice_consul_held_total", "Answers that were not believed", PAGE_COUNTER, held_of},
        {"sluice_consul_rejected_nodes_total", "Nodes of answers that were left out", PAGE_COUNTER,
         rejected_of},
        {"sluice_consul_index_resets_total", "Times that the index went backwards", PAGE_COUNTER,
         resets_of},
    };

    page_family(page, "sluice_consul_handling_seconds", PAGE_HISTOGRAM,
                "From an answer's last byte until what follows from it was handed to the workers.");
    page_histogram(page, NULL, 0, consul_handling(consul), 1, 0);
    page_family(page, "sluice_consul_state", PAGE_GAUGE,
                "1 for the state that a service is in, and how it is watched");
    consul_each(consul, add_state, page);
    page_family(page, "sluice_consul_age_seconds", PAGE_GAUGE,
                "Since when what is in use has not been confirmed");
    consul_each(consul, add_age, page);
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        struct family family = {page, families[i].value};

        page_family(page, families[i].name, families[i].type, families[i].help);
        consul_each(consul, add_count, &family);
    }
}
