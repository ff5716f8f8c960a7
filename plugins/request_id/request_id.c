/*
 * request_id - give every request an id, or keep the one that a trusted peer gave it.
 *
 * The id goes to the upstream and back to the client in a field, and becomes the attribute
 * request.id: access log, error pages and other plugins tell of the same id.
 */
#include "kit/print.h"
#include "sluice_plugin.h"

#include <arpa/inet.h>
#include <string.h>

enum format { FORMAT_UUID7, FORMAT_UUID4, FORMAT_HEX };

enum { ID_BYTES = 36 /* of a UUID as text */ };

struct conf {
    struct sluice_span field, response_field;
    struct sluice_list trust; /* of struct sluice_network */
    uint64_t max_length;
    uint32_t format;
    bool response;
    uint32_t id, peer; /* numbers of attributes */
};

struct ctx {
    struct sluice_span id; /* in the exchange's memory */
};

/* clang-format off */
static const struct sluice_choice formats[] = {
    {"uuid7", FORMAT_UUID7, "RFC 9562 version 7: ordered by time"},
    {"uuid4", FORMAT_UUID4, "RFC 9562 version 4: random"},
    {"hex", FORMAT_HEX, "32 hexadecimal digits, as a trace id"},
    {NULL, 0, NULL}};

static const struct sluice_option options[] = {
    {.kind = SLUICE_OPTION_TEXT, .name = "field", .offset = offsetof(struct conf, field),
     .preset = "x-request-id", .help = "field of the request that carries the id",
     .example = "x-correlation-id"},
    {.kind = SLUICE_OPTION_CHOICE, .name = "format", .offset = offsetof(struct conf, format),
     .preset = "uuid7", .choices = formats, .help = "what an id made here looks like"},
    {.kind = SLUICE_OPTION_LIST, .name = "trust", .offset = offsetof(struct conf, trust),
     .element = SLUICE_OPTION_NETWORK, .element_size = sizeof(struct sluice_network), .max = 1000,
     .help = "peers whose ids are kept; from all others a new one replaces it",
     .example = "[10.0.0.0/8, 'fd00::/8']"},
    {.kind = SLUICE_OPTION_UINT, .name = "max_length", .offset = offsetof(struct conf, max_length),
     .preset = "128", .min = 1, .max = 1024,
     .help = "a longer id is replaced, even a trusted one"},
    {.kind = SLUICE_OPTION_BOOL, .name = "response", .offset = offsetof(struct conf, response),
     .preset = "true", .help = "tell the client the id too"},
    {.kind = SLUICE_OPTION_TEXT, .name = "response_field",
     .offset = offsetof(struct conf, response_field),
     .help = "field of the response, when it is another than `field`",
     .example = "x-request-id"},
    {.kind = SLUICE_OPTION_END}};
/* clang-format on */

/* -- addresses ------------------------------------------------------------------ */

/* As in struct sluice_network. False: no address (a unix socket has none). */
static bool parse_address(struct sluice_span text, uint8_t address[16])
{
    char copy[INET6_ADDRSTRLEN];

    if (text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    memset(address, 0, 10);
    memset(address + 10, 0xff, 2);
    return inet_pton(AF_INET, copy, address + 12) == 1 || inet_pton(AF_INET6, copy, address) == 1;
}

static bool is_inside(const uint8_t address[16], const struct sluice_network *network)
{
    uint32_t bytes = network->bits / 8, rest = network->bits % 8;

    if (memcmp(address, network->address, bytes) != 0)
        return false;
    return rest == 0 || ((address[bytes] ^ network->address[bytes]) >> (8 - rest)) == 0;
}

static bool is_trusted(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;
    const struct sluice_network *network = conf->trust.first;
    struct sluice_span peer;
    uint8_t address[16];

    if (conf->trust.n == 0 || !call->host->attribute_get(call, conf->peer, &peer) ||
        !parse_address(peer, address))
        return false;
    for (size_t i = 0; i < conf->trust.n; i++) {
        if (is_inside(address, &network[i]))
            return true;
    }
    return false;
}

/* -- ids ---------------------------------------------------------------------------- */

/* What may stand in logs and fields of anybody without quoting. */
static bool is_sound(struct sluice_span id, uint64_t max_length)
{
    if (id.len == 0 || id.len > max_length)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            (c == '\0' || !strchr("-._~:/+=@#$", c)))
            return false;
    }
    return true;
}

static void print_uuid(char out[ID_BYTES], uint64_t high, uint64_t low)
{
    out[8] = out[13] = out[18] = out[23] = '-';
    print_hex(out, high >> 32, 8);
    print_hex(out + 9, high >> 16, 4);
    print_hex(out + 14, high, 4);
    print_hex(out + 19, low >> 48, 4);
    print_hex(out + 24, low, 12);
}

static size_t make_id(const struct sluice_call *call, enum format format, char out[ID_BYTES])
{
    uint64_t high = 0, low = call->host->random(call), wall_us;

    switch (format) {
    case FORMAT_UUID7:
        wall_us = call->host->wall_us(call);
        /* milliseconds, then their fraction in 4096ths (RFC 9562 6.2, method 3) */
        high = wall_us / 1000 << 16 | 0x7000 | (wall_us % 1000 * 4096 / 1000);
        break;
    case FORMAT_UUID4:
        high = (call->host->random(call) & ~UINT64_C(0xf000)) | 0x4000;
        break;
    case FORMAT_HEX:
        /* all zeros would be no trace id */
        print_hex(out, call->host->random(call), 16);
        print_hex(out + 16, low | 1, 16);
        return 32;
    }
    print_uuid(out, high, (low & UINT64_C(0x3fffffffffffffff)) | UINT64_C(1) << 63);
    return ID_BYTES;
}

/* -- phases -------------------------------------------------------------------------- */

static void conf_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    struct conf *conf = conf_;

    conf->id = host->attribute(setup, SLUICE_SPAN("request.id"));
    conf->peer = host->attribute(setup, SLUICE_SPAN("peer.address"));
    if (conf->field.len == 0)
        host->conf_error(setup, "field", "x-request-id is usual", "it is empty");
    if (conf->response_field.len == 0)
        conf->response_field = conf->field;
}

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    const struct sluice_host *host = call->host;
    const struct conf *conf = call->conf;
    struct ctx *ctx = call->ctx;
    struct sluice_span id;
    char made[ID_BYTES];

    if (!host->field_get(call, SLUICE_REQUEST, conf->field, &id) || !is_trusted(call) ||
        !is_sound(id, conf->max_length)) {
        id.ptr = made;
        id.len = make_id(call, (enum format)conf->format, made);
    }
    ctx->id = host->copy(call, id);
    if (ctx->id.len == 0)
        return SLUICE_FAIL;
    /* a log line with the gateway's own id is no reason to fail a request */
    (void)host->attribute_set(call, conf->id, ctx->id);
    return host->field_set(call, SLUICE_REQUEST, conf->field, ctx->id) ? SLUICE_NEXT : SLUICE_FAIL;
}

static enum sluice_verdict on_response_head(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;
    const struct ctx *ctx = call->ctx;

    /* without an id the request's phase has failed, and on_error has decided about that */
    if (!conf->response || ctx->id.len == 0)
        return SLUICE_NEXT;
    return call->host->field_set(call, SLUICE_RESPONSE, conf->response_field, ctx->id)
               ? SLUICE_NEXT
               : SLUICE_FAIL;
}

const struct sluice_plugin sluice_plugin = {
    SLUICE_PLUGIN_HEAD,
    .name = "request_id",
    .version = "1.0.0",
    .summary = "Gives every request an id, or keeps the one of a trusted peer.",
    .options = options,
    .conf_size = sizeof(struct conf),
    .ctx_size = sizeof(struct ctx),
    .conf_check = conf_check,
    .on_request_head = on_request_head,
    .on_response_head = on_response_head,
};
