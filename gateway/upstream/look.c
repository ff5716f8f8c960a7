#include "upstream/look.h"

#include "upstream/mux_state.h"
#include "upstream/tenancy.h"

static struct peer_look look_at(const struct pooled *pooled, enum peer_protocol protocol,
                                const char *state)
{
    return (struct peer_look){.conn = &pooled->conn,
                              .endpoint = pooled->endpoint,
                              .protocol = protocol,
                              .state = state,
                              .requests = pooled->requests};
}

bool lease_look(const struct lease *lease, struct peer_look *look)
{
    if (!lease->endpoint || !lease->conn || lease->mux || !conn_is_open(lease->conn))
        return false;
    *look = look_at(pooled_of(lease->conn), PEER_HTTP_1,
                    conn_is_dialling(lease->conn) ? "connecting" : "active");
    if (!list_is_empty(&lease->link))
        look->protocol = PEER_TUNNEL;
    return true;
}

void tenancy_look(const struct tenancy *tenancy, struct peer_look *look)
{
    *look = look_at(pooled_of(tenancy->conn), PEER_TUNNEL, "active");
}

static const char *state_of(const struct mux *mux)
{
    if (mux->state == MUX_DIALLING)
        return "connecting";
    if (mux->state == MUX_DRAINING || h2_is_leaving(mux->h2))
        return "draining";
    return mux->n_leases > 0 ? "active" : "idle";
}

static void look_at_mux(const struct mux *mux, struct peer_look *look)
{
    bool stands = mux->h2 != NULL;

    *look = look_at(mux->pooled, stands ? PEER_HTTP_2 : PEER_UNKNOWN, state_of(mux));
    look->is_shared = stands;
    look->is_idle = stands && mux->n_leases == 0;
    look->waiting = mux->n_waiting;
    if (!stands)
        return;
    look->streams = h2_streams(mux->h2);
    look->room = mux->state == MUX_OPEN ? h2_stream_room(mux->h2) : 0;
}

static void look_at_endpoint(const struct endpoint *endpoint, peer_look_fn *each, void *arg)
{
    struct peer_look look;

    list_each (node, &endpoint->idle) {
        const struct pooled *pooled = list_entry(node, struct pooled, link);

        look = look_at(pooled, PEER_HTTP_1, "idle");
        look.is_idle = !conn_is_dialling(&pooled->conn);
        if (!look.is_idle)
            look.state = "connecting"; /* nobody waits for it any more, or not yet */
        each(arg, &look);
    }
    list_each (node, &endpoint->muxes) {
        look_at_mux(list_entry(node, struct mux, link), &look);
        each(arg, &look);
    }
}

/* Those of the members first, then who is named no more. NULL: there are not so many. */
static const struct endpoint *endpoint_at(const struct upstream *upstream, size_t at)
{
    size_t n = upstream->n_endpoints + upstream->n_resting;

    if (at < n)
        return upstream->endpoint[at];
    list_each (node, &upstream->retired) {
        if (at-- == n)
            return list_entry(node, struct endpoint, link);
    }
    return NULL;
}

bool peer_walk_on(struct peer_walk *walk, const struct upstreams *upstreams, peer_look_fn *each,
                  void *arg)
{
    const struct upstream *upstream = upstreams_at(upstreams, walk->upstream);
    const struct endpoint *endpoint = upstream ? endpoint_at(upstream, walk->endpoint) : NULL;

    if (!upstream)
        return false;
    if (endpoint) {
        walk->endpoint++;
        look_at_endpoint(endpoint, each, arg);
    } else {
        walk->upstream++;
        walk->endpoint = 0;
    }
    return true;
}
