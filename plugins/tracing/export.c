#include "export.h"

#include "proto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* trace_service.proto and trace.proto; all tags are one byte */
enum {
    TAG_RESOURCE_SPANS = 1 << 3 | 2,
    TAG_SCOPE_SPANS = 2 << 3 | 2,
    TAG_SPANS = 2 << 3 | 2,
};

enum {
    FRAME_MAX = 2 * (1 + PROTO_VARINT_MAX), /* lengths around resource and scope */
    RECORD_HEAD = 4,                        /* length of what follows */
    BACKOFF_MS = 1000,                      /* before the second try; doubles with each */
    BACKOFF_MAX_MS = 30000,
    KEEP_MS = 600000,            /* how long what was left waits for somebody */
    RETRY_AFTER_MAX_MS = 300000, /* a collector may ask for more, and does not get it */
};

static void tell(struct exporter *exporter, const struct sluice_call *call);

/* -- the ring --------------------------------------------------------------------- */

static void ring_write(struct export_ring *ring, const char *bytes, size_t len)
{
    size_t at = (ring->begin + ring->used) % ring->room;
    size_t first = len < ring->room - at ? len : ring->room - at;

    memcpy(ring->bytes + at, bytes, first);
    memcpy(ring->bytes, bytes + first, len - first);
    ring->used += len;
}

static void ring_read(struct export_ring *ring, char *out, size_t len)
{
    size_t first = len < ring->room - ring->begin ? len : ring->room - ring->begin;

    memcpy(out, ring->bytes + ring->begin, first);
    memcpy(out + first, ring->bytes, len - first);
    ring->begin = (ring->begin + len) % ring->room;
    ring->used -= len;
}

static bool ring_add(struct export_ring *ring, const char *span, size_t len)
{
    char tag[1 + PROTO_VARINT_MAX] = {TAG_SPANS};
    uint32_t bytes = (uint32_t)(1 + proto_varint(len, tag + 1));
    uint32_t whole = bytes + (uint32_t)len;
    char head[RECORD_HEAD];

    if (RECORD_HEAD + (size_t)whole > ring->room - ring->used || whole > EXPORT_BATCH_BYTES)
        return false;
    memcpy(head, &whole, sizeof(head));
    ring_write(ring, head, sizeof(head));
    ring_write(ring, tag, bytes);
    ring_write(ring, span, len);
    ring->n++;
    return true;
}

static size_t ring_peek(const struct export_ring *ring)
{
    struct export_ring copy = *ring;
    char head[RECORD_HEAD];
    uint32_t len;

    ring_read(&copy, head, sizeof(head));
    memcpy(&len, head, sizeof(len));
    return len;
}

/* Move whole records to out: at most n and at most room bytes. Returns the bytes. */
static size_t ring_take(struct export_ring *ring, char *out, size_t room, size_t *n)
{
    size_t len = 0, most = *n;
    char head[RECORD_HEAD];

    for (*n = 0; *n < most && ring->n > 0; ++*n) {
        size_t next = ring_peek(ring);

        if (next > room - len)
            break;
        ring_read(ring, head, sizeof(head));
        ring_read(ring, out + len, next);
        ring->n--;
        len += next;
    }
    return len;
}

/* -- counting ------------------------------------------------------------------------ */

void exporter_drop(const struct exporter *exporter, const struct sluice_call *call, uint64_t n,
                   struct sluice_span reason)
{
    if (n > 0)
        call->host->metric_add(call, exporter->conf->dropped, &reason, (double)n);
}

static void tell_queue(struct exporter *exporter, const struct sluice_call *call)
{
    size_t used = exporter->ring.used + exporter->message_len;

    if (used == exporter->told_bytes)
        return;
    call->host->metric_add(call, exporter->conf->queued, NULL,
                           (double)used - (double)exporter->told_bytes);
    exporter->told_bytes = used;
}

/* Once when it begins to fail, once when it is well again: a dead collector fills no log. */
static void say(struct exporter *exporter, const struct sluice_call *call, bool is_well,
                struct sluice_span what)
{
    struct sluice_pair pairs[] = {
        {SLUICE_SPAN("why"), what},
        {SLUICE_SPAN("endpoint"), call->host->target_text(exporter->conf->endpoint)}};

    if (exporter->is_failing != is_well)
        return;
    exporter->is_failing = !is_well;
    if (is_well) {
        call->host->log(call, SLUICE_LOG_INFO, "spans are exported again", pairs + 1, 1);
    } else {
        call->host->log(call, SLUICE_LOG_WARN, "spans cannot be exported", pairs, 2);
    }
}

/* -- the message ----------------------------------------------------------------------- */

static size_t put_length(char *out, char tag, size_t len)
{
    out[0] = tag;
    return 1 + proto_varint(len, out + 1);
}

/*
 * What stands around the spans has the lengths of all that follows, so the spans are laid down
 * first, behind room for the longest frame, and the frame is put right before them.
 */
static void frame(struct exporter *exporter, size_t spans_at, size_t spans)
{
    const struct sluice_span *resource = &exporter->conf->resource_bytes;
    const struct sluice_span *scope = &exporter->conf->scope_bytes;
    char inner[1 + PROTO_VARINT_MAX], outer[1 + PROTO_VARINT_MAX];
    size_t n_inner = put_length(inner, TAG_SCOPE_SPANS, scope->len + spans);
    size_t n_outer =
        put_length(outer, TAG_RESOURCE_SPANS, resource->len + n_inner + scope->len + spans);
    char *at = exporter->message;

    memcpy(at, outer, n_outer);
    at += n_outer;
    memcpy(at, resource->ptr, resource->len);
    at += resource->len;
    memcpy(at, inner, n_inner);
    at += n_inner;
    memcpy(at, scope->ptr, scope->len);
    at += scope->len;
    memmove(at, exporter->message + spans_at, spans);
    exporter->message_len = (size_t)(at - exporter->message) + spans;
    exporter->spans_len = spans;
}

static size_t frame_room(const struct export_conf *conf)
{
    return FRAME_MAX + conf->resource_bytes.len + conf->scope_bytes.len;
}

static void fill(struct exporter *exporter)
{
    size_t at = frame_room(exporter->conf), len;

    exporter->n_spans = exporter->conf->batch;
    len =
        ring_take(&exporter->ring, exporter->message + at, EXPORT_BATCH_BYTES, &exporter->n_spans);
    frame(exporter, at, len);
    exporter->tries = 0;
}

/* -- what the collector answers ---------------------------------------------------------- */

static bool read_varint(struct sluice_span *rest, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && rest->len > 0; shift += 7) {
        unsigned char c = (unsigned char)*rest->ptr++;

        rest->len--;
        *value |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80)
            return true;
    }
    return false;
}

/* The number of a field and its value or length; the bytes of a length stay in rest. */
static bool read_field(struct sluice_span *rest, uint64_t *field, uint64_t *value)
{
    if (!read_varint(rest, field) || ((*field & 7) != 0 && (*field & 7) != 2) ||
        !read_varint(rest, value))
        return false;
    return (*field & 7) == 0 || *value <= rest->len;
}

/* ExportTraceServiceResponse.partial_success.rejected_spans; 0 when it says nothing we can read. */
static uint64_t rejected(struct sluice_span body)
{
    uint64_t field, value;
    struct sluice_span inner;

    if (!read_field(&body, &field, &value) || field != (1 << 3 | 2))
        return 0;
    inner = (struct sluice_span){body.ptr, (size_t)value};
    while (inner.len > 0 && read_field(&inner, &field, &value)) {
        if (field == 1 << 3)
            return value;
        if ((field & 7) == 2) {
            inner.ptr += value;
            inner.len -= (size_t)value;
        }
    }
    return 0;
}

static bool is_worth_retrying(const struct sluice_http_response *response)
{
    if (response->end != SLUICE_HTTP_OK)
        return response->end != SLUICE_HTTP_TOO_LARGE;
    return response->status == 429 || (response->status >= 502 && response->status <= 504);
}

/* Seconds; a date is not looked at. */
static uint64_t retry_after_ms(const struct sluice_http_response *response)
{
    for (size_t i = 0; i < response->n_fields; i++) {
        const struct sluice_pair *field = &response->fields[i];
        uint64_t seconds = 0;

        if (field->name.len != 11 || memcmp(field->name.ptr, "retry-after", 11) != 0)
            continue;
        for (size_t k = 0; k < field->value.len && k < 9; k++) {
            char c = field->value.ptr[k];

            if (c < '0' || c > '9')
                return 0;
            seconds = seconds * 10 + (uint64_t)(c - '0');
        }
        return seconds * 1000 < RETRY_AFTER_MAX_MS ? seconds * 1000 : RETRY_AFTER_MAX_MS;
    }
    return 0;
}

/* -- sending ---------------------------------------------------------------------------- */

/* Between half of it and one and a half: workers and gateways do not come all at once. */
static uint32_t jitter(const struct sluice_call *call, uint64_t ms)
{
    uint64_t out = ms / 2 + call->host->random(call) % (ms + 1);

    return out > 0 ? (uint32_t)out : 1;
}

static void forget(struct exporter *exporter)
{
    exporter->state = EXPORT_IDLE;
    exporter->message_len = exporter->spans_len = exporter->n_spans = 0;
}

static enum sluice_verdict on_pause_over(const struct sluice_call *call, void *arg)
{
    tell(arg, call);
    return SLUICE_NEXT;
}

/* It was not taken: try again, or give up. */
static void fail(struct exporter *exporter, const struct sluice_call *call, bool is_final,
                 uint64_t wait_ms)
{
    uint64_t backoff = (uint64_t)BACKOFF_MS << (exporter->tries < 6 ? exporter->tries - 1 : 5);
    uint32_t ms = jitter(call, backoff < BACKOFF_MAX_MS ? backoff : BACKOFF_MAX_MS);

    if (ms < wait_ms)
        ms = (uint32_t)wait_ms;
    if (!is_final && exporter->tries <= exporter->conf->retries &&
        call->host->timer(call, ms, on_pause_over, exporter) != 0) {
        exporter->state = EXPORT_PAUSING;
        return;
    }
    exporter_drop(exporter, call, exporter->n_spans,
                  is_final ? SLUICE_SPAN("refused") : SLUICE_SPAN("gave_up"));
    forget(exporter);
}

static struct sluice_span result_of(const struct sluice_http_response *response)
{
    switch ((enum sluice_http_end)response->end) {
    case SLUICE_HTTP_OK:
        break;
    case SLUICE_HTTP_TIMEOUT:
        return SLUICE_SPAN("timeout");
    case SLUICE_HTTP_UNREACHABLE:
        return SLUICE_SPAN("unreachable");
    case SLUICE_HTTP_BROKEN:
        return SLUICE_SPAN("broken");
    case SLUICE_HTTP_TOO_LARGE:
        return SLUICE_SPAN("too_large");
    }
    if (response->status >= 200 && response->status < 300)
        return SLUICE_SPAN("ok");
    return is_worth_retrying(response) ? SLUICE_SPAN("busy") : SLUICE_SPAN("refused");
}

static enum sluice_verdict on_answer(const struct sluice_call *call,
                                     const struct sluice_http_response *response, void *arg)
{
    struct exporter *exporter = arg;
    struct sluice_span result = result_of(response);
    bool is_well = result.len == 2;

    call->host->metric_add(call, exporter->conf->calls, &result, 1);
    say(exporter, call, is_well, result);
    if (is_well) {
        uint64_t lost = rejected(response->body);

        if (lost > exporter->n_spans)
            lost = exporter->n_spans;
        exporter_drop(exporter, call, lost, SLUICE_SPAN("rejected"));
        call->host->metric_add(call, exporter->conf->exported, NULL,
                               (double)(exporter->n_spans - lost));
        forget(exporter);
    } else {
        fail(exporter, call, !is_worth_retrying(response), retry_after_ms(response));
    }
    if (exporter->state == EXPORT_IDLE && exporter->ring.n >= exporter->conf->batch)
        tell(exporter, call);
    tell_queue(exporter, call);
    return SLUICE_NEXT;
}

/* Send the message under way, or the next one. call is the worker's. */
static void tell(struct exporter *exporter, const struct sluice_call *call)
{
    const struct export_conf *conf = exporter->conf;
    struct sluice_http_request request = {.size = sizeof(request),
                                          .method = SLUICE_SPAN("POST"),
                                          .target = conf->endpoint,
                                          .fields = conf->pairs,
                                          .n_fields = conf->n_pairs,
                                          .timeout_ms = (uint32_t)conf->timeout_ms};

    if (exporter->message_len == 0)
        fill(exporter);
    request.body = (struct sluice_span){exporter->message, exporter->message_len};
    exporter->state = EXPORT_SENDING;
    exporter->tries++;
    if (call->host->http_call(call, &request, on_answer, exporter) == 0)
        fail(exporter, call, false, 0);
}

/* -- time ---------------------------------------------------------------------------------- */

static enum sluice_verdict on_tick(const struct sluice_call *call, void *arg);

static void set_tick(struct exporter *exporter, const struct sluice_call *call)
{
    exporter->has_tick =
        call->host->timer(call, jitter(call, exporter->conf->interval_ms), on_tick, exporter) != 0;
}

struct key {
    char text[16];
    struct sluice_span span;
};

/* What a worker leaves is known by its number. */
static void make_key(const struct sluice_call *call, struct key *key)
{
    key->span.ptr = key->text;
    key->span.len =
        (size_t)snprintf(key->text, sizeof(key->text), "%u", call->host->worker_index(call));
}

/*
 * Records left by a worker before us, without their lengths, in at most room bytes, which are at
 * least 4; how many there are is in *n. What finds no room is dropped.
 */
static size_t take_left(struct exporter *exporter, const struct sluice_call *call, char *out,
                        size_t room, size_t *n)
{
    struct sluice_map *left = exporter->conf->left;
    uint64_t serial;
    uint32_t count;
    size_t len = 0;
    struct key key;

    make_key(call, &key);
    *n = 0;
    if (!left || call->host->map_get(left, key.span, out, room, &len, &serial) != SLUICE_SHARED_OK)
        return 0;
    call->host->map_remove(left, key.span);
    if (len < sizeof(count))
        return 0;
    memcpy(&count, out, sizeof(count));
    if (len > room) {
        exporter_drop(exporter, call, count, SLUICE_SPAN("stopped"));
        return 0;
    }
    memmove(out, out + sizeof(count), len - sizeof(count));
    *n = count;
    return len - sizeof(count);
}

static void inherit(struct exporter *exporter, const struct sluice_call *call)
{
    size_t at = frame_room(exporter->conf), len;

    if (exporter->state != EXPORT_IDLE)
        return;
    len = take_left(exporter, call, exporter->message + at, EXPORT_KEEP_BYTES, &exporter->n_spans);
    if (len == 0)
        return;
    frame(exporter, at, len);
    exporter->tries = 0;
    tell(exporter, call);
}

static enum sluice_verdict on_tick(const struct sluice_call *call, void *arg)
{
    struct exporter *exporter = arg;

    inherit(exporter, call);
    if (exporter->state == EXPORT_IDLE && exporter->ring.n > 0)
        tell(exporter, call);
    tell_queue(exporter, call);
    set_tick(exporter, call);
    return SLUICE_NEXT;
}

void exporter_add(struct exporter *exporter, const struct sluice_call *call, const char *span,
                  size_t len)
{
    const struct sluice_call *own = NULL;

    if (!ring_add(&exporter->ring, span, len)) {
        exporter_drop(exporter, call, 1, SLUICE_SPAN("queue_full"));
        return;
    }
    if (exporter->state == EXPORT_IDLE && exporter->ring.n >= exporter->conf->batch) {
        own = call->host->worker_call(call);
        tell(exporter, own);
        tell_queue(exporter, own);
    }
    if (!exporter->has_tick)
        set_tick(exporter, own ? own : call->host->worker_call(call));
}

/* -- life ------------------------------------------------------------------------------------ */

bool exporter_init(struct exporter *exporter, const struct sluice_call *call,
                   const struct export_conf *conf)
{
    exporter->conf = conf;
    exporter->ring.room = (size_t)conf->queue_bytes;
    exporter->ring.bytes = malloc(exporter->ring.room);
    exporter->message = malloc(frame_room(conf) + EXPORT_BATCH_BYTES);
    if (!exporter->ring.bytes || !exporter->message)
        return false;
    set_tick(exporter, call);
    return true;
}

/* The batch under way moves to out, when it fits; how many spans there are is in *n. */
static size_t take_message(struct exporter *exporter, const struct sluice_call *call, char *out,
                           size_t room, size_t *n)
{
    size_t len = exporter->spans_len;

    *n = len <= room ? exporter->n_spans : 0;
    exporter_drop(exporter, call, exporter->n_spans - *n, SLUICE_SPAN("stopped"));
    if (len > room)
        return 0;
    memmove(out, exporter->message + exporter->message_len - len, len);
    return len;
}

enum sluice_verdict exporter_drain(struct exporter *exporter, const struct sluice_call *call)
{
    if (exporter->state == EXPORT_PAUSING)
        return SLUICE_NEXT;
    inherit(exporter, call);
    if (exporter->state == EXPORT_IDLE && exporter->ring.n > 0)
        tell(exporter, call);
    tell_queue(exporter, call);
    return exporter->state == EXPORT_SENDING ? SLUICE_WAIT : SLUICE_NEXT;
}

/*
 * A reload ends us while spans wait. The worker of the new configuration looks after them: what
 * fits goes to shared memory under the worker's number, the rest is counted. A batch whose answer
 * has not come is sent again: a span that arrives twice is found by its id, a lost one is not.
 */
static void leave(struct exporter *exporter, const struct sluice_call *call)
{
    char *out = exporter->message, *at = out + sizeof(uint32_t), *end = out + EXPORT_KEEP_BYTES;
    size_t len, n, left, more = SIZE_MAX;
    uint32_t count;
    struct key key;

    at += take_message(exporter, call, at, (size_t)(end - at), &n);
    if (end - at >= (ptrdiff_t)sizeof(count)) {
        at += take_left(exporter, call, at, (size_t)(end - at), &left);
        n += left;
    }
    at += ring_take(&exporter->ring, at, (size_t)(end - at), &more);
    n += more;
    len = (size_t)(at - out) - sizeof(count);
    count = (uint32_t)n;
    memcpy(out, &count, sizeof(count));
    make_key(call, &key);
    if (n > 0 && (!exporter->conf->left ||
                  call->host->map_set(exporter->conf->left, key.span,
                                      (struct sluice_span){out, len + sizeof(count)},
                                      KEEP_MS) != SLUICE_SHARED_OK))
        exporter_drop(exporter, call, n, SLUICE_SPAN("stopped"));
    exporter_drop(exporter, call, exporter->ring.n, SLUICE_SPAN("stopped"));
    forget(exporter);
    exporter->ring.used = exporter->ring.n = 0;
    tell_queue(exporter, call);
}

void exporter_fini(struct exporter *exporter, const struct sluice_call *call)
{
    if (exporter->ring.bytes && exporter->message)
        leave(exporter, call);
    free(exporter->ring.bytes);
    free(exporter->message);
    exporter->ring.bytes = exporter->message = NULL;
}

/* -- configuration -------------------------------------------------------------------------- */

enum { RESOURCE_ATTRIBUTES = 1, SCOPE_NAME = 1, SCOPE_VERSION = 2, FIELD_ONE = 1 };

static void check_words(const struct sluice_host *host, struct sluice_setup *setup,
                        const char *option, const struct sluice_list *list)
{
    const struct export_word *word = list->first;

    for (size_t i = 0; i < list->n; i++) {
        if (word[i].name.len == 0 || word[i].name.len > 255) {
            host->conf_error(setup, option, "write names of 1 to 255 bytes", "a name has %zu bytes",
                             word[i].name.len);
        }
    }
}

/* Service first; what the configuration says of it wins. */
static void put_resource(const struct sluice_host *host, const struct export_conf *conf,
                         struct proto *proto)
{
    const struct export_word *word = conf->resource.first;
    static const struct sluice_span service = SLUICE_SPAN_INIT("service.name");
    static const struct sluice_span version = SLUICE_SPAN_INIT("service.version");
    bool has_service = false, has_version = false;

    for (size_t i = 0; i < conf->resource.n; i++) {
        has_service |= word[i].name.len == service.len &&
                       memcmp(word[i].name.ptr, service.ptr, service.len) == 0;
        has_version |= word[i].name.len == version.len &&
                       memcmp(word[i].name.ptr, version.ptr, version.len) == 0;
        proto_pair_text(proto, RESOURCE_ATTRIBUTES, word[i].name, word[i].value);
    }
    if (!has_service)
        proto_pair_text(proto, RESOURCE_ATTRIBUTES, service, conf->service);
    if (!has_version) {
        proto_pair_text(proto, RESOURCE_ATTRIBUTES, version,
                        (struct sluice_span){host->version, strlen(host->version)});
    }
}

/* The bytes as field 1 of the message they belong to. */
static struct sluice_span keep(const struct sluice_host *host, struct sluice_setup *setup,
                               const struct proto *proto)
{
    struct proto out = {.room = proto->len + 1 + PROTO_VARINT_MAX};

    out.out = host->conf_alloc(setup, out.room);
    proto_bytes(&out, FIELD_ONE, proto->out, proto->len);
    return (struct sluice_span){out.out, out.len};
}

static void make_pairs(const struct sluice_host *host, struct sluice_setup *setup,
                       struct export_conf *conf)
{
    const struct export_word *word = conf->fields.first;
    struct sluice_pair *pairs = host->conf_alloc(setup, (conf->fields.n + 1) * sizeof(*pairs));

    pairs[0] =
        (struct sluice_pair){SLUICE_SPAN("content-type"), SLUICE_SPAN("application/x-protobuf")};
    for (size_t i = 0; i < conf->fields.n; i++)
        pairs[i + 1] = (struct sluice_pair){word[i].name, word[i].value};
    conf->pairs = pairs;
    conf->n_pairs = conf->fields.n + 1;
}

void export_check(const struct sluice_host *host, struct sluice_setup *setup,
                  struct export_conf *conf)
{
    char small[256];
    struct proto scope = {.out = small, .room = sizeof(small)};
    struct proto resource = {.room = conf->service.len + strlen(host->version) + 128};
    const struct export_word *word = conf->resource.first;

    check_words(host, setup, "resource", &conf->resource);
    check_words(host, setup, "fields", &conf->fields);
    for (size_t i = 0; i < conf->resource.n; i++)
        resource.room += word[i].name.len + word[i].value.len + 64;
    resource.out = host->conf_alloc(setup, resource.room);
    put_resource(host, conf, &resource);
    conf->resource_bytes = keep(host, setup, &resource);
    proto_text(&scope, SCOPE_NAME, SLUICE_SPAN("sluice"));
    proto_text(&scope, SCOPE_VERSION, (struct sluice_span){host->version, strlen(host->version)});
    conf->scope_bytes = keep(host, setup, &scope);
    make_pairs(host, setup, conf);
}

bool export_start(const struct sluice_host *host, struct sluice_setup *setup,
                  struct export_conf *conf)
{
    static const char *const by_reason[] = {"reason", NULL};
    static const char *const by_result[] = {"result", NULL};
    static const struct sluice_metric_spec exported = {.size = sizeof(exported),
                                                       .kind = SLUICE_COUNTER,
                                                       .name = "exported_total",
                                                       .help =
                                                           "Spans that the collector has taken."};
    static const struct sluice_metric_spec dropped = {.size = sizeof(dropped),
                                                      .kind = SLUICE_COUNTER,
                                                      .name = "dropped_total",
                                                      .help = "Spans that nobody will see.",
                                                      .labels = by_reason};
    static const struct sluice_metric_spec calls = {.size = sizeof(calls),
                                                    .kind = SLUICE_COUNTER,
                                                    .name = "exports_total",
                                                    .help = "Messages sent to the collector.",
                                                    .labels = by_result};
    static const struct sluice_metric_spec queued = {.size = sizeof(queued),
                                                     .kind = SLUICE_GAUGE,
                                                     .name = "queued_bytes",
                                                     .help = "Spans that wait for being exported."};
    struct sluice_shared_spec left = {.size = sizeof(left),
                                      .version = 1,
                                      .name = "left",
                                      .key = host->conf_place(setup),
                                      .capacity = host->workers(setup),
                                      .max_value = EXPORT_KEEP_BYTES};

    conf->exported = host->metric(setup, &exported);
    conf->dropped = host->metric(setup, &dropped);
    conf->calls = host->metric(setup, &calls);
    conf->queued = host->metric(setup, &queued);
    conf->left = host->map(setup, &left);
    return true;
}
