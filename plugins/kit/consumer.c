#include "kit/consumer.h"

#include "kit/span.h"

static void check_field(const struct sluice_host *host, struct sluice_setup *setup,
                        const char *option, struct sluice_span name)
{
    if (name.len > 0 && !span_is_token(name))
        host->conf_error(setup, option, NULL, "this is no name of a field");
}

void consumer_bind(struct consumer *consumer, const struct sluice_host *host,
                   struct sluice_setup *setup)
{
    check_field(host, setup, "consumer_field", consumer->name_field);
    check_field(host, setup, "groups_field", consumer->groups_field);
    consumer->name_id = host->attribute(setup, SLUICE_SPAN("consumer.name"));
    consumer->groups_id = host->attribute(setup, SLUICE_SPAN("consumer.groups"));
    consumer->method_id = host->attribute(setup, SLUICE_SPAN("auth.method"));
}

bool consumer_clear_fields(const struct sluice_call *call, consumer_is_ours_fn *is_ours,
                           const void *arg)
{
    struct sluice_pair line;
    size_t at = 0;

    /* each removal shortens the list, so this ends */
    while (call->host->field_each(call, SLUICE_REQUEST, &at, &line)) {
        struct sluice_span name;

        if (!is_ours(arg, line.name))
            continue;
        name = call->host->copy(call, line.name);
        if (!name.ptr || !call->host->field_remove(call, SLUICE_REQUEST, name))
            return false;
        at = 0;
    }
    return true;
}

static bool is_ours(const void *arg, struct sluice_span name)
{
    const struct consumer *consumer = arg;

    return span_is_alike(name, consumer->name_field) || span_is_alike(name, consumer->groups_field);
}

bool consumer_clear(const struct sluice_call *call, const struct consumer *consumer)
{
    return consumer->name_field.len + consumer->groups_field.len == 0 ||
           consumer_clear_fields(call, is_ours, consumer);
}

static bool tell_upstream(const struct sluice_call *call, struct sluice_span field,
                          struct sluice_span value)
{
    return field.len == 0 || value.len == 0 ||
           call->host->field_set(call, SLUICE_REQUEST, field, value);
}

bool consumer_tell(const struct sluice_call *call, const struct consumer *consumer,
                   struct sluice_span method, struct sluice_span name, struct sluice_span groups)
{
    const struct sluice_host *host = call->host;

    return host->attribute_set(call, consumer->name_id, name) &&
           (groups.len == 0 || host->attribute_set(call, consumer->groups_id, groups)) &&
           host->attribute_set(call, consumer->method_id, method) &&
           tell_upstream(call, consumer->name_field, name) &&
           tell_upstream(call, consumer->groups_field, groups);
}

bool consumer_tell_anonymous(const struct sluice_call *call, const struct consumer *consumer,
                             struct sluice_span name)
{
    return name.len == 0 || (call->host->attribute_set(call, consumer->name_id, name) &&
                             tell_upstream(call, consumer->name_field, name));
}
