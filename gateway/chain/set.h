/*
 * set.h - the inside of a set. Private to chain/.
 */
#ifndef CHAIN_SET_H
#define CHAIN_SET_H

#include "chain/attribute.h"
#include "chain/chain.h"
#include "chain/entry.h"
#include "chain/host.h"

/* Entries in order. */
struct chain {
    struct chain_entry *const *entry; /* borrowed */
    unsigned n;
    uint32_t phases;  /* of all */
    size_t ctx_bytes; /* what they keep of an exchange, each rounded up */
};

/* A file that an option names. */
struct set_file {
    const char *path;
    struct set_file *next;
};

/* An address that URLs name: an upstream that nobody wrote. */
struct set_url {
    struct sluice_upstream upstream;
    struct chain_url url;
    struct set_url *next;
};

struct chain_set {
    struct chain_home *home; /* borrowed, outlives us */
    struct arena *arena;     /* borrowed: the snapshot's, in which we live */
    struct chain_entry **entry;
    unsigned n, cap;
    struct plugin **plugins; /* a reference each */
    unsigned n_plugins, cap_plugins;
    const struct chain **front; /* by listener and route */
    const struct chain **back;  /* by upstream */
    size_t n_listeners, n_routes, n_upstreams;
    unsigned n_groups; /* any_of */
    unsigned max_back; /* entries of the longest */
    struct attributes attributes;
    const struct sluice_upstream *upstreams;
    bool *is_used;                   /* by upstream: an option names it */
    struct set_url *urls, *last_url; /* in the order of their indexes */
    size_t n_urls;
    struct set_file *files;
    uint64_t files_stamp;
};

/* The plugin of that name, loaded when it is named first; NULL and a note when it cannot be. */
struct plugin *set_plugin(struct chain_build *build, struct sluice_span name, struct mark at);

/* The upstream for an URL's address, made when it is named first. target has its parts. */
const struct sluice_upstream *set_url(struct chain_set *set, const struct sluice_target *target);

/* Remember a file, for chain_set_files(). path is copied. */
void set_add_file(struct chain_set *set, const char *path);

#endif /* CHAIN_SET_H */
