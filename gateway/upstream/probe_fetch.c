/*
 * probe_fetch.c - checks that are HTTP requests: plain ones, and gRPC's standard health service.
 *
 * The connection of the check before is used again unless the configuration says that each asks
 * over one of its own: that connections can be made is part of being well, but costs.
 */
#include "base/text.h"
#include "net/fetch.h"
#include "upstream/body_pattern.h"
#include "upstream/probe.h"

#include <stdio.h>
#include <string.h>

enum {
    URL_BYTES = 4096,
    FIELDS_MAX = 64,
    MESSAGE_MAX = 512, /* of a gRPC request: the name of a service */
    KEPT_S = 10,       /* and two intervals: a connection that was not used for longer goes */
};

/* Everything of a request that must live while fetch_start() runs. */
struct question {
    struct fetch_request request;
    struct fetch_field field[FIELDS_MAX];
    struct fetch_tls tls;
    char url[URL_BYTES];
    char method[32];
    char to[ADDR_TEXT];
    char message[MESSAGE_MAX];
};

/* -- asking --------------------------------------------------------------------- */

static const char *text_of(struct sluice_span path)
{
    return path.len > 0 ? path.ptr : NULL; /* spans of the configuration end with a NUL */
}

static void set_tls(struct question *question, const struct tls_client_conf *conf)
{
    question->tls = (struct fetch_tls){.ca = text_of(conf->ca.path),
                                       .cert = text_of(conf->cert.path),
                                       .key = text_of(conf->key.path),
                                       .skip_verify = !conf->verify,
                                       .ciphers = text_of(conf->ciphers),
                                       .ciphersuites = text_of(conf->ciphersuites),
                                       .groups = text_of(conf->groups),
                                       .only_tls13 = conf->min_version == TLS_CONF_1_3,
                                       .only_tls12 = conf->max_version == TLS_CONF_1_2};
    question->request.tls = &question->tls;
}

static void add_field(struct question *question, const char *name, struct sluice_span value)
{
    if (question->request.n_fields < FIELDS_MAX)
        question->field[question->request.n_fields++] = (struct fetch_field){name, value};
}

static bool is_fixed(struct sluice_span host)
{
    return !span_equal(host, SPAN("preserve")) && !span_equal(host, SPAN("endpoint"));
}

static struct sluice_span host_of(const struct probe_order *order)
{
    if (order->conf->health.host.len > 0)
        return order->conf->health.host;
    if (is_fixed(order->conf->host))
        return order->conf->host;
    return addr_unix_path(&order->member->addr) ? SPAN("localhost") : order->member->text;
}

/* With TLS, the URL names who must be there, and the connection goes to the address. */
static void aim(struct question *question, const struct probe_order *order, struct sluice_span path)
{
    struct addr addr = probe_address(order);
    struct sluice_span peer =
        order->conf->tls.sni.len > 0 ? order->conf->tls.sni : order->member->name;
    bool is_v6 = span_find(peer, ':') < peer.len;
    struct text url;

    if (addr_unix_path(&addr)) {
        question->request.unix_path = addr.path;
    } else {
        addr_format(&addr, question->to, sizeof(question->to));
        question->request.connect_to = question->to;
    }
    text_init_fixed(&url, question->url, sizeof(question->url));
    if (order->tls) {
        set_tls(question, &order->conf->tls);
        text_format(&url, "https://%s%.*s%s:%u", is_v6 ? "[" : "", (int)peer.len, peer.ptr,
                    is_v6 ? "]" : "", (unsigned)addr.port);
    } else {
        text_format(&url, "http://%s", addr_unix_path(&addr) ? "localhost" : question->to);
    }
    text_add(&url, path);
    question->request.url = question->url;
}

static void ask_http(struct question *question, const struct probe_order *order)
{
    const struct health_conf *conf = &order->conf->health;

    aim(question, order, conf->path);
    snprintf(question->method, sizeof(question->method), "%s", conf->method.ptr);
    question->request.method = question->method;
}

/* A HealthCheckRequest (field 1: the service) in its frame: five bytes, then the message. */
static struct sluice_span grpc_message(char *out, struct sluice_span service)
{
    size_t len = service.len > 200 ? 200 : service.len; /* a length of two bytes at most */
    size_t at = 5;

    if (len > 0) {
        out[at++] = 0x0a;
        if (len > 127) {
            out[at++] = (char)((len & 0x7f) | 0x80);
            out[at++] = (char)(len >> 7);
        } else {
            out[at++] = (char)len;
        }
        memcpy(out + at, service.ptr, len);
        at += len;
    }
    memset(out, 0, 5);
    out[4] = (char)(at - 5);
    return span_make(out, at);
}

static void ask_grpc(struct question *question, const struct probe_order *order)
{
    static const char *const wanted[] = {"grpc-status", "grpc-message"};

    aim(question, order, SPAN("/grpc.health.v1.Health/Check"));
    question->request.method = "POST";
    /* With TLS the peer says that it speaks HTTP/2, and its connection can be kept. */
    question->request.http2 = !order->tls;
    question->request.may_share = order->tls != NULL;
    question->request.body = grpc_message(question->message, order->conf->health.service);
    question->request.wanted = wanted;
    question->request.n_wanted = 2;
    add_field(question, "Content-Type", SPAN("application/grpc"));
    add_field(question, "TE", SPAN("trailers"));
}

/* -- answers ----------------------------------------------------------------------- */

static enum probe_result result_of(enum err err)
{
    switch ((int)err) {
    case ERR_TIMEOUT:
        return PROBE_TIMEOUT;
    case ERR_REFUSED:
    case ERR_UNREACHABLE:
    case ERR_MISSING:
        return PROBE_CONNECT;
    case ERR_RESET:
    case ERR_CLOSED:
        return PROBE_RESET;
    default:
        return PROBE_PROTOCOL;
    }
}

static bool is_expected(const struct health_conf *conf, unsigned status)
{
    const struct health_status *expected = conf->status.first;

    for (size_t i = 0; i < conf->status.n; i++) {
        if (status >= expected[i].first && status <= expected[i].last)
            return true;
    }
    return false;
}

static bool has(struct sluice_span bytes, struct sluice_span text)
{
    return text.len == 0 || (bytes.len > 0 && memmem(bytes.ptr, bytes.len, text.ptr, text.len));
}

static enum probe_result judge_http(const struct health_conf *conf,
                                    const struct fetch_answer *answer, struct text *why)
{
    /* Of a body that is longer than we look at, the beginning is enough. */
    if (answer->err && !(answer->err == ERR_LIMIT && answer->status > 0)) {
        text_format(why, "%s", answer->why);
        return result_of(answer->err);
    }
    if (!is_expected(conf, answer->status)) {
        text_format(why, "status %u", answer->status);
        return PROBE_STATUS;
    }
    if (!has(answer->body, conf->body)) {
        text_format(why, "the body has not what is expected in it");
        return PROBE_BODY;
    }
    if (conf->pattern && !body_pattern_matches(conf->pattern, answer->body)) {
        text_format(why, "the body does not match");
        return PROBE_BODY;
    }
    return PROBE_PASSED;
}

/* The status of a HealthCheckResponse: field 1, a varint; 0 when it is not there. */
static int serving_status(struct sluice_span body)
{
    if (body.len >= 7 && body.ptr[0] == 0 && body.ptr[5] == 0x08)
        return body.ptr[6];
    return 0;
}

static enum probe_result judge_grpc(const struct fetch_answer *answer, struct text *why)
{
    static const char *const names[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
    struct sluice_span grpc = answer->field[0];
    int serving;

    if (answer->err) {
        text_format(why, "%s", answer->why);
        return result_of(answer->err);
    }
    if (answer->status != 200) {
        text_format(why, "status %u", answer->status);
        return PROBE_STATUS;
    }
    if (!span_equal(grpc, SPAN("0"))) {
        text_format(why, "grpc-status %.*s", (int)grpc.len, grpc.ptr ? grpc.ptr : "");
        return PROBE_STATUS;
    }
    serving = serving_status(answer->body);
    if (serving != 1) {
        text_format(why, "%s", serving >= 0 && serving <= 3 ? names[serving] : "unknown status");
        return PROBE_NOT_SERVING;
    }
    return PROBE_PASSED;
}

static void on_answer(void *probe_, const struct fetch_answer *answer)
{
    struct probe *probe = probe_;
    char buffer[256];
    struct text why;
    enum probe_result result;

    text_init_fixed(&why, buffer, sizeof(buffer));
    buffer[0] = '\0';
    result = probe->conf->kind == HEALTH_GRPC ? judge_grpc(answer, &why)
                                              : judge_http(probe->conf, answer, &why);
    probe->fetch = NULL;
    probe->done(probe, result, buffer);
}

void probe_fetch_start(struct probe *probe, const struct probe_order *order)
{
    const struct health_conf *conf = &order->conf->health;
    const struct health_field *field = conf->fields.first;
    struct addr addr = probe_address(order);
    struct question question = {.request = {.connect_ms = conf->timeout_ms,
                                            .total_ms = conf->timeout_ms,
                                            .max_bytes = PROBE_BODY_BYTES,
                                            .fresh = !conf->reuse,
                                            .max_quiet_s = KEPT_S + 2 * conf->interval_ms / 1000,
                                            .done = on_answer,
                                            .arg = probe}};

    question.request.fields = question.field;
    if (conf->kind == HEALTH_GRPC) {
        ask_grpc(&question, order);
    } else {
        ask_http(&question, order);
    }
    add_field(&question, "Host", host_of(order));
    for (size_t i = 0; i < conf->fields.n; i++) {
        add_field(&question, field[i].named.name.ptr, field[i].value);
    }
    question.request.first = probe_preface(order);
    question.request.first_to = &addr;
    probe->fetch = fetch_start(probe->means->fetcher, &question.request);
}
