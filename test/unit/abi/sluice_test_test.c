#include "unit.h"

#include "abi/sluice_test.h"

#include <stdio.h>
#include <string.h>

/* A plugin whose phases do what the test asks for. */

struct rule {
    struct sluice_span name;
    struct sluice_rate rate;
    uint32_t how;
};

struct conf {
    struct sluice_span field;
    uint64_t delay_ms, bytes;
    double share;
    struct sluice_list rules, words, named;
    struct sluice_network network;
    const struct sluice_template *text;
    const struct sluice_target *target;
    struct rule one;
    struct sluice_metric *seen;
    struct sluice_words *count;
    uint32_t attribute;
    enum sluice_verdict (*head)(const struct sluice_call *call);
    enum sluice_verdict (*body)(const struct sluice_call *call, struct sluice_span part, bool last);
};

struct named {
    struct sluice_span name;
    struct sluice_span to;
};

struct ctx {
    struct sluice_span kept;
    int called, done;
};

static const struct sluice_choice hows[] = {
    {"deny", 1, "no"}, {"allow", 2, "yes"}, {NULL, 0, NULL}};
static const struct sluice_option rule_options[] = {{.kind = SLUICE_OPTION_TEXT,
                                                     .flags = SLUICE_OPTION_SCALAR,
                                                     .name = "name",
                                                     .offset = offsetof(struct rule, name),
                                                     .help = "its name"},
                                                    {.kind = SLUICE_OPTION_RATE,
                                                     .name = "rate",
                                                     .offset = offsetof(struct rule, rate),
                                                     .preset = "10/s",
                                                     .help = "how often"},
                                                    {.kind = SLUICE_OPTION_CHOICE,
                                                     .name = "how",
                                                     .offset = offsetof(struct rule, how),
                                                     .preset = "deny",
                                                     .choices = hows,
                                                     .help = "what then"},
                                                    {.kind = SLUICE_OPTION_END}};
static const struct sluice_option named_options[] = {{.kind = SLUICE_OPTION_TEXT,
                                                      .flags = SLUICE_OPTION_SCALAR,
                                                      .name = "to",
                                                      .offset = offsetof(struct named, to),
                                                      .help = "where"},
                                                     {.kind = SLUICE_OPTION_END}};
static const struct sluice_option options[] = {{.kind = SLUICE_OPTION_TEXT,
                                                .name = "field",
                                                .offset = offsetof(struct conf, field),
                                                .preset = "x-a",
                                                .help = "a field"},
                                               {.kind = SLUICE_OPTION_DURATION,
                                                .name = "delay",
                                                .offset = offsetof(struct conf, delay_ms),
                                                .preset = "250ms",
                                                .max = 60000,
                                                .help = "how long"},
                                               {.kind = SLUICE_OPTION_SIZE,
                                                .name = "bytes",
                                                .offset = offsetof(struct conf, bytes),
                                                .preset = "64KiB",
                                                .help = "how much"},
                                               {.kind = SLUICE_OPTION_RATIO,
                                                .name = "share",
                                                .offset = offsetof(struct conf, share),
                                                .preset = "50%",
                                                .help = "how many"},
                                               {.kind = SLUICE_OPTION_LIST,
                                                .name = "rules",
                                                .offset = offsetof(struct conf, rules),
                                                .max = 3,
                                                .fields = rule_options,
                                                .element = SLUICE_OPTION_STRUCT,
                                                .element_size = sizeof(struct rule),
                                                .help = "rules"},
                                               {.kind = SLUICE_OPTION_LIST,
                                                .name = "words",
                                                .offset = offsetof(struct conf, words),
                                                .preset = "[GET, 'HE AD']",
                                                .element = SLUICE_OPTION_TEXT,
                                                .element_size = sizeof(struct sluice_span),
                                                .help = "words"},
                                               {.kind = SLUICE_OPTION_MAP,
                                                .name = "named",
                                                .offset = offsetof(struct conf, named),
                                                .fields = named_options,
                                                .element = SLUICE_OPTION_STRUCT,
                                                .element_size = sizeof(struct named),
                                                .help = "a map"},
                                               {.kind = SLUICE_OPTION_NETWORK,
                                                .name = "network",
                                                .offset = offsetof(struct conf, network),
                                                .preset = "10.1.2.3/8",
                                                .help = "a network"},
                                               {.kind = SLUICE_OPTION_TEMPLATE,
                                                .name = "text",
                                                .offset = offsetof(struct conf, text),
                                                .preset = "a ${request.path} ${no.such:-none}.",
                                                .help = "a text"},
                                               {.kind = SLUICE_OPTION_TARGET,
                                                .name = "target",
                                                .offset = offsetof(struct conf, target),
                                                .preset = "http://auth.test/check",
                                                .help = "who is asked"},
                                               {.kind = SLUICE_OPTION_STRUCT,
                                                .name = "one",
                                                .offset = offsetof(struct conf, one),
                                                .fields = rule_options,
                                                .help = "one rule"},
                                               {.kind = SLUICE_OPTION_END}};

static void conf_check(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    struct conf *conf = conf_;

    conf->attribute = host->attribute(setup, SLUICE_SPAN("consumer.name"));
    if (conf->field.len == 0)
        host->conf_error(setup, "field", "name a field", "it is empty");
}

static bool conf_start(const struct sluice_host *host, struct sluice_setup *setup, void *conf_)
{
    static const char *const labels[] = {"outcome", NULL};
    struct conf *conf = conf_;

    conf->seen =
        host->metric(setup, &(struct sluice_metric_spec){.size = sizeof(struct sluice_metric_spec),
                                                         .name = "seen_total",
                                                         .help = "seen",
                                                         .labels = labels,
                                                         .max_series = 2});
    conf->count = host->words(
        setup, &(struct sluice_shared_spec){
                   .size = sizeof(struct sluice_shared_spec), .name = "count", .capacity = 2});
    return conf->seen && conf->count;
}

static enum sluice_verdict on_request_head(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;
    struct ctx *ctx = call->ctx;

    ctx->called++;
    return conf->head ? conf->head(call) : SLUICE_NEXT;
}

static enum sluice_verdict on_request_body(const struct sluice_call *call, struct sluice_span part,
                                           bool last)
{
    const struct conf *conf = call->conf;

    return conf->body(call, part, last);
}

static void on_done(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;

    call->host->metric_add(call, conf->seen, &(struct sluice_span)SLUICE_SPAN_INIT("done"), 1);
}

static const struct sluice_plugin plugin = {SLUICE_PLUGIN_HEAD,
                                            .name = "toy",
                                            .version = "1.0.0",
                                            .summary = "A toy.",
                                            .options = options,
                                            .conf_size = sizeof(struct conf),
                                            .worker_size = 8,
                                            .ctx_size = sizeof(struct ctx),
                                            .conf_check = conf_check,
                                            .conf_start = conf_start,
                                            .on_request_head = on_request_head,
                                            .on_request_body = on_request_body,
                                            .on_done = on_done};

/* What conf was bound to: there is one place, so one conf. */
static struct conf bound;

static void keep_conf(const struct sluice_host *host, struct sluice_setup *setup, void *conf)
{
    (void)host;
    (void)setup;
    memcpy(&bound, conf, sizeof(bound));
}

static struct sluice_plugin binding_plugin(void)
{
    struct sluice_plugin copy = plugin;

    copy.conf_check = keep_conf;
    return copy;
}

static struct sluice_span span(const char *text)
{
    return (struct sluice_span){text, strlen(text)};
}

static bool is(struct sluice_span a, const char *b)
{
    return a.len == strlen(b) && memcmp(a.ptr, b, a.len) == 0;
}

static struct sluice_test *with(enum sluice_verdict (*head)(const struct sluice_call *call))
{
    static struct conf conf;
    struct sluice_test *test = sluice_test_new(&plugin);

    memset(&conf, 0, sizeof(conf));
    conf.field = span("x-a");
    conf.head = head;
    sluice_test_conf(test, &conf);
    ck_assert(sluice_test_start(test));
    return test;
}

/* -- options ------------------------------------------------------------------------ */

START_TEST(presets_are_bound)
{
    struct sluice_plugin binding = binding_plugin();
    struct sluice_test *test = sluice_test_started(&binding, NULL);
    const struct sluice_span *words = bound.words.first;

    ck_assert(is(bound.field, "x-a"));
    ck_assert_uint_eq(bound.delay_ms, 250);
    ck_assert_uint_eq(bound.bytes, 65536);
    ck_assert(bound.share > 0.49 && bound.share < 0.51);
    ck_assert_uint_eq(bound.words.n, 2);
    ck_assert(is(words[1], "HE AD"));
    ck_assert_uint_eq(bound.network.bits, 104);
    ck_assert_uint_eq(bound.network.address[12], 10);
    ck_assert_uint_eq(bound.network.address[13], 0);
    ck_assert_uint_eq(bound.one.how, 1);
    ck_assert_uint_eq(bound.one.rate.period_ms, 1000);
    sluice_test_free(&test);
}
END_TEST

START_TEST(rows_are_bound)
{
    struct sluice_plugin binding = binding_plugin();
    struct sluice_test *test =
        sluice_test_started(&binding, "field=a=b", "rules[0].name=first",
                            "rules[1]={name: second, "
                            "rate: 5/10s, how: allow}",
                            "named={x-b: there, c: {to: here}}", "one=short", NULL);
    const struct rule *rules = bound.rules.first;
    const struct named *named = bound.named.first;

    ck_assert(is(bound.field, "a=b"));
    ck_assert_uint_eq(bound.rules.n, 2);
    ck_assert(is(rules[0].name, "first"));
    ck_assert_uint_eq(rules[1].rate.amount, 5);
    ck_assert_uint_eq(rules[1].rate.period_ms, 10000);
    ck_assert_uint_eq(rules[1].how, 2);
    ck_assert_uint_eq(bound.named.n, 2);
    ck_assert(is(named[0].name, "x-b") && is(named[0].to, "there"));
    ck_assert(is(named[1].to, "here"));
    ck_assert(is(bound.one.name, "short"));
    sluice_test_free(&test);
}
END_TEST

START_TEST(bad_options_are_told_by_their_path)
{
    struct sluice_test *test = sluice_test_new(&plugin);
    const char *errors;

    sluice_test_set(test, "delay=2h");
    sluice_test_set(test, "colour=red");
    sluice_test_set(test, "rules=[{name: a, how: maybe}, b]");
    sluice_test_set(test, "network=10.0.0.0/40");
    ck_assert(!sluice_test_start(test));
    errors = sluice_test_errors(test);
    ck_assert_ptr_nonnull(strstr(errors, "delay: out of bounds"));
    ck_assert_ptr_nonnull(strstr(errors, "colour: unknown option"));
    ck_assert_ptr_nonnull(strstr(errors, "rules[0].how: not one of the choices"));
    ck_assert_ptr_nonnull(strstr(errors, "network: not a prefix length"));
    ck_assert_ptr_null(strstr(errors, "rules[1]"));
    sluice_test_unset(test);
    sluice_test_set(test, "field=''");
    ck_assert(!sluice_test_start(test));
    ck_assert_str_eq(sluice_test_errors(test), "field: it is empty (name a field)\n");
    sluice_test_free(&test);
}
END_TEST

/* -- verdicts ------------------------------------------------------------------------- */

static enum sluice_verdict reply_401(const struct sluice_call *call)
{
    const struct sluice_pair field = {SLUICE_SPAN("www-authenticate"), SLUICE_SPAN("Basic")};

    call->host->reply(call, &(struct sluice_reply){.size = sizeof(struct sluice_reply),
                                                   .status = 401,
                                                   .reason = SLUICE_SPAN("no_key"),
                                                   .body = SLUICE_SPAN("no"),
                                                   .fields = &field,
                                                   .n_fields = 1});
    return SLUICE_REPLIED;
}

START_TEST(a_reply_is_recorded)
{
    struct sluice_test *test = with(reply_401);
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");

    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_REPLIED);
    ck_assert_uint_eq(sluice_test_reply(ex)->status, 401);
    ck_assert_str_eq(sluice_test_reply(ex)->reason, "no_key");
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_RESPONSE, "WWW-Authenticate"), "Basic");
    sluice_test_done(ex, true);
    ck_assert(sluice_test_metric(test, "seen_total", "done") == 1);
    sluice_test_free(&test);
}
END_TEST

static enum sluice_verdict replied_without_reply(const struct sluice_call *call)
{
    (void)call;
    return SLUICE_REPLIED;
}

static enum sluice_verdict reply_then_next(const struct sluice_call *call)
{
    reply_401(call);
    return SLUICE_NEXT;
}

static enum sluice_verdict wait_for_nothing(const struct sluice_call *call)
{
    (void)call;
    return SLUICE_WAIT;
}

static enum sluice_verdict no_verdict(const struct sluice_call *call)
{
    (void)call;
    return (enum sluice_verdict)17;
}

static enum sluice_verdict write_conf(const struct sluice_call *call)
{
    union {
        const void *read;
        struct conf *write;
    } conf = {call->conf};

    conf.write->bytes++;
    return SLUICE_NEXT;
}

static enum sluice_verdict edit_in_request(const struct sluice_call *call)
{
    call->host->reply_edit(
        call, &(struct sluice_reply){.size = sizeof(struct sluice_reply), .status = 200});
    return SLUICE_NEXT;
}

static enum sluice_verdict bad_size(const struct sluice_call *call)
{
    call->host->reply(call, &(struct sluice_reply){.status = 200});
    return SLUICE_REPLIED;
}

static enum sluice_verdict bad_note(const struct sluice_call *call)
{
    call->host->note(call, SLUICE_SPAN("No Word"));
    return SLUICE_NEXT;
}

START_TEST(violations_are_found)
{
    static const struct {
        enum sluice_verdict (*head)(const struct sluice_call *call);
        const char *text;
    } cases[] = {
        {replied_without_reply, "SLUICE_REPLIED without reply()"},
        {reply_then_next, "called reply(), and then"},
        {wait_for_nothing, "no completion is to come"},
        {no_verdict, "which is no verdict"},
        {write_conf, "conf was written to"},
        {edit_in_request, "reply_edit() outside"},
        {bad_size, "whose size is 0"},
        {bad_note, "note() of 'No Word'"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sluice_test *test = with(cases[i].head);
        struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");

        sluice_test_collect(test);
        sluice_test_request_head(ex);
        ck_assert_msg(strstr(sluice_test_violations(test), cases[i].text), "%s", cases[i].text);
        sluice_test_done(ex, false);
        sluice_test_violations(test);
        sluice_test_free(&test);
    }
}
END_TEST

static void violate(void)
{
    struct sluice_test *test = with(replied_without_reply);

    sluice_test_request_head(sluice_test_request(test, "GET", "/"));
}

START_TEST(a_violation_ends_the_test)
{
    ck_assert(unit_aborts(violate));
}
END_TEST

static enum sluice_verdict failing(const struct sluice_call *call)
{
    (void)call;
    return SLUICE_FAIL;
}

START_TEST(on_error_decides_what_failing_means)
{
    struct sluice_test *test = with(failing);
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");

    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_FAIL);
    ck_assert_uint_eq(sluice_test_reply(ex)->status, 500);
    ck_assert(!sluice_test_reply(ex)->is_plugins);
    sluice_test_open_on_error(test, true);
    ex = sluice_test_request(test, "GET", "/");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_FAIL);
    ck_assert_ptr_null(sluice_test_reply(ex));
    sluice_test_free(&test);
}
END_TEST

/* -- lent memory ------------------------------------------------------------------------ */

static enum sluice_verdict keep_span(const struct sluice_call *call)
{
    struct ctx *ctx = call->ctx;

    call->host->field_get(call, SLUICE_REQUEST, SLUICE_SPAN("x-a"), &ctx->kept);
    bound.field = ctx->kept;
    return SLUICE_NEXT;
}

START_TEST(a_span_kept_beyond_its_callback_is_garbage)
{
    struct sluice_test *test = with(keep_span);
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");

    sluice_test_field_add(ex, SLUICE_REQUEST, "X-A", "abc");
    sluice_test_request_head(ex);
#if !defined(__SANITIZE_ADDRESS__) && !defined(SLUICE_DEBUG)
    ck_assert(!is(bound.field, "abc"));
#endif
    sluice_test_free(&test);
}
END_TEST

static enum sluice_verdict change_fields(const struct sluice_call *call)
{
    const struct sluice_host *host = call->host;
    struct sluice_span value;

    ck_assert(host->field_get(call, SLUICE_REQUEST, SLUICE_SPAN("x-a"), &value));
    ck_assert(host->field_set(call, SLUICE_REQUEST, SLUICE_SPAN("x-b"), value));
    ck_assert(host->field_add(call, SLUICE_REQUEST, SLUICE_SPAN("X-B"), SLUICE_SPAN("2")));
    ck_assert(host->field_remove(call, SLUICE_REQUEST, SLUICE_SPAN("x-A")));
    ck_assert(!host->field_set(call, SLUICE_REQUEST, SLUICE_SPAN("no token"), SLUICE_SPAN("2")));
    ck_assert(!host->field_set(call, SLUICE_REQUEST, SLUICE_SPAN("x-c"), SLUICE_SPAN("a\r\nb")));
    ck_assert(!host->field_set(call, SLUICE_REQUEST, SLUICE_SPAN("Connection"), SLUICE_SPAN("b")));
    ck_assert(!host->field_set(call, SLUICE_RESPONSE, SLUICE_SPAN("x-b"), SLUICE_SPAN("b")));
    return SLUICE_NEXT;
}

START_TEST(fields_change_as_in_the_gateway)
{
    struct sluice_test *test = with(change_fields);
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");

    sluice_test_field_add(ex, SLUICE_REQUEST, "X-A", "1");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_NEXT);
    ck_assert_ptr_null(sluice_test_field(ex, SLUICE_REQUEST, "x-a"));
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_REQUEST, "x-b"), "1");
    ck_assert_uint_eq(sluice_test_field_count(ex, SLUICE_REQUEST, "x-b"), 2);
    sluice_test_free(&test);
}
END_TEST

/* -- later -------------------------------------------------------------------------------- */

static enum sluice_verdict timer_done(const struct sluice_call *call, void *arg)
{
    (void)arg;
    return reply_401(call);
}

static enum sluice_verdict wait_a_second(const struct sluice_call *call)
{
    call->host->timer(call, 1000, timer_done, NULL);
    return SLUICE_WAIT;
}

START_TEST(a_timer_brings_the_verdict)
{
    struct sluice_test *test = with(wait_a_second);
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");

    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_WAIT);
    sluice_test_advance(test, 999);
    ck_assert_int_eq(sluice_test_verdict(ex), SLUICE_WAIT);
    sluice_test_advance(test, 1);
    ck_assert_int_eq(sluice_test_verdict(ex), SLUICE_REPLIED);
    ck_assert_uint_eq(sluice_test_reply(ex)->status, 401);
    ex = sluice_test_request(test, "GET", "/");
    sluice_test_request_head(ex);
    sluice_test_done(ex, false);
    ck_assert_uint_eq(sluice_test_pending(test), 0);
    sluice_test_free(&test);
}
END_TEST

START_TEST(a_wait_ends_at_its_limit)
{
    struct sluice_test *test = with(wait_a_second);
    struct sluice_exchange *ex;

    sluice_test_wait_limit(test, 500);
    ex = sluice_test_request(test, "GET", "/");
    sluice_test_request_head(ex);
    ck_assert_int_eq(sluice_test_settle(ex), SLUICE_FAIL);
    ck_assert_uint_eq(sluice_test_reply(ex)->status, 500);
    sluice_test_free(&test);
}
END_TEST

static enum sluice_verdict http_done(const struct sluice_call *call,
                                     const struct sluice_http_response *response, void *arg)
{
    (void)arg;
    if (response->end != SLUICE_HTTP_OK)
        return SLUICE_FAIL;
    ck_assert(is(response->body, "fine"));
    ck_assert(is(response->fields[0].value, "v"));
    return call->host->field_set(call, SLUICE_REQUEST, SLUICE_SPAN("x-user"), response->body)
               ? SLUICE_NEXT
               : SLUICE_FAIL;
}

static enum sluice_verdict ask(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;

    call->host->http_call(call,
                          &(struct sluice_http_request){.size = sizeof(struct sluice_http_request),
                                                        .target = conf->target,
                                                        .path = SLUICE_SPAN("/user"),
                                                        .timeout_ms = 100},
                          http_done, NULL);
    return SLUICE_WAIT;
}

static void answer(void *arg, const char *url, const struct sluice_http_request *request,
                   struct sluice_test_http *http)
{
    static const struct sluice_pair field = {SLUICE_SPAN_INIT("k"), SLUICE_SPAN_INIT("v")};

    ck_assert_str_eq(url, "http://auth.test/user");
    ck_assert_uint_eq(request->timeout_ms, 100);
    *http = (struct sluice_test_http){.status = 200,
                                      .fields = &field,
                                      .n_fields = 1,
                                      .body = SLUICE_SPAN("fine"),
                                      .delay_ms = *(const uint32_t *)arg};
}

static enum sluice_verdict head_of_asking(const struct sluice_call *call)
{
    return ask(call);
}

START_TEST(http_calls_are_answered_by_the_test)
{
    struct sluice_plugin asking = plugin;
    struct sluice_test *test;
    struct sluice_exchange *ex;
    uint32_t delay = 30;

    asking.on_request_head = head_of_asking;
    test = sluice_test_started(&asking, NULL);
    sluice_test_on_http(test, answer, &delay);
    ex = sluice_test_request(test, "GET", "/");
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_WAIT);
    ck_assert_int_eq(sluice_test_settle(ex), SLUICE_NEXT);
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_REQUEST, "x-user"), "fine");
    delay = 200;
    ex = sluice_test_request(test, "GET", "/");
    sluice_test_request_head(ex);
    ck_assert_int_eq(sluice_test_settle(ex), SLUICE_FAIL);
    ck_assert_uint_eq(sluice_test_http_calls(test), 2);
    sluice_test_free(&test);
}
END_TEST

/* -- bodies ------------------------------------------------------------------------------- */

static enum sluice_verdict want_whole(const struct sluice_call *call)
{
    return call->host->body_want(call, SLUICE_REQUEST, SLUICE_BODY_WHOLE, 6) ? SLUICE_NEXT
                                                                             : SLUICE_FAIL;
}

static enum sluice_verdict shout(const struct sluice_call *call, struct sluice_span part, bool last)
{
    ck_assert(last);
    ck_assert(is(part, "abcdef"));
    return call->host->body_replace(call, SLUICE_SPAN("ABC")) ? SLUICE_NEXT : SLUICE_FAIL;
}

START_TEST(a_whole_body_is_gathered_and_bounded)
{
    static struct conf conf;
    struct sluice_test *test = sluice_test_new(&plugin);
    struct sluice_exchange *ex;

    conf.field = span("a");
    conf.head = want_whole;
    conf.body = shout;
    sluice_test_conf(test, &conf);
    ck_assert(sluice_test_start(test));
    ex = sluice_test_request(test, "POST", "/");
    sluice_test_request_head(ex);
    ck_assert_int_eq(sluice_test_request_body(ex, span("abc"), false), SLUICE_NEXT);
    ck_assert_uint_eq(sluice_test_body(ex, SLUICE_REQUEST).len, 0);
    ck_assert_int_eq(sluice_test_request_body(ex, span("def"), true), SLUICE_NEXT);
    ck_assert(is(sluice_test_body(ex, SLUICE_REQUEST), "ABC"));
    ex = sluice_test_request(test, "POST", "/");
    sluice_test_request_head(ex);
    ck_assert_int_eq(sluice_test_request_body(ex, span("abcdefg"), false), SLUICE_REPLIED);
    ck_assert_uint_eq(sluice_test_reply(ex)->status, 413);
    sluice_test_free(&test);
}
END_TEST

/* -- shared state -------------------------------------------------------------------------- */

static enum sluice_verdict count(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;
    uint64_t now = 0;
    char text[16];

    if (call->host->words_add(conf->count, SLUICE_SPAN("k"), 1, 1000, &now) != SLUICE_SHARED_OK)
        return SLUICE_FAIL;
    snprintf(text, sizeof(text), "%u", (unsigned)now);
    call->host->attribute_set(call, conf->attribute, span(text));
    return SLUICE_NEXT;
}

static const char *counted(struct sluice_test *test)
{
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");

    sluice_test_request_head(ex);
    return sluice_test_attribute(ex, "consumer.name");
}

START_TEST(shared_words_survive_a_reload_and_expire)
{
    struct sluice_test *test = with(count);

    ck_assert_str_eq(counted(test), "1");
    ck_assert_str_eq(counted(test), "2");
    ck_assert(sluice_test_reload(test));
    ck_assert_str_eq(counted(test), "3");
    sluice_test_advance(test, 1001);
    ck_assert_str_eq(counted(test), "1");
    sluice_test_free(&test);
}
END_TEST

START_TEST(the_nth_fallible_service_fails_once)
{
    struct sluice_test *test = with(count);
    struct sluice_exchange *ex = sluice_test_request(test, "GET", "/");

    sluice_test_fail_nth(test, 1);
    ck_assert_int_eq(sluice_test_request_head(ex), SLUICE_FAIL);
    ck_assert(sluice_test_has_failed(test));
    ck_assert_str_eq(counted(test), "1");
    sluice_test_free(&test);
}
END_TEST

static enum sluice_verdict leave_door(const struct sluice_call *call)
{
    ck_assert_ptr_nonnull(call->host->door(call));
    return SLUICE_NEXT;
}

static void leak_door(void)
{
    struct sluice_test *test = with(leave_door);

    sluice_test_request_head(sluice_test_request(test, "GET", "/"));
    sluice_test_free(&test);
}

START_TEST(a_door_left_open_ends_the_test)
{
    ck_assert(unit_aborts(leak_door));
}
END_TEST

static enum sluice_verdict render(const struct sluice_call *call)
{
    const struct conf *conf = call->conf;

    call->host->field_set(call, SLUICE_REQUEST, SLUICE_SPAN("x-t"),
                          call->host->render(call, conf->text));
    return SLUICE_NEXT;
}

START_TEST(templates_are_rendered)
{
    struct sluice_plugin rendering = plugin;
    struct sluice_test *test;
    struct sluice_exchange *ex;

    rendering.on_request_head = render;
    test = sluice_test_started(&rendering, NULL);
    ex = sluice_test_request(test, "GET", "/p?q=1");
    sluice_test_request_head(ex);
    ck_assert_str_eq(sluice_test_field(ex, SLUICE_REQUEST, "x-t"), "a /p none.");
    sluice_test_free(&test);
}
END_TEST

UNIT_MAIN("abi/sluice_test", presets_are_bound, rows_are_bound, bad_options_are_told_by_their_path,
          a_reply_is_recorded, violations_are_found, a_violation_ends_the_test,
          on_error_decides_what_failing_means, a_span_kept_beyond_its_callback_is_garbage,
          fields_change_as_in_the_gateway, a_timer_brings_the_verdict, a_wait_ends_at_its_limit,
          http_calls_are_answered_by_the_test, a_whole_body_is_gathered_and_bounded,
          shared_words_survive_a_reload_and_expire, the_nth_fallible_service_fails_once,
          a_door_left_open_ends_the_test, templates_are_rendered)
