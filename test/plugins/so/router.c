/*
 * router.c - sends requests elsewhere: to another path, another upstream; and is never unloaded.
 */
#include <sluice_plugin.h>

#include <string.h>

struct conf {
    struct sluice_span path, query;
    const struct sluice_upstream *upstream;
    bool late; /* once more, when the response is there: too late */
};

#define AT(member) offsetof(struct conf, member)
static const struct sluice_option options[] = {
    {.kind = SLUICE_OPTION_TEXT, .name = "path", .offset = AT(path), .help = "The new path."},
    {.kind = SLUICE_OPTION_TEXT, .name = "query", .offset = AT(query), .help = "The new query."},
    {.kind = SLUICE_OPTION_UPSTREAM,
     .name = "upstream",
     .offset = AT(upstream),
     .help = "Who serves it."},
    {.kind = SLUICE_OPTION_BOOL, .name = "late", .offset = AT(late), .help = "Ask too late, too."},
    {.kind = SLUICE_OPTION_END},
};

static bool mark(const struct sluice_call *call, const char *word)
{
    return call->host->field_add(call, SLUICE_RESPONSE, SLUICE_SPAN("x-router"),
                                 (struct sluice_span){word, strlen(word)});
}

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;

    if (conf->path.len > 0 && !call->host->target_set(call, conf->path, conf->query))
        return SLUICE_FAIL;
    if (conf->upstream && !call->host->upstream_set(call, conf->upstream))
        return SLUICE_FAIL;
    return SLUICE_NEXT;
}

static enum sluice_verdict on_response_head(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;

    if (!conf->late)
        return SLUICE_NEXT;
    if (!call->host->target_set(call, SLUICE_SPAN("/late"), SLUICE_SPAN("")))
        mark(call, "target too late");
    if (!call->host->upstream_set(call, conf->upstream))
        mark(call, "upstream too late");
    return SLUICE_NEXT;
}

const struct sluice_plugin sluice_plugin = {
    SLUICE_PLUGIN_HEAD,
    .flags = SLUICE_PLUGIN_KEEP_LOADED,
    .name = "router",
    .version = "1.0.0",
    .summary = "Sends requests elsewhere.",
    .options = options,
    .conf_size = sizeof(struct conf),
    .on_request_head = on_request_head,
    .on_response_head = on_response_head,
};
