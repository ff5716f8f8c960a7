/*
 * collect.c - tables of families; each sample is a sum over the workers' slots.
 */
#include "upstream/collect.h"

#include "upstream/endpoint.h"
#include "upstream/upstream.h"

#include <stddef.h>

/* One counter of a slot. Rows of the same family follow each other; only the first has a help. */
struct row {
    const char *family, *help;
    enum page_type type;
    const char *label, *value; /* the row's own label; NULL: none */
    size_t offset;
};

#define AT(member) offsetof(struct endpoint_counters, member)

static const struct row endpoint_rows[] = {
    {"sluice_upstream_requests_total", "Requests sent to an endpoint.", PAGE_COUNTER, NULL, NULL,
     AT(requests)},
    {"sluice_upstream_connections", "Connections to an endpoint that are open.", PAGE_GAUGE,
     "state", "active", AT(active)},
    {"sluice_upstream_connections", NULL, PAGE_GAUGE, "state", "idle", AT(idle)},
    {"sluice_upstream_tunnels", "Tunnels (WebSocket) to an endpoint, of the active connections.",
     PAGE_GAUGE, NULL, NULL, AT(tunnels)},
    {"sluice_upstream_connects_total", "Connections begun to an endpoint.", PAGE_COUNTER, NULL,
     NULL, AT(connects)},
    {"sluice_upstream_connections_expired_total",
     "Connections closed by connections.max_age, "
     "and by connections.requests.",
     PAGE_COUNTER, "cause", "age", AT(aged)},
    {"sluice_upstream_connections_expired_total", NULL, PAGE_COUNTER, "cause", "requests",
     AT(used_up)},
    {"sluice_upstream_h2_connections", "Connections to an endpoint that speak HTTP/2.", PAGE_GAUGE,
     NULL, NULL, AT(h2_connections)},
    {"sluice_upstream_streams", "Streams of HTTP/2 that are open to an endpoint.", PAGE_GAUGE, NULL,
     NULL, AT(streams)},
    {"sluice_upstream_goaways_total", "Connections that an endpoint has ended by GOAWAY.",
     PAGE_COUNTER, NULL, NULL, AT(goaways)},
    {"sluice_upstream_pings_unanswered_total",
     "Connections given up because a PING was not answered.", PAGE_COUNTER, NULL, NULL,
     AT(unanswered_pings)},
    {"sluice_upstream_tls_handshakes_total", "How TLS handshakes with an endpoint ended.",
     PAGE_COUNTER, "result", "full", AT(tls.full)},
    {"sluice_upstream_tls_handshakes_total", NULL, PAGE_COUNTER, "result", "resumed",
     AT(tls.resumed)},
    {"sluice_upstream_tls_handshakes_total", NULL, PAGE_COUNTER, "result", "failed",
     AT(tls.failed)},
    {"sluice_upstream_tls_versions_total", "TLS connections to an endpoint by version.",
     PAGE_COUNTER, "version", "1.2", AT(tls.tls_1_2)},
    {"sluice_upstream_tls_versions_total", NULL, PAGE_COUNTER, "version", "1.3", AT(tls.tls_1_3)},
};

#undef AT
#define AT(member) offsetof(struct upstream_counters, member)

static const struct row upstream_rows[] = {
    {"sluice_upstream_retries_total",
     "Requests sent again, by cause (stale: a kept connection had died).", PAGE_COUNTER, "cause",
     "connect", AT(retries[RETRY_CONNECT])},
    {"sluice_upstream_retries_total", NULL, PAGE_COUNTER, "cause", "refused",
     AT(retries[RETRY_REFUSED])},
    {"sluice_upstream_retries_total", NULL, PAGE_COUNTER, "cause", "reset",
     AT(retries[RETRY_RESET])},
    {"sluice_upstream_retries_total", NULL, PAGE_COUNTER, "cause", "timeout",
     AT(retries[RETRY_TIMEOUT])},
    {"sluice_upstream_retries_total", NULL, PAGE_COUNTER, "cause", "grpc", AT(retries[RETRY_GRPC])},
    {"sluice_upstream_retries_total", NULL, PAGE_COUNTER, "cause", "status",
     AT(retries[RETRY_STATUS])},
    {"sluice_upstream_retries_total", NULL, PAGE_COUNTER, "cause", "stale",
     AT(retries[UPSTREAM_RETRY_STALE])},
    {"sluice_upstream_retries_refused_total", "Failures that the retry rule names, not retried.",
     PAGE_COUNTER, "cause", "budget", AT(retries_refused[UPSTREAM_REFUSED_BUDGET])},
    {"sluice_upstream_retries_refused_total", NULL, PAGE_COUNTER, "cause", "attempts",
     AT(retries_refused[UPSTREAM_REFUSED_ATTEMPTS])},
    {"sluice_upstream_retries_refused_total", NULL, PAGE_COUNTER, "cause", "method",
     AT(retries_refused[UPSTREAM_REFUSED_METHOD])},
    {"sluice_upstream_retries_refused_total", NULL, PAGE_COUNTER, "cause", "content",
     AT(retries_refused[UPSTREAM_REFUSED_CONTENT])},
    {"sluice_upstream_retries_refused_total", NULL, PAGE_COUNTER, "cause", "retry_after",
     AT(retries_refused[UPSTREAM_REFUSED_AFTER])},
    {"sluice_upstream_hedges_total", "Second attempts beside a slow first one.", PAGE_COUNTER,
     "result", "won", AT(hedges[UPSTREAM_HEDGE_WON])},
    {"sluice_upstream_hedges_total", NULL, PAGE_COUNTER, "result", "lost",
     AT(hedges[UPSTREAM_HEDGE_LOST])},
    {"sluice_upstream_hedges_total", NULL, PAGE_COUNTER, "result", "refused",
     AT(hedges[UPSTREAM_HEDGE_REFUSED])},
    {"sluice_upstream_queue", "Requests that wait for a connection.", PAGE_GAUGE, NULL, NULL,
     AT(waiting)},
    {"sluice_upstream_queue_rejected_total", "Requests that got no connection from the queue.",
     PAGE_COUNTER, "cause", "full", AT(rejected_full)},
    {"sluice_upstream_queue_rejected_total", NULL, PAGE_COUNTER, "cause", "timeout",
     AT(rejected_timeout)},
    {"sluice_upstream_panic_picks_total",
     "Requests for which an endpoint of a priority in panic was chosen, well or not.", PAGE_COUNTER,
     NULL, NULL, AT(panic_picks)},
    {"sluice_upstream_backup_picks_total",
     "Requests for which an endpoint of another priority than the first was chosen.", PAGE_COUNTER,
     NULL, NULL, AT(backup_picks)},
    {"sluice_upstream_zone_picks_total",
     "Requests by the zone of the endpoint chosen, where zones are preferred.", PAGE_COUNTER,
     "zone", "own", AT(near_picks)},
    {"sluice_upstream_zone_picks_total", NULL, PAGE_COUNTER, "zone", "other", AT(far_picks)},
};

#undef AT

enum {
    N_ENDPOINT_ROWS = sizeof(endpoint_rows) / sizeof(endpoint_rows[0]),
    N_UPSTREAM_ROWS = sizeof(upstream_rows) / sizeof(upstream_rows[0]),
};

uint64_t collect_sum(const struct tally_block *block, unsigned n_workers, size_t offset)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < n_workers; i++) {
        const char *slot = tally_slot(block, i);

        sum += counter_get((const struct counter *)(const void *)(slot + offset));
    }
    return sum;
}

void collect_times(struct page *page, const struct label *label, const struct tally_block *block,
                   unsigned n_workers, size_t offset)
{
    const char *first = (const char *)tally_slot(block, 0) + offset;
    uint64_t n = 0;

    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        n += collect_sum(block, n_workers,
                         offset + offsetof(struct histogram, bucket) + i * sizeof(struct counter));
    }
    if (n > 0)
        page_histogram(page, label, 1, (const void *)first, n_workers, block->stride);
}

void collect_endpoint_key(struct sluice_span key, struct sluice_span *upstream,
                          struct sluice_span *address)
{
    const struct sluice_span path = SPAN(" unix:");
    size_t cut = key.len;

    /* A name and the path of a socket may have blanks in them, an IP address has none. */
    for (size_t i = 0; i < key.len; i++) {
        if (key.ptr[i] == ' ')
            cut = i;
        if (span_starts(span_make(key.ptr + i, key.len - i), path))
            break;
    }
    *upstream = span_make(key.ptr, cut);
    *address = cut < key.len ? span_make(key.ptr + cut + 1, key.len - cut - 1) : key;
}

/* One family being said: what tally_each() hands on. */
struct saying {
    struct page *page;
    const struct row *row;
    unsigned n_workers;
    bool lean;       /* what is zero is left out ... */
    uint64_t n_left; /* ... and counted */
};

static void count_one(void *n, const struct tally_block *block)
{
    (void)block;
    ++*(size_t *)n;
}

static bool is_lean(const struct upstream_numbers *numbers)
{
    size_t n = 0;

    if (numbers->endpoints != ENDPOINT_METRICS_AUTO)
        return numbers->endpoints == ENDPOINT_METRICS_USED;
    tally_each(numbers->tally, ENDPOINT_TALLY, count_one, &n);
    return n > ENDPOINT_METRICS_MANY;
}

/* Is a sample of this value to be left out? */
static bool leaves_out(struct saying *saying, uint64_t value)
{
    if (value != 0 || !saying->lean)
        return false;
    saying->n_left++;
    return true;
}

static void say_endpoint(void *saying_, const struct tally_block *block)
{
    struct saying *saying = saying_;
    const struct row *row = saying->row;
    struct label labels[] = {{.name = "upstream"}, {.name = "endpoint"}, {.name = row->label}};
    uint64_t value = collect_sum(block, saying->n_workers, row->offset);

    if (leaves_out(saying, value))
        return;
    collect_endpoint_key(block->key, &labels[0].value, &labels[1].value);
    labels[2].value = span_of(row->value);
    page_count(saying->page, labels, row->label ? 3 : 2, value);
}

static void say_upstream(void *saying_, const struct tally_block *block)
{
    const struct saying *saying = saying_;
    const struct row *row = saying->row;
    struct label labels[] = {{"upstream", block->key}, {row->label, span_of(row->value)}};

    page_count(saying->page, labels, row->label ? 2 : 1,
               collect_sum(block, saying->n_workers, row->offset));
}

static void say_handshakes(void *saying_, const struct tally_block *block)
{
    const struct saying *saying = saying_;
    const struct label label = {"upstream", block->key};

    collect_times(saying->page, &label, block, saying->n_workers,
                  offsetof(struct upstream_counters, tls_time));
}

/* One number of an array of them. */
static void say_one_of(struct saying *saying, const struct tally_block *block, size_t offset,
                       struct label label)
{
    struct label labels[] = {{.name = "upstream"}, {.name = "endpoint"}, label};
    uint64_t value = collect_sum(block, saying->n_workers, offset);

    if (leaves_out(saying, value))
        return;
    collect_endpoint_key(block->key, &labels[0].value, &labels[1].value);
    page_count(saying->page, labels, 3, value);
}

static void say_failures(void *saying, const struct tally_block *block)
{
    for (size_t i = 0; i < ENDPOINT_FAILURE_COUNT; i++) {
        const struct label label = {"reason",
                                    span_of(endpoint_failure_text((enum endpoint_failure)i))};

        say_one_of(saying, block,
                   offsetof(struct endpoint_counters, failures) + i * sizeof(struct counter),
                   label);
    }
}

static void say_resets(void *saying, const struct tally_block *block)
{
    for (size_t i = 0; i < ENDPOINT_RESET_COUNT; i++) {
        const struct label label = {"cause", span_of(endpoint_reset_text((enum endpoint_reset)i))};

        say_one_of(saying, block,
                   offsetof(struct endpoint_counters, resets) + i * sizeof(struct counter), label);
    }
}

static void say_endpoints(const struct upstream_numbers *numbers, struct page *page)
{
    struct saying saying = {page, NULL, numbers->n_workers, is_lean(numbers), 0};

    for (size_t i = 0; i < N_ENDPOINT_ROWS; i++) {
        saying.row = &endpoint_rows[i];
        if (saying.row->help)
            page_family(page, saying.row->family, saying.row->type, saying.row->help);
        tally_each(numbers->tally, ENDPOINT_TALLY, say_endpoint, &saying);
    }
    page_family(page, "sluice_upstream_failures_total", PAGE_COUNTER,
                "Tries on an endpoint that failed.");
    tally_each(numbers->tally, ENDPOINT_TALLY, say_failures, &saying);
    page_family(page, "sluice_upstream_stream_resets_total", PAGE_COUNTER,
                "Streams of HTTP/2 to an endpoint that were reset, by cause.");
    tally_each(numbers->tally, ENDPOINT_TALLY, say_resets, &saying);
    page_family(
        page, "sluice_metrics_samples_left_out", PAGE_GAUGE,
        "Samples of endpoints that are zero and not on this page (admin.endpoint_metrics).");
    page_count(page, NULL, 0, saying.n_left);
}

void collect_upstreams(void *arg, struct page *page)
{
    const struct upstream_numbers *numbers = arg;
    struct saying saying = {page, NULL, numbers->n_workers, false, 0};

    if (numbers->endpoints != ENDPOINT_METRICS_NONE)
        say_endpoints(numbers, page);
    for (size_t i = 0; i < N_UPSTREAM_ROWS; i++) {
        saying.row = &upstream_rows[i];
        if (saying.row->help)
            page_family(page, saying.row->family, saying.row->type, saying.row->help);
        tally_each(numbers->tally, UPSTREAM_TALLY, say_upstream, &saying);
    }
    page_family(page, "sluice_upstream_tls_handshake_duration_seconds", PAGE_HISTOGRAM,
                "TLS handshakes with the endpoints of an upstream that went well, from when the "
                "connection stood.");
    tally_each(numbers->tally, UPSTREAM_TALLY, say_handshakes, &saying);
}
