/*
 * host_redis.c - commands for Redis, by the worker's client.
 */
#include "base/alloc.h"
#include "chain/host.h"

enum { TIMEOUT_PRESET_MS = 100 };

struct host_command {
    struct chain_pending pending;
    const struct chain_ops *ops;
    struct redis_call *call; /* owned until it is told */
    sluice_redis_fn *done;
    void *arg; /* the plugin's */
    const struct sluice_redis_reply *reply;
};

static void on_drop(struct chain_pending *pending)
{
    struct host_command *command = list_entry(pending, struct host_command, pending);

    command->ops->redis_cancel(&command->call);
    alloc_free(command);
}

static enum sluice_verdict finish(const struct sluice_call *call, void *command_)
{
    const struct host_command *command = command_;

    return command->done(call, command->reply, command->arg);
}

static void on_reply(void *command_, const struct sluice_redis_reply *reply)
{
    struct host_command *command = command_;

    command->reply = reply;
    pending_finish(&command->pending, finish, command);
    alloc_free(command);
}

uint64_t host_redis_call(const struct sluice_call *call, const struct sluice_span *argv, size_t n,
                         uint32_t timeout_ms, sluice_redis_fn *done, void *arg)
{
    struct chain_worker *worker = call->place->worker;
    struct host_command *command = alloc_try(sizeof(*command));
    uint64_t number;

    if (!command)
        return 0;
    *command = (struct host_command){.ops = worker->ops, .done = done, .arg = arg};
    number = pending_add(call, &command->pending, on_drop);
    if (number > 0) {
        command->call = worker->ops->redis_start(worker->owner, argv, n,
                                                 timeout_ms > 0 ? timeout_ms : TIMEOUT_PRESET_MS,
                                                 on_reply, command);
        if (command->call)
            return number;
        pending_remove(&command->pending);
    }
    alloc_free(command);
    return 0;
}
