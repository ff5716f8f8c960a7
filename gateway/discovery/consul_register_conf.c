#include "discovery/consul_register_conf.h"

#include "discovery/conf.h"

#include <stddef.h>
#include <unistd.h>

enum { HOST_BYTES = 256 };

/* -- the agent's own check -------------------------------------------------- */

static void check_check(struct bind *bind, const struct tree *node, void *out)
{
    const struct consul_check_conf *conf = out;

    if (span_starts(conf->http, SPAN("http://")) || span_starts(conf->http, SPAN("https://")))
        return;
    notes_error(bind->notes, node ? node->at : (struct mark){0},
                "write the URL that the agent shall ask, such as http://10.0.0.1:9901/ready",
                "'%.*s' is not a URL", (int)conf->http.len, conf->http.len ? conf->http.ptr : "");
}

static const struct shape beat_shape = {.kind = SHAPE_DURATION,
                                        .size = sizeof(uint64_t),
                                        .min = 1000,
                                        .max = 600000,
                                        .what = "a duration from 1s to 10m"};

#define AT(member) offsetof(struct consul_check_conf, member)

static const struct field check_fields[] = {
    {.name = "http",
     .shape = &shape_text,
     .offset = AT(http),
     .required = true,
     .help = "The URL that the agent asks; 2xx is passing, 429 warning.",
     .example = "http://10.0.0.1:9901/ready"},
    {.name = "interval",
     .shape = &beat_shape,
     .offset = AT(interval_ms),
     .preset = "10s",
     .help = "How often."},
    {.name = "timeout",
     .shape = &beat_shape,
     .offset = AT(timeout_ms),
     .preset = "2s",
     .help = "After this time there was no answer."},
    {.name = "skip_verify",
     .shape = &shape_bool,
     .offset = AT(skip_verify),
     .preset = "false",
     .help = "For https: any certificate will do."},
    {.name = NULL},
};

#undef AT

static const struct shape check_shape = {.kind = SHAPE_STRUCT,
                                         .size = sizeof(struct consul_check_conf),
                                         .fields = check_fields,
                                         .scalar = "http",
                                         .check = check_check,
                                         .title = "consul check"};

/* -- the registration ---------------------------------------------------------- */

/* The same over restarts, another on each machine and for each port. */
static void fill_id(struct bind *bind, struct consul_register_conf *conf)
{
    char host[HOST_BYTES] = "";

    if (conf->id.len > 0)
        return;
    (void)gethostname(host, sizeof(host) - 1);
    conf->id = arena_format(bind->arena, "%.*s-%s-%llu", (int)conf->name.len, conf->name.ptr, host,
                            (unsigned long long)conf->port);
}

static void check_register(struct bind *bind, const struct tree *node, void *out)
{
    struct consul_register_conf *conf = out;

    conf->is_written = true;
    if (conf->name.len == 0) {
        notes_error(bind->notes, node ? node->at : (struct mark){0}, "write name: NAME",
                    "the gateway is registered without a name");
        return;
    }
    fill_id(bind, conf);
}

static const struct choice leaves[] = {
    {"maintenance", CONSUL_LEAVE_MAINTENANCE, "The service is put into maintenance."},
    {"critical", CONSUL_LEAVE_CRITICAL, "The check of the workers is made critical."},
    {NULL, 0, NULL},
};
static const struct shape leave_shape = {.kind = SHAPE_CHOICE,
                                         .size = sizeof(int),
                                         .choices = leaves,
                                         .what = "maintenance or critical"};
static const struct shape port_shape = {.kind = SHAPE_UINT,
                                        .size = sizeof(uint64_t),
                                        .min = 1,
                                        .max = 65535,
                                        .what = "a port from 1 to 65535"};
static const struct shape gone_shape = {.kind = SHAPE_DURATION,
                                        .size = sizeof(uint64_t),
                                        .min = 60000,
                                        .what = "a duration of at least 1m"};

#define AT(member) offsetof(struct consul_register_conf, member)

static const struct field register_fields[] = {
    {.name = "name",
     .shape = &shape_text,
     .offset = AT(name),
     .required = true,
     .help = "The service that the gateway is an instance of.",
     .example = "edge"},
    {.name = "id",
     .shape = &shape_text,
     .offset = AT(id),
     .help = "Of this instance. Empty: the name, the host's name and the port, so the same after "
             "a restart.",
     .example = "edge-1"},
    {.name = "address",
     .shape = &shape_text,
     .offset = AT(address),
     .help = "Where clients reach it. Empty: the address of the agent's node.",
     .example = "10.0.0.1"},
    {.name = "port",
     .shape = &port_shape,
     .offset = AT(port),
     .required = true,
     .help = "Where clients reach it: the port of a listener, or what is mapped to it.",
     .example = "8080"},
    {.name = "tags", .shape = &shape_texts, .offset = AT(tags), .help = "Tags of the service."},
    {.name = "meta",
     .shape = &meta_map_shape,
     .offset = AT(meta),
     .help = "Meta of the service.",
     .example = "{ zone: a }"},
    {.name = "ttl",
     .shape = &beat_shape,
     .offset = AT(ttl_ms),
     .preset = "15s",
     .help = "When the gateway has not said for this time that all of its workers are alive, "
             "Consul takes it for critical. It says so three times as often, and at once when a "
             "worker hangs."},
    {.name = "deregister_after",
     .shape = &gone_shape,
     .offset = AT(deregister_after_ms),
     .preset = "10m",
     .help = "An instance that is critical for this time is forgotten by Consul."},
    {.name = "check",
     .shape = &check_shape,
     .offset = AT(check),
     .help = "A check that the agent makes by itself, beside the workers' own.",
     .example = "{ http: \"http://10.0.0.1:9901/ready\" }"},
    {.name = "leave",
     .shape = &leave_shape,
     .offset = AT(leave),
     .preset = "maintenance",
     .help = "What Consul is told when a drain begins. After drain.pause the gateway is "
             "deregistered."},
    {.name = NULL},
};

#undef AT

const struct shape consul_register_shape = {.kind = SHAPE_STRUCT,
                                            .size = sizeof(struct consul_register_conf),
                                            .fields = register_fields,
                                            .check = check_register,
                                            .title = "consul registration"};
