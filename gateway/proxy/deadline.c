#include "proxy/deadline.h"

#include "http/grpc_timeout.h"
#include "proxy/exchange.h"
#include "proxy/worker.h"

#include <inttypes.h>

enum { FIELD_MS_MAX = 999999999 }; /* eleven days: more is a mistake */

static const struct deadline_conf *conf_of(const struct exchange *ex)
{
    return &ex->view->snapshot->upstreams[ex->target->index].conf->deadline;
}

/* The one line of this name; false when there is none. *wrong: there are several. */
static bool find_one(const struct exchange *ex, struct sluice_span name, struct sluice_span *value,
                     bool *wrong)
{
    unsigned at = 0;
    const struct field_line *line = fields_next(&ex->request.fields, name, &at);

    if (!line)
        return false;
    *value = field_value(line);
    *wrong = fields_next(&ex->request.fields, name, &at) != NULL;
    return true;
}

static void shorten(struct exchange *ex, uint64_t ms)
{
    if (ms == 0)
        ms = 1;
    if (ex->times.total_ms == 0 || ms < ex->times.total_ms)
        ex->times.total_ms = ms;
}

static enum err refuse(struct exchange *ex, const char *detail)
{
    ex->detail = detail;
    return ERR_PROTOCOL;
}

static enum err take_grpc(struct exchange *ex)
{
    struct sluice_span value;
    bool wrong;
    uint64_t us;

    if (!find_one(ex, SPAN("grpc-timeout"), &value, &wrong))
        return OK;
    if (wrong || grpc_timeout_parse(value, &us))
        return refuse(ex, "malformed grpc-timeout");
    shorten(ex, us / 1000);
    return OK;
}

static enum err take_field(struct exchange *ex, const struct deadline_conf *conf)
{
    struct sluice_span value;
    bool wrong;
    uint64_t ms;

    if (conf->accept && exchange_trusts_peer(ex) && find_one(ex, conf->field, &value, &wrong)) {
        if (wrong || span_number(value, FIELD_MS_MAX, &ms))
            return refuse(ex, "malformed deadline");
        shorten(ex, ms);
    }
    fields_remove(&ex->request.fields, conf->field); /* an endpoint believes it */
    return OK;
}

enum err deadline_begin(struct exchange *ex)
{
    const struct deadline_conf *conf = conf_of(ex);
    enum err err = OK;

    if (conf->grpc && ex->is_grpc)
        err = take_grpc(ex);
    if (err == OK && conf->field.len > 0)
        err = take_field(ex, conf);
    if (err == OK && ex->times.total_ms > 0) {
        ex->tells_deadline = (ex->is_grpc && conf->grpc) || conf->field.len > 0;
        ex->deadline_us = loop_now_us(ex->worker->loop) + ex->times.total_ms * 1000;
        alarm_arm(ex->worker->loop, &ex->total, ex->times.total_ms);
    }
    return err;
}

static enum err set(struct exchange *ex, struct fields *fields, struct sluice_span name,
                    struct sluice_span value)
{
    value = arena_copy(&ex->arena, value);
    return value.ptr ? fields_set(fields, name, value) : ERR_MEMORY;
}

enum err deadline_tell(struct exchange *ex, struct fields *fields)
{
    const struct deadline_conf *conf = conf_of(ex);
    char room[GRPC_TIMEOUT_TEXT];
    uint64_t now_us = loop_now_us(ex->worker->loop);
    uint64_t ms = ex->deadline_us > now_us ? (ex->deadline_us - now_us) / 1000 : 0;
    enum err err = OK;

    if (ms == 0)
        ms = 1; /* its alarm rings within a tick */
    if (ex->is_grpc && conf->grpc)
        err = set(ex, fields, SPAN("grpc-timeout"), grpc_timeout_format(ms, room));
    if (err == OK && conf->field.len > 0) {
        struct sluice_span text = arena_format(&ex->arena, "%" PRIu64, ms);

        err = text.ptr ? fields_set(fields, conf->field, text) : ERR_MEMORY;
    }
    return err;
}
