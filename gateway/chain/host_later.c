/*
 * host_later.c - services that are not there yet: each says so in the way its contract allows.
 *
 * Who adds one takes its stand-in away here.
 */
#include "chain/host_message.h"

uint64_t host_timer(const struct sluice_call *call, uint32_t ms, sluice_timer_fn *done, void *arg)
{
    (void)call, (void)ms, (void)done, (void)arg;
    return 0;
}

uint64_t host_http_call(const struct sluice_call *call, const struct sluice_http_request *request,
                        sluice_http_fn *done, void *arg)
{
    (void)call, (void)request, (void)done, (void)arg;
    return 0;
}

uint64_t host_redis_call(const struct sluice_call *call, const struct sluice_span *argv, size_t n,
                         uint32_t timeout_ms, sluice_redis_fn *done, void *arg)
{
    (void)call, (void)argv, (void)n, (void)timeout_ms, (void)done, (void)arg;
    return 0;
}

uint64_t host_offload(const struct sluice_call *call, sluice_work_fn *work, const void *data,
                      size_t bytes, sluice_work_done_fn *done)
{
    (void)call, (void)work, (void)data, (void)bytes, (void)done;
    return 0;
}

struct sluice_door *host_door(const struct sluice_call *call)
{
    (void)call;
    return NULL;
}

bool host_post(struct sluice_door *door, sluice_message_fn *message, void *arg)
{
    (void)door, (void)message, (void)arg;
    return false;
}

void host_door_close(struct sluice_door *door)
{
    (void)door;
}

struct sluice_metric *host_metric(struct sluice_setup *setup, const struct sluice_metric_spec *spec)
{
    (void)setup, (void)spec;
    return NULL;
}

void host_metric_add(const struct sluice_call *call, struct sluice_metric *metric,
                     const struct sluice_span *values, double amount)
{
    (void)call, (void)metric, (void)values, (void)amount;
}

struct sluice_words *host_words(struct sluice_setup *setup, const struct sluice_shared_spec *spec)
{
    (void)setup, (void)spec;
    return NULL;
}

struct sluice_map *host_map(struct sluice_setup *setup, const struct sluice_shared_spec *spec)
{
    (void)setup, (void)spec;
    return NULL;
}

uint64_t host_words_get(struct sluice_words *words, struct sluice_span key)
{
    (void)words, (void)key;
    return 0;
}

enum sluice_shared host_words_swap(struct sluice_words *words, struct sluice_span key,
                                   uint64_t *expected, uint64_t desired, uint32_t ttl_ms)
{
    (void)words, (void)key, (void)expected, (void)desired, (void)ttl_ms;
    return SLUICE_SHARED_FULL;
}

enum sluice_shared host_words_add(struct sluice_words *words, struct sluice_span key,
                                  int64_t difference, uint32_t ttl_ms, uint64_t *result)
{
    (void)words, (void)key, (void)difference, (void)ttl_ms, (void)result;
    return SLUICE_SHARED_FULL;
}

enum sluice_shared host_map_get(struct sluice_map *map, struct sluice_span key, void *out,
                                size_t cap, size_t *len, uint64_t *serial)
{
    (void)map, (void)key, (void)out, (void)cap, (void)len, (void)serial;
    return SLUICE_SHARED_ABSENT;
}

enum sluice_shared host_map_set(struct sluice_map *map, struct sluice_span key,
                                struct sluice_span value, uint32_t ttl_ms)
{
    (void)map, (void)key, (void)value, (void)ttl_ms;
    return SLUICE_SHARED_FULL;
}

void host_map_remove(struct sluice_map *map, struct sluice_span key)
{
    (void)map, (void)key;
}
