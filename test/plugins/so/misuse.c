/*
 * misuse.c - a plugin that does what the header tells it not to: a gateway says no, and serves on.
 */
#include <sluice_plugin.h>

#include <string.h>

struct conf {
    struct sluice_span id;
    const struct sluice_template *text;
    uint32_t id_number;
};

struct worker {
    unsigned asked, refused;
};

#define AT(member) offsetof(struct conf, member)
static const struct sluice_option options[] = {
    {.kind = SLUICE_OPTION_TEXT,
     .name = "id",
     .offset = AT(id),
     .preset = "abc-1",
     .help = "What it calls the request."},
    {.kind = SLUICE_OPTION_TEMPLATE,
     .name = "text",
     .offset = AT(text),
     .preset = "${request.id}",
     .help = "For the field x-text."},
    {.kind = SLUICE_OPTION_END},
};

static void conf_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    struct conf *conf = conf_;

    conf->id_number = host->attribute(setup, SLUICE_SPAN("request.id"));
}

static void count(const struct sluice_call *call, bool is_refused)
{
    struct worker *worker = call->worker;

    worker->asked++;
    worker->refused += is_refused;
}

/* All that wants an exchange, where there is none. */
static void ask_without_exchange(const struct sluice_call *call)
{
    const struct sluice_host *host = call->host;
    const struct conf *conf = call->conf;
    const struct sluice_reply reply = {.size = sizeof(reply), .status = 200};
    struct sluice_reply now = {.size = sizeof(now)};
    struct sluice_span value = {NULL, 0};
    struct sluice_pair pair;
    size_t at = 0;

    count(call, !host->alloc(call, 8));
    count(call, !host->copy(call, SLUICE_SPAN("a")).ptr);
    count(call, !host->field_get(call, SLUICE_REQUEST, SLUICE_SPAN("host"), &value));
    count(call, !host->field_each(call, SLUICE_REQUEST, &at, &pair));
    count(call, !host->field_set(call, SLUICE_REQUEST, SLUICE_SPAN("a"), SLUICE_SPAN("b")));
    count(call, !host->field_add(call, SLUICE_REQUEST, SLUICE_SPAN("a"), SLUICE_SPAN("b")));
    count(call, !host->field_remove(call, SLUICE_REQUEST, SLUICE_SPAN("a")));
    count(call, !host->attribute_get(call, conf->id_number, &value));
    count(call, !host->attribute_set(call, conf->id_number, SLUICE_SPAN("b")));
    count(call, host->fact(call, SLUICE_FACT_STATUS) == -1);
    count(call, !host->target_set(call, SLUICE_SPAN("/"), SLUICE_SPAN("")));
    count(call, !host->upstream_set(call, NULL));
    count(call, !host->render(call, conf->text).ptr);
    count(call, !host->reply(call, &reply));
    count(call, !host->reply_edit(call, &reply));
    count(call, !host->reply_get(call, &now));
    count(call, !host->body_want(call, SLUICE_REQUEST, SLUICE_BODY_WHOLE, 0));
    count(call, !host->body_replace(call, SLUICE_SPAN("a")));
    count(call, host->ticket(call).serial == 0);
    count(call, !host->span_attribute_each(call, &at, &pair));
    host->note(call, SLUICE_SPAN("a"));
    host->detach(call, ~0u);
    host->span_attribute(call, SLUICE_SPAN("a"), SLUICE_SPAN("b"));
    host->metric_add(call, NULL, NULL, 1);
    host->cancel(call, 12345);
}

static bool worker_start(const struct sluice_call *call)
{
    ask_without_exchange(call);
    return true;
}

static enum sluice_verdict never(const struct sluice_call *call, void *arg)
{
    (void)arg;
    count(call, false);
    return SLUICE_REPLIED;
}

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    const struct sluice_host *host = call->host;
    const struct conf *conf = call->conf;
    const struct sluice_reply reply = {.size = sizeof(reply), .status = 418};
    struct sluice_ticket ticket;

    ask_without_exchange(host->worker_call(call));
    count(call, !host->attribute_set(call, conf->id_number, SLUICE_SPAN("a \"b\"")));
    count(call, !host->attribute_set(call, conf->id_number, SLUICE_SPAN("")));
    (void)host->attribute_set(call, conf->id_number, conf->id);
    count(call, !host->field_set(call, SLUICE_REQUEST, SLUICE_SPAN("Host"), SLUICE_SPAN("b")));
    count(call, !host->field_remove(call, SLUICE_REQUEST, SLUICE_SPAN("host")));
    count(call, !host->field_set(call, SLUICE_ATTEMPT, SLUICE_SPAN("a"), SLUICE_SPAN("b")));
    count(call, !host->body_replace(call, SLUICE_SPAN("a")));
    count(call, !host->body_want(call, SLUICE_RESPONSE, SLUICE_BODY_WHOLE, 0));
    host->field_set(call, SLUICE_REQUEST, SLUICE_SPAN("x-text"), host->render(call, conf->text));
    /* Twice, and not meant: the verdict says so. */
    (void)host->reply(call, &reply);
    (void)host->reply(call, &reply);
    ticket = host->ticket(call);
    count(call, !host->resume(call, ticket, SLUICE_NEXT, NULL, NULL));
    return SLUICE_NEXT;
}

static enum sluice_verdict on_attempt(const struct sluice_call *call,
                                      const struct sluice_attempt *attempt)
{
    (void)attempt;
    count(call, call->host->ticket(call).serial == 0);
    return SLUICE_NEXT;
}

static enum sluice_verdict on_response_head(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;

    count(call, !call->host->attribute_set(call, conf->id_number, SLUICE_SPAN("late")));
    count(call, !call->host->body_want(call, SLUICE_REQUEST, SLUICE_BODY_WHOLE, 0));
    return SLUICE_NEXT;
}

/* What would stay behind when the exchange is gone. */
static void on_done(const struct sluice_call *call)
{
    const struct sluice_reply reply = {.size = sizeof(reply), .status = 418};
    const struct worker *worker = call->worker;

    count(call, call->host->ticket(call).serial == 0);
    count(call, call->host->timer(call, 1, never, NULL) == 0);
    (void)call->host->reply(call, &reply);
    call->host->log(call, SLUICE_LOG_INFO,
                    worker->asked == worker->refused ? "all refused" : "not refused", NULL, 0);
}

const struct sluice_plugin sluice_plugin = {
    SLUICE_PLUGIN_HEAD,
    .name = "misuse",
    .version = "1.0.0",
    .summary = "Does what it must not, for tests.",
    .options = options,
    .conf_size = sizeof(struct conf),
    .worker_size = sizeof(struct worker),
    .ctx_size = 8,
    .conf_check = conf_check,
    .worker_start = worker_start,
    .on_request_head = on_request_head,
    .on_attempt = on_attempt,
    .on_response_head = on_response_head,
    .on_done = on_done,
};
