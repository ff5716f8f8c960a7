#include "net/redis_conf.h"

#include "base/alloc.h"
#include "net/resolve.h"
#include "net/resp.h"

#include <stdio.h>

enum { HELLO_MAX = 2 /* AUTH, SELECT */ };

/* -- the map ------------------------------------------------------------------- */

static void check_redis(struct bind *bind, const struct tree *node, void *out)
{
    struct redis_conf *conf = out;

    conf->at = node->at;
    if (conf->username.len > 0 && conf->password.len == 0) {
        notes_error(bind->notes, node->at, "write its password, or leave the name out",
                    "redis has a username without a password");
    }
}

static const struct shape port_count = {.kind = SHAPE_UINT,
                                        .size = sizeof(uint64_t),
                                        .min = 1,
                                        .max = 64,
                                        .what = "a number from 1 to 64"};
static const struct shape pipeline_count = {.kind = SHAPE_UINT,
                                            .size = sizeof(uint64_t),
                                            .min = 1,
                                            .max = 10000,
                                            .what = "a number from 1 to 10000"};
static const struct shape queue_count = {.kind = SHAPE_UINT,
                                         .size = sizeof(uint64_t),
                                         .min = 1,
                                         .max = 1000000,
                                         .what = "a number from 1 to 1000000"};
static const struct shape database_number = {.kind = SHAPE_UINT,
                                             .size = sizeof(uint64_t),
                                             .max = 1000000,
                                             .what = "the number of a database"};
static const struct shape deadline = {.kind = SHAPE_DURATION,
                                      .size = sizeof(uint64_t),
                                      .min = 10,
                                      .max = 60000,
                                      .what = "a duration from 10ms to 1m"};

#define AT(member) offsetof(struct redis_conf, member)

static const struct field redis_fields[] = {
    {.name = "address",
     .shape = &shape_text,
     .offset = AT(address),
     .help = "Where Redis is: host:port, [v6]:port or unix:PATH. A name is looked up when the "
             "configuration is read.",
     .example = "127.0.0.1:6379"},
    {.name = "username",
     .shape = &shape_text,
     .offset = AT(username),
     .help = "Who we are; empty: the default user."},
    {.name = "password",
     .shape = &shape_secret,
     .offset = AT(password),
     .help = "How we prove it; file:PATH: what the file holds; empty: not at all."},
    {.name = "database",
     .shape = &database_number,
     .offset = AT(database),
     .preset = "0",
     .help = "The number of the database to use."},
    {.name = "tls",
     .shape = &tls_client_shape,
     .offset = AT(tls),
     .help = "Speak TLS, and how.",
     .example = "{ ca: /etc/sluice/redis-ca.pem }"},
    {.name = "connect_timeout",
     .shape = &deadline,
     .offset = AT(connect_ms),
     .preset = "1s",
     .help = "Until a connection stands and Redis has let us in."},
    {.name = "answer_timeout",
     .shape = &deadline,
     .offset = AT(answer_ms),
     .preset = "2s",
     .help = "A connection that owes an answer and is silent for so long is given up. Who asks "
             "waits for its own, shorter deadline."},
    {.name = "connections",
     .shape = &port_count,
     .offset = AT(connections),
     .preset = "1",
     .help = "Connections of each worker; commands share them."},
    {.name = "pipeline",
     .shape = &pipeline_count,
     .offset = AT(pipeline),
     .preset = "256",
     .help = "Commands without an answer yet, on each connection."},
    {.name = "queue",
     .shape = &queue_count,
     .offset = AT(queue),
     .preset = "1024",
     .help = "Commands of each worker that may wait for a connection; more fail at once."},
    {.name = NULL},
};

#undef AT

const struct shape redis_shape = {.kind = SHAPE_STRUCT,
                                  .size = sizeof(struct redis_conf),
                                  .fields = redis_fields,
                                  .scalar = "address",
                                  .check = check_redis,
                                  .title = "redis"};

/* -- peers ----------------------------------------------------------------------- */

/* AUTH and SELECT, as far as they are needed. */
static void make_hello(struct redis_peer *peer, const struct redis_conf *conf)
{
    char number[24];
    struct sluice_span auth[3] = {SPAN("AUTH")}, select[2] = {SPAN("SELECT")};
    size_t n_auth = 1, auth_bytes = 0, select_bytes = 0;
    char *out;

    if (conf->password.len > 0) {
        if (conf->username.len > 0)
            auth[n_auth++] = conf->username;
        auth[n_auth++] = conf->password;
        auth_bytes = resp_command_bytes(auth, n_auth);
        peer->n_hello++;
    }
    if (conf->database > 0) {
        snprintf(number, sizeof(number), "%llu", (unsigned long long)conf->database);
        select[1] = span_of(number);
        select_bytes = resp_command_bytes(select, 2);
        peer->n_hello++;
    }
    out = arena_new(&peer->arena, auth_bytes + select_bytes + 1);
    if (auth_bytes > 0)
        resp_write_command(auth, n_auth, out);
    if (select_bytes > 0)
        resp_write_command(select, 2, out + auth_bytes);
    peer->hello = span_make(out, auth_bytes + select_bytes);
}

/* "name:port" and "[v6]:port" without the port and the brackets; empty for a socket. */
static struct sluice_span host_of(struct sluice_span address)
{
    size_t len = address.len;

    if (span_starts(address, SPAN("unix:")))
        return SPAN("");
    while (len > 0 && address.ptr[len - 1] != ':')
        len--;
    address.len = len > 0 ? len - 1 : 0;
    if (address.len > 2 && address.ptr[0] == '[')
        return span_make(address.ptr + 1, address.len - 2);
    return address;
}

static bool make_tls(struct redis_peer *peer, const struct redis_conf *conf, struct notes *notes)
{
    if (!tls_client_conf_is_on(&conf->tls))
        return true;
    if (peer->host.len == 0 && conf->tls.verify && conf->tls.sni.len == 0) {
        notes_error(notes, conf->at, "say who must be there: tls: { sni: NAME }",
                    "redis '%s' has no name to check a certificate for", conf->address.ptr);
        return false;
    }
    peer->tls = tls_client_new(&conf->tls, notes);
    return peer->tls != NULL;
}

struct redis_peer *redis_peer_new(const struct redis_conf *conf, struct notes *notes)
{
    struct redis_peer *peer;
    struct addr *addrs = NULL;
    const char *why = "";

    if (conf->address.len == 0)
        return NULL;
    peer = alloc_new(sizeof(*peer));
    peer->refs = 1;
    arena_init(&peer->arena, NULL, 0);
    peer->address = arena_copy(&peer->arena, conf->address);
    peer->host = host_of(peer->address);
    peer->connect_ms = conf->connect_ms;
    peer->answer_ms = conf->answer_ms;
    peer->connections = (unsigned)conf->connections;
    peer->pipeline = (unsigned)conf->pipeline;
    peer->queue = (unsigned)conf->queue;
    make_hello(peer, conf);
    if (resolve(conf->address, &peer->arena, &addrs, &peer->n_addrs, &why)) {
        notes_error(notes, conf->at, "write host:port, [v6]:port or unix:/path", "redis '%s': %s",
                    conf->address.ptr, why);
        redis_peer_unref(&peer);
        return NULL;
    }
    peer->addrs = addrs;
    if (!make_tls(peer, conf, notes))
        redis_peer_unref(&peer);
    return peer;
}

struct redis_peer *redis_peer_ref(struct redis_peer *peer)
{
    if (peer)
        __atomic_add_fetch(&peer->refs, 1, __ATOMIC_RELAXED);
    return peer;
}

void redis_peer_unref(struct redis_peer **peer)
{
    struct redis_peer *old = *peer;

    *peer = NULL;
    if (!old || __atomic_sub_fetch(&old->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    tls_client_unref(&old->tls);
    arena_fini(&old->arena);
    alloc_free(old);
}

bool redis_peer_is_same(const struct redis_peer *a, const struct redis_peer *b)
{
    if (!a || !b)
        return a == b;
    if (a->n_addrs != b->n_addrs || a->connect_ms != b->connect_ms ||
        a->answer_ms != b->answer_ms || a->connections != b->connections ||
        a->pipeline != b->pipeline || a->queue != b->queue || !span_equal(a->address, b->address) ||
        !span_equal(a->hello, b->hello) || !tls_client_is_same(a->tls, b->tls))
        return false;
    for (size_t i = 0; i < a->n_addrs; i++) {
        if (!addr_equal(&a->addrs[i], &b->addrs[i]))
            return false;
    }
    return true;
}
