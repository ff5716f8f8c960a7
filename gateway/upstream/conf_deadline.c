#include "upstream/conf_deadline.h"

#include "http/names.h"
#include "http/octet.h"

#include <stddef.h>

static const struct field fields[] = {
    {.name = "field",
     .shape = &shape_text,
     .offset = offsetof(struct deadline_conf, field),
     .help =
         "The request field that tells the endpoint how many milliseconds are left of "
         "timeout.total; what a client sends under this name is taken out. None when not given.",
     .example = "x-request-timeout-ms"},
    {.name = "accept",
     .shape = &shape_bool,
     .offset = offsetof(struct deadline_conf, accept),
     .preset = "false",
     .help = "A peer that the listener trusts (forwarded.trust) may send the field too: the "
             "shorter time holds.",
     .example = "true"},
    {.name = "grpc",
     .shape = &shape_bool,
     .offset = offsetof(struct deadline_conf, grpc),
     .preset = "true",
     .help = "The grpc-timeout of a gRPC call ends the exchange too, and the endpoint is told what "
             "is left."},
    {0},
};

static bool is_free_name(struct sluice_span name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (!octet_is(name.ptr[i], OCTET_TOKEN))
            return false;
    }
    return name_find(name) == FIELD_OTHER && !span_equal_nocase(name, SPAN("grpc-timeout"));
}

static void check(struct bind *bind, const struct tree *node, void *out)
{
    const struct deadline_conf *conf = out;

    if (is_free_name(conf->field))
        return;
    notes_error(bind->notes, node ? node->at : (struct mark){0}, "write x-request-timeout-ms",
                "'%s' cannot be the field of a deadline", conf->field.ptr);
}

const struct shape deadline_shape = {.kind = SHAPE_STRUCT,
                                     .size = sizeof(struct deadline_conf),
                                     .fields = fields,
                                     .scalar = "field",
                                     .check = check,
                                     .title = "deadline"};
