/* sluice_test_later.c - what the fake host does later: timers, answers, offloaded work, messages,
 * limits of waiting. Time moves from one due thing to the next. */
#include "sluice_test_private.h"

#include <string.h>

/* -- jobs --------------------------------------------------------------------------- */

static struct fake_job *add_job(const struct sluice_call *call, enum fake_job_kind kind,
                                uint64_t delay_ms, const char *service)
{
    struct sluice_test *test = fake_enter(call, service);
    struct fake_job *job, **at = &test->job;

    if (call->exchange && call->exchange->phase == SLUICE_PHASE_DONE)
        fake_violation(test, "%s() in on_done: the exchange is over", service);
    if (fake_fails(test) || test->n_jobs == FAKE_JOBS)
        return NULL;
    job = fake_alloc(sizeof(*job));
    job->kind = kind;
    job->number = ++test->number;
    job->due_us = test->now_us + delay_ms * 1000;
    job->exchange = call->exchange;
    for (uint32_t i = 0; i < test->n_workers; i++) {
        if (test->worker[i] == call->worker)
            job->worker = i;
    }
    while (*at && (*at)->due_us <= job->due_us)
        at = &(*at)->next;
    job->next = *at;
    *at = job;
    test->n_jobs++;
    return job;
}

static void drop_job(struct sluice_test *test, struct fake_job **at)
{
    struct fake_job *job = *at;

    *at = job->next;
    test->n_jobs--;
    fake_drop(job->data);
    fake_drop(job);
}

void fake_jobs_drop(struct sluice_test *test, const struct sluice_exchange *ex, bool all)
{
    for (struct fake_job **at = &test->job; *at;) {
        if (all || (*at)->exchange == ex) {
            drop_job(test, at);
        } else {
            at = &(*at)->next;
        }
    }
}

static void need(struct sluice_test *test, bool is_there, const char *service, const char *what)
{
    if (!is_there)
        fake_violation(test, "%s() without %s", service, what);
}

static const struct sluice_call *worker_call(const struct sluice_call *call)
{
    struct sluice_test *test = fake_enter(call, "worker_call");
    struct fake_call *made = test->call;

    if (!call->exchange)
        return call;
    if (!made->own) {
        made->own = fake_alloc(sizeof(*made));
        *made->own = *made;
        made->own->own = NULL;
        made->own->outer = made;
        made->own->is_own = true;
        made->own->call.exchange = NULL;
        made->own->call.ctx = NULL;
    }
    return &made->own->call;
}

static uint64_t timer(const struct sluice_call *call, uint32_t ms, sluice_timer_fn *done, void *arg)
{
    struct fake_job *job = add_job(call, FAKE_TIMER, ms, "timer");

    need(call->host ? fake_enter(call, "timer") : NULL, done != NULL, "timer", "a completion");
    if (!job)
        return 0;
    job->fn.timer = done;
    job->arg = arg;
    return job->number;
}

static void answer_http(struct sluice_test *test, const struct sluice_http_request *request,
                        struct sluice_test_http *answer)
{
    const char *base = ((const struct sluice_target *)request->target)->url;
    struct fake_text url = {0};
    const char *path = strstr(base, "://");

    path = strchr(path ? path + 3 : base, '/');
    fake_add(&url, base, request->path.len && path ? (size_t)(path - base) : strlen(base));
    fake_add(&url, request->path.ptr, request->path.len);
    *answer = (struct sluice_test_http){.end = SLUICE_HTTP_UNREACHABLE};
    if (test->http) {
        struct fake_queued_http *next = test->http;

        *answer = next->answer;
        test->http = next->next;
        fake_drop(next);
    } else if (test->on_http) {
        test->on_http(test->http_arg, url.ptr, request, answer);
    }
    fake_text_fini(&url);
}

static uint64_t http_call(const struct sluice_call *call, const struct sluice_http_request *request,
                          sluice_http_fn *done, void *arg)
{
    struct sluice_test *test = fake_enter(call, "http_call");
    struct sluice_test_http answer;
    uint64_t timeout = request->timeout_ms ? request->timeout_ms : 1000;
    size_t max = request->max_body ? request->max_body : 65536;
    struct fake_job *job;

    if (request->size != sizeof(*request))
        fake_violation(test, "http_call() of a struct whose size is %u", request->size);
    need(test, done != NULL, "http_call", "a completion");
    need(test, request->target != NULL, "http_call", "a target");
    if (!request->target)
        return 0;
    test->n_http++;
    answer_http(test, request, &answer);
    if (answer.delay_ms >= timeout) {
        answer = (struct sluice_test_http){.end = SLUICE_HTTP_TIMEOUT};
        answer.delay_ms = (uint32_t)timeout;
    } else if (answer.end == SLUICE_HTTP_OK && answer.body.len > max) {
        answer =
            (struct sluice_test_http){.end = SLUICE_HTTP_TOO_LARGE, .delay_ms = answer.delay_ms};
    }
    job = add_job(call, FAKE_HTTP, answer.delay_ms, "http_call");
    if (!job)
        return 0;
    job->fn.http = done;
    job->arg = arg;
    job->http = answer;
    return job->number;
}

static uint64_t redis_call(const struct sluice_call *call, const struct sluice_span *argv, size_t n,
                           uint32_t timeout_ms, sluice_redis_fn *done, void *arg)
{
    struct sluice_test *test = fake_enter(call, "redis_call");
    struct sluice_test_redis answer = {.reply = {.size = sizeof(answer.reply),
                                                 .kind = SLUICE_REDIS_UNREACHABLE,
                                                 .text = SLUICE_SPAN("nobody answers")}};
    struct fake_job *job;

    need(test, n > 0 && argv, "redis_call", "a command");
    need(test, done != NULL, "redis_call", "a completion");
    test->n_redis++;
    if (test->redis) {
        struct fake_queued_redis *next = test->redis;

        answer = next->answer;
        test->redis = next->next;
        fake_drop(next);
    } else if (test->on_redis) {
        test->on_redis(test->redis_arg, argv, n, &answer);
    }
    timeout_ms = timeout_ms ? timeout_ms : 100;
    if (answer.delay_ms >= timeout_ms) {
        answer = (struct sluice_test_redis){
            {.size = sizeof(answer.reply), .kind = SLUICE_REDIS_TIMEOUT}, timeout_ms};
    }
    job = add_job(call, FAKE_REDIS, answer.delay_ms, "redis_call");
    if (!job)
        return 0;
    job->fn.redis = done;
    job->arg = arg;
    job->redis = answer;
    return job->number;
}

static uint64_t offload(const struct sluice_call *call, sluice_work_fn *work, const void *data,
                        size_t bytes, sluice_work_done_fn *done)
{
    struct sluice_test *test = fake_enter(call, "offload");
    struct fake_job *job = add_job(call, FAKE_OFFLOAD, test->offload_ms, "offload");

    need(test, work != NULL && done != NULL, "offload", "work and its completion");
    if (!job)
        return 0;
    job->work = work;
    job->fn.offload = done;
    job->bytes = bytes;
    job->data = fake_alloc(bytes);
    if (bytes)
        memcpy(job->data, data, bytes);
    return job->number;
}

static void cancel(const struct sluice_call *call, uint64_t number)
{
    struct sluice_test *test = fake_enter(call, "cancel");

    for (struct fake_job **at = &test->job; *at; at = &(*at)->next) {
        if ((*at)->number == number) {
            drop_job(test, at);
            return;
        }
    }
}

/* -- running them ---------------------------------------------------------------------- */

static const struct sluice_pair *lend_pairs(struct sluice_test *test,
                                            const struct sluice_pair *pairs, size_t n)
{
    struct sluice_pair *lent =
        (struct sluice_pair *)(void *)fake_block_add(&test->lent, n * sizeof(*lent));

    for (size_t i = 0; i < n; i++) {
        lent[i].name = fake_lend(test, pairs[i].name, 0);
        lent[i].value = fake_lend(test, pairs[i].value, 0);
    }
    return lent;
}

static enum sluice_verdict run_http(struct sluice_test *test, const struct fake_job *job)
{
    bool fine = job->http.end == SLUICE_HTTP_OK;
    const struct sluice_http_response response = {
        .size = sizeof(response),
        .end = job->http.end,
        .status = fine ? job->http.status : 0,
        .fields = fine ? lend_pairs(test, job->http.fields, job->http.n_fields) : NULL,
        .n_fields = fine ? job->http.n_fields : 0,
        .body = fake_lend(test, fine ? job->http.body : (struct sluice_span){"", 0}, 0)};

    return job->fn.http(&test->call->call, &response, job->arg);
}

static enum sluice_verdict run_job(struct sluice_test *test, struct fake_job *job)
{
    struct sluice_redis_reply reply;

    switch (job->kind) {
    case FAKE_TIMER:
        return job->fn.timer(&test->call->call, job->arg);
    case FAKE_HTTP:
        return run_http(test, job);
    case FAKE_REDIS:
        reply = job->redis.reply;
        reply.text = fake_lend(test, reply.text, 0);
        return job->fn.redis(&test->call->call, &reply, job->arg);
    case FAKE_OFFLOAD:
        break;
    }
    return job->fn.offload(&test->call->call, job->data);
}

/* The first job; it is off the list before it runs, so that it may make others. */
static void run_first(struct sluice_test *test)
{
    struct fake_job *job = test->job;
    struct sluice_exchange *ex = job->exchange;
    enum sluice_verdict verdict;
    bool has_reply;

    test->job = job->next;
    test->n_jobs--;
    if (job->kind == FAKE_OFFLOAD)
        job->work(test->conf, job->data);
    fake_call_begin(test, ex, job->worker);
    verdict = run_job(test, job);
    has_reply = test->call->has_reply;
    fake_call_end(test);
    fake_drop(job->data);
    fake_drop(job);
    if (ex && ex->waiting)
        fake_verdict(ex, verdict, has_reply);
}

static void lock_mail(struct sluice_test *test)
{
    while (atomic_flag_test_and_set(&test->mail_lock))
        ;
}

static void run_mail(struct sluice_test *test)
{
    struct fake_mail *mail;

    lock_mail(test);
    mail = test->mail;
    test->mail = NULL;
    test->mail_end = &test->mail;
    atomic_flag_clear(&test->mail_lock);
    while (mail) {
        struct fake_mail *next = mail->next;

        fake_call_begin(test, NULL, mail->door->worker);
        mail->message(&test->call->call, mail->arg);
        fake_call_end(test);
        fake_drop(mail);
        mail = next;
    }
}

static void end_overdue(struct sluice_test *test)
{
    for (struct sluice_exchange *ex = test->exchange; ex; ex = ex->next) {
        if (ex->waiting && ex->wait_until_us <= test->now_us) {
            fake_jobs_drop(test, ex, false);
            fake_verdict(ex, SLUICE_FAIL, false);
        }
    }
}

void sluice_test_turn(struct sluice_test *test)
{
    uint64_t last = test->number;

    run_mail(test);
    /* what is made now is for the next turn, or a plugin that polls would never end */
    for (bool found = true; found;) {
        found = false;
        if (test->job && test->job->due_us <= test->now_us && test->job->number <= last) {
            run_first(test);
            found = true;
        }
    }
    end_overdue(test);
}

static uint64_t next_due(const struct sluice_test *test, uint64_t until)
{
    if (test->job && test->job->due_us < until)
        until = test->job->due_us;
    for (const struct sluice_exchange *ex = test->exchange; ex; ex = ex->next) {
        if (ex->waiting && ex->wait_until_us < until)
            until = ex->wait_until_us;
    }
    return until > test->now_us ? until : test->now_us;
}

static void pass(struct sluice_test *test, uint64_t until)
{
    test->wall_us += until - test->now_us;
    test->now_us = until;
}

void sluice_test_advance(struct sluice_test *test, uint64_t ms)
{
    uint64_t until = test->now_us + ms * 1000;

    sluice_test_turn(test);
    for (unsigned turns = 0; test->now_us < until; turns++) {
        uint64_t next = next_due(test, until);

        /* a turn takes no time here; one that makes another at once each time would not end */
        if (next == test->now_us && turns > 1000000)
            fake_misuse("timers of 0 ms follow each other without end");
        pass(test, next);
        sluice_test_turn(test);
    }
}

enum sluice_verdict sluice_test_settle(struct sluice_exchange *ex)
{
    struct sluice_test *test = ex->test;

    for (unsigned turns = 0; ex->waiting; turns++) {
        if (turns > 1000000)
            fake_misuse("timers of 0 ms follow each other without end");
        pass(test, next_due(test, ex->wait_until_us));
        sluice_test_turn(test);
    }
    return ex->verdict;
}

uint64_t sluice_test_now_us(const struct sluice_test *test)
{
    return test->now_us;
}

size_t sluice_test_pending(const struct sluice_test *test)
{
    return test->n_jobs;
}

/* -- tickets ------------------------------------------------------------------------------ */

static struct sluice_ticket ticket(const struct sluice_call *call)
{
    struct sluice_exchange *ex = fake_exchange(call, "ticket");

    ex->ticket = ++ex->test->number;
    ex->has_ticket = true;
    return (struct sluice_ticket){ex->worker + 1U, ex->ticket};
}

static bool resume(const struct sluice_call *call, struct sluice_ticket ticket,
                   enum sluice_verdict verdict, sluice_timer_fn *before, void *arg)
{
    struct sluice_test *test = fake_enter(call, "resume");
    struct sluice_exchange *ex = test->exchange;
    bool has_reply = false;

    while (ex && (!ex->waiting || !ex->has_ticket || ex->ticket != ticket.serial))
        ex = ex->next;
    if (!ex)
        return false;
    if (call->exchange == ex)
        fake_violation(test, "resume() from inside a callback of that same exchange");
    if (test->worker[ex->worker] != call->worker)
        fake_violation(test, "resume() on another worker than the exchange's");
    if (before) {
        fake_call_begin(test, ex, ex->worker);
        verdict = before(&test->call->call, arg);
        has_reply = test->call->has_reply;
        fake_call_end(test);
    }
    fake_verdict(ex, verdict, has_reply);
    return true;
}

/* -- doors ---------------------------------------------------------------------------------- */

static struct sluice_door *door(const struct sluice_call *call)
{
    struct sluice_test *test = fake_enter(call, "door");
    struct sluice_door *made;

    if (fake_fails(test))
        return NULL;
    made = fake_alloc(sizeof(*made));
    made->test = test;
    made->is_open = true;
    for (uint32_t i = 0; i < test->n_workers; i++) {
        if (test->worker[i] == call->worker)
            made->worker = i;
    }
    made->next = test->door;
    test->door = made;
    return made;
}

static bool post(struct sluice_door *door, sluice_message_fn *message, void *arg)
{
    struct sluice_test *test = door->test;
    struct fake_mail *mail = fake_alloc(sizeof(*mail));
    bool is_shut;

    *mail = (struct fake_mail){NULL, door, message, arg};
    lock_mail(test);
    is_shut = door->is_shut;
    if (!is_shut) {
        *test->mail_end = mail;
        test->mail_end = &mail->next;
    }
    atomic_flag_clear(&test->mail_lock);
    if (is_shut)
        fake_drop(mail);
    return !is_shut;
}

static void drop_mail(struct sluice_test *test)
{
    while (test->mail) {
        struct fake_mail *mail = test->mail;

        test->mail = mail->next;
        fake_drop(mail);
    }
    test->mail_end = &test->mail;
}

void fake_doors_shut(struct sluice_test *test)
{
    lock_mail(test);
    for (struct sluice_door *door = test->door; door; door = door->next)
        door->is_shut = true;
    drop_mail(test);
    atomic_flag_clear(&test->mail_lock);
}

static void door_close(struct sluice_door *door)
{
    if (!door->is_open)
        fake_violation(door->test, "door_close() of a door that is closed");
    door->is_open = false;
}

void fake_host_later(struct sluice_host *host)
{
    host->ticket = ticket;
    host->resume = resume;
    host->worker_call = worker_call;
    host->timer = timer;
    host->http_call = http_call;
    host->redis_call = redis_call;
    host->offload = offload;
    host->cancel = cancel;
    host->door = door;
    host->post = post;
    host->door_close = door_close;
}

void fake_later_fini(struct sluice_test *test)
{
    fake_jobs_drop(test, NULL, true);
    drop_mail(test);
    while (test->door) {
        struct sluice_door *door = test->door;

        test->door = door->next;
        fake_drop(door);
    }
    while (test->http) {
        struct fake_queued_http *next = test->http;

        test->http = next->next;
        fake_drop(next);
    }
    while (test->redis) {
        struct fake_queued_redis *next = test->redis;

        test->redis = next->next;
        fake_drop(next);
    }
}

/* -- scripts ---------------------------------------------------------------------------------- */

void sluice_test_on_http(struct sluice_test *test, sluice_test_http_fn *answer, void *arg)
{
    test->on_http = answer;
    test->http_arg = arg;
}

void sluice_test_http_next(struct sluice_test *test, const struct sluice_test_http *answer)
{
    struct fake_queued_http *queued = fake_alloc(sizeof(*queued)), **end = &test->http;

    queued->answer = *answer;
    while (*end)
        end = &(*end)->next;
    *end = queued;
}

uint32_t sluice_test_http_calls(const struct sluice_test *test)
{
    return test->n_http;
}

void sluice_test_on_redis(struct sluice_test *test, sluice_test_redis_fn *answer, void *arg)
{
    test->on_redis = answer;
    test->redis_arg = arg;
}

void sluice_test_redis_next(struct sluice_test *test, const struct sluice_test_redis *answer)
{
    struct fake_queued_redis *queued = fake_alloc(sizeof(*queued)), **end = &test->redis;

    queued->answer = *answer;
    while (*end)
        end = &(*end)->next;
    *end = queued;
}

uint32_t sluice_test_redis_calls(const struct sluice_test *test)
{
    return test->n_redis;
}

void sluice_test_offload_delay(struct sluice_test *test, uint32_t ms)
{
    test->offload_ms = ms;
}
