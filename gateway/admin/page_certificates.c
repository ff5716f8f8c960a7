/*
 * page_certificates.c - the certificates of listeners, and when they end.
 */
#include "admin/pages.h"
#include "base/now.h"
#include "config/json.h"
#include "net/tls.h"

enum { DAY_S = 24 * 3600 };

static void add_certificate(void *json_, const struct tls_certificate_facts *facts)
{
    struct json *json = json_;
    struct sluice_span rest = facts->names, name;
    int64_t left_s = facts->end_s - (int64_t)(now_wall_us() / 1000000);

    json_open_row(json, NULL, '{');
    json_string(json, "file", facts->path);
    json_open_row(json, "names", '[');
    while (span_split(&rest, '\n', &name)) {
        if (name.len > 0)
            json_string(json, NULL, name);
    }
    json_close(json, ']');
    json_number(json, "ends_s", (uint64_t)facts->end_s);
    json_number(json, "days_left", left_s > 0 ? (uint64_t)(left_s / DAY_S) : 0);
    json_close(json, '}');
}

static void add_listener(struct json *json, const struct listener_conf *listener)
{
    json_open(json, NULL, '{');
    json_string(json, "listener", listener->name);
    json_string(json, "min_version", span_of(tls_version_text(listener->tls.min_version)));
    json_string(json, "max_version", span_of(tls_version_text(listener->tls.max_version)));
    json_open(json, "certificates", '[');
    tls_server_each(listener->server, add_certificate, json);
    json_close(json, ']');
    json_close(json, '}');
}

void page_certificates(const struct ask *ask, struct answer *answer)
{
    const struct snapshot *snapshot = ask->host->snapshot(ask->host->owner);
    struct json json = {.out = &answer->body};

    json_open(&json, NULL, '{');
    json_open(&json, "listeners", '[');
    for (size_t i = 0; snapshot && i < snapshot->n_listeners; i++) {
        if (snapshot->listeners[i].server)
            add_listener(&json, &snapshot->listeners[i]);
    }
    json_close(&json, ']');
    json_close(&json, '}');
    text_add_char(&answer->body, '\n');
}
