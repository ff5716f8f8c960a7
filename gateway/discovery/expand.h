/*
 * expand.h - a set with host names into one with addresses (private to discovery).
 *
 * Each name is replaced by all its addresses; who is expected there stays the name. A name that
 * nothing is known of is left out.
 *
 * Threads: the control thread's.
 */
#ifndef DISCOVERY_EXPAND_H
#define DISCOVERY_EXPAND_H

#include "discovery/found.h"
#include "discovery/names.h"

struct expansion;

/*
 * Something became known, or could not be. found: the set with addresses, which the callee takes;
 * NULL while names have not all been asked once, or when none is known; as of the oldest answer.
 * why: what some name's last try failed for; "" when none did.
 */
typedef void expansion_fn(void *arg, struct found **found, const char *why);

struct expansion *expansion_new(struct loop *loop, struct names *names, const struct dns_conf *conf,
                                expansion_fn *tell, void *arg);
void expansion_free(struct expansion **expansion);

/* Expand this set from now on. tell is called by the loop, not from inside. */
void expansion_set(struct expansion *expansion, struct found *raw);

#endif /* DISCOVERY_EXPAND_H */
