/*
 * host.c - the table that every plugin is given.
 *
 * A plugin that asks about an exchange where there is none (a worker's own call) is told no: it is
 * its mistake, and no reason for thousands of others to lose their connection.
 */
#include "chain/host.h"

#include "base/rng.h"
#include "chain/host_message.h"
#include "chain/template.h"
#include "core/loop.h"

static void *host_alloc(const struct sluice_call *call, size_t bytes)
{
    return call->exchange ? run_alloc(call->exchange, bytes) : NULL;
}

static struct sluice_span host_copy(const struct sluice_call *call, struct sluice_span text)
{
    return call->exchange ? run_copy(call->exchange, text) : (struct sluice_span){NULL, 0};
}

static uint64_t host_now_us(const struct sluice_call *call)
{
    return loop_now_us(call->place->worker->loop);
}

static uint64_t host_wall_us(const struct sluice_call *call)
{
    struct chain_worker *worker = call->place->worker;

    return worker->ops->wall_us(worker->owner);
}

static uint64_t host_random(const struct sluice_call *call)
{
    return rng_next(call->place->worker->rng);
}

static uint32_t host_worker_index(const struct sluice_call *call)
{
    return call->place->worker->index;
}

static int64_t host_fact(const struct sluice_call *call, enum sluice_fact fact)
{
    return call->exchange ? call->exchange->ops->fact(call->exchange->owner, fact) : -1;
}

static bool host_target_set(const struct sluice_call *call, struct sluice_span path,
                            struct sluice_span query)
{
    struct sluice_exchange *ex = call->exchange;
    struct sluice_span kept_path, kept_query;

    if (!ex)
        return false;
    kept_path = run_copy(ex, path);
    kept_query = run_copy(ex, query);
    return kept_path.ptr && kept_query.ptr && ex->ops->target_set(ex->owner, kept_path, kept_query);
}

static bool host_upstream_set(const struct sluice_call *call,
                              const struct sluice_upstream *upstream)
{
    return call->exchange && upstream &&
           call->exchange->ops->upstream_set(call->exchange->owner, upstream->index);
}

static struct sluice_span host_render(const struct sluice_call *call,
                                      const struct sluice_template *text)
{
    if (!call->exchange || !text)
        return (struct sluice_span){NULL, 0};
    return template_render(text, call->exchange);
}

static const struct sluice_call *host_worker_call(const struct sluice_call *call)
{
    return &call->place->call;
}

static void host_detach(const struct sluice_call *call, uint32_t phases)
{
    if (call->exchange && call->exchange->running)
        call->exchange->running->detached |= phases;
}

const struct sluice_host host_table = {
    .size = sizeof(struct sluice_host),
    .abi = SLUICE_ABI,
    .abi_minor = SLUICE_ABI_MINOR,
    .version = SLUICE_VERSION,
    .conf_error = host_conf_error,
    .conf_warn = host_conf_warn,
    .conf_alloc = host_conf_alloc,
    .conf_place = host_conf_place,
    .workers = host_workers,
    .template_make = host_template_make,
    .attribute = host_attribute,
    .metric = host_metric,
    .words = host_words,
    .map = host_map,
    .alloc = host_alloc,
    .copy = host_copy,
    .now_us = host_now_us,
    .wall_us = host_wall_us,
    .random = host_random,
    .worker_index = host_worker_index,
    .field_get = host_field_get,
    .field_each = host_field_each,
    .field_set = host_field_set,
    .field_add = host_field_add,
    .field_remove = host_field_remove,
    .attribute_get = host_attribute_get,
    .attribute_set = host_attribute_set,
    .fact = host_fact,
    .target_set = host_target_set,
    .upstream_set = host_upstream_set,
    .render = host_render,
    .reply = host_reply,
    .reply_edit = host_reply_edit,
    .reply_get = host_reply_get,
    .note = host_note,
    .detach = host_detach,
    .body_want = host_body_want,
    .body_replace = host_body_replace,
    .ticket = ticket_new,
    .resume = ticket_resume,
    .worker_call = host_worker_call,
    .timer = host_timer,
    .http_call = host_http_call,
    .redis_call = host_redis_call,
    .offload = host_offload,
    .cancel = pending_cancel,
    .door = host_door,
    .post = host_post,
    .door_close = host_door_close,
    .words_get = host_words_get,
    .words_swap = host_words_swap,
    .words_add = host_words_add,
    .map_get = host_map_get,
    .map_set = host_map_set,
    .map_remove = host_map_remove,
    .metric_add = host_metric_add,
    .log_enabled = host_log_enabled,
    .log = host_log,
    .span_attribute = host_span_attribute,
    .span_attribute_each = host_span_attribute_each,
    .report = host_report,
    .target_text = host_target_text,
};
