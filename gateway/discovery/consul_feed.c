#include "discovery/consul_feed.h"

#include "base/alloc.h"
#include "base/log.h"
#include "base/map.h"
#include "base/now.h"
#include "core/loop.h"
#include "discovery/consul_hub.h"
#include "discovery/consul_state.h"

#include <stdio.h>
#include <string.h>

enum {
    PATH_BYTES = 8 * 1024,
    SAVE_MS = 500,      /* changes within are written once */
    TOUCH_S = 60,       /* how exact the age of a file is */
    AGE_MAX_S = 10,     /* an agent that is cut off for longer says old things */
    STATUS_BYTES = 160, /* of an error's body, for the log */
};

static void ask_next(struct consul_feed *feed);

/* -- telling ---------------------------------------------------------------------- */

static void set_why(struct consul_feed *feed, enum source_state state, const char *why)
{
    feed->state = state;
    snprintf(feed->why, sizeof(feed->why), "%s", why);
}

/* Readers may leave while they are being told. */
static void tell(struct consul_feed *feed, enum consul_event event)
{
    list_each_safe (node, after, &feed->readers) {
        struct consul_reader *reader = list_entry(node, struct consul_reader, link);

        reader->on_event(reader, event);
    }
}

static const struct consul_conf *conf_of(const struct consul_feed *feed)
{
    return consul_client_conf(feed->consul->client);
}

/* -- the disk ------------------------------------------------------------------------ */

static bool find_file(const struct consul_feed *feed, char path[CONSUL_STATE_PATH])
{
    const struct consul_conf *conf = conf_of(feed);

    if (!conf || conf->state_dir.len == 0)
        return false;
    consul_state_path(conf->state_dir.ptr,
                      feed->spec.service.len ? feed->spec.service : feed->spec.query, feed->key,
                      path);
    return true;
}

static void on_save(struct alarm *alarm)
{
    struct consul_feed *feed = list_entry(alarm, struct consul_feed, save);
    char path[CONSUL_STATE_PATH], why[CONSUL_STATE_WHY];

    if (!find_file(feed, path) || !feed->found || feed->expired)
        return;
    feed->touched_us = loop_now_us(feed->consul->loop);
    if (consul_state_write(path, feed->found, why)) {
        log_warn("what consul says cannot be kept", F_STR("file", path), F_STR("cause", why),
                 F_SPAN("service", feed->name));
    }
}

static void touch(struct consul_feed *feed)
{
    uint64_t now = loop_now_us(feed->consul->loop);
    char path[CONSUL_STATE_PATH];

    if (now - feed->touched_us < (uint64_t)TOUCH_S * 1000000 || !find_file(feed, path))
        return;
    feed->touched_us = now - rng_below(&feed->consul->rng, (uint64_t)TOUCH_S * 500000);
    consul_state_touch(path);
}

void consul_feed_load(struct consul_feed *feed)
{
    char path[CONSUL_STATE_PATH], why[CONSUL_STATE_WHY];
    uint64_t age_us;
    enum err err;

    if (feed->found || !find_file(feed, path))
        return;
    err = consul_state_read(path, &feed->found, why);
    if (err && err != ERR_MISSING) {
        log_warn("what was kept of consul cannot be used", F_STR("file", path), F_STR("cause", why),
                 F_SPAN("service", feed->name));
    }
    if (err)
        return;
    feed->as_of_wall_us = feed->found->as_of_wall_us;
    feed->found->hash = found_hash(feed->found);
    found_say_version(feed->found, "consul, kept");
    age_us = now_wall_us() - feed->as_of_wall_us;
    log_info("endpoints as kept from before", F_SPAN("service", feed->name),
             F_UINT("endpoints", feed->found->n), F_UINT("age_s", age_us / 1000000));
    set_why(feed, SOURCE_STALE, "kept from before the start");
    tell(feed, CONSUL_NEWS);
}

/* -- outcomes -------------------------------------------------------------------------- */

/* Older than what the operator bears: better none than these. */
static void expire(struct consul_feed *feed)
{
    uint64_t max_us = conf_of(feed)->max_stale_ms * 1000;
    struct found *empty;

    if (max_us == 0 || feed->expired || !feed->found ||
        now_wall_us() - feed->as_of_wall_us < max_us)
        return;
    empty = found_new();
    empty->as_of_wall_us = feed->as_of_wall_us;
    empty->hash = found_hash(empty);
    found_say_version(empty, "consul, older than max_stale");
    found_unref(&feed->found);
    feed->found = empty;
    feed->expired = true;
    log_warn("endpoints are older than max_stale and used no more", F_SPAN("service", feed->name));
    tell(feed, CONSUL_NEWS);
}

void consul_feed_fail(struct consul_feed *feed, const char *why)
{
    feed->n_errors++;
    set_why(feed, feed->found ? SOURCE_STALE : SOURCE_WAITING, why);
    tell(feed, CONSUL_FAILED);
    expire(feed);
}

/* True, but as of what the agent knew when it was last connected. */
static void confirm(struct consul_feed *feed, uint64_t age_s)
{
    feed->as_of_wall_us = now_wall_us() - age_s * 1000000;
    feed->errors = 0;
    feed->refused_token = false;
    if (age_s > AGE_MAX_S) {
        set_why(feed, SOURCE_STALE, "the agent is cut off from the servers");
        tell(feed, CONSUL_FAILED);
        expire(feed);
        return;
    }
    set_why(feed, SOURCE_FRESH, "");
    touch(feed);
    tell(feed, CONSUL_CONFIRMED);
}

void consul_feed_confirm(struct consul_feed *feed)
{
    if (feed->found && feed->guard.held_us == 0 && !feed->expired)
        confirm(feed, 0);
}

static void apply(struct consul_feed *feed, struct found **found)
{
    found_unref(&feed->found);
    feed->found = *found;
    *found = NULL;
    feed->updates++;
    feed->expired = false;
    feed->errors = 0;
    feed->refused_token = false;
    feed->as_of_wall_us = feed->found->as_of_wall_us;
    found_say_version(feed->found, "consul index %llu", (unsigned long long)feed->index.offered);
    set_why(feed, SOURCE_FRESH, "");
    if (!alarm_is_armed(&feed->save))
        alarm_arm(feed->consul->loop, &feed->save, SAVE_MS);
    tell(feed, CONSUL_NEWS);
}

/* The index of an answer counts once the answer does. */
static void commit(struct consul_feed *feed)
{
    consul_index_commit(&feed->index);
    feed->index_applied = feed->index.at;
}

static void hold(struct consul_feed *feed, enum consul_guard_verdict verdict, size_t n_new)
{
    static const char *const reasons[] = {
        [GUARD_PASS] = "",
        [GUARD_EMPTY] = "the answer is empty",
        [GUARD_SHRUNK] = "the answer is much smaller",
        [GUARD_HIDDEN] = "the token may not see all of it",
    };
    char why[CONSUL_FEED_WHY];

    snprintf(why, sizeof(why), "%s: %zu endpoints instead of %zu", reasons[verdict], n_new,
             feed->found ? feed->found->n : 0);
    if (feed->guard.reads == 1) {
        feed->n_held++;
        log_warn("consul is not believed, the endpoints stay", F_SPAN("service", feed->name),
                 F_STR("why", consul_guard_name(verdict)), F_UINT("answered", n_new),
                 F_UINT("kept", feed->found ? feed->found->n : 0),
                 F_UINT("index", feed->index.offered));
    }
    feed->errors = 0;
    set_why(feed, SOURCE_HELD, why);
    tell(feed, CONSUL_HELD);
    expire(feed);
}

/* -- answers ------------------------------------------------------------------------------- */

static uint64_t age_of(const struct fetch_answer *answer)
{
    uint64_t age_s = 0;

    if (!answer->field[CONSUL_FIELD_AGE].ptr ||
        span_number(answer->field[CONSUL_FIELD_AGE], UINT32_MAX, &age_s))
        return 0;
    return age_s;
}

static void count_rejected(struct consul_feed *feed, const struct consul_rejected *rejected)
{
    feed->n_rejected += rejected->n;
    if (rejected->n > 0 && log_gate_pass(&feed->consul->lost_gate)) {
        log_warn("nodes of consul are left out", F_SPAN("service", feed->name),
                 F_UINT("nodes", rejected->n), F_STR("first", rejected->why));
    }
}

/* Believe it or not. *found is taken. */
static void judge(struct consul_feed *feed, const struct fetch_answer *answer, struct found **found)
{
    struct sluice_span hidden = answer->field[CONSUL_FIELD_HIDDEN];
    const struct consul_guard_question question = {
        .n_known = feed->found ? feed->found->n : 0,
        .n_new = (*found)->n,
        .hidden = hidden.ptr && span_equal_nocase(hidden, SPAN("true")),
        .confirms = feed->reads_again,
        .suspect_till_us = feed->consul->suspect_till_us,
        .now_us = loop_now_us(feed->consul->loop),
    };
    enum consul_guard_verdict verdict =
        consul_guard_judge(&feed->guard, &conf_of(feed)->guard, &question);

    if (verdict != GUARD_PASS) {
        hold(feed, verdict, question.n_new);
        found_unref(found);
        feed->reads_again = true;
        return;
    }
    feed->reads_again = false;
    if (feed->found && !feed->expired && feed->found->hash == (*found)->hash) {
        found_unref(found);
        commit(feed);
        confirm(feed, age_of(answer));
        return;
    }
    (*found)->as_of_wall_us -= age_of(answer) * 1000000;
    apply(feed, found);
    commit(feed);
}

/* The content, when the index does not say that there is nothing in it. */
static enum err take(struct consul_feed *feed, const struct fetch_answer *answer)
{
    struct consul_rejected rejected;
    struct found *found;

    if (consul_parse(answer->body, &feed->spec.reading, &found, &rejected))
        return ERR_PROTOCOL;
    found->hash = found_hash(found);
    count_rejected(feed, &rejected);
    judge(feed, answer, &found);
    return OK;
}

static enum err take_index(struct consul_feed *feed, const struct fetch_answer *answer)
{
    /* What a read on purpose says is new, whatever its index: it belongs to another sequence. */
    if (feed->reads_again || feed->spec.query.len > 0)
        consul_index_reset(&feed->index);
    switch (consul_index_take(&feed->index, answer->field[CONSUL_FIELD_INDEX])) {
    case INDEX_SAME:
        if (feed->expired || !feed->found)
            return take(feed, answer);
        confirm(feed, age_of(answer));
        return OK;
    case INDEX_REREAD:
        feed->n_resets++;
        log_info("consul's index went backwards, reading again", F_SPAN("service", feed->name),
                 F_UINT("index", feed->asked_with));
        return OK;
    case INDEX_NEWS:
        return take(feed, answer);
    }
    return OK;
}

/* "status 500: No cluster leader", one line, short. */
static void say_status(const struct fetch_answer *answer, char *why, size_t room)
{
    char words[STATUS_BYTES];
    size_t n = 0;

    for (size_t i = 0; i < answer->body.len && n + 1 < sizeof(words); i++) {
        char c = answer->body.ptr[i];

        words[n] = ' ';
        if (c >= ' ' && c < 0x7f)
            words[n] = c;
        n++;
    }
    words[n] = '\0';
    snprintf(why, room, "status %u: %s", answer->status, words);
}

/* No answer to use. True: it is worth asking again at once. */
static bool take_failure(struct consul_feed *feed, const struct fetch_answer *answer)
{
    char why[CONSUL_FEED_WHY];

    consul_index_fail(&feed->index);
    feed->errors++;
    if (answer->err) {
        snprintf(why, sizeof(why), "%s", answer->why);
        /*
         * Whoever answers next may have begun anew: ask without an index, and doubt an empty
         * list.
         */
        if (answer->err != ERR_TIMEOUT) {
            consul_index_reset(&feed->index);
            consul_suspect(feed->consul);
        }
    } else if (answer->status != 200) {
        say_status(answer, why, sizeof(why));
    } else {
        snprintf(why, sizeof(why), "the answer is not what Consul writes");
    }
    consul_feed_fail(feed, why);
    if (answer->err || answer->status != 403 || feed->refused_token)
        return false;
    feed->refused_token = true;
    return consul_client_refused(feed->consul->client);
}

static void rest(struct consul_feed *feed, uint64_t ms)
{
    feed->step = FEED_RESTING;
    alarm_arm(feed->consul->loop, &feed->alarm, ms);
}

static void go_on(struct consul_feed *feed, bool usable, bool at_once)
{
    if (usable || at_once) {
        ask_next(feed);
        return;
    }
    if (consul_feed_mode(feed) == CONSUL_GROUPED)
        consul_group_done(feed, false);
    rest(feed, consul_pace_backoff(feed->errors, &feed->consul->rng));
}

static void on_answer(void *feed_, const struct fetch_answer *answer)
{
    struct consul_feed *feed = feed_;
    bool usable = !answer->err && answer->status == 200;
    bool at_once = false;
    uint64_t began_us = now_us();

    feed->fetch = NULL;
    feed->step = FEED_RESTING;
    feed->refs++; /* a reader may be the last, and leave */
    consul_learn(feed->consul, answer);
    if (usable && answer->connected && feed->has_answered && feed->index.at > 0)
        consul_suspect(feed->consul); /* a connection that was kept is gone */
    if (usable) {
        feed->has_answered = true;
        usable = take_index(feed, answer) == OK;
    }
    if (!usable)
        at_once = take_failure(feed, answer);
    if (feed->step == FEED_RESTING) /* no reader had it stopped */
        go_on(feed, usable, at_once);
    histogram_add(&feed->consul->handling, now_us() - began_us);
    consul_feed_unref(&feed);
}

/* -- questions ----------------------------------------------------------------------------- */

enum consul_mode consul_feed_mode(const struct consul_feed *feed)
{
    if (feed->spec.query.len > 0)
        return CONSUL_POLL;
    return feed->consul->grouped ? CONSUL_GROUPED : CONSUL_WATCH;
}

static void add_read(const struct consul_feed *feed, struct text *path)
{
    const struct consul_conf *conf = conf_of(feed);
    int read = conf->read;

    if (feed->reads_again)
        return; /* by default: the leader, past all caches */
    if (read == CONSUL_READ_AUTO)
        read = conf->is_local ? CONSUL_READ_CACHED : CONSUL_READ_DEFAULT;
    /* A cache that is asked without an index may be behind the news that made us ask. */
    if (read == CONSUL_READ_CACHED && consul_feed_mode(feed) == CONSUL_GROUPED)
        return;
    if (read == CONSUL_READ_CACHED) {
        text_add(path, SPAN("&cached"));
    } else if (read == CONSUL_READ_STALE) {
        text_add(path, SPAN("&stale"));
    } else if (read == CONSUL_READ_CONSISTENT) {
        text_add(path, SPAN("&consistent"));
    }
}

static struct sluice_span first_of(struct sluice_span a, struct sluice_span b)
{
    return a.len > 0 ? a : b;
}

static uint64_t say_path(const struct consul_feed *feed, struct text *path)
{
    const struct consul_conf *conf = conf_of(feed);
    const struct consul_spec *spec = &feed->spec;
    uint64_t wait_ms;
    bool waits = consul_feed_mode(feed) == CONSUL_WATCH && !feed->reads_again && feed->index.at > 0;

    text_add(path, spec->query.len ? SPAN("/v1/query/") : SPAN("/v1/health/service/"));
    consul_client_encode(path, spec->query.len ? spec->query : spec->service);
    if (spec->query.len > 0) {
        text_add(path, SPAN("/execute?limit=0"));
    } else {
        text_format(path, "?index=%llu", waits ? (unsigned long long)feed->index.at : 0ULL);
    }
    consul_client_add(path, "dc", first_of(spec->datacenter, conf->datacenter));
    consul_client_add(path, "ns", first_of(spec->ns, conf->ns));
    consul_client_add(path, "near", spec->near);
    consul_client_add(path, "filter", spec->filter);
    add_read(feed, path);
    if (!waits)
        return 0;
    wait_ms = feed->errors > 0 ? CONSUL_BRIEF_MS : conf->wait_ms;
    text_format(path, "&wait=%llums", (unsigned long long)wait_ms);
    return wait_ms;
}

void consul_feed_ask(struct consul_feed *feed)
{
    struct consul_question question = {.done = on_answer, .arg = feed};
    struct text path;

    alarm_disarm(&feed->alarm);
    text_init(&path, PATH_BYTES);
    question.wait_ms = say_path(feed, &path);
    question.path = path.ptr;
    feed->asked_with = feed->index.at;
    feed->step = FEED_ASKING;
    feed->fetch = consul_client_ask(feed->consul->client, &question);
    text_fini(&path);
}

/* After an answer that could be used: when to ask again depends on who wakes us. */
static void ask_next(struct consul_feed *feed)
{
    uint64_t ms = 0;

    if (feed->reads_again) {
        if (consul_feed_mode(feed) == CONSUL_GROUPED)
            consul_group_done(feed, false);
        rest(feed, consul_guard_delay(&feed->guard, &feed->consul->rng));
        return;
    }
    switch (consul_feed_mode(feed)) {
    case CONSUL_GROUPED:
        consul_group_done(feed, feed->index.at == 0);
        return;
    case CONSUL_POLL:
        ms = feed->spec.interval_ms * 9 / 10 +
             rng_below(&feed->consul->rng, feed->spec.interval_ms / 5 + 1);
        break;
    case CONSUL_WATCH:
        ms = consul_pace_take(&feed->pace, loop_now_us(feed->consul->loop));
        break;
    }
    if (ms > 0) {
        rest(feed, ms);
    } else {
        consul_feed_ask(feed);
    }
}

static void on_alarm(struct alarm *alarm)
{
    struct consul_feed *feed = list_entry(alarm, struct consul_feed, alarm);

    if (consul_feed_mode(feed) == CONSUL_GROUPED) {
        consul_group_want(feed);
    } else {
        consul_feed_ask(feed);
    }
}

/* -- life ------------------------------------------------------------------------------------ */

void consul_feed_start(struct consul_feed *feed, uint64_t delay_ms)
{
    rest(feed, delay_ms);
}

void consul_feed_stop(struct consul_feed *feed)
{
    fetch_cancel(&feed->fetch);
    alarm_disarm(&feed->alarm);
    feed->step = FEED_STOPPED;
    feed->has_answered = false;
    consul_index_reset(&feed->index);
}

static void say_key(const struct consul_spec *spec, struct text *key)
{
    const struct sluice_span texts[] = {
        spec->service, spec->query,           spec->filter,       spec->datacenter,    spec->ns,
        spec->near,    spec->reading.address, spec->reading.zone, spec->reading.weight};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        text_format(key, "%zu:%.*s ", texts[i].len, (int)texts[i].len,
                    texts[i].len ? texts[i].ptr : "");
    }
    text_format(key, "%u %u %d %llu", spec->reading.passing, spec->reading.warning,
                spec->reading.passing_only, (unsigned long long)spec->interval_ms);
}

static void copy(struct arena *arena, struct sluice_span *text)
{
    *text = text->len ? arena_copy(arena, *text) : SPAN("");
}

static void copy_spec(struct consul_feed *feed, const struct consul_spec *spec,
                      struct sluice_span key)
{
    struct sluice_span *const texts[] = {
        &feed->spec.service,         &feed->spec.query,        &feed->spec.filter,
        &feed->spec.datacenter,      &feed->spec.ns,           &feed->spec.near,
        &feed->spec.reading.address, &feed->spec.reading.zone, &feed->spec.reading.weight};

    feed->spec = *spec;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        copy(&feed->arena, texts[i]);
    feed->key = arena_copy(&feed->arena, key);
    feed->name = spec->query.len ? feed->spec.query : feed->spec.service;
    if (spec->datacenter.len > 0) {
        feed->name =
            arena_format(&feed->arena, "%s in %s", feed->name.ptr, feed->spec.datacenter.ptr);
    }
}

static struct consul_feed *feed_new(struct consul *consul, const struct consul_spec *spec,
                                    struct sluice_span key)
{
    struct consul_feed *feed = alloc_new(sizeof(*feed));

    feed->consul = consul;
    arena_init(&feed->arena, NULL, 0);
    copy_spec(feed, spec, key);
    list_init(&feed->link);
    list_init(&feed->readers);
    list_init(&feed->turn);
    list_init(&feed->in_group);
    alarm_init(&feed->alarm, on_alarm);
    alarm_init(&feed->save, on_save);
    set_why(feed, SOURCE_WAITING, "not asked yet");
    list_append(&consul->feeds, &feed->link);
    map_set(consul->by_key, feed->key, feed);
    if (feed->spec.query.len == 0)
        consul->n_watches++;
    return feed;
}

struct consul_feed *consul_feed_get(struct consul *consul, const struct consul_spec *spec)
{
    struct consul_feed *feed;
    struct text key;

    text_init(&key, PATH_BYTES);
    say_key(spec, &key);
    feed = map_find(consul->by_key, text_span(&key));
    if (!feed) {
        feed = feed_new(consul, spec, text_span(&key));
        consul_settle(consul);
    }
    text_fini(&key);
    feed->refs++;
    return feed;
}

void consul_feed_unref(struct consul_feed **feed)
{
    struct consul_feed *old = *feed;

    *feed = NULL;
    if (!old || --old->refs > 0)
        return;
    if (alarm_is_armed(&old->save)) {
        alarm_disarm(&old->save);
        on_save(&old->save);
    }
    consul_group_remove(old);
    consul_feed_stop(old);
    list_remove(&old->link);
    map_remove(old->consul->by_key, old->key);
    if (old->spec.query.len == 0)
        old->consul->n_watches--;
    consul_settle(old->consul);
    found_unref(&old->found);
    arena_fini(&old->arena);
    alloc_free(old);
}

void consul_feed_read(struct consul_reader *reader, struct consul_feed **feed)
{
    reader->feed = *feed;
    *feed = NULL;
    list_init(&reader->link);
    list_append(&reader->feed->readers, &reader->link);
}

void consul_feed_leave(struct consul_reader *reader)
{
    if (!reader->feed)
        return;
    list_remove(&reader->link);
    consul_feed_unref(&reader->feed);
}
