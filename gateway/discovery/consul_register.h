/*
 * consul_register.h - the gateway's own entry in Consul, as long as its workers are alive.
 *
 *   wanted          by                        what is done
 *   REGISTER_IDLE   new                       nothing yet: not ready
 *   REGISTER_HERE   consul_register_begin     registered; on each tick: still there? all alive?
 *   REGISTER_LEAVE  consul_register_leave     in maintenance, or critical; nothing is refreshed
 *   REGISTER_GONE   consul_register_end       deregistered, then on_gone
 *
 * One question is under way at a time; when it is answered, what is wanted by then decides the
 * next. An agent that forgot us is told again, one that does not answer is asked at each tick.
 *
 * Threads: the control thread's.
 */
#ifndef DISCOVERY_CONSUL_REGISTER_H
#define DISCOVERY_CONSUL_REGISTER_H

#include "base/text.h"
#include "discovery/consul_conf.h"

struct consul_register;
struct loop;
struct page;

/* What only those above know. */
struct consul_register_host {
    void *arg;
    /*
     * Have all workers turned their loops since the last call? If not, why names those that did
     * not. Called on each tick.
     */
    bool (*is_alive)(void *arg, struct text *why);
    /* Consul knows us no more, or was not to be had in time. Once, after consul_register_end(). */
    void (*on_gone)(void *arg);
};

struct consul_register *consul_register_new(struct loop *loop,
                                            const struct consul_register_host *host);

/* Cancels what is under way; what is registered stays until its check runs out. */
void consul_register_free(struct consul_register **reg);

/* By the consul section as it is now; copied. What has changed is registered in place. */
void consul_register_apply(struct consul_register *reg, const struct consul_conf *conf);

/* Clients are served from now on. */
void consul_register_begin(struct consul_register *reg);

/* A drain has begun: nobody new shall come. */
void consul_register_leave(struct consul_register *reg);

/* Deregister. False when there is nothing to wait for: on_gone is not called then. */
bool consul_register_end(struct consul_register *reg);

/* A metrics_collect_fn; arg is a struct consul_register. */
void consul_register_collect(void *registration, struct page *page);

#endif /* DISCOVERY_CONSUL_REGISTER_H */
