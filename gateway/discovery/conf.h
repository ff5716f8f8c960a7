/*
 * conf.h - where an upstream's endpoints come from, as configured.
 */
#ifndef DISCOVERY_CONF_H
#define DISCOVERY_CONF_H

#include "config/shape.h"
#include "discovery/consul_conf.h"

struct found;

/* "name: value" of an endpoint's meta. */
struct meta_conf {
    struct named named;
    struct sluice_span value;
};

/* One endpoint as written, in the configuration or in a file of endpoints. */
struct endpoint_conf {
    struct mark at;
    struct sluice_span address; /* as written: host:port, [v6]:port, unix:/path */
    struct sluice_span id, zone;
    uint64_t weight; /* 0: drains */
    uint64_t priority;
    int state;         /* enum found_state */
    struct items tags; /* of struct sluice_span */
    struct items meta; /* of struct meta_conf */
};

/* Which addresses of a name count. */
enum dns_family {
    DNS_UNSET, /* as everywhere */
    DNS_AUTO,  /* IPv4, and IPv6 where this machine has it */
    DNS_IPV4,
    DNS_IPV6,
    DNS_BOTH,
};

/* How names are asked for. */
struct dns_conf {
    struct items servers;    /* of struct sluice_span: "127.0.0.1:53"; none: the system's */
    int family;              /* enum dns_family */
    uint64_t timeout_ms;     /* of one try */
    uint64_t min_ms, max_ms; /* between two questions, whatever the answer's life is */
};

/* Append all that makes two of them different. */
void dns_conf_say_key(const struct dns_conf *conf, struct text *key);

/* A copy that lives in the arena. */
struct dns_conf dns_conf_copy(const struct dns_conf *conf, struct arena *arena);

/* What own says, and what others say where it says nothing; a copy that lives in the arena. */
struct dns_conf dns_conf_join(const struct dns_conf *own, const struct dns_conf *others,
                              struct arena *arena);

/* As one without a word in the configuration is; it lives in no arena. */
struct dns_conf dns_conf_default(void);

/* A file with a list of endpoints. */
struct file_source_conf {
    struct sluice_span path; /* "": none */
    uint64_t interval_ms;    /* how often to look whether it has changed */
};

/* The addresses of a name, or the servers of its SRV records. */
struct dns_source_conf {
    struct sluice_span name; /* "": none */
    uint64_t port;
    bool srv;
    struct dns_conf how; /* zero where nothing is said */
};

/* What an upstream may say of its source; exactly one of them is there. */
struct source_conf {
    struct items endpoints; /* of struct endpoint_conf */
    struct file_source_conf file;
    struct dns_source_conf dns;
    struct consul_source_conf consul;
};

/* A map of struct meta_conf. */
extern const struct shape meta_map_shape;

/* How names are asked for: a struct dns_conf. */
extern const struct shape dns_shape;

/* struct file_source_conf and struct dns_source_conf. */
extern const struct shape file_source_shape, dns_source_shape;

/* A list of struct endpoint_conf. */
extern const struct shape endpoint_list_shape;

/* Note an error when it asks for no source, or for more than one. */
void source_conf_check(struct bind *bind, struct mark at, const struct source_conf *conf);

/* Add what conf says to a set; everything is copied. */
void endpoint_conf_add(const struct endpoint_conf *conf, struct found *found);

#endif /* DISCOVERY_CONF_H */
