/*
 * contract.c - one exchange after the other, in every way an exchange can go, and what the fake
 * host says about it.
 */
#include "sdk/contract.h"

#include "abi/sluice_test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CHECK_SECONDS = 20,
    FAILURES_MAX = 2000, /* of memory, one after the other */
    SAID_MAX = 8192,
    TRUTHS = 8 /* kinds of answers that others give */
};

struct contract {
    const struct inspected *plugin;
    const char *const *rows;
    size_t n_rows;
    struct sluice_test *test;
    unsigned answers; /* counts on, so that answers differ */
};

/* -- what others answer --------------------------------------------------------------- */

static void answer_http(void *arg, const char *url, const struct sluice_http_request *request,
                        struct sluice_test_http *answer)
{
    static const struct sluice_pair field = {SLUICE_SPAN_INIT("content-type"),
                                             SLUICE_SPAN_INIT("application/json")};
    struct contract *contract = arg;
    unsigned turn = contract->answers++ % TRUTHS;

    (void)url;
    (void)request;
    *answer = (struct sluice_test_http){.end = turn < 5 ? turn : SLUICE_HTTP_OK,
                                        .status = turn == 5   ? 500
                                                  : turn == 6 ? 403
                                                              : 200,
                                        .fields = &field,
                                        .n_fields = 1,
                                        .body = SPAN("{\"a\": [1, \"b\"]}"),
                                        .delay_ms = turn * 7};
}

static void answer_redis(void *arg, const struct sluice_span *argv, size_t n,
                         struct sluice_test_redis *answer)
{
    static const struct sluice_redis_reply elements[] = {
        {.size = sizeof(elements[0]), .kind = SLUICE_REDIS_INTEGER, .integer = 1},
        {.size = sizeof(elements[0]), .kind = SLUICE_REDIS_TEXT, .text = SLUICE_SPAN_INIT("2")},
        {.size = sizeof(elements[0]), .kind = SLUICE_REDIS_NIL},
        {.size = sizeof(elements[0]), .kind = SLUICE_REDIS_INTEGER, .integer = -1}};
    struct contract *contract = arg;
    unsigned turn = contract->answers++ % TRUTHS;

    (void)argv;
    (void)n;
    *answer = (struct sluice_test_redis){
        .reply = {.size = sizeof(answer->reply), .kind = turn, .text = SPAN("ERR something")},
        .delay_ms = turn * 3};
    if (turn == SLUICE_REDIS_LIST) {
        answer->reply.element = elements;
        answer->reply.n = 4;
    }
}

/* -- driving one exchange ---------------------------------------------------------------- */

static bool goes_on(struct sluice_exchange *ex, enum sluice_verdict verdict)
{
    if (verdict == SLUICE_WAIT)
        verdict = sluice_test_settle(ex);
    return verdict == SLUICE_NEXT || (verdict == SLUICE_FAIL && !sluice_test_reply(ex));
}

static struct sluice_exchange *begin(struct contract *contract, const char *method)
{
    struct sluice_exchange *ex = sluice_test_request(contract->test, method, "/a/b?c=d&e=%20");

    sluice_test_field_add(ex, SLUICE_REQUEST, "Host", "example.com");
    sluice_test_field_add(ex, SLUICE_REQUEST, "Origin", "https://a.example");
    sluice_test_field_add(ex, SLUICE_REQUEST, "Authorization", "Basic YTpi");
    sluice_test_field_add(ex, SLUICE_REQUEST, "Cookie", "a=b; c");
    sluice_test_field_add(ex, SLUICE_REQUEST, "X-Empty", "");
    return ex;
}

static bool send_body(struct sluice_exchange *ex, enum sluice_side side)
{
    static const struct sluice_span parts[] = {SLUICE_SPAN_INIT("{\"a\""), SLUICE_SPAN_INIT(""),
                                               SLUICE_SPAN_INIT(": \xff\xfe}"),
                                               SLUICE_SPAN_INIT("")};

    for (size_t i = 0; i < 4; i++) {
        if (!goes_on(ex, side == SLUICE_REQUEST ? sluice_test_request_body(ex, parts[i], i == 3)
                                                : sluice_test_response_body(ex, parts[i], i == 3)))
            return false;
    }
    return true;
}

/* The response phases, for whoever made the response. */
static void respond(struct sluice_exchange *ex, uint32_t status)
{
    if (status) {
        sluice_test_field_add(ex, SLUICE_RESPONSE, "Content-Type", "application/json");
        sluice_test_field_add(ex, SLUICE_RESPONSE, "Set-Cookie", "a=b");
    }
    if (goes_on(ex, sluice_test_response_head(ex, status)) && send_body(ex, SLUICE_RESPONSE))
        goes_on(ex, sluice_test_response_trailers(ex));
    sluice_test_done(ex, true);
}

static void reply_locally(struct sluice_exchange *ex, uint32_t status, const char *reason)
{
    goes_on(ex, sluice_test_local_reply(ex, status, reason));
    respond(ex, 0);
}

/* Through everything; the first attempt fails. */
static void pass(struct contract *contract, const char *method, uint32_t status)
{
    struct sluice_exchange *ex = begin(contract, method);
    bool fine = goes_on(ex, sluice_test_request_head(ex));

    if (fine && strcmp(method, "POST") == 0)
        fine = send_body(ex, SLUICE_REQUEST) && goes_on(ex, sluice_test_request_trailers(ex));
    if (fine) {
        fine = goes_on(ex, sluice_test_attempt(ex, "127.0.0.1:9001"));
        sluice_test_attempt_done(ex, 0, "connect_refused", true);
    }
    if (fine) {
        fine = goes_on(ex, sluice_test_attempt(ex, "127.0.0.1:9002"));
        sluice_test_attempt_done(ex, status ? (int32_t)status : 0, status ? NULL : "reset", false);
    }
    if (!fine) {
        respond(ex, sluice_test_reply(ex) ? 0 : 500);
    } else if (status == 0) {
        reply_locally(ex, 502, "upstream_reset");
    } else {
        respond(ex, status);
    }
}

/* The client is gone, right after each step in turn. */
static void leave_early(struct contract *contract)
{
    for (int step = 0; step < 5; step++) {
        struct sluice_exchange *ex = begin(contract, "POST");
        enum sluice_verdict verdict = sluice_test_request_head(ex);

        if (step > 0 && goes_on(ex, verdict) &&
            goes_on(ex, sluice_test_request_body(ex, SPAN("half"), false)) && step > 1) {
            goes_on(ex, sluice_test_attempt(ex, "127.0.0.1:9001"));
            sluice_test_attempt_done(ex, step == 2 ? 0 : 200, step == 2 ? "cancelled" : NULL,
                                     false);
            if (step > 3)
                goes_on(ex, sluice_test_response_head(ex, 200));
        }
        sluice_test_done(ex, false);
    }
}

static void all_ways(struct contract *contract)
{
    static const uint32_t statuses[] = {200, 204, 301, 404, 500, 0};

    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        pass(contract, "GET", statuses[i]);
        pass(contract, "POST", statuses[i]);
        pass(contract, "OPTIONS", statuses[i]);
    }
    leave_early(contract);
    sluice_test_advance(contract->test, 10000);
}

/* -- the checks ----------------------------------------------------------------------------- */

/* Required options that nobody gave get their example. */
static void set_rows(struct contract *contract)
{
    const struct sluice_plugin *about = &contract->plugin->about;

    for (const struct sluice_option *row = about->options; row && row->kind; row++) {
        struct text line;

        if (!(row->flags & SLUICE_OPTION_REQUIRED) || !row->example)
            continue;
        text_init(&line, SAID_MAX);
        text_format(&line, "%s=%s", row->name, row->example);
        sluice_test_set(contract->test, line.ptr);
        text_fini(&line);
    }
    for (size_t i = 0; i < contract->n_rows; i++)
        sluice_test_set(contract->test, contract->rows[i]);
}

static void say(const char *text)
{
    size_t len = strlen(text);

    while (len) {
        ssize_t n = write(STDERR_FILENO, text, len);

        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

static bool start(struct contract *contract)
{
    contract->test = sluice_test_collecting(contract->plugin->exported);
    sluice_test_workers(contract->test, 2);
    sluice_test_on_http(contract->test, answer_http, contract);
    sluice_test_on_redis(contract->test, answer_redis, contract);
    set_rows(contract);
    if (sluice_test_start(contract->test))
        return true;
    say(sluice_test_errors(contract->test));
    say("the options are refused; give others: sluice plugin test FILE name=value ...\n");
    return false;
}

/* Says what was found; false when there was anything. */
static bool end(struct contract *contract)
{
    const char *found = sluice_test_violations(contract->test);
    bool fine = *found == '\0';

    say(found);
    if (fine)
        sluice_test_free(&contract->test);
    return fine;
}

static bool check_descriptor(struct contract *contract)
{
    contract->test = sluice_test_collecting(contract->plugin->exported);
    return end(contract);
}

static bool check_options(struct contract *contract)
{
    contract->test = sluice_test_collecting(contract->plugin->exported);
    set_rows(contract);
    if (!sluice_test_check(contract->test)) {
        say(sluice_test_errors(contract->test));
        say("the options are refused; give others: sluice plugin test FILE name=value ...\n");
        return false;
    }
    return end(contract);
}

/* Options that cannot be right must not crash conf_check or conf_fini. */
static bool check_unknown(struct contract *contract)
{
    contract->test = sluice_test_collecting(contract->plugin->exported);
    sluice_test_set(contract->test, "there_is_no_such_option=1");
    if (sluice_test_check(contract->test)) {
        say("an unknown option was accepted\n");
        return false;
    }
    return end(contract);
}

static bool check_exchanges(struct contract *contract)
{
    if (!start(contract))
        return false;
    all_ways(contract);
    return end(contract);
}

static bool check_fails_open(struct contract *contract)
{
    if (!start(contract))
        return false;
    sluice_test_open_on_error(contract->test, true);
    all_ways(contract);
    return end(contract);
}

static bool check_short_wait(struct contract *contract)
{
    if (!start(contract))
        return false;
    sluice_test_wait_limit(contract->test, 1);
    all_ways(contract);
    return end(contract);
}

static bool check_reload(struct contract *contract)
{
    if (!start(contract))
        return false;
    for (int i = 0; i < 3; i++) {
        struct sluice_exchange *ex = begin(contract, "GET");

        sluice_test_request_head(ex); /* under way, or waiting, while the new one starts */
        if (!sluice_test_reload(contract->test)) {
            say(sluice_test_errors(contract->test));
            return false;
        }
        sluice_test_on_worker(contract->test, (uint32_t)i % 2);
        pass(contract, "GET", 200);
    }
    return end(contract);
}

static bool check_admin(struct contract *contract)
{
    if (!start(contract))
        return false;
    sluice_test_report(contract->test);
    sluice_test_command(contract->test, "");
    sluice_test_command(contract->test, "no such command {\"a\": 1}");
    sluice_test_report(contract->test);
    return end(contract);
}

static bool check_memory(struct contract *contract)
{
    bool more = true;

    if (!start(contract))
        return false;
    for (uint64_t n = 1; more && n < FAILURES_MAX; n++) {
        contract->answers = 0;
        sluice_test_open_on_error(contract->test, n % 2);
        sluice_test_fail_nth(contract->test, n);
        all_ways(contract);
        more = sluice_test_has_failed(contract->test);
    }
    return end(contract);
}

static bool check_memory_at_start(struct contract *contract)
{
    bool more = true;

    for (uint64_t n = 1; more && n < FAILURES_MAX; n++) {
        contract->test = sluice_test_collecting(contract->plugin->exported);
        set_rows(contract);
        sluice_test_fail_nth(contract->test, n);
        /* refused or not, and served or not: it may not crash */
        if (sluice_test_start(contract->test)) {
            sluice_test_fail_nth(contract->test, 0);
            pass(contract, "GET", 200);
        } else if (strlen(sluice_test_errors(contract->test)) == 0) {
            sluice_test_violations(contract->test); /* conf_start without a word: memory is gone */
        }
        more = sluice_test_has_failed(contract->test);
        if (!end(contract))
            return false;
    }
    return true;
}

static const struct {
    const char *name;
    bool (*check)(struct contract *contract);
} checks[] = {
    {"the descriptor and its table are sound", check_descriptor},
    {"the options can be checked", check_options},
    {"an unknown option is refused", check_unknown},
    {"exchanges of all kinds keep the contract", check_exchanges},
    {"exchanges go on when it fails open", check_fails_open},
    {"waiting may end early", check_short_wait},
    {"a reload while it serves", check_reload},
    {"report and command", check_admin},
    {"each allocation of an exchange may fail", check_memory},
    {"each allocation of the start may fail", check_memory_at_start},
};

/* -- in a process of its own ----------------------------------------------------------------- */

static _Noreturn void run_child(const struct contract *common, size_t i, int said)
{
    struct contract contract = *common;

    if (dup2(said, STDERR_FILENO) < 0)
        _exit(EXIT_FAILURE);
    alarm(CHECK_SECONDS);
    _exit(checks[i].check(&contract) ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* Everything up to the end, of which only the beginning is kept. */
static void read_said(int fd, struct text *said)
{
    char piece[1024];
    ssize_t n;

    while ((n = read(fd, piece, sizeof(piece))) > 0)
        text_add(said, span_make(piece, (size_t)n));
}

static bool run_check(const struct contract *contract, size_t i, struct text *said)
{
    int ends[2], status = 0;
    pid_t child;

    if (pipe(ends) != 0)
        return false;
    child = fork();
    if (child == 0) {
        close(ends[0]);
        run_child(contract, i, ends[1]);
    }
    close(ends[1]);
    if (child > 0) {
        read_said(ends[0], said);
        waitpid(child, &status, 0);
    }
    close(ends[0]);
    if (child > 0 && WIFSIGNALED(status)) {
        text_format(said, "ended by signal %d%s\n", WTERMSIG(status),
                    WTERMSIG(status) == 14 ? ": it took too long" : "");
    }
    return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

static void add_said(const struct text *said, struct text *out)
{
    struct sluice_span rest = text_span(said), line;

    while (rest.len && span_split(&rest, '\n', &line)) {
        if (line.len)
            text_format(out, "        %.*s\n", (int)line.len, line.ptr);
    }
}

unsigned contract_check(const struct inspected *plugin, const char *const *rows, size_t n_rows,
                        struct text *out)
{
    const struct contract contract = {.plugin = plugin, .rows = rows, .n_rows = n_rows};
    unsigned failed = 0;

    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        struct text said;
        bool fine;

        text_init(&said, SAID_MAX);
        fine = run_check(&contract, i, &said);
        text_format(out, "%s  %s\n", fine ? "ok    " : "FAILED", checks[i].name);
        if (!fine)
            add_said(&said, out);
        failed += !fine;
        text_fini(&said);
    }
    return failed;
}
