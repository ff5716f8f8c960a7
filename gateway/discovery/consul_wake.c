#include "discovery/consul_wake.h"

#include "base/log.h"
#include "base/now.h"
#include "base/text.h"
#include "core/loop.h"
#include "discovery/consul_hub.h"

#include <stdio.h>

enum { PATH_BYTES = 4096, WHY_BYTES = 128 };

static void ask(struct consul_wake *wake);

/* By its head: what the answer means. */
static void judge(struct consul_wake *wake, const struct fetch_answer *answer)
{
    if (wake->is_judged)
        return;
    wake->is_judged = true;
    wake->knows = wake->index.at > 0;
    wake->verdict = consul_index_take(&wake->index, answer->field[CONSUL_FIELD_INDEX]);
    if (wake->verdict == INDEX_NEWS && wake->kind->begin)
        wake->kind->begin(wake);
}

static void on_part(void *wake_, const struct fetch_answer *answer, struct sluice_span piece)
{
    struct consul_wake *wake = wake_;

    if (answer->status != 200)
        return;
    judge(wake, answer);
    if (wake->verdict == INDEX_NEWS && wake->kind->part)
        wake->kind->part(wake, piece);
}

static enum err take(struct consul_wake *wake, const struct fetch_answer *answer)
{
    judge(wake, answer);
    switch (wake->verdict) {
    case INDEX_SAME:
        if (wake->kind->same)
            wake->kind->same(wake);
        return OK;
    case INDEX_REREAD:
        if (wake->kind->lost)
            wake->kind->lost(wake, NULL);
        return OK;
    case INDEX_NEWS:
        if (wake->kind->news(wake))
            return ERR_PROTOCOL;
        consul_index_commit(&wake->index);
        return OK;
    }
    return OK;
}

static void take_failure(struct consul_wake *wake, const struct fetch_answer *answer)
{
    char why[WHY_BYTES];

    wake->errors++;
    consul_index_fail(&wake->index);
    if (answer->err) {
        snprintf(why, sizeof(why), "%s", answer->why);
        if (answer->err != ERR_TIMEOUT) {
            consul_index_reset(&wake->index);
            consul_suspect(wake->consul);
        }
    } else {
        snprintf(why, sizeof(why), "status %u", answer->status);
        if (answer->status == 403)
            consul_client_refused(wake->consul->client);
    }
    log_debug("consul's changes cannot be watched", F_STR("path", wake->kind->path),
              F_STR("cause", why));
    if (wake->kind->lost)
        wake->kind->lost(wake, why);
}

static void on_answer(void *wake_, const struct fetch_answer *answer)
{
    struct consul_wake *wake = wake_;
    struct consul *consul = wake->consul;
    uint64_t ms, began_us = now_us();

    wake->fetch = NULL;
    consul_learn(consul, answer);
    if (answer->err || answer->status != 200 || take(wake, answer)) {
        take_failure(wake, answer);
        ms = consul_pace_backoff(wake->errors, &consul->rng);
    } else {
        wake->errors = 0;
        ms = consul_pace_take(&wake->pace, loop_now_us(consul->loop));
    }
    histogram_add(&consul->handling, now_us() - began_us);
    if (ms > 0) {
        alarm_arm(consul->loop, &wake->alarm, ms);
    } else {
        ask(wake);
    }
}

static void ask(struct consul_wake *wake)
{
    struct consul_client *client = wake->consul->client;
    const struct consul_conf *conf = consul_client_conf(client);
    struct consul_question question = {.part = on_part, .done = on_answer, .arg = wake};
    struct text path;

    wake->is_judged = false;
    text_init(&path, PATH_BYTES);
    text_format(&path, "%s?index=%llu", wake->kind->path, (unsigned long long)wake->index.at);
    consul_client_add(&path, "dc", wake->datacenter);
    consul_client_add(&path, "ns", wake->ns);
    if (conf->read == CONSUL_READ_STALE)
        text_add(&path, SPAN("&stale"));
    if (wake->index.at > 0) {
        question.wait_ms = wake->errors > 0 ? CONSUL_BRIEF_MS : conf->wait_ms;
        text_format(&path, "&wait=%llums", (unsigned long long)question.wait_ms);
    }
    question.path = path.ptr;
    wake->fetch = consul_client_ask(client, &question);
    text_fini(&path);
}

static void on_alarm(struct alarm *alarm)
{
    ask(list_entry(alarm, struct consul_wake, alarm));
}

void consul_wake_start(struct consul_wake *wake)
{
    alarm_init(&wake->alarm, on_alarm);
    ask(wake);
}

void consul_wake_stop(struct consul_wake *wake)
{
    fetch_cancel(&wake->fetch);
    alarm_disarm(&wake->alarm);
}
