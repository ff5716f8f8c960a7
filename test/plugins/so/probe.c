/*
 * probe.c - a plugin that does as it is told by its options and by fields of the request.
 *
 * Every request that it sees leaves a line of what ran in the response field x-probe, and in the
 * log when it is over.
 */
#include <sluice_plugin.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum mode { MODE_PASS, MODE_REPLY, MODE_FAIL, MODE_WAIT, MODE_CRASH, MODE_OVERFLOW, MODE_SLOW };

struct conf {
    struct sluice_span word, field;
    uint32_t at[3]; /* enum mode: request head, attempt, response head */
    const struct sluice_template *text;
    uint64_t delay_ms;
    bool wants_attempts;
    uint32_t name_id;
};

struct ctx {
    char ran[256];
    size_t n;
};

static const struct sluice_choice modes[] = {{"pass", MODE_PASS, "Go on."},
                                             {"reply", MODE_REPLY, "Answer."},
                                             {"fail", MODE_FAIL, "Be unable."},
                                             {"wait", MODE_WAIT, "Wait for nobody."},
                                             {"crash", MODE_CRASH, "Take the gateway down."},
                                             {"overflow", MODE_OVERFLOW, "By its stack."},
                                             {"slow", MODE_SLOW, "Hold the worker for 20 ms."},
                                             {NULL, 0, NULL}};

#define AT(member) offsetof(struct conf, member)
static const struct sluice_option options[] = {
    {.kind = SLUICE_OPTION_TEXT,
     .flags = SLUICE_OPTION_SCALAR,
     .name = "word",
     .offset = AT(word),
     .preset = "probe",
     .help = "What it calls itself."},
    {.kind = SLUICE_OPTION_TEXT,
     .name = "field",
     .offset = AT(field),
     .preset = "x-probe",
     .help = "The response field it leaves its marks in."},
    {.kind = SLUICE_OPTION_CHOICE,
     .name = "request",
     .offset = AT(at[0]),
     .preset = "pass",
     .choices = modes,
     .help = "What it does with the head of the request."},
    {.kind = SLUICE_OPTION_CHOICE,
     .name = "attempt",
     .offset = AT(at[1]),
     .preset = "pass",
     .choices = modes,
     .help = "What it does with each attempt."},
    {.kind = SLUICE_OPTION_CHOICE,
     .name = "response",
     .offset = AT(at[2]),
     .preset = "pass",
     .choices = modes,
     .help = "What it does with the head of the response."},
    {.kind = SLUICE_OPTION_TEMPLATE,
     .name = "text",
     .offset = AT(text),
     .help = "Text for the field x-text of the request."},
    {.kind = SLUICE_OPTION_DURATION,
     .name = "delay",
     .offset = AT(delay_ms),
     .preset = "0s",
     .help = "Wait so long by a timer."},
    {.kind = SLUICE_OPTION_END},
};

static void mark(const struct sluice_call *call, const char *what)
{
    struct ctx *ctx = call->ctx;
    const struct conf *conf = call->conf;
    int n = snprintf(ctx->ran + ctx->n, sizeof(ctx->ran) - ctx->n, "%s%.*s.%s", ctx->n ? " " : "",
                     (int)conf->word.len, conf->word.ptr, what);

    if (n > 0 && (size_t)n < sizeof(ctx->ran) - ctx->n)
        ctx->n += (size_t)n;
}

static struct sluice_span ran(const struct sluice_call *call)
{
    const struct ctx *ctx = call->ctx;

    return (struct sluice_span){ctx->ran, ctx->n};
}

static void conf_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    struct conf *conf = conf_;

    if (conf->word.len == 3 && memcmp(conf->word.ptr, "bad", 3) == 0)
        host->conf_error(setup, "word", "choose another word", "the word '%s' is bad",
                         conf->word.ptr);
    conf->name_id = host->attribute(setup, SLUICE_SPAN("probe.word"));
}

static int deeper(const volatile char *above)
{
    volatile char room[4096];

    room[0] = above ? above[0] : 0;
    if (room[0] != 0)
        return 0;
    return deeper(room) + room[0]; /* until there is no stack left: that is the point */
}

static enum sluice_verdict do_as_told(const struct sluice_call *call, uint32_t mode)
{
    const struct conf *conf = call->conf;
    const struct sluice_pair field = {SLUICE_SPAN("x-answer"), conf->word};
    const struct sluice_reply reply = {.size = sizeof(reply),
                                       .status = 418,
                                       .reason = SLUICE_SPAN("told_so"),
                                       .body = SLUICE_SPAN("told so\n"),
                                       .fields = &field,
                                       .n_fields = 1};

    switch ((enum mode)mode) {
    case MODE_PASS:
        return SLUICE_NEXT;
    case MODE_REPLY:
        return call->host->reply(call, &reply) ? SLUICE_REPLIED : SLUICE_FAIL;
    case MODE_FAIL:
        return SLUICE_FAIL;
    case MODE_CRASH:
        raise(SIGSEGV);
        break;
    case MODE_OVERFLOW:
        return (enum sluice_verdict)(deeper(NULL) & SLUICE_NEXT);
    case MODE_SLOW:
        nanosleep(&(struct timespec){0, 20000000}, NULL); /* as nobody may */
        return SLUICE_NEXT;
    case MODE_WAIT:
        break;
    }
    return SLUICE_WAIT;
}

static enum sluice_verdict on_timer(const struct sluice_call *call, void *arg)
{
    (void)arg;
    mark(call, "timer");
    return SLUICE_NEXT;
}

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;

    mark(call, "request");
    call->host->attribute_set(call, conf->name_id, conf->word);
    call->host->span_attribute(call, SLUICE_SPAN("probe.word"), conf->word);
    if (conf->text)
        call->host->field_set(call, SLUICE_REQUEST, SLUICE_SPAN("x-text"),
                              call->host->render(call, conf->text));
    if (conf->delay_ms > 0 &&
        call->host->timer(call, (uint32_t)conf->delay_ms, on_timer, NULL) != 0)
        return SLUICE_WAIT;
    return do_as_told(call, conf->at[0]);
}

static enum sluice_verdict on_attempt(const struct sluice_call *call,
                                      const struct sluice_attempt *attempt)
{
    const struct conf *conf = call->conf;
    char number[16];
    int n = snprintf(number, sizeof(number), "%u", attempt->number);

    mark(call, "attempt");
    call->host->field_set(call, SLUICE_ATTEMPT, SLUICE_SPAN("x-attempt"),
                          (struct sluice_span){number, (size_t)n});
    return do_as_told(call, conf->at[1]);
}

static void on_attempt_done(const struct sluice_call *call, const struct sluice_attempt *attempt)
{
    if (attempt->status) {
        mark(call, attempt->will_retry ? "answered_again" : "answered");
    } else if (attempt->will_retry) {
        mark(call, "again");
    } else {
        mark(call, attempt->failure.len ? "failed" : "cancelled");
    }
}

static enum sluice_verdict on_local_reply(const struct sluice_call *call)
{
    struct sluice_reply reply = {.size = sizeof(reply)};
    const struct sluice_pair field = {SLUICE_SPAN("x-local"), SLUICE_SPAN("yes")};

    mark(call, "local");
    if (!call->host->reply_get(call, &reply))
        return SLUICE_FAIL;
    reply.fields = &field;
    reply.n_fields = 1;
    call->host->reply_edit(call, &reply);
    return SLUICE_NEXT;
}

static enum sluice_verdict on_response_head(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;

    mark(call, "response");
    call->host->field_add(call, SLUICE_RESPONSE, conf->field, ran(call));
    return do_as_told(call, conf->at[2]);
}

static void on_done(const struct sluice_call *call)
{
    struct sluice_pair pairs[2];
    char number[24];
    int n = snprintf(number, sizeof(number), "%lld",
                     (long long)call->host->fact(call, SLUICE_FACT_STATUS));

    mark(call, "done");
    pairs[0] = (struct sluice_pair){SLUICE_SPAN("ran"), ran(call)};
    pairs[1] = (struct sluice_pair){SLUICE_SPAN("status"), {number, (size_t)n}};
    call->host->log(call, SLUICE_LOG_INFO, "probe done", pairs, 2);
}

const struct sluice_plugin sluice_plugin = {
    SLUICE_PLUGIN_HEAD,
    .name = "probe",
    .version = "1.0.0",
    .summary = "Does as it is told, for tests.",
    .options = options,
    .conf_size = sizeof(struct conf),
    .ctx_size = sizeof(struct ctx),
    .conf_check = conf_check,
    .on_request_head = on_request_head,
    .on_attempt = on_attempt,
    .on_attempt_done = on_attempt_done,
    .on_local_reply = on_local_reply,
    .on_response_head = on_response_head,
    .on_done = on_done,
};
