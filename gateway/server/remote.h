/*
 * remote.h - the part of the configuration that lies in Consul, as control and check use it.
 *
 * Which prefix of keys counts is said by the file; a file that names another, or none, is never
 * mixed with what an earlier one named.
 *
 * Threads: the control thread's.
 */
#ifndef SERVER_REMOTE_H
#define SERVER_REMOTE_H

#include "discovery/consul_kv.h"
#include "server/gateway_conf.h"

struct loop;

/* What is loaded beside the file; NULL in a source: nothing. */
struct gateway_pieces {
    struct sluice_span prefix;
    const struct consul_kv_set *set; /* borrowed */
};

/*
 * Before the first load: if the file at source names a prefix, watch it and turn the loop until
 * Consul has answered, or for a few seconds. keep: what was kept on disk is used, and written.
 */
void remote_wait(struct consul_kv *kv, struct loop *loop, const struct gateway_source *source,
                 bool keep);

/* As gateway_load(), with the pieces of set; NULL: without any. */
CHECKED enum err remote_load(const struct consul_kv *kv, const struct consul_kv_set *set,
                             const struct gateway_source *source, struct notes *notes,
                             struct gateway_loaded *loaded);

/* What was last applied, when the newest set is not it; NULL: there is nothing to fall back on. */
const struct consul_kv_set *remote_other(const struct consul_kv *kv);

#endif /* SERVER_REMOTE_H */
