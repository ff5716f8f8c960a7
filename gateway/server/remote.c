#include "server/remote.h"

#include "core/alarm.h"
#include "core/loop.h"

enum { WAIT_MS = 5000, LOOK_MS = 16 };

struct waiting {
    struct alarm look;
    struct loop *loop;
    const struct consul_kv *kv;
    unsigned left_ms;
};

static void on_look(struct alarm *alarm)
{
    struct waiting *waiting = list_entry(alarm, struct waiting, look);

    if (waiting->left_ms < LOOK_MS || consul_kv_is_settled(waiting->kv)) {
        loop_stop(waiting->loop);
        return;
    }
    waiting->left_ms -= LOOK_MS;
    alarm_arm(waiting->loop, alarm, LOOK_MS);
}

void remote_wait(struct consul_kv *kv, struct loop *loop, const struct gateway_source *source,
                 bool keep)
{
    struct waiting waiting = {.loop = loop, .kv = kv, .left_ms = WAIT_MS};
    struct consul_conf conf;
    struct arena arena;

    arena_init(&arena, NULL, 0);
    if (gateway_peek_consul(source, &arena, &conf) == OK && conf.kv.prefix.len > 0) {
        if (!keep)
            conf.state_dir = SPAN("");
        consul_kv_apply(kv, &conf);
        alarm_init(&waiting.look, on_look);
        alarm_arm(loop, &waiting.look, LOOK_MS);
        loop_run(loop);
        alarm_disarm(&waiting.look);
    }
    arena_fini(&arena);
}

enum err remote_load(const struct consul_kv *kv, const struct consul_kv_set *set,
                     const struct gateway_source *source, struct notes *notes,
                     struct gateway_loaded *loaded)
{
    const struct gateway_pieces pieces = {.prefix = consul_kv_prefix(kv), .set = set};
    struct gateway_source whole = *source;

    if (set && set->n > 0)
        whole.pieces = &pieces;
    return gateway_load(&whole, notes, loaded);
}

const struct consul_kv_set *remote_other(const struct consul_kv *kv)
{
    const struct consul_kv_set *good = consul_kv_good(kv);

    return good && good != consul_kv_newest(kv) ? good : NULL;
}
