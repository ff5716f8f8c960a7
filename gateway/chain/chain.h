/*
 * chain.h - the plugins of one configuration: entries in order, and which of them serve what.
 *
 * Lists of plugins stand at the top level, at listeners, routes and upstreams. For a request they
 * are merged in that order. An entry that has the name of one further out (the plugin's, unless
 * it says another) stands in its place, where it is written; so a route may have options of its
 * own, or "disabled: true". Entries of upstreams come after all others, once the
 * upstream is chosen, and replace none.
 *
 * Owns:    the entries' conf, by the plugins' own clean-up; the rest lives in the arena.
 * Threads: made and freed by the control thread, read by all.
 */
#ifndef CHAIN_CHAIN_H
#define CHAIN_CHAIN_H

#include "abi/sluice_plugin.h"
#include "config/shape.h"

struct chain;
struct chain_home;
struct chain_set;

/* A thing that may have plugins. */
struct chain_spot {
    struct sluice_span name;
    const struct tree *plugins; /* as written; NULL: none */
    const unsigned *targets;    /* of a route: the upstreams it may choose, by index */
    size_t n_targets;
};

/* What a set is made from; all borrowed. */
struct chain_wanted {
    struct chain_home *home;
    struct arena *arena; /* as long as the set, and longer */
    struct notes *notes;
    struct origins *origins;        /* may be NULL */
    const struct sluice_span *dirs; /* plugin_path */
    size_t n_dirs;
    const struct tree *plugins; /* of the top level; NULL: none */
    const struct chain_spot *listeners, *routes, *upstreams;
    size_t n_listeners, n_routes, n_upstreams;
    bool check_only; /* nothing will be served: no conf_start */
};

/*
 * Load, bind, check and (unless check_only, and when nothing is wrong) start. What is wrong goes
 * to notes. NULL when no plugin is named. The caller frees what it got also after errors.
 */
struct chain_set *chain_set_new(const struct chain_wanted *wanted);

/* Call conf_fini for each entry and give the files back. All views must be gone. NULL is fine. */
void chain_set_free(struct chain_set **set);

/*
 * The plugins before the upstream is known, for a listener and a route by index; route n_routes is
 * for requests that none matches. NULL: there are none, also not at an upstream it may choose.
 */
const struct chain *chain_front(const struct chain_set *set, unsigned listener, unsigned route);

/* Does an option of a plugin name this upstream, by its index among those that were given? */
bool chain_names_upstream(const struct chain_set *set, size_t upstream);

/* The plugins of an upstream; NULL: none. */
const struct chain *chain_back(const struct chain_set *set, unsigned upstream);

/* Where URLs of options lead: an upstream of its own for each address. */
struct chain_url {
    struct sluice_span name;     /* "url:https://host:443", for logs and metrics */
    struct sluice_span endpoint; /* "host:443" */
    bool is_tls;
    struct mark at; /* where it was named first */
};

/*
 * The upstreams for URLs: their indexes follow those of the upstreams that were given. i from 0 to
 * chain_set_urls() - 1. NULL is fine.
 */
size_t chain_set_urls(const struct chain_set *set);
const struct chain_url *chain_set_url(const struct chain_set *set, size_t i);

/* A number that changes with the files that options name. */
uint64_t chain_set_files(const struct chain_set *set, uint64_t stamp);

/* The number of an attribute that somebody has named; 0: nobody. */
uint32_t chain_set_attribute(const struct chain_set *set, struct sluice_span name);

#endif /* CHAIN_CHAIN_H */
