/*
 * later.c - a kept plugin: a timer, offloaded work, a ticket, shared words and bytes.
 *
 * Its .so was built once, against the header as frozen; see README.md. Do not touch.
 */
#include "sluice_plugin.h"

struct conf {
    struct sluice_words *words;
    struct sluice_map *map;
};

struct job {
    uint64_t in, out;
};

static bool conf_start(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    const struct sluice_shared_spec words = {
        .size = sizeof(words), .version = 1, .name = "turns", .capacity = 16};
    const struct sluice_shared_spec map = {
        .size = sizeof(map), .version = 1, .name = "last", .capacity = 16, .max_value = 64};
    struct conf *conf = conf_;

    conf->words = host->words(setup, &words);
    conf->map = host->map(setup, &map);
    if (!conf->words || !conf->map)
        host->conf_error(setup, NULL, NULL, "out of memory");
    return conf->words && conf->map;
}

static void square(const void *conf, void *data)
{
    struct job *job = data;

    (void)conf;
    job->out = job->in * job->in;
}

static enum sluice_verdict on_squared(const struct sluice_call *call, void *data)
{
    const struct job *job = data;

    if (job->out != 49)
        return SLUICE_FAIL;
    return call->host->field_set(call, SLUICE_REQUEST, SLUICE_SPAN("x-museum-later"),
                                 SLUICE_SPAN("49"))
               ? SLUICE_NEXT
               : SLUICE_FAIL;
}

static enum sluice_verdict on_time(const struct sluice_call *call, void *arg)
{
    const struct conf *conf = call->conf;
    const struct job job = {7, 0};
    char kept[8];
    size_t len = 0;
    uint64_t turns = 0, serial = 0;

    if (arg != call->ctx || call->host->words_add(conf->words, SLUICE_SPAN("k"), 1, 0, &turns))
        return SLUICE_FAIL;
    if (call->host->map_set(conf->map, SLUICE_SPAN("k"), SLUICE_SPAN("abc"), 0) ||
        call->host->map_get(conf->map, SLUICE_SPAN("k"), kept, sizeof(kept), &len, &serial) ||
        len != 3 || kept[2] != 'c' || turns == 0)
        return SLUICE_FAIL;
    return call->host->offload(call, square, &job, sizeof(job), on_squared) ? SLUICE_WAIT
                                                                            : SLUICE_FAIL;
}

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    return call->host->timer(call, 5, on_time, call->ctx) ? SLUICE_WAIT : SLUICE_FAIL;
}

const struct sluice_plugin sluice_plugin = {SLUICE_PLUGIN_HEAD,
                                            .name = "museum_later",
                                            .version = "1.0.0",
                                            .summary = "A kept plugin: what happens later.",
                                            .conf_size = sizeof(struct conf),
                                            .ctx_size = 8,
                                            .conf_start = conf_start,
                                            .on_request_head = on_request_head};
