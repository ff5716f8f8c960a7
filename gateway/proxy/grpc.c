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

/* What ended it says more than the status that stands for it. */
static enum grpc_status status_of(const struct exchange *ex)
{
    if (ex->reason == REASON_TOTAL_TIMEOUT)
        return GRPC_DEADLINE_EXCEEDED;
    return grpc_status_of_http(ex->response.status);
}

/* For a person: what the problem page would say in its first lines. */
static struct sluice_span message_of(struct exchange *ex)
{
    char bytes[MESSAGE_MAX];
    struct text text;

    text_init_fixed(&text, bytes, sizeof(bytes));
    if (ex->reason == REASON_PLUGIN_REPLIED) {
        struct sluice_span reason = chain_reply(ex->chain)->reason;

        grpc_message_write(reason.len > 0 ? reason : span_of(status_reason(ex->response.status)),
                           &text);
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

enum err grpc_answer(struct exchange *ex)
{
    struct fields *fields = &ex->response.fields;
    struct sluice_span number = arena_format(&ex->arena, "%d", (int)status_of(ex));
    struct sluice_span message = message_of(ex);
    unsigned at = 0;
    enum err err;

    if (fields_next(fields, SPAN("grpc-status"), &at) || ex->response.status == 200)
        return OK;
    if (!number.ptr || !message.ptr)
        return ERR_MEMORY;
    err = fields_set(fields, SPAN("content-type"), SPAN("application/grpc"));
    if (err == OK)
        err = fields_add(fields, SPAN("grpc-status"), number);
    if (err == OK && message.len > 0)
        err = fields_add(fields, SPAN("grpc-message"), message);
    if (err)
        return err;
    ex->response.status = 200;
    ex->response.reason = SPAN("");
    ex->body = SPAN("");
    return OK;
}
