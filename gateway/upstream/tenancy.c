#include "upstream/tenancy.h"

#include "upstream/endpoint.h"
#include "upstream/pool.h"
#include "upstream/upstream.h"

enum { TURN_MAX = 200 /* tunnels that are ended in a turn: some 2 ms */ };

struct tenancy *tenancy_of(struct conn *conn)
{
    return pooled_of(conn)->tenancy;
}

struct endpoint *tenancy_endpoint(const struct tenancy *tenancy)
{
    return pooled_of(tenancy->conn)->endpoint;
}

/* -- life ------------------------------------------------------------------ */

/* Its link goes to the endpoint's other list. */
void tenancy_begin(struct tenancy *tenancy, struct lease *lease, const struct conn_ops *ops)
{
    struct pooled *pooled = pooled_of(lease->conn);

    tenancy->conn = lease->conn;
    pooled->tenancy = tenancy;
    pooled->slots = lease->slots;
    conn_set_ops(tenancy->conn, ops);
    conn_set_alarm(tenancy->conn, 0);
    list_remove(&lease->link);
    list_append(&lease->endpoint->tenancies, &pooled->link);
    lease->conn = NULL;
    lease->endpoint = NULL;
    lease->slots = 0;
}

/* Its place at the endpoint is a lease's: one for as long as giving it back takes. */
void tenancy_end(struct tenancy *tenancy)
{
    struct pooled *pooled = pooled_of(tenancy->conn);
    struct lease lease = {.upstream = pooled->endpoint->upstream,
                          .endpoint = pooled->endpoint,
                          .conn = tenancy->conn,
                          .slots = pooled->slots};

    list_init(&lease.link);
    if (!list_is_empty(&pooled->link))
        tenancy_forget(pooled->endpoint, &pooled->link);
    pooled->lease = &lease;
    tenancy->conn = NULL;
    lease_discard(&lease);
}

void tenancy_note(struct endpoint *endpoint, struct list *link)
{
    list_append(&endpoint->tunnels, link);
    counter_add(&endpoint->counters->tunnels, 1);
    tenancy_set_grace(endpoint);
}

void tenancy_forget(struct endpoint *endpoint, struct list *link)
{
    list_remove(link);
    counter_sub(&endpoint->counters->tunnels, 1);
}

/* -- grace ------------------------------------------------------------------- */

static void move_some(struct list *from, struct list *to, unsigned *left)
{
    list_init(to);
    for (; *left > 0 && !list_is_empty(from); (*left)--) {
        struct list *link = from->next;

        list_remove(link);
        list_append(to, link);
    }
}

static bool has_tunnels(const struct endpoint *endpoint)
{
    return !list_is_empty(&endpoint->tunnels) || !list_is_empty(&endpoint->tenancies);
}

/*
 * A hundred thousand at once would keep all others waiting. One that ends may free the endpoint
 * with it, but not while more are left.
 */
void tenancy_on_grace(struct alarm *alarm)
{
    struct endpoint *endpoint = list_entry(alarm, struct endpoint, grace);
    unsigned left = TURN_MAX;
    struct list leases, tenancies;

    move_some(&endpoint->tunnels, &leases, &left);
    move_some(&endpoint->tenancies, &tenancies, &left);
    if (has_tunnels(endpoint))
        alarm_arm(endpoint->upstream->loop, &endpoint->grace, 1);
    while (!list_is_empty(&leases)) {
        struct lease *lease = list_entry(leases.next, struct lease, link);

        tenancy_forget(lease->endpoint, &lease->link);
        lease->end_tunnel(lease);
    }
    while (!list_is_empty(&tenancies)) {
        struct pooled *pooled = list_entry(tenancies.next, struct pooled, link);

        tenancy_forget(pooled->endpoint, &pooled->link);
        conn_set_alarm(&pooled->conn, 1);
    }
}

/* No new requests, by the word of its source; a failing one may be well again. */
static bool is_leaving(const struct endpoint *endpoint)
{
    return endpoint->retired || endpoint->upstream->abandoned ||
           (endpoint->resting && endpoint->member.facts->state != FOUND_FAILING);
}

/* Tunnels have their time from when the endpoint begins to leave. */
void tenancy_set_grace(struct endpoint *endpoint)
{
    uint64_t ms = endpoint->upstream->drain_tunnel_ms;

    if (!is_leaving(endpoint)) {
        endpoint->leaving_us = 0;
        alarm_disarm(&endpoint->grace);
        return;
    }
    if (endpoint->leaving_us == 0)
        endpoint->leaving_us = loop_now_us(endpoint->upstream->loop);
    if (ms > 0 && has_tunnels(endpoint)) {
        uint64_t age_ms = (loop_now_us(endpoint->upstream->loop) - endpoint->leaving_us) / 1000;

        alarm_arm(endpoint->upstream->loop, &endpoint->grace, age_ms < ms ? ms - age_ms : 1);
    }
}
