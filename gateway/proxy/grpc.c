#include "proxy/grpc.h"

#include "http/grpc_timeout.h"
#include "proxy/exchange_chain.h"
#include "proxy/worker.h"

enum { MESSAGE_MAX = 512 /* bytes of a grpc-message */ };

bool grpc_is_call(const struct exchange *ex)
{
    const struct field_line *type = fields_find(&ex->request.fields, FIELD_CONTENT_TYPE);

    return type && grpc_is_type(field_value(type));
}

void grpc_note(struct exchange *ex, const struct fields *fields)
{
    enum grpc_status status;

    if (fields && grpc_status_find(fields, &status) == OK)
        ex->grpc_end = (uint8_t)(status + 1);
}

void grpc_note_head(struct exchange *ex)
{
    const struct response *response = &ex->response;
    const struct field_line *type = fields_find(&response->fields, FIELD_CONTENT_TYPE);

    grpc_note(ex, &response->fields);
    ex->takes_trailers = response->status == 200 && response->framing != FRAMING_LENGTH &&
                         response->framing != FRAMING_NONE && ex->request.minor >= 1 && type &&
                         grpc_is_type(field_value(type));
}

/* What ended it says more than the status of HTTP that stands for it. */
static enum grpc_status status_of(const struct exchange *ex, unsigned http)
{
    switch ((int)ex->reason) {
    case REASON_TOTAL_TIMEOUT:
        return GRPC_DEADLINE_EXCEEDED;
    case REASON_BODY_TOO_LARGE:
    case REASON_RESPONSE_TOO_LARGE:
        return GRPC_RESOURCE_EXHAUSTED;
    case REASON_UPSTREAM_RESET:
        if (ex->attempt && ex->attempt->reset_code > 0)
            return grpc_status_of_reset(ex->attempt->reset_code - 1);
        break;
    default:
        break;
    }
    return grpc_status_of_http(http);
}

/* For a person: what the problem page would say in its first lines. */
static struct sluice_span message_of(struct exchange *ex, unsigned http)
{
    char bytes[MESSAGE_MAX];
    struct text text;

    text_init_fixed(&text, bytes, sizeof(bytes));
    if (ex->reason == REASON_PLUGIN_REPLIED) {
        struct sluice_span reason = chain_reply(ex->chain)->reason;

        grpc_message_write(reason.len > 0 ? reason : span_of(status_reason(http)), &text);
    } else {
        grpc_message_write(span_of(reason_text(ex->reason)), &text);
        if (ex->detail) {
            text_add(&text, SPAN(" ("));
            grpc_message_write(span_of(ex->detail), &text);
            text_add(&text, SPAN(")"));
        }
    }
    return arena_copy(&ex->arena, text_span(&text));
}

/* Say in these fields that the call has ended, as http and ex->reason have it. */
static enum err add_end(struct exchange *ex, unsigned http, struct fields *fields)
{
    struct sluice_span number = arena_format(&ex->arena, "%d", (int)status_of(ex, http));
    struct sluice_span message = message_of(ex, http);
    enum err err;

    if (!number.ptr || !message.ptr)
        return ERR_MEMORY;
    err = fields_add(fields, SPAN("grpc-status"), number);
    return err || message.len == 0 ? err : fields_add(fields, SPAN("grpc-message"), message);
}

enum err grpc_answer(struct exchange *ex)
{
    struct fields *fields = &ex->response.fields;
    unsigned at = 0;
    enum err err;

    if (fields_next(fields, SPAN("grpc-status"), &at) || ex->response.status == 200)
        return OK;
    err = fields_set(fields, SPAN("content-type"), SPAN("application/grpc"));
    if (err == OK)
        err = add_end(ex, ex->response.status, fields);
    if (err)
        return err;
    ex->response.status = 200;
    ex->response.reason = SPAN("");
    ex->body = SPAN("");
    return OK;
}

enum err grpc_tell_end(struct exchange *ex)
{
    struct fields trailers = {.arena = &ex->arena};
    struct leg *down = ex->from.leg;
    unsigned http = ex->reason == REASON_PLUGIN_REPLIED ? chain_reply(ex->chain)->status
                                                        : reason_status(ex->reason);
    enum err err;

    if (!ex->takes_trailers || ex->grpc_end > 0 || !grpc_frames_are_whole(&ex->grpc_sent))
        return ERR_REFUSED;
    err = add_end(ex, http, &trailers);
    if (err)
        return err;
    grpc_note(ex, &trailers);
    down->ops->send_end(down, &trailers);
    return OK;
}
