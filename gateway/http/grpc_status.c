#include "http/grpc_status.h"

#include "http/h2.h"

#define NAME(symbol, number, name, http) [GRPC_##symbol] = (name),
const char *grpc_status_name(enum grpc_status status)
{
    static const char *const names[] = {GRPC_STATUSES(NAME)};

    return names[status];
}
#undef NAME

#define HTTP(symbol, number, name, http) [GRPC_##symbol] = (http),
unsigned grpc_status_http(enum grpc_status status)
{
    static const uint16_t statuses[] = {GRPC_STATUSES(HTTP)};

    return statuses[status];
}
#undef HTTP

enum grpc_status grpc_status_of_http(unsigned http)
{
    switch (http) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

enum grpc_status grpc_status_of_reset(uint32_t code)
{
    switch (code) {
    case H2_REFUSED_STREAM:
        return GRPC_UNAVAILABLE;
    case H2_CANCEL:
        return GRPC_CANCELLED;
    case H2_ENHANCE_YOUR_CALM:
        return GRPC_RESOURCE_EXHAUSTED;
    case H2_INADEQUATE_SECURITY:
        return GRPC_PERMISSION_DENIED;
    default:
        return GRPC_INTERNAL;
    }
}

enum err grpc_status_find(const struct fields *fields, enum grpc_status *status)
{
    const struct sluice_span name = SPAN("grpc-status");
    unsigned at = 0;
    const struct field_line *line = fields_next(fields, name, &at);
    uint64_t number;

    if (!line)
        return ERR_MISSING;
    if (fields_next(fields, name, &at) ||
        span_number(field_value(line), GRPC_STATUS_COUNT - 1, &number))
        return ERR_PROTOCOL;
    *status = (enum grpc_status)number;
    return OK;
}

void grpc_message_write(struct sluice_span message, struct text *out)
{
    for (size_t i = 0; i < message.len; i++) {
        unsigned char c = (unsigned char)message.ptr[i];

        if (c >= ' ' && c <= '~' && c != '%') {
            text_add_char(out, (char)c);
        } else {
            text_format(out, "%%%02X", c);
        }
    }
}
