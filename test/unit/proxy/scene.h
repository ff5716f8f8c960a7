/*
 * scene.h - one worker on the test's own thread, with real clients and scripted upstreams on the
 * loopback, for the tests of this layer.
 *
 * Nothing moves but in peer_until() and its kin, which turn the worker's loop until what they
 * wait for is there. Endpoint 0 and 1 are sockets of the test: whether they are open, and what
 * they say, is up to it.
 */
#ifndef TEST_PROXY_SCENE_H
#define TEST_PROXY_SCENE_H

#include "base/alloc.h"
#include "config/tree.h"
#include "net/listener.h"
#include "proxy/session.h"
#include "proxy/worker.h"
#include "upstream/upstream.h"

#include "unit.h"
#include "until.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { PEER_BYTES = 5 * 1024 * 1024, ENDPOINTS = 2 };

struct scene {
    struct crew crew;
    struct worker *worker;
    struct worker *workers[1];
    struct tally *tally;
    struct shares *shares;
    struct writer *writer;
    struct snapshot *snapshot;
    int listen_fd[ENDPOINTS];
    struct addr endpoint[ENDPOINTS];
    struct addr door;
    unsigned drained;
};

/* One end of a connection: a client, or an upstream. */
struct peer {
    struct scene *scene;
    int fd;
    bool ended, reset;
    size_t n;   /* received and not yet asked for */
    char *all;  /* owned: where it is received to */
    char *got;  /* in all; NUL-terminated beyond n */
    char *told; /* what peer_until() has returned last */
};

struct scene_conf {
    const char *listener, *upstream; /* more YAML for each: "key: value, ..." */
    const char *routes;              /* more of them, as lines of a list */
    unsigned endpoints;              /* 0: one */
    bool dead_first;                 /* nobody listens at endpoint 0 */
};

static const struct field scene_fields[] = {
    {.name = "listeners",
     .shape = &listener_list_shape,
     .offset = offsetof(struct snapshot_conf, listeners)},
    {.name = "upstreams",
     .shape = &upstream_map_shape,
     .offset = offsetof(struct snapshot_conf, upstreams)},
    {.name = "routes",
     .shape = &route_list_shape,
     .offset = offsetof(struct snapshot_conf, routes)},
    {.name = NULL},
};
static const struct shape scene_shape = {
    .kind = SHAPE_STRUCT, .size = sizeof(struct snapshot_conf), .fields = scene_fields};

static inline void scene_retire(void *arg, struct snapshot *snapshot)
{
    (void)arg;
    snapshot_free(&snapshot);
}

/* NULL when the configuration is refused; what is wrong is in notes. */
static inline struct snapshot *scene_snapshot(const char *yaml, struct tally *tally,
                                              struct shares *shares, struct notes *notes)
{
    struct loop *loop = loop_new();
    struct sources *sources = sources_new(loop);
    struct roster *roster = roster_new(sources, shares);
    struct snapshot_parts parts = {
        .tally = tally, .draft = roster_begin(roster), .retire = scene_retire};
    struct snapshot_conf *conf;
    struct snapshot *snapshot = NULL;
    struct arena arena;
    struct tree *tree = NULL;
    struct bind bind = {.arena = &arena, .notes = notes};

    arena_init(&arena, NULL, 0);
    conf = arena_new(&arena, sizeof(*conf));
    if (tree_parse(span_of(yaml), "test.yaml", &arena, notes, &tree) == OK &&
        shape_bind(&bind, &scene_shape, tree, conf) == OK) {
        conf->access_log.path = SPAN("off");
        snapshot = snapshot_new(&arena, conf, &parts, notes, true);
    }
    arena_fini(&arena);
    roster_abandon(&parts.draft);
    roster_free(&roster);
    sources_free(&sources);
    loop_free(&loop);
    return snapshot;
}

static inline void scene_on_drained(void *scene, unsigned worker)
{
    (void)worker;
    ((struct scene *)scene)->drained++;
}

static inline void scene_endpoint(struct scene *it, unsigned i, bool listens)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct addr addr = {.family = AF_INET, .ip = {127, 0, 0, 1}};

    if (listens) {
        ck_assert_int_eq(listener_bind(&addr, 64, false, &it->listen_fd[i]), OK);
    } else {
        it->listen_fd[i] = socket(AF_INET, SOCK_STREAM, 0);
        ck_assert_int_eq(bind(it->listen_fd[i], (struct sockaddr *)&sin, sizeof(sin)), 0);
    }
    ck_assert_int_eq(listener_address(it->listen_fd[i], &addr, &it->endpoint[i]), OK);
}

static inline struct scene *scene_open(struct scene_conf conf)
{
    struct scene *it = alloc_new(sizeof(*it));
    struct addr addr = {.family = AF_INET, .ip = {127, 0, 0, 1}};
    struct notes *notes = notes_new();
    static char yaml[8192];
    char more[32] = "";
    int fd;

    scene_endpoint(it, 0, !conf.dead_first);
    scene_endpoint(it, 1, true);
    if (conf.endpoints > 1)
        snprintf(more, sizeof(more), ", \"127.0.0.1:%u\"", (unsigned)it->endpoint[1].port);
    snprintf(
        yaml, sizeof(yaml),
        "listeners: [ { name: edge, bind: \"127.0.0.1:0\", %s } ]\n"
        "upstreams: { app: { endpoints: [ \"127.0.0.1:%u\"%s ], %s } }\n"
        "routes:\n"
        "- { name: fixed, match: { host: app, path_exact: /fixed }, respond: { body: fixed } }\n"
        "- { name: echo, match: { host: app, path_exact: /echo }, echo: true }\n"
        "- { name: get, match: { host: only, path_exact: /get, methods: [ GET ] }, upstream: app "
        "}\n"
        "%s"
        "- { name: app, match: { host: app }, upstream: app }\n",
        conf.listener ? conf.listener : "", (unsigned)it->endpoint[0].port, more,
        conf.upstream ? conf.upstream : "", conf.routes ? conf.routes : "");
    it->tally = tally_new(1);
    it->shares = shares_new(it->tally);
    it->writer = writer_new();
    ck_assert_ptr_nonnull(it->writer);
    it->snapshot = scene_snapshot(yaml, it->tally, it->shares, notes);
    ck_assert_msg(it->snapshot != NULL, "%s", yaml);
    notes_free(&notes);
    it->crew = (struct crew){.worker = it->workers,
                             .n_workers = 1,
                             .max_connections = 1000,
                             .writer = it->writer,
                             .on_drained = scene_on_drained,
                             .on_drained_arg = it};
    it->worker = it->workers[0] = worker_new(&it->crew, 0);
    ck_assert_ptr_nonnull(it->worker);
    ck_assert_int_eq(listener_bind(&addr, 64, false, &fd), OK);
    ck_assert_int_eq(listener_address(fd, &addr, &it->door), OK);
    worker_publish(it->worker, it->snapshot);
    worker_add_port(it->worker, SPAN("edge"), fd,
                    tally_get(it->tally, PORT_TALLY, SPAN("edge"), sizeof(struct port_counters)));
    loop_turns(it->worker->loop, 2);
    return it;
}

static inline void scene_close(struct scene *it)
{
    worker_stop(it->worker);
    loop_run(it->worker->loop);
    ck_assert_uint_eq(counter_get(&it->worker->counters.exchanges), 0);
    ck_assert_uint_eq(counter_get(&it->worker->counters.connections), 0);
    ck_assert_uint_eq(it->worker->sessions.used, 0);
    ck_assert_uint_eq(it->worker->chunks.used, 0);
    worker_free(&it->worker);
    snapshot_unref(&it->snapshot);
    shares_free(&it->shares);
    writer_free(&it->writer);
    tally_free(&it->tally);
    for (unsigned i = 0; i < ENDPOINTS; i++) {
        close(it->listen_fd[i]);
    }
    alloc_free(it);
}

/* How many exchanges have ended so. */
static inline uint64_t scene_ends(const struct scene *it, enum reason reason)
{
    return counter_get(&it->worker->counters.ends[reason]);
}

/* -- peers ------------------------------------------------------------- */

static inline struct peer *peer_new(struct scene *it, int fd)
{
    struct peer *peer = alloc_new(sizeof(*peer));
    int one = 1;

    ck_assert_int_eq(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
    peer->scene = it;
    peer->fd = fd;
    peer->got = peer->all = alloc_new(PEER_BYTES + 1);
    peer->told = alloc_new(PEER_BYTES + 1);
    return peer;
}

/* With a small receive buffer when buffer is not 0. */
static inline struct peer *client_open(struct scene *it, int buffer)
{
    struct sockaddr_storage storage;
    struct sockaddr *sockaddr = (struct sockaddr *)&storage;
    socklen_t len = addr_to_sockaddr(&it->door, sockaddr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (buffer)
        ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer)), 0);
    ck_assert_int_eq(connect(fd, sockaddr, len), 0);
    return peer_new(it, fd);
}

static inline void peer_close(struct peer *peer)
{
    close(peer->fd);
    alloc_free(peer->all);
    alloc_free(peer->told);
    alloc_free(peer);
}

struct accepting {
    int listen_fd, fd;
};

static inline bool accepting_done(void *accepting_)
{
    struct accepting *accepting = accepting_;

    accepting->fd = accept4(accepting->listen_fd, NULL, NULL, SOCK_NONBLOCK);
    return accepting->fd >= 0;
}

/* Wait for a connection of the gateway to an endpoint. */
static inline struct peer *upstream_accept(struct scene *it, unsigned endpoint)
{
    struct accepting accepting = {it->listen_fd[endpoint], -1};

    loop_until(it->worker->loop, accepting_done, &accepting);
    return peer_new(it, accepting.fd);
}

static inline bool upstream_has_none(struct scene *it, unsigned endpoint)
{
    struct accepting accepting = {it->listen_fd[endpoint], -1};
    bool accepted;

    loop_turns(it->worker->loop, 5);
    accepted = accepting_done(&accepting);
    if (accepted)
        close(accepting.fd);
    return !accepted;
}

static inline void peer_pull(struct peer *peer, size_t most)
{
    size_t room = PEER_BYTES - (size_t)(peer->got - peer->all) - peer->n;
    ssize_t n = recv(peer->fd, peer->got + peer->n, room < most ? room : most, MSG_DONTWAIT);

    ck_assert_uint_gt(room, 0);

    if (n == 0)
        peer->ended = true;
    if (n < 0 && errno != EAGAIN)
        peer->ended = peer->reset = true;
    if (n > 0)
        peer->n += (size_t)n;
    peer->got[peer->n] = '\0';
}

struct sending {
    struct peer *peer;
    const char *bytes;
    size_t left;
};

static inline bool sending_done(void *sending_)
{
    struct sending *sending = sending_;
    ssize_t n = send(sending->peer->fd, sending->bytes, sending->left, MSG_DONTWAIT | MSG_NOSIGNAL);

    ck_assert(n >= 0 || errno == EAGAIN);
    if (n > 0) {
        sending->bytes += n;
        sending->left -= (size_t)n;
    }
    return sending->left == 0;
}

static inline void peer_sends(struct peer *peer, const char *bytes, size_t n)
{
    struct sending sending = {peer, bytes, n};

    if (!sending_done(&sending))
        loop_until(peer->scene->worker->loop, sending_done, &sending);
}

static inline void peer_says(struct peer *peer, const char *text)
{
    peer_sends(peer, text, strlen(text));
}

struct awaiting {
    struct peer *peer;
    const char *text;
    size_t n; /* bytes; when text is NULL */
    char *found;
};

static inline bool awaiting_done(void *awaiting_)
{
    struct awaiting *awaiting = awaiting_;
    struct peer *peer = awaiting->peer;

    peer_pull(peer, PEER_BYTES);
    if (!awaiting->text)
        return peer->n >= awaiting->n;
    awaiting->found = memmem(peer->got, peer->n, awaiting->text, strlen(awaiting->text));
    ck_assert_msg(awaiting->found || !peer->ended, "'%s' never came: '%s'", awaiting->text,
                  peer->got);
    return awaiting->found != NULL;
}

static inline char *peer_take(struct peer *peer, size_t n)
{
    memcpy(peer->told, peer->got, n);
    peer->told[n] = '\0';
    peer->n -= n;
    peer->got = peer->n > 0 ? peer->got + n : peer->all;
    peer->got[peer->n] = '\0';
    return peer->told;
}

/* Wait until text has come, and take all up to its end. Valid until the next call. */
static inline const char *peer_until(struct peer *peer, const char *text)
{
    struct awaiting awaiting = {.peer = peer, .text = text};

    loop_until(peer->scene->worker->loop, awaiting_done, &awaiting);
    return peer_take(peer, (size_t)(awaiting.found - peer->got) + strlen(text));
}

static inline const char *peer_head(struct peer *peer)
{
    return peer_until(peer, "\r\n\r\n");
}

static inline const char *peer_bytes(struct peer *peer, size_t n)
{
    struct awaiting awaiting = {.peer = peer, .n = n};

    loop_until(peer->scene->worker->loop, awaiting_done, &awaiting);
    return peer_take(peer, n);
}

static inline bool ending_done(void *peer)
{
    peer_pull(peer, PEER_BYTES);
    return ((struct peer *)peer)->ended;
}

/* Wait for the end, and take what came before it. */
static inline const char *peer_end(struct peer *peer)
{
    loop_until(peer->scene->worker->loop, ending_done, peer);
    return peer_take(peer, peer->n);
}

/* Nothing has come, and no end. */
static inline bool peer_is_quiet(struct peer *peer)
{
    loop_turns(peer->scene->worker->loop, 5);
    peer_pull(peer, PEER_BYTES);
    return peer->n == 0 && !peer->ended;
}

static inline bool text_has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

#define check_has(text, part)   ck_assert_msg(text_has(text, part), "no '%s' in: %s", part, text)
#define check_lacks(text, part) ck_assert_msg(!text_has(text, part), "'%s' in: %s", part, text)

struct ending {
    struct scene *scene;
    enum reason reason;
    uint64_t n;
};

static inline bool has_ended_so(void *ending_)
{
    const struct ending *ending = ending_;

    return scene_ends(ending->scene, ending->reason) == ending->n;
}

/* Wait until n exchanges have ended for this reason. */
static inline void scene_await_end(struct scene *it, enum reason reason, uint64_t n)
{
    struct ending ending = {it, reason, n};

    loop_until(it->worker->loop, has_ended_so, &ending);
}

#endif /* TEST_PROXY_SCENE_H */
