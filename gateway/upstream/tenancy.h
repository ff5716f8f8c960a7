/*
 * tenancy.h - connections that carry tunnels, and what their endpoint's leaving means to them.
 *
 * A lease that carries a tunnel may last for days. When its holder needs nothing of the lease any
 * more but its connection, a tenancy takes its place: one word instead of two hundred bytes.
 *
 * A tunnel whose endpoint is out of service for good (named no more, draining, its upstream gone
 * from the configuration) has timeout.drain_tunnel left from then on.
 *
 * Threads: the worker's.
 */
#ifndef UPSTREAM_TENANCY_H
#define UPSTREAM_TENANCY_H

struct alarm;
struct conn;
struct conn_ops;
struct endpoint;
struct lease;
struct list;

/* Embedded by whoever drives the tunnel. */
struct tenancy {
    struct conn *conn; /* owned until tenancy_end() */
};

/*
 * Take over the connection of a held lease that carries a tunnel (lease_note_tunnel()), with its
 * place at the endpoint; the lease is as after lease_discard(). ops: what its events do from now
 * on; its alarm, which is never set otherwise, rings when the endpoint has been out of service for
 * too long: end it.
 */
void tenancy_begin(struct tenancy *tenancy, struct lease *lease, const struct conn_ops *ops);

/* Close the connection, unless it is closed, and give the place back. */
void tenancy_end(struct tenancy *tenancy);

struct tenancy *tenancy_of(struct conn *conn);
struct endpoint *tenancy_endpoint(const struct tenancy *tenancy);

/* -- for upstream/ ---------------------------------------------------------- */

/* A lease (its link) carries a tunnel from now on. */
void tenancy_note(struct endpoint *endpoint, struct list *link);

/* That, or the link of a connection that is a tenancy, is over. */
void tenancy_forget(struct endpoint *endpoint, struct list *link);

/* The endpoint may have begun to leave, or has come back. */
void tenancy_set_grace(struct endpoint *endpoint);

/* What endpoint->grace rings. */
void tenancy_on_grace(struct alarm *alarm);

#endif /* UPSTREAM_TENANCY_H */
