/*
 * consul_hub.h - the insides of struct consul (private to consul*.c).
 */
#ifndef DISCOVERY_CONSUL_HUB_H
#define DISCOVERY_CONSUL_HUB_H

#include "base/log.h"
#include "core/loop.h"
#include "discovery/consul_feed.h"

struct consul_group;

struct consul {
    struct loop *loop; /* borrowed */
    struct consul_client *client;
    struct rng rng;
    struct map *by_key; /* owned, of struct consul_feed */
    struct list feeds;  /* of struct consul_feed */
    size_t n_watches;   /* feeds that a watch or a group serves: all but queries */
    struct list groups; /* of struct consul_group */
    bool grouped;
    bool shares;               /* the agent speaks HTTP/2: many queries over one connection */
    struct soon settle;        /* decide the mode, start what is stopped */
    uint64_t suspect_till_us;  /* the agent may have forgotten: a connection was lost */
    struct log_gate lost_gate; /* for messages about it */
    struct histogram handling; /* from an answer's last byte until what follows is published */
};

/* A feed came or went, or the configuration changed: look at the end of this turn. */
void consul_settle(struct consul *consul);

/* The agent has gone away, or another one answers: what is empty now may be so by mistake. */
void consul_suspect(struct consul *consul);

/* The agent has answered: by a connection that can carry many queries, or one at a time. */
void consul_learn(struct consul *consul, const struct fetch_answer *answer);

/* -- groups (consul_group.c) ------------------------------------------------- */

/* Serve a feed, from now on, or no more. */
void consul_group_add(struct consul *consul, struct consul_feed *feed);
void consul_group_remove(struct consul_feed *feed);

/* Ask it when it is its turn. */
void consul_group_want(struct consul_feed *feed);

/* A feed has been asked; again: ask it once more. */
void consul_group_done(struct consul_feed *feed, bool again);

/* End all groups; no feed may be in one. */
void consul_group_free_all(struct consul *consul);

#endif /* DISCOVERY_CONSUL_HUB_H */
