/*
 * sample.h - a host that remembers what it was asked, and a client that asks it over loopback.
 */
#ifndef TEST_ADMIN_SAMPLE_H
#define TEST_ADMIN_SAMPLE_H

#include "admin/admin.h"
#include "base/alloc.h"
#include "core/loop.h"
#include "observe/metrics.h"
#include "upstream/endpoint.h"
#include "upstream/upstream.h"

#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SAMPLE_WORKERS = 2 };

struct sample {
    struct loop *loop;
    struct admin *admin;
    struct admin_host host;
    struct crew crew;
    struct worker *workers[SAMPLE_WORKERS];
    struct loop worker_loop; /* only its number of turns is looked at */
    struct snapshot snapshot;
    struct tree *tree;
    struct arena arena;
    struct notes *notes;
    struct text notes_json, notes_text;
    struct admin_reload last;
    enum admin_readiness readiness;
    bool applies;
    unsigned reloads, drains;
    struct sockaddr_storage address;
    socklen_t address_len;
    struct soon turn;
    int client;
    struct text got; /* everything that the client was sent */
};

/* -- the host ------------------------------------------------------------- */

static enum admin_readiness sample_readiness(void *sample)
{
    return ((struct sample *)sample)->readiness;
}

static struct snapshot *sample_snapshot(void *sample)
{
    return &((struct sample *)sample)->snapshot;
}

static const struct tree *sample_tree(void *sample)
{
    return ((struct sample *)sample)->tree;
}

static const char *sample_source(void *sample)
{
    (void)sample;
    return "/etc/\"odd\".yaml";
}

static uint64_t sample_loaded(void *sample)
{
    (void)sample;
    return 1500000;
}

static void sample_last(void *sample, struct admin_reload *last)
{
    *last = ((struct sample *)sample)->last;
}

static bool sample_reload(void *sample_)
{
    struct sample *sample = sample_;

    sample->reloads++;
    sample->snapshot.generation += sample->applies;
    sample->last.wall_us = 2000000;
    sample->last.applied = sample->applies;
    sample->last.n_applied += sample->applies;
    sample->last.n_refused += !sample->applies;
    return sample->applies;
}

static void sample_drain(void *sample)
{
    ((struct sample *)sample)->drains++;
}

/* -- life ----------------------------------------------------------------- */

static inline void sample_config(struct sample *sample, const char *yaml)
{
    ck_assert_int_eq(
        tree_parse(span_of(yaml), "sluice.yaml", &sample->arena, sample->notes, &sample->tree), OK);
}

static inline int sample_listen(struct sample *sample, bool local)
{
    struct sockaddr_un unix_address = {.sun_family = AF_UNIX}; /* bound to no name: abstract */
    int fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM, 0);

    ck_assert_int_ge(fd, 0);
    if (local)
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&unix_address, sizeof(sa_family_t)), 0);
    ck_assert_int_eq(listen(fd, 16), 0);
    sample->address_len = sizeof(sample->address);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sample->address, &sample->address_len), 0);
    return fd;
}

static void sample_say_metric(void *arg, struct page *page)
{
    (void)arg;
    page_family(page, "sluice_sample", PAGE_GAUGE, "Of the host.");
    page_count(page, NULL, 0, 7);
}

static inline struct sample *sample_new(bool local)
{
    struct sample *sample = alloc_new(sizeof(*sample));

    arena_init(&sample->arena, NULL, 0);
    sample->notes = notes_new();
    sample->loop = loop_new();
    sample->readiness = ADMIN_READY;
    sample->applies = true;
    sample->snapshot.generation = 3;
    text_init(&sample->notes_json, 1000);
    text_init(&sample->notes_text, 1000);
    text_add(&sample->notes_json, SPAN("[]"));
    sample->last.notes_json = &sample->notes_json;
    sample->last.notes_text = &sample->notes_text;
    for (unsigned i = 0; i < SAMPLE_WORKERS; i++) {
        sample->workers[i] = alloc_new(sizeof(struct worker));
        sample->workers[i]->index = i;
        sample->workers[i]->loop = &sample->worker_loop;
    }
    sample->crew.worker = sample->workers;
    sample->crew.n_workers = SAMPLE_WORKERS;
    sample->host = (struct admin_host){
        .owner = sample,
        .crew = &sample->crew,
        .tally = tally_new(SAMPLE_WORKERS),
        .metrics = metrics_new(),
        .version = "1.2.3",
        .readiness = sample_readiness,
        .snapshot = sample_snapshot,
        .tree = sample_tree,
        .source = sample_source,
        .loaded_wall_us = sample_loaded,
        .last_reload = sample_last,
        .reload = sample_reload,
        .drain = sample_drain,
    };
    metrics_add(sample->host.metrics, sample_say_metric, NULL);
    sample_config(sample, "routes: []");
    sample->admin = admin_new(sample->loop, sample_listen(sample, local), &sample->host);
    return sample;
}

static inline void sample_free(struct sample **sample_)
{
    struct sample *sample = *sample_;

    admin_free(&sample->admin);
    ck_assert_ptr_null(sample->admin);
    metrics_free(&sample->host.metrics);
    tally_free(&sample->host.tally);
    for (unsigned i = 0; i < SAMPLE_WORKERS; i++)
        alloc_free(sample->workers[i]);
    text_fini(&sample->got);
    text_fini(&sample->notes_json);
    text_fini(&sample->notes_text);
    loop_free(&sample->loop);
    notes_free(&sample->notes);
    arena_fini(&sample->arena);
    alloc_free(sample);
    *sample_ = NULL;
}

/* -- the client ------------------------------------------------------------ */

/* Read what is there; at the end of the connection, end the loop. */
static void sample_on_turn(struct soon *soon)
{
    struct sample *sample = list_entry(soon, struct sample, turn);
    char bytes[4096];
    ssize_t n = recv(sample->client, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (n > 0)
        text_add(&sample->got, span_make(bytes, (size_t)n));
    if (n == 0 || (n < 0 && errno != EAGAIN))
        loop_stop(sample->loop);
    else
        loop_soon(sample->loop, &sample->turn);
}

/* Send request as it is; nobody has looked at it when this returns. */
static inline void sample_begin(struct sample *sample, const char *request)
{
    sample->client = socket(sample->address.ss_family, SOCK_STREAM, 0);
    ck_assert_int_ge(sample->client, 0);
    ck_assert_int_eq(
        connect(sample->client, (struct sockaddr *)&sample->address, sample->address_len), 0);
    ck_assert_int_eq(write(sample->client, request, strlen(request)), (ssize_t)strlen(request));
}

/* Turn until the other side closes; return all that came back. */
static inline const char *sample_finish(struct sample *sample)
{
    text_fini(&sample->got);
    text_init(&sample->got, 1 << 20);
    soon_init(&sample->turn, sample_on_turn);
    loop_soon(sample->loop, &sample->turn);
    loop_run(sample->loop);
    close(sample->client);
    return sample->got.ptr ? sample->got.ptr : "";
}

static inline const char *sample_send(struct sample *sample, const char *request)
{
    sample_begin(sample, request);
    return sample_finish(sample);
}

/* An ordinary request; fields are whole lines. Returns the whole answer. */
static inline const char *sample_ask(struct sample *sample, const char *method_and_target,
                                     const char *fields)
{
    char request[2000];

    snprintf(request, sizeof(request), "%s HTTP/1.1\r\nConnection: close\r\n%s\r\n",
             method_and_target, fields);
    return sample_send(sample, request);
}

static inline unsigned sample_status(const char *answer)
{
    unsigned status = 0;

    ck_assert_int_eq(sscanf(answer, "HTTP/1.%*c %u", &status), 1);
    return status;
}

static inline const char *sample_body(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");

    ck_assert_ptr_nonnull(end);
    return end + 4;
}

#define LOCAL "Host: localhost\r\n"

#endif /* TEST_ADMIN_SAMPLE_H */
