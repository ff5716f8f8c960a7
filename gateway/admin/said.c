#include "admin/said.h"

#include <jansson.h>

static json_t *read_value(struct sluice_span said)
{
    return json_loadb(said.ptr, said.len, JSON_DECODE_ANY, NULL);
}

bool said_is_json(struct sluice_span said)
{
    json_t *value = read_value(said);

    json_decref(value);
    return value != NULL;
}

bool said_is_refusal(struct sluice_span said)
{
    json_t *value = read_value(said);
    bool has_error = json_object_get(value, "error") != NULL;

    json_decref(value);
    return has_error;
}
