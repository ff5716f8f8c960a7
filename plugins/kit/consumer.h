/*
 * consumer.h - who sent a request: told to other plugins, to the log, and to the upstream.
 *
 * A plugin that knows consumers holds a struct consumer in its options, binds `consumer_field` and
 * `groups_field` to it, and calls consumer_bind() from its check. Fields of the client with these
 * names are removed before anything is told: nobody but the plugin says who it is.
 *
 * Threads: consumer_bind() on the main thread, the others on workers.
 */
#ifndef KIT_CONSUMER_H
#define KIT_CONSUMER_H

#include "sluice_plugin.h"

struct consumer {
    /* as written; empty: the upstream is not told */
    struct sluice_span name_field, groups_field;
    /* as compiled: attributes */
    uint32_t name_id, groups_id, method_id;
};

/* Tell what is wrong with the names of fields, and find the attributes. */
void consumer_bind(struct consumer *consumer, const struct sluice_host *host,
                   struct sluice_setup *setup);

/* Remove what the client says in our fields, or in one that CGI reads as ours. False: no room. */
bool consumer_clear(const struct sluice_call *call, const struct consumer *consumer);

/* Tell who it is; method: what has shown it ("api_key"); groups: "a,b" or empty. False: no room. */
bool consumer_tell(const struct sluice_call *call, const struct consumer *consumer,
                   struct sluice_span method, struct sluice_span name, struct sluice_span groups);

/* Tell the name that stands for everybody who has shown nothing; empty: none. False: no room. */
bool consumer_tell_anonymous(const struct sluice_call *call, const struct consumer *consumer,
                             struct sluice_span name);

/* For which names of fields? */
typedef bool consumer_is_ours_fn(const void *arg, struct sluice_span name);

/* Remove all fields of the request whose names are ours. False: no room. */
bool consumer_clear_fields(const struct sluice_call *call, consumer_is_ours_fn *is_ours,
                           const void *arg);

#endif /* KIT_CONSUMER_H */
