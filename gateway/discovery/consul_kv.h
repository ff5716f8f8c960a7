/*
 * consul_kv.h - pieces of the configuration that lie in Consul, under a prefix of its key-value
 * store.
 *
 * Watched with one blocking query. What differs from before is told, after it has been quiet for
 * the debounce; whoever is told applies it and says how that went. The last set that was applied
 * is kept, in memory and in state_dir.
 *
 * A set without any key, when there were some before, is held back unless allow_empty says
 * otherwise: a token that may no longer read sees the same.
 *
 * Threads: the control thread's.
 */
#ifndef DISCOVERY_CONSUL_KV_H
#define DISCOVERY_CONSUL_KV_H

#include "config/tree.h"
#include "discovery/consul_conf.h"

struct consul_kv;
struct loop;
struct page;

enum {
    CONSUL_KV_KEYS = 1000,
    CONSUL_KV_BYTES = 8 * 1024 * 1024 /* of an answer, in base64 */
};

/* Immutable. Pieces are named "consul:KEY", in order of their keys. */
struct consul_kv_set {
    struct arena arena;
    struct tree_piece *piece;
    size_t n;
    uint64_t hash;
    uint64_t index;
    uint64_t as_of_wall_us;
    struct text body; /* as Consul wrote it */
};

/*
 * told: there is another set (consul_kv_newest), or the first question failed. Not from inside
 * other calls.
 */
typedef void consul_kv_fn(void *arg);

struct consul_kv *consul_kv_new(struct loop *loop, consul_kv_fn *told, void *arg);
void consul_kv_free(struct consul_kv **kv);

/* Watch what the section says, or nothing; conf is copied. The first time, what is kept is read. */
void consul_kv_apply(struct consul_kv *kv, const struct consul_conf *conf);

/* Has the first question been answered, one way or the other? */
bool consul_kv_is_settled(const struct consul_kv *kv);

/* What Consul said last, and what was last applied; NULL: nothing. Borrowed till the next event. */
const struct consul_kv_set *consul_kv_newest(const struct consul_kv *kv);
const struct consul_kv_set *consul_kv_good(const struct consul_kv *kv);

/* Of the keys that are watched; empty: none are. */
struct sluice_span consul_kv_prefix(const struct consul_kv *kv);

/* Has the newest set been refused? */
bool consul_kv_is_refused(const struct consul_kv *kv);

/* The newest set was applied, or refused. */
void consul_kv_judge(struct consul_kv *kv, bool applied);

/* A metrics_collect_fn; arg is a struct consul_kv. */
void consul_kv_collect(void *keys, struct page *page);

#endif /* DISCOVERY_CONSUL_KV_H */
