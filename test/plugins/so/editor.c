/*
 * editor.c - a plugin that looks at content: reads, changes, collects or holds it.
 */
#include <sluice_plugin.h>

#include <stdio.h>
#include <string.h>

struct conf {
    uint32_t mode[2]; /* enum sluice_body_mode, of request and response */
    uint64_t limit, wait_ms;
    bool upper, refuse, fail;
    struct sluice_span suffix;
};

struct ctx {
    uint64_t bytes[2];
    uint32_t parts[2];
};

static const struct sluice_choice modes[] = {{"none", SLUICE_BODY_NONE, "Not at all."},
                                             {"read", SLUICE_BODY_READ, "Part by part."},
                                             {"edit", SLUICE_BODY_EDIT, "Part by part, to change."},
                                             {"whole", SLUICE_BODY_WHOLE, "In one piece."},
                                             {NULL, 0, NULL}};

#define AT(member) offsetof(struct conf, member)
static const struct sluice_option options[] = {
    {.kind = SLUICE_OPTION_CHOICE,
     .name = "request",
     .offset = AT(mode[0]),
     .preset = "none",
     .choices = modes,
     .help = "How it looks at content of requests."},
    {.kind = SLUICE_OPTION_CHOICE,
     .name = "response",
     .offset = AT(mode[1]),
     .preset = "none",
     .choices = modes,
     .help = "How it looks at content of responses."},
    {.kind = SLUICE_OPTION_SIZE,
     .name = "limit",
     .offset = AT(limit),
     .preset = "1MiB",
     .help = "How much it takes whole."},
    {.kind = SLUICE_OPTION_DURATION,
     .name = "hold",
     .offset = AT(wait_ms),
     .preset = "0s",
     .help = "Hold each part so long."},
    {.kind = SLUICE_OPTION_BOOL,
     .name = "upper",
     .offset = AT(upper),
     .preset = "false",
     .help = "Make capitals of letters."},
    {.kind = SLUICE_OPTION_BOOL,
     .name = "refuse",
     .offset = AT(refuse),
     .preset = "false",
     .help = "Answer at the end of the request's content."},
    {.kind = SLUICE_OPTION_BOOL,
     .name = "fail",
     .offset = AT(fail),
     .preset = "false",
     .help = "Be unable at the end of the content."},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "suffix",
     .offset = AT(suffix),
     .preset = "",
     .help = "Added at the end."},
    {.kind = SLUICE_OPTION_END},
};

static enum sluice_verdict ask_for(const struct sluice_call *call, enum sluice_side side)
{
    const struct conf *conf = call->conf;

    if (conf->mode[side] != SLUICE_BODY_NONE)
        call->host->body_want(call, side, (enum sluice_body_mode)conf->mode[side], conf->limit);
    return SLUICE_NEXT;
}

static void edit(const struct sluice_call *call, struct sluice_span part, bool last)
{
    const struct conf *conf = call->conf;
    size_t n = part.len + (last ? conf->suffix.len : 0);
    static char room[1 << 21]; /* a test has one worker */
    char *out = room;

    if ((!conf->upper && conf->suffix.len == 0) || n > sizeof(room))
        return;
    for (size_t i = 0; i < part.len; i++) {
        char c = part.ptr[i];

        out[i] = (char)(conf->upper && c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    }
    if (last)
        memcpy(out + part.len, conf->suffix.ptr, conf->suffix.len);
    call->host->body_replace(call, (struct sluice_span){out, n});
}

static enum sluice_verdict on_timer(const struct sluice_call *call, void *arg)
{
    (void)call, (void)arg;
    return SLUICE_NEXT;
}

static enum sluice_verdict look(const struct sluice_call *call, enum sluice_side side,
                                struct sluice_span part, bool last)
{
    const struct conf *conf = call->conf;
    struct ctx *ctx = call->ctx;
    const struct sluice_reply reply = {
        .size = sizeof(reply), .status = 422, .body = SLUICE_SPAN("no\n")};

    ctx->bytes[side] += part.len;
    ctx->parts[side]++;
    if (conf->mode[side] == SLUICE_BODY_EDIT || conf->mode[side] == SLUICE_BODY_WHOLE)
        edit(call, part, last);
    if (last && conf->refuse && side == SLUICE_REQUEST)
        return call->host->reply(call, &reply) ? SLUICE_REPLIED : SLUICE_FAIL;
    if (last && conf->fail)
        return SLUICE_FAIL;
    if (conf->wait_ms > 0 && call->host->timer(call, (uint32_t)conf->wait_ms, on_timer, NULL) != 0)
        return SLUICE_WAIT;
    return SLUICE_NEXT;
}

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    return ask_for(call, SLUICE_REQUEST);
}

static enum sluice_verdict on_request_body(const struct sluice_call *call, struct sluice_span part,
                                           bool last)
{
    return look(call, SLUICE_REQUEST, part, last);
}

static enum sluice_verdict on_response_head(const struct sluice_call *call)
{
    return ask_for(call, SLUICE_RESPONSE);
}

static enum sluice_verdict on_response_body(const struct sluice_call *call, struct sluice_span part,
                                            bool last)
{
    return look(call, SLUICE_RESPONSE, part, last);
}

static enum sluice_verdict on_trailers(const struct sluice_call *call)
{
    struct sluice_span value;

    call->host->field_get(call, SLUICE_REQUEST_TRAILERS, SLUICE_SPAN("x-sum"), &value);
    call->host->field_set(call, SLUICE_REQUEST_TRAILERS, SLUICE_SPAN("x-seen"), value);
    return SLUICE_NEXT;
}

static void on_done(const struct sluice_call *call)
{
    const struct ctx *ctx = call->ctx;
    char text[4][24];
    struct sluice_pair pairs[4] = {{SLUICE_SPAN("request_bytes"), {NULL, 0}},
                                   {SLUICE_SPAN("request_parts"), {NULL, 0}},
                                   {SLUICE_SPAN("response_bytes"), {NULL, 0}},
                                   {SLUICE_SPAN("response_parts"), {NULL, 0}}};

    for (int i = 0; i < 4; i++) {
        unsigned long long n = i % 2 ? ctx->parts[i / 2] : ctx->bytes[i / 2];

        pairs[i].value.ptr = text[i];
        pairs[i].value.len = (size_t)snprintf(text[i], sizeof(text[i]), "%llu", n);
    }
    call->host->log(call, SLUICE_LOG_INFO, "editor done", pairs, 4);
}

const struct sluice_plugin sluice_plugin = {
    SLUICE_PLUGIN_HEAD,
    .name = "editor",
    .version = "1.0.0",
    .summary = "Looks at content, for tests.",
    .options = options,
    .conf_size = sizeof(struct conf),
    .ctx_size = sizeof(struct ctx),
    .on_request_head = on_request_head,
    .on_request_body = on_request_body,
    .on_request_trailers = on_trailers,
    .on_response_head = on_response_head,
    .on_response_body = on_response_body,
    .on_done = on_done,
};
