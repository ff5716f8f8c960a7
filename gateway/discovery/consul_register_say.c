#include "discovery/consul_register_say.h"

#include "config/json.h"
#include "discovery/conf.h"

#include <stdio.h>

enum { CHECK_ID_BYTES = 512 };

static void say_duration(struct json *json, const char *name, uint64_t ms)
{
    char text[32];

    snprintf(text, sizeof(text), "%llums", (unsigned long long)ms);
    json_string(json, name, span_of(text));
}

static void say_checks(const struct consul_register_conf *conf, struct json *json)
{
    char id[CHECK_ID_BYTES];

    snprintf(id, sizeof(id), "service:%s:workers", conf->id.ptr);
    json_open(json, "Checks", '[');
    json_open(json, NULL, '{');
    json_string(json, "CheckID", span_of(id));
    json_string(json, "Name", SPAN("workers"));
    json_string(json, "Notes", SPAN("Refreshed while all workers turn their loops."));
    say_duration(json, "TTL", conf->ttl_ms);
    say_duration(json, "DeregisterCriticalServiceAfter", conf->deregister_after_ms);
    json_close(json, '}');
    if (conf->check.http.len > 0) {
        snprintf(id, sizeof(id), "service:%s:http", conf->id.ptr);
        json_open(json, NULL, '{');
        json_string(json, "CheckID", span_of(id));
        json_string(json, "Name", SPAN("http"));
        json_string(json, "HTTP", conf->check.http);
        say_duration(json, "Interval", conf->check.interval_ms);
        say_duration(json, "Timeout", conf->check.timeout_ms);
        json_literal(json, "TLSSkipVerify", conf->check.skip_verify ? SPAN("true") : SPAN("false"));
        say_duration(json, "DeregisterCriticalServiceAfter", conf->deregister_after_ms);
        json_close(json, '}');
    }
    json_close(json, ']');
}

void consul_register_say(const struct consul_register_conf *conf, struct text *out)
{
    const struct sluice_span *tags = conf->tags.first;
    const struct meta_conf *meta = conf->meta.first;
    struct json json = {.out = out};

    json_open(&json, NULL, '{');
    json_string(&json, "ID", conf->id);
    json_string(&json, "Name", conf->name);
    if (conf->address.len > 0)
        json_string(&json, "Address", conf->address);
    json_number(&json, "Port", conf->port);
    json_open(&json, "Tags", '[');
    for (size_t i = 0; i < conf->tags.n; i++)
        json_string(&json, NULL, tags[i]);
    json_close(&json, ']');
    json_open(&json, "Meta", '{');
    for (size_t i = 0; i < conf->meta.n; i++)
        json_string(&json, meta[i].named.name.ptr, meta[i].value);
    json_close(&json, '}');
    say_checks(conf, &json);
    json_close(&json, '}');
}
