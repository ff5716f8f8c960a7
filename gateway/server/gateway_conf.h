/*
 * gateway_conf.h - the whole configuration: the top level, whose parts belong to the layers below.
 */
#ifndef SERVER_GATEWAY_CONF_H
#define SERVER_GATEWAY_CONF_H

#include "net/addr.h"
#include "observe/access_log.h"
#include "proxy/snapshot.h"

struct log_conf {
    int level;               /* enum log_level */
    int form;                /* enum log_form */
    struct sluice_span path; /* stderr, stdout or a file */
};

struct admin_conf {
    struct sluice_span bind; /* as written; "off": none */
    struct addr addr;        /* parsed, unless off */
    bool off;
    int endpoint_metrics; /* enum endpoint_metrics */
};

struct drain_conf {
    uint64_t pause_ms, timeout_ms, idle_ms, flush_ms;
};

struct limits_conf {
    uint64_t connections; /* 0: by the descriptors the process may open */
};

struct helpers_conf {
    uint64_t threads, queue;
};

struct gateway_conf {
    struct items include; /* always empty: tree_read() has followed it */
    uint64_t workers;     /* 0: auto */
    struct log_conf log;
    struct admin_conf admin;
    struct drain_conf drain;
    struct limits_conf limits;
    struct consul_conf consul;
    struct dns_conf dns; /* where an upstream says nothing else */
    uint64_t ready_timeout_ms;
    struct helpers_conf helpers;
    struct sluice_span zone;      /* where we run; "": not known */
    struct snapshot_conf serving; /* listeners, upstreams, routes, access_log */
};

extern const struct shape gateway_shape;

/* Where a configuration comes from. */
struct gateway_source {
    const char *path;   /* a file; NULL: made from the two below, or built in */
    const char *to;     /* --to URL: "http://HOST:PORT"; NULL: none */
    const char *listen; /* --listen ADDR:PORT; NULL: the default */
    /* What Consul has beside it, if the source wants it (server/remote.h); NULL: nothing. */
    const struct gateway_pieces *pieces;
};

/* A configuration that was read and bound; it lives in its arena. */
struct gateway_loaded {
    struct arena arena;
    struct tree *tree;
    struct gateway_conf conf;
    struct origins *origins;
};

/*
 * The file to use when none is named: ./sluice.yaml, /etc/sluice/sluice.yaml, or NULL for the
 * built-in default.
 */
const char *gateway_find_file(void);

/*
 * The configuration that a source without a path stands for (built in, or made of --to and
 * --listen), as YAML.
 */
void gateway_print_source(const struct gateway_source *source, struct text *out);

/*
 * What is wrong with the URL of --to, or NULL and its HOST[:PORT], which borrows from url.
 */
const char *gateway_check_url(const char *url, struct sluice_span *authority);

/* What messages call a source: its path, "command line" or "built in". */
const char *gateway_source_name(const struct gateway_source *source);

/*
 * Read and bind; everything that is wrong goes to notes. On an error *loaded holds nothing.
 * The caller ends it with gateway_unload(), also after snapshot_new() has taken the arena.
 */
CHECKED enum err gateway_load(const struct gateway_source *source, struct notes *notes,
                              struct gateway_loaded *loaded);

/*
 * The section that says where Consul is, bound to arena, before all else is looked at. What is
 * wrong is not told here: loading tells it again.
 */
CHECKED enum err gateway_peek_consul(const struct gateway_source *source, struct arena *arena,
                                     struct consul_conf *conf);
void gateway_unload(struct gateway_loaded *loaded);

#endif /* SERVER_GATEWAY_CONF_H */
