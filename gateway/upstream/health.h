/*
 * health.h - what the control thread does about the health of all endpoints, once for the process.
 *
 * It is told which members every upstream has, and says in their shares which of them are not to
 * be picked. It asks nobody where members came from.
 *
 * Threads: the control thread's.
 */
#ifndef UPSTREAM_HEALTH_H
#define UPSTREAM_HEALTH_H

#include "observe/metrics.h"
#include "upstream/members.h"

struct health;
struct loop;
struct tls_client;

/* n_workers: whose counters there are. */
struct health *health_new(struct loop *loop, unsigned n_workers);
void health_free(struct health **health);

/*
 * A configuration is in force: between begin and end, health_set() tells of each of its
 * upstreams; those not told of are forgotten. conf is borrowed until the next time.
 */
void health_begin(struct health *health);
void health_set(struct health *health, const struct upstream_conf *conf, struct members *members,
                struct tls_client *tls);
void health_end(struct health *health);

/* The members of an upstream are these now, as configured before. */
void health_set_members(struct health *health, struct members *members);

/* A worker accuses the endpoint. */
void health_judge(struct health *health, struct share *share);

/* Call each for all endpoints of all upstreams; what is known of them is in member->share. */
typedef void health_each_fn(void *arg, struct sluice_span upstream, const struct member *member);
void health_each(const struct health *health, health_each_fn *each, void *arg);

/* A metrics_collect_fn; arg is a struct health. */
void health_collect(void *arg, struct page *page);

#endif /* UPSTREAM_HEALTH_H */
